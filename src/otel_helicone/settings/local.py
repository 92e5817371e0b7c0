"""The settings of ``otel-helicone serve``: options, else environment variables, else defaults."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from otel_helicone.primitives.header_names import API_KEY_PATTERN
from otel_helicone.settings.checks import (
    PORT,
    as_bool,
    number,
    number_between,
    text,
)
from otel_helicone.settings.reading import Kind, WrongValue, read_settings, setting

__all__ = ["DEFAULT_LATENCY_MS", "ServeSettings", "checked_trace_url", "make_serve_settings"]

DEFAULT_LATENCY_MS: Final = 120.0
"""The longest that the built-in upstream takes, in milliseconds."""

_MIB: Final = 1024 * 1024
_KEPT: Final = "what is kept, and shown"
_ACCESS: Final = "who may use it"
_TRUTHS: Final = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
_TRACE_FIELDS: Final = frozenset({"trace_id", "session_id"})


def _truth(value: str) -> object:
    return _TRUTHS.get(value.lower(), value)


def _stored(value: object) -> bool:
    try:
        return as_bool(value)
    except WrongValue:
        raise WrongValue("give true to store bodies, or false to keep them out") from None


def _several(value: object) -> tuple[str, ...]:
    """Take words with commas or blanks between them, or a list of such texts."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(one, str) for one in texts):
        raise WrongValue("give a list of texts")
    return tuple(word for one in texts for word in one.replace(",", " ").split())


def _keys(value: object) -> tuple[str, ...]:
    keys = _several(value)
    if all(re.fullmatch(API_KEY_PATTERN, key) for key in keys):
        return keys
    raise WrongValue(
        "give keys of the form sk-helicone-xxxxxxx-xxxxxxx-xxxxxxx-xxxxxxx, lower-case letters and"
        " digits for each x"
    )


def _latency(value: object) -> float:
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    if good and isinstance(value, (int, float)) and 0 <= value < 1e9:
        return float(value)
    raise WrongValue("give milliseconds, 0 or more")


def checked_trace_url(template: object) -> str:
    """Return where a trace is to be found, checked.

    Args:
        template: a URL such as ``http://localhost:16686/trace/{trace_id}``, with ``{trace_id}``
            or ``{session_id}`` in it; empty for none.

    Raises:
        WrongValue: a ValueError, where it is no such URL; the text says why.
    """
    if template == "":
        return ""
    url = text(template)
    example = "give one such as http://localhost:16686/trace/{trace_id}"
    try:
        parts = urlsplit(url)
        fields = {field for _, field, _, _ in string.Formatter().parse(url) if field is not None}
    except ValueError as error:
        raise WrongValue(f"{url!r} is no URL of a trace ({error}): {example}") from None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise WrongValue(f"{url!r} is no http or https URL: {example}")
    if not fields or not fields <= _TRACE_FIELDS:
        raise WrongValue(f"{url!r} has to hold {{trace_id}} or {{session_id}}: {example}")
    return url


def _to_keep(example: str) -> Any:
    return number_between(
        0, 1e6, f"give a number above 0, such as {example}, or leave it out to keep everything"
    )


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """What is in effect for one local Helicone, checked and complete."""

    port: int = setting(
        "",
        "the port to listen on, 0 for a free one",
        kind=PORT,
        default=8787,
        option="--port",
        metavar="PORT",
    )
    host: str = setting(
        "",
        "the address to listen on",
        kind=Kind(str, text),
        default="127.0.0.1",
        option="--host",
        metavar="HOST",
    )
    upstream: str | None = setting(
        "",
        "the API that answers, such as https://api.openai.com",
        kind=Kind(str, text),
        default=None,
        default_text="a built-in one that makes answers up",
        option="--upstream",
        metavar="URL",
    )
    latency: float = setting(
        "",
        "the longest that the built-in upstream takes, in milliseconds, 0 for at once",
        kind=Kind(number, _latency),
        default=DEFAULT_LATENCY_MS,
        default_text="120",
        option="--latency",
        metavar="MS",
    )
    max_body: float = setting(
        "",
        "how long a request's body may be, in MiB",
        kind=Kind(number, number_between(0, 1e6, "give MiB, more than 0")),
        default=32.0,
        default_text="32",
        option="--max-body",
        metavar="MIB",
    )
    bodies: bool = setting(
        "HELICONE_LOCAL_BODIES",
        "keep the bodies of requests and answers out",
        kind=Kind(_truth, _stored),
        default=True,
        option="--no-bodies",
        group=_KEPT,
    )
    keep_days: float | None = setting(
        "HELICONE_LOCAL_KEEP_DAYS",
        "delete sessions that ended so long ago",
        kind=Kind(number, _to_keep("30")),
        default=None,
        default_text="all are kept",
        option="--keep-days",
        metavar="DAYS",
        group=_KEPT,
    )
    keep_mib: float | None = setting(
        "HELICONE_LOCAL_KEEP_MIB",
        "delete the oldest sessions where the store is larger",
        kind=Kind(number, _to_keep("500")),
        default=None,
        default_text="all are kept",
        option="--keep-mib",
        metavar="MIB",
        group=_KEPT,
    )
    trace_url: str = setting(
        "HELICONE_LOCAL_TRACE_URL",
        "where a trace is shown, such as http://localhost:16686/trace/{trace_id}, for links from"
        " sessions",
        kind=Kind(str, checked_trace_url),
        default="",
        option="--trace-url",
        metavar="URL",
        group=_KEPT,
    )
    api_keys: tuple[str, ...] = setting(
        "HELICONE_LOCAL_API_KEYS",
        "a Helicone key that is known here, may be given more than once",
        kind=Kind(str, _keys),
        default=(),
        default_text="every well-formed key, or beyond this machine one that is made up and"
        " printed",
        is_secret=True,
        option="--api-key",
        metavar="KEY",
        repeats=True,
        group=_ACCESS,
    )
    login: bool | None = setting(
        "",
        "ask for no key beyond this machine either: everyone who reaches it can use it",
        kind=Kind(_truth, as_bool),
        default=None,
        option="--no-login",
        group=_ACCESS,
    )
    allowed_hosts: tuple[str, ...] = setting(
        "HELICONE_LOCAL_ALLOWED_HOSTS",
        "a name that this server goes by, besides localhost, may be given more than once",
        kind=Kind(str, _several),
        default=(),
        option="--allow-host",
        metavar="NAME",
        repeats=True,
        group=_ACCESS,
    )
    allowed_origins: tuple[str, ...] = setting(
        "HELICONE_LOCAL_ALLOWED_ORIGINS",
        "a site whose pages may send requests, such as http://localhost:3000, may be given more"
        " than once",
        kind=Kind(str, _several),
        default=(),
        option="--allow-origin",
        metavar="ORIGIN",
        repeats=True,
        group=_ACCESS,
    )

    @property
    def max_body_bytes(self) -> int:
        """How long a request's body may be."""
        return round(self.max_body * _MIB)

    @property
    def keep_bytes(self) -> int | None:
        """How large the store may be; None for as large as it becomes."""
        return None if self.keep_mib is None else round(self.keep_mib * _MIB)


def make_serve_settings(
    given: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> ServeSettings:
    """Check the options of the command, and read the environment for those that are not given.

    Args:
        given: the options; see :class:`ServeSettings`.
        environ: where to read environment variables; the process's own by default.

    Raises:
        SettingError: for the first value that can't be used.
        TypeError: for an option that is no setting.
    """
    return ServeSettings(**read_settings(ServeSettings, given or {}, environ))
