"""Whether requests get session headers: tried with real clients, on a transport that sends nothing.

What decides is the library itself, so that the answer can't differ from what happens.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final, TypeGuard
from urllib.parse import urlsplit

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from otel_helicone.primitives.hosts import Origin, normal_host
from otel_helicone.processor import HeliconeSpanProcessor
from otel_helicone.settings.processor import ProcessorSettings, make_processor_settings
from otel_helicone.settings.reading import SettingError
from otel_helicone.settings.table import known_variables

__all__ = ["UrlTried", "adds_headers", "is_instrumented", "is_url", "try_url"]

_HELICONE: Final = "https://oai.helicone.ai/v1/models"
_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, kw_only=True)
class UrlTried:
    """What became of a request to a URL.

    Attributes:
        url: the URL.
        gets_headers: whether the request carried session headers.
        why: the rule that decided, or what to do about it.
    """

    url: str
    gets_headers: bool
    why: str


def is_url(text: str) -> bool:
    """Tell whether a text is a URL that requests can be sent to."""
    try:
        parsed = urlsplit(text)
        return parsed.scheme in _PORTS and bool(parsed.hostname) and parsed.port != 0
    except ValueError:
        return False


def adds_headers(stack: str) -> bool:
    """Tell whether requests of an HTTP stack to Helicone get session headers.

    Args:
        stack: ``httpx2`` or ``httpx``, installed.
    """
    try:
        with _default_settings():
            return _sent_to(_HELICONE, importlib.import_module(stack)) is not None
    except Exception:
        return False  # broken, or of a version that is not known


def is_instrumented(module: str) -> bool:
    """Tell whether a span processor in use changes the classes of a module.

    For clients that can't be tried without a server.

    Args:
        module: the name of a module that is installed.
    """
    try:
        with _default_settings():
            classes = [
                one for one in vars(importlib.import_module(module)).values() if _is_class(one)
            ]
            before = [dict(vars(one)) for one in classes]
            processor = HeliconeSpanProcessor()
            try:
                return before != [dict(vars(one)) for one in classes]
            finally:
                processor.shutdown()
    except Exception:
        return False


def _is_class(found: object) -> TypeGuard[type]:
    return isinstance(found, type)


def try_url(url: str) -> UrlTried:
    """Try a request to a URL with the settings of the environment.

    Args:
        url: an ``http`` or ``https`` URL.
    """
    import httpx2

    try:
        settings = make_processor_settings()
        sent_to = _sent_to(url, httpx2)
    except SettingError:
        return UrlTried(url=url, gets_headers=False, why="a setting can't be used: see above")
    parsed = urlsplit(url)
    origin = Origin.of(parsed.scheme, parsed.hostname or "", parsed.port)
    host = origin.host
    if sent_to is None:
        return UrlTried(url=url, gets_headers=False, why=_why_not(settings, host, parsed.port))
    if normal_host(sent_to) != host:
        why = f"HELICONE_GATEWAY={os.environ.get('HELICONE_GATEWAY')} sends it through {sent_to}"
        return UrlTried(url=url, gets_headers=True, why=why)
    rule = next((one for one in settings.gateway_hosts if one.matches(origin)), None)
    if rule is None:
        return UrlTried(url=url, gets_headers=True, why=f"{host} is a gateway")
    name = f"[{rule.host}]" if ":" in rule.host else rule.host
    name = f"{'*.' if rule.subdomains else ''}{name}{'' if rule.port is None else f':{rule.port}'}"
    whose = "Helicone's own" if rule.host in ("helicone.ai", "hconeai.com") else "a gateway"
    return UrlTried(url=url, gets_headers=True, why=f"{host} matches {name}, {whose}")


def _why_not(settings: ProcessorSettings, host: str, port: int | None) -> str:
    if not settings.inject:
        return "HELICONE_INJECT is false; leave it out to put headers on requests"
    name = f"[{host}]" if ":" in host else host
    given = os.environ.get("HELICONE_GATEWAY_HOSTS", "").strip()
    wanted = ",".join([*filter(None, [given]), name + ("" if port is None else f":{port}")])
    return (
        f"{host} is neither Helicone's nor a gateway that was named; if it is one, set"
        f" HELICONE_GATEWAY_HOSTS={wanted}"
    )


@contextmanager
def _default_settings() -> Iterator[None]:
    """Hide the variables: what a package can do is not a matter of the settings."""
    hidden = {name: os.environ.pop(name) for name in known_variables() & {*os.environ}}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _sent_to(url: str, stack: ModuleType) -> str | None:
    """Give the host that a request with session headers went to; None for one without them."""
    seen: list[Any] = []

    def answer(request: Any) -> Any:
        # Another host may be in the URL only for as long as the request is under way.
        seen.append((request.url.host, "helicone-session-id" in request.headers))
        return stack.Response(200)

    provider = TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
    provider.add_span_processor(HeliconeSpanProcessor())
    try:
        with provider.get_tracer("doctor").start_as_current_span("doctor"):
            with stack.Client(transport=stack.MockTransport(answer), trust_env=False) as client:
                client.get(url)
    finally:
        provider.shutdown()
    host, has_headers = seen[0]
    return str(host) if has_headers else None
