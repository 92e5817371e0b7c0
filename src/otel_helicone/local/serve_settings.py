"""The settings of ``otel-helicone serve``: options, else environment variables, else defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from otel_helicone.local.pages.trace_link import checked_trace_url
from otel_helicone.local.storage.retention import Retention

__all__ = ["ServeArguments", "ServeSettings", "WrongServeSetting", "read_serve_settings"]

_YES: Final = ("1", "true", "yes", "on")
_NO: Final = ("0", "false", "no", "off")
_MIB: Final = 1024 * 1024


class WrongServeSetting(ValueError):
    """A setting is not one; the text names it, its value and the remedy."""


@dataclass(frozen=True, slots=True)
class ServeArguments:
    """What the command line said; None for what it did not say.

    Attributes:
        listen_on: the address to listen on.
        port: the port; 0 for a free one.
        upstream: the API that answers.
        latency_ms: the longest that the built-in upstream takes, in milliseconds.
        max_body_bytes: how long a request's body may be.
        api_keys: the Helicone keys that are known.
        bodies: whether bodies are stored.
        keep_days: how long sessions are kept, in days.
        keep_mib: how large the store may be, in MiB.
        trace_url: where a trace is shown.
        login: whether a key is asked for.
        allowed_hosts: the names that the server goes by.
        allowed_origins: the sites whose pages may send requests.
    """

    listen_on: str
    port: int
    upstream: str | None
    latency_ms: float
    max_body_bytes: int
    api_keys: Sequence[str] | None = None
    bodies: bool | None = None
    keep_days: str | None = None
    keep_mib: str | None = None
    trace_url: str | None = None
    login: bool | None = None
    allowed_hosts: Sequence[str] | None = None
    allowed_origins: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """What is in effect, of what the environment can set too.

    Attributes:
        api_keys: the Helicone keys that are known; None for every well-formed one.
        bodies: whether bodies are stored.
        retention: how long and how much is kept; None for everything.
        trace_url: where a trace is shown; empty for nowhere.
        allowed_hosts: the names that the server goes by.
        allowed_origins: the sites whose pages may send requests.
    """

    api_keys: tuple[str, ...] | None
    bodies: bool
    retention: Retention | None
    trace_url: str
    allowed_hosts: tuple[str, ...]
    allowed_origins: tuple[str, ...]


def read_serve_settings(arguments: ServeArguments, environ: Mapping[str, str]) -> ServeSettings:
    """Find out what is in effect.

    Args:
        arguments: what the command line said, which goes before the environment.
        environ: the environment's variables.

    Raises:
        WrongServeSetting: for a value that is none.
    """
    days = _number(arguments.keep_days, "--keep-days", environ, "HELICONE_LOCAL_KEEP_DAYS", "30")
    mib = _number(arguments.keep_mib, "--keep-mib", environ, "HELICONE_LOCAL_KEEP_MIB", "500")
    retention = None
    if days is not None or mib is not None:
        retention = Retention(
            max_age=None if days is None else timedelta(days=days),
            max_bytes=None if mib is None else round(mib * _MIB),
        )
    return ServeSettings(
        api_keys=_several(arguments.api_keys, environ, "HELICONE_LOCAL_API_KEYS") or None,
        bodies=_bodies(environ) if arguments.bodies is None else arguments.bodies,
        retention=retention,
        trace_url=_trace_url(arguments.trace_url, environ),
        allowed_hosts=_several(arguments.allowed_hosts, environ, "HELICONE_LOCAL_ALLOWED_HOSTS"),
        allowed_origins=_several(
            arguments.allowed_origins, environ, "HELICONE_LOCAL_ALLOWED_ORIGINS"
        ),
    )


def _several(
    given: Sequence[str] | None, environ: Mapping[str, str], variable: str
) -> tuple[str, ...]:
    return tuple(given or environ.get(variable, "").replace(",", " ").split())


def _number(
    given: str | None, option: str, environ: Mapping[str, str], variable: str, example: str
) -> float | None:
    name, text = (variable, environ.get(variable, "")) if given is None else (option, given)
    if given is None and not text.strip():
        return None
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise WrongServeSetting(
            f"{name} is {text!r}: give a number above 0, such as {example}, or leave it out to"
            " keep everything."
        )
    return number


def _bodies(environ: Mapping[str, str]) -> bool:
    text = environ.get("HELICONE_LOCAL_BODIES", "").strip().lower()
    if text in _YES or not text:
        return True
    if text in _NO:
        return False
    raise WrongServeSetting(
        f"HELICONE_LOCAL_BODIES is {text!r}: give true to store bodies, or false to keep them out."
    )


def _trace_url(given: str | None, environ: Mapping[str, str]) -> str:
    name, text = "--trace-url", given
    if text is None:
        name, text = "HELICONE_LOCAL_TRACE_URL", environ.get("HELICONE_LOCAL_TRACE_URL", "")
    try:
        return checked_trace_url(text.strip())
    except ValueError as error:
        raise WrongServeSetting(f"{name}: {error}") from None
