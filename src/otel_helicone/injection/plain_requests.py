"""Session headers on requests that are no more than a URL and a mapping of headers.

The clients that are not ``httpx2``'s or ``httpx``'s each have a request class of their own. What is
the same in all of them is a URL and headers; this makes of the two what ``headers.py`` works on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, cast
from urllib.parse import SplitResult, urlsplit

from otel_helicone import active_processors
from otel_helicone.injection.headers import add_session_headers
from otel_helicone.log_once import log_failure_once

if TYPE_CHECKING:
    from otel_helicone.injection.http_types import Request

__all__ = [
    "HeaderMapping",
    "add_headers",
    "goes_to_helicone",
    "leaves_helicone",
    "without_helicone",
]

_DEFAULT_PORTS: Final = {"https": 443, "http": 80, "wss": 443, "ws": 80}
_PREFIX: Final = "helicone-"


class HeaderMapping(Protocol):
    """Headers as most clients have them."""

    def items(self) -> Iterable[tuple[Any, Any]]:
        """Give names and values, as text or bytes; a name may be there more than once."""
        ...

    def __setitem__(self, name: str, value: str, /) -> None: ...


class _PlainUrl:
    """A URL by its parts, as ``httpx2`` names them."""

    __slots__ = ("host", "port", "raw_host", "scheme")

    def __init__(self, parts: SplitResult) -> None:
        self.scheme = parts.scheme
        self.host = parts.hostname or ""
        # Most clients write a name in another script in ASCII before it gets here.
        self.raw_host = self.host.encode("ascii" if self.host.isascii() else "idna")
        self.port = parts.port


class _PlainHeaders:
    __slots__ = ("_headers",)

    def __init__(self, headers: HeaderMapping) -> None:
        self._headers = headers

    @property
    def raw(self) -> Sequence[tuple[bytes, bytes]]:
        return [(_as_bytes(name), _as_bytes(value)) for name, value in self._headers.items()]

    def __setitem__(self, name: str, value: str) -> None:
        self._headers[name] = value


class _PlainRequest:
    """Made anew for each attempt, so it never holds what an earlier one has added."""

    def __init__(self, url: str, headers: HeaderMapping) -> None:
        self.url = _PlainUrl(urlsplit(url))
        self.headers = _PlainHeaders(headers)


def _as_bytes(text: object) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode("utf-8", "replace")


def add_headers(url: str, headers: HeaderMapping) -> None:
    """Put the current session context on a request that goes to Helicone; never raises.

    Args:
        url: where the request goes.
        headers: its headers, which are added to. Those that are there, in any letter case, stay.
    """
    try:
        add_session_headers(cast("Request", _PlainRequest(url, headers)))
    except Exception:  # a URL that can't be parsed is the client's to complain about
        log_failure_once("adding session headers to a request")


def goes_to_helicone(url: str) -> bool:
    """Tell whether a request to a URL gets session headers; never raises."""
    try:
        parts = _PlainUrl(urlsplit(url))
        return active_processors.is_gateway(parts.raw_host, _port(parts))
    except ValueError:
        return False


def leaves_helicone(before: str, url: str) -> bool:
    """Tell whether a redirect has to lose its ``Helicone-*`` headers; never raises.

    Args:
        before: where the request was sent.
        url: where the redirect leads to, in full.
    """
    if goes_to_helicone(url):
        return False
    try:
        left, right = _PlainUrl(urlsplit(before)), _PlainUrl(urlsplit(url))
        return (left.host, _port(left)) != (right.host, _port(right))
    except ValueError:
        return True


def without_helicone(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Give the headers that are not Helicone's."""
    return [(name, value) for name, value in headers if not name.lower().startswith(_PREFIX)]


def _port(url: _PlainUrl) -> int | None:
    return url.port or _DEFAULT_PORTS.get(url.scheme)
