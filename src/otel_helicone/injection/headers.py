"""Session headers on one request: added for Helicone, taken off for everybody else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.trace import Span

from otel_helicone import active_processors
from otel_helicone.injection.hosts import is_loopback
from otel_helicone.log_once import log_failure_once, warn_once
from otel_helicone.session_context.current import SessionContext, resolve
from otel_helicone.settings import Settings

if TYPE_CHECKING:
    from otel_helicone.injection.http_types import Headers, Request, Url

__all__ = [
    "add_session_headers",
    "take_off_added",
    "take_off_header",
    "take_off_helicone_headers",
]

_DEFAULT_PORTS: Final = {"https": 443, "http": 80, "wss": 443, "ws": 80}
_PREFIX: Final = b"helicone-"
# Only Helicone-* and Authorization are of interest; this spares the other headers a look.
_FIRST_LETTERS: Final = b"hHaA"
# The shapes of Helicone's API keys; a key of another shape is refused by the gateway, silently.
_API_KEY: Final = rb"[sp]k-(helicone-)?([a-z]{2,6}-)?[a-z0-9]{7}(-[a-z0-9]{7}){3}(-[0-9a-f-]{36})?"

# Where a request keeps what was added to it, so that sending the same object again, in another
# session, starts from the caller's own headers. A dict beside it would cost ten times as much.
_ADDED: Final = "_otel_helicone_added"

# Authorization values that were found well-formed, so that each key is parsed once.
_MOST_KEYS: Final = 100
_well_formed: Final[set[bytes]] = set()


def add_session_headers(request: Request) -> Span | None:
    """Put the current session context on a request that goes to Helicone.

    Args:
        request: the request of one attempt, or of one hop of a redirect. Headers that are there
            already, in any letter case, stay as they are.

    Returns:
        The current span, to note Helicone's answer on; None if the request doesn't go to Helicone.
    """
    try:
        url = request.url
        sent_before = _ADDED in request.__dict__
        if sent_before:
            _take_off_added(request)
        if not _is_gateway(url):
            if sent_before:
                # It went to Helicone, and was given another address since.
                _take_off_all(request)
            return None
        headers = request.headers
        present = {name.lower(): value for name, value in headers.raw if name[:1] in _FIRST_LETTERS}
        _warn_if_unrecorded(url.host, present)
        span = trace.get_current_span()
        settings = active_processors.settings_in_use()
        context = resolve(span, settings, fix=True)
        added = []
        for name, lower, value in _wanted(context, settings):
            if lower not in present:
                headers[name] = value
                added.append((lower, value))
        request.__dict__[_ADDED] = added
        return span
    except Exception:
        log_failure_once("adding session headers to a request")
        return None


def _wanted(context: SessionContext | None, settings: Settings) -> Iterator[tuple[str, bytes, str]]:
    """Give the headers to add: name, name in lower case, value."""
    if context is None:
        properties = settings.properties
    else:
        yield "Helicone-Session-Id", b"helicone-session-id", context.id
        yield "Helicone-Session-Path", b"helicone-session-path", context.path
        if context.name is not None:
            yield "Helicone-Session-Name", b"helicone-session-name", context.name
        if context.user_id is not None:
            yield "Helicone-User-Id", b"helicone-user-id", context.user_id
        properties = context.properties
    for name, value in properties.items():
        yield f"Helicone-Property-{name}", f"helicone-property-{name}".encode("ascii"), value


def take_off_helicone_headers(request: Request, previous: Request) -> None:
    """Take every ``Helicone-*`` header off a redirect that leaves Helicone, the caller's included.

    HTTP clients take ``Authorization`` off when a redirect leads to another origin; this does the
    same for the headers that hold Helicone's key and what the sessions are about.

    Args:
        request: the request that follows the redirect; its headers are its own.
        previous: the request that was redirected.
    """
    try:
        url, before = request.url, previous.url
        if _is_gateway(url) or (url.host, _port(url)) == (before.host, _port(before)):
            return
        _take_off_all(request)
    except Exception:
        log_failure_once("taking Helicone's headers off a redirect")


def _port(url: Url) -> int | None:
    return url.port or _DEFAULT_PORTS.get(url.scheme)


def _is_gateway(url: Url) -> bool:
    # The raw host is ASCII also for names in other scripts.
    return active_processors.is_gateway(url.raw_host, _port(url))


def _take_off_all(request: Request) -> None:
    raw = request.headers.raw
    kept = [item for item in raw if not item[0].lower().startswith(_PREFIX)]
    if len(kept) < len(raw):
        _replace_headers(request, kept)


def take_off_added(request: Request) -> None:
    """Take the session headers off that were put on a request, if any were."""
    if _ADDED in request.__dict__:
        _take_off_added(request)


def take_off_header(request: Request, name: str) -> None:
    """Take one header off a request, in any letter case."""
    lower = name.lower().encode("ascii")
    kept = [item for item in request.headers.raw if item[0].lower() != lower]
    _replace_headers(request, kept)


def _take_off_added(request: Request) -> None:
    added = {(name, value.encode("ascii")) for name, value in request.__dict__.pop(_ADDED)}
    kept = [item for item in request.headers.raw if (item[0].lower(), item[1]) not in added]
    _replace_headers(request, kept)


def _replace_headers(request: Request, kept: Sequence[tuple[bytes, bytes]]) -> None:
    make: type[Headers] = type(request.headers)
    request.headers = make(kept)  # type: ignore[call-arg]  # both stacks take a list of pairs


def _warn_if_unrecorded(host: str, present: Mapping[bytes, bytes]) -> None:
    """Warn where Helicone would answer as usual but record nothing.

    Recorded from the real gateway: with a ``Helicone-Auth`` that is missing, malformed or without
    ``Bearer`` the call works, the answer says ``helicone-status: success``, and no row is stored.
    A well-formed Helicone key in ``Authorization`` is taken as well. A gateway on this machine is
    left alone: the local Helicone needs no key.
    """
    given = present.get(b"helicone-auth")
    if _is_well_formed(given) or _is_well_formed(present.get(b"authorization")):
        return
    if is_loopback(host):
        return
    problem = "a malformed Helicone-Auth header" if given else "no Helicone-Auth header"
    warn_once(
        f"unrecorded:{host}",
        "A call to %s has %s: it works, but Helicone records nothing of it. "
        "Set the header to 'Bearer <your Helicone API key>', in the client's default_headers.",
        host,
        problem,
    )


def _is_well_formed(authorization: bytes | None) -> bool:
    if authorization is None:
        return False
    if authorization in _well_formed:
        return True
    if not authorization.startswith(b"Bearer ") or not re.fullmatch(_API_KEY, authorization[7:]):
        return False
    if len(_well_formed) < _MOST_KEYS:
        _well_formed.add(authorization)
    return True
