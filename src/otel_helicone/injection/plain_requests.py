"""Session headers on requests that are no more than an origin and a mapping of headers.

The clients that are not ``httpx2``'s or ``httpx``'s each have a request class of their own, and a
parser of URLs of their own. So each tells the origin that it really connects to; a second parser
might read another one out of the same text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Protocol

from opentelemetry import trace
from opentelemetry.trace import Span

from otel_helicone.injection.headers import session_pairs, warn_if_unrecorded
from otel_helicone.primitives.header_names import HELICONE_PREFIX
from otel_helicone.primitives.hosts import Origin
from otel_helicone.primitives.log_once import log_failure_once
from otel_helicone.settings.in_use import is_gateway

__all__ = [
    "HeaderMapping",
    "add_headers",
    "goes_to_helicone",
    "keeps_credentials",
    "take_off_helicone",
    "without_helicone",
]


class HeaderMapping(Protocol):
    """Headers as most clients have them."""

    def items(self) -> Iterable[tuple[Any, Any]]:
        """Return names and values, as text or bytes; a name may be there more than once."""
        ...

    def __setitem__(self, name: str, value: str, /) -> None: ...


def goes_to_helicone(origin: Origin, *, even_without_inject: bool = False) -> bool:
    """Return whether a request to an origin gets session headers.

    Args:
        origin: where it goes.
        even_without_inject: whether it gets them by processors with ``inject=False`` too, because
            the application has asked for them on this client.
    """
    host = origin.host if origin.host.isascii() else origin.host.encode("idna").decode("ascii")
    return is_gateway(origin.scheme, host, origin.port, even_without_inject=even_without_inject)


def add_headers(
    origin: Origin, headers: HeaderMapping, *, even_without_inject: bool = False
) -> Span | None:
    """Put the current session context on a request that goes to Helicone; never raises.

    Args:
        origin: where the request goes.
        headers: its headers, which are added to. Those that are there, in any letter case, stay.
        even_without_inject: as for :func:`goes_to_helicone`.

    Returns:
        The current span, to note Helicone's answer on; None if the request doesn't go to Helicone.
    """
    try:
        if not goes_to_helicone(origin, even_without_inject=even_without_inject):
            return None
        present = {_text(name).lower(): _text(value) for name, value in headers.items()}
        warn_if_unrecorded(origin.host, present.get("helicone-auth"), present.get("authorization"))
        span = trace.get_current_span()
        for name, value in session_pairs(span):
            if name.lower() not in present:
                headers[name] = value
    except Exception:
        log_failure_once("adding session headers to a request")
        return None
    return span


def keeps_credentials(hops: Sequence[Origin]) -> bool:
    """Return whether what the caller sent to the first origin may be sent to the last.

    Args:
        hops: where a request went, one redirect after the other. What one of them has lost is
            not given back by the next.
    """
    return all(one.keeps_credentials_to(other) for one, other in pairwise(hops))


def take_off_helicone(headers: Any) -> None:
    """Take every ``Helicone-*`` header off a mapping that can be changed."""
    for name in list(headers):
        if _text(name).lower().startswith(HELICONE_PREFIX):
            headers.pop(name, None)


def without_helicone(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers that are not Helicone's."""
    return [
        (name, value) for name, value in headers if not name.lower().startswith(HELICONE_PREFIX)
    ]


def _text(text: object) -> str:
    return text.decode("latin-1") if isinstance(text, bytes) else str(text)
