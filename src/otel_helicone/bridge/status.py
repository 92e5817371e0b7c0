"""``otel-helicone bridge status``: what ``/metrics`` knows, for people and for scripts."""

from __future__ import annotations

import json
import os
import ssl
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from otel_helicone.primitives.hosts import is_loopback
from otel_helicone.settings.bridge import BridgeSettings
from otel_helicone.settings.reading import SettingError, read_settings

__all__ = ["run_status"]

_PREFIX: Final = "otel_helicone_bridge_"
_SECONDS: Final = 10.0
_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_UNITS: Final = (("d", 86400), ("h", 3600), ("min", 60))


class _Unreachable(Exception):
    """The bridge doesn't tell; the message says why."""


@dataclass(frozen=True, slots=True)
class _Status:
    url: str
    trouble: str
    metrics: Mapping[str, Any]


def run_status(url: str | None, *, as_json: bool) -> int:
    """Print what a running bridge tells of itself.

    Args:
        url: scheme, host and port of the bridge; None for those that the environment names.
        as_json: whether to print it as a JSON object.

    Returns:
        The exit code: 0 while the bridge takes spans, 1 where it doesn't or can't be reached, 2 for
        a wrong setting.
    """
    try:
        status = _ask(url)
    except SettingError as error:
        return _failed(str(error), 2)
    except _Unreachable as error:
        return _failed(str(error), 1)
    if as_json:
        shown = {"url": status.url, "ready": not status.trouble, "trouble": status.trouble}
        _say(json.dumps({**shown, "metrics": status.metrics}, indent=2))
    else:
        for line in _lines(status):
            _say(line)
    return 1 if status.trouble else 0


def _ask(url: str | None) -> _Status:
    # Those of the command alone: what the bridge needs besides, a key, is of no concern here.
    settings = read_settings(BridgeSettings, {}, os.environ)
    if url is None:
        host = _ANY_ADDRESS.get(settings["host"], settings["host"])
        shown = f"[{host}]" if ":" in host else host
        url = f"http{'s' if settings['tls_cert'] else ''}://{shown}:{settings['port']}"
    url = url.rstrip("/")
    context = ssl.create_default_context()
    if settings["tls_cert"] is not None:
        # A bridge of this machine, by its own certificate, whatever name that is for.
        try:
            context.load_verify_locations(settings["tls_cert"])
        except OSError as error:
            raise _Unreachable(f"can't read {settings['tls_cert']}: {error}") from None
        context.check_hostname = not is_loopback(httpx2.URL(url).host)
    token = settings["token"]
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        with httpx2.Client(verify=context, timeout=_SECONDS, trust_env=False) as client:
            ready = client.get(f"{url}/readyz")
            found = client.get(f"{url}/metrics", headers=headers)
    except (httpx2.TransportError, httpx2.InvalidURL) as error:
        raise _Unreachable(f"no bridge answers at {url} ({error}); name it with --url") from None
    if found.status_code == 401:
        raise _Unreachable(f"{url} wants a token: set HELICONE_BRIDGE_TOKEN to that of the bridge")
    if found.status_code != 200 or _PREFIX not in found.text:
        raise _Unreachable(f"what answers at {url} is no bridge; name it with --url")
    trouble = "" if ready.status_code == 200 else ready.text.strip()
    return _Status(url, trouble, _read(found.text))


def _read(text: str) -> dict[str, Any]:
    """Return the metrics by name; those with labels as mappings, by the value of their label."""
    metrics: dict[str, Any] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removeprefix(_PREFIX)
            if name.endswith("_created"):
                continue
            at = metrics
            labels = dict(sample.labels)
            bound = labels.pop("le", None)
            path = [name, *labels.values(), *([bound] if bound is not None else [])]
            for step in path[:-1]:
                at = at.setdefault(step, {})
            at[path[-1]] = int(sample.value) if sample.value.is_integer() else sample.value
    return metrics


def _lines(status: _Status) -> Iterator[str]:
    metrics = status.metrics
    takes = f"takes no spans: {status.trouble}" if status.trouble else "takes spans"
    yield f"The bridge at {status.url} {takes}."
    requests = sum(metrics.get("requests_total", {}).values())
    line = f"{metrics['spans_received_total']:,} spans in {requests:,} requests"
    yield _line("received", line, _each("refused", metrics.get("requests_refused_total", {})))
    age = metrics["spool_age_seconds"]
    yield _line(
        "waiting",
        f"{metrics['spans_waiting']:,} spans for the rest of their traces",
        f"{metrics['logs_waiting']:,} logs, {metrics['logs_in_flight']:,} of them in flight",
        f"the oldest for {_duration(age)}" if age else "",
    )
    used, limit = _mebibytes(metrics["spool_bytes"]), _mebibytes(metrics["spool_limit_bytes"])
    yield _line("spool", f"{used} of {limit} in use")
    yield _line(
        "sent",
        f"{metrics['logs_sent_total']:,} logs, {_mebibytes(metrics['logs_sent_bytes_total'])}",
        f"{metrics['retries_total']:,} attempts had to be made again",
        _delivery(metrics),
    )
    yield _line("skipped", _each("", metrics["spans_skipped_total"]) or "no spans")
    if metrics["logs_without_key"]:
        count = metrics["logs_without_key"]
        yield _line("no key", f"{count:,} logs wait for a key that is not known")
    if metrics["logs_dead"]:
        count = metrics["logs_dead"]
        yield _line("dead", f"{count:,} refused logs: see otel-helicone bridge dead list")


def _line(name: str, *parts: str) -> str:
    return f"  {name:<9} {'; '.join(part for part in parts if part)}"


def _each(what: str, counts: Mapping[str, int]) -> str:
    shown = ", ".join(f"{reason} {count:,}" for reason, count in counts.items() if count)
    return f"{what} {shown}".strip() if shown else ""


def _delivery(metrics: Mapping[str, Any]) -> str:
    """Say within which time nearly all logs went from their arrival to Helicone."""
    total = metrics.get("delivery_seconds_count", 0)
    for bound, count in metrics.get("delivery_seconds_bucket", {}).items():
        if total and count >= 0.95 * total and bound != "+Inf":
            return f"95% within {_duration(float(bound))} of their arrival"
    return ""


def _duration(seconds: float) -> str:
    for unit, length in _UNITS:
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.3g} s"


def _mebibytes(count: float) -> str:
    return f"{count / 1024 / 1024:,.1f} MiB"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _failed(message: str, code: int) -> int:
    sys.stderr.write(f"otel-helicone: {message}\n")
    return code
