"""Set-ups that can't work, as far as the environment tells; the others are said at run time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from otel_helicone.primitives.hosts import Origin, is_loopback
from otel_helicone.set_up_faults.sentences import SET_UP_FAULTS, UNNAMED_GATEWAY, UNUSED_KEY
from otel_helicone.settings.checks import truth, words
from otel_helicone.settings.processor import make_processor_settings
from otel_helicone.settings.reading import SettingError

__all__ = ["explained", "set_up_notes", "set_up_problems"]

_BASE_URLS: Final = ("OPENAI_BASE_URL", "OPENAI_API_BASE")
_SECONDS: Final = 2.0


def set_up_problems(environ: Mapping[str, str]) -> Iterator[str]:
    """Say what can't work.

    Args:
        environ: the environment variables.
    """
    for name in _BASE_URLS:
        url = environ.get(name, "").strip()
        place = _unnamed_place(url, environ)
        if place is not None and _is_local_helicone(url):
            yield f"{name}: {UNNAMED_GATEWAY.sentence}: {UNNAMED_GATEWAY.remedy}" % (place, place)


def set_up_notes(environ: Mapping[str, str]) -> Iterator[str]:
    """Say what may not be meant.

    Args:
        environ: the environment variables.
    """
    if not environ.get("HELICONE_API_KEY", "").strip():
        return
    exporters = words(environ.get("OTEL_TRACES_EXPORTER", ""))
    gateway = truth(environ.get("HELICONE_GATEWAY", "").strip() or "false")
    uses = ("HELICONE_GATEWAY_HOSTS", "OTEL_CONFIG_FILE", *_BASE_URLS)
    if "helicone" in exporters or gateway is not False or any(map(environ.get, uses)):
        return
    yield (
        "HELICONE_API_KEY alone has nothing logged under opentelemetry-instrument:"
        f" {UNUSED_KEY.remedy}"
    )


def explained() -> Iterator[tuple[str, str, str]]:
    """Return of each set-up that can't work its symptom, what is logged, and the line to type."""
    for fault in SET_UP_FAULTS:
        values = ("127.0.0.1:8787",) * fault.sentence.count("%s")
        yield fault.symptom, fault.sentence % values, fault.remedy % values


def _unnamed_place(url: str, environ: Mapping[str, str]) -> str | None:
    """Return host and port of a URL on this machine that no setting names as a gateway."""
    try:
        parsed = urlsplit(url)
        host, port = parsed.hostname, parsed.port
        settings = make_processor_settings({}, environ)
    except (SettingError, ValueError):
        return None  # which is told elsewhere
    if host is None or not is_loopback(host):
        return None
    origin = Origin.of(parsed.scheme, host, port)
    if any(gateway.matches(origin) for gateway in settings.gateway_hosts):
        return None
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"


def _is_local_helicone(url: str) -> bool:
    import httpx2

    parsed = urlsplit(url)
    try:
        with httpx2.Client(trust_env=False, timeout=_SECONDS) as client:
            answer = client.get(f"{parsed.scheme}://{parsed.netloc}/healthz")
        said = json.loads(answer.content)
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError):
        return False
    return isinstance(said, dict) and said.get("service") == "local Helicone"
