"""Session headers on one request: added for Helicone, taken off for everybody else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.trace import Span

from otel_helicone.injection.raw_headers import RawHeader, add_raw, keep_raw, raw_headers
from otel_helicone.primitives.header_names import (
    API_KEY_PATTERN,
    HELICONE_PREFIX,
    HeaderPair,
    property_header,
)
from otel_helicone.primitives.hosts import Origin, is_loopback
from otel_helicone.primitives.log_once import log_failure_once, warn_once
from otel_helicone.session_context.current import resolve
from otel_helicone.set_up_faults.unseen_spans import notice_unseen_span
from otel_helicone.settings.in_use import is_gateway, settings_in_use

if TYPE_CHECKING:
    from otel_helicone.injection.http_types import Request, Url

__all__ = [
    "add_session_headers",
    "has_sent_a_key",
    "session_pairs",
    "take_off_added",
    "take_off_header",
    "take_off_helicone_headers",
    "warn_if_unrecorded",
]

_PREFIX: Final = HELICONE_PREFIX.encode("ascii")
# Only Helicone-* and Authorization are of interest; this spares the other headers a look.
_FIRST_LETTERS: Final = (b"h", b"a")

# Where a request keeps what was added to it, so that sending the same object again, in another
# session, starts from the caller's own headers. A dict beside it would cost ten times as much.
_ADDED: Final = "_otel_helicone_added"

# Authorization values that were found well-formed, so that each key is parsed once.
_MAX_KEYS: Final = 100
_well_formed: Final[set[str]] = set()


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
        # The raw host is ASCII also for names in other scripts.
        if not is_gateway(url.scheme, url.raw_host.decode("ascii", "replace"), url.port):
            if sent_before:
                # It went to Helicone, and was given another address since.
                _take_off_all(request)
            return None
        headers = request.headers
        present = {
            lower: value for _, lower, value in raw_headers(headers) if lower[:1] in _FIRST_LETTERS
        }
        warn_if_unrecorded(
            url.host, _text(present.get(b"helicone-auth")), _text(present.get(b"authorization"))
        )
        span = trace.get_current_span()
        request.__dict__[_ADDED] = add_raw(headers, session_pairs(span), present)
        return span
    except Exception:
        log_failure_once("adding session headers to a request")
        return None


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def session_pairs(span: Span) -> Sequence[HeaderPair]:
    """Return the headers for a request that is sent now, with the texts that lead to it frozen.

    Args:
        span: the span that is current.
    """
    settings = settings_in_use()
    context = resolve(span, settings, for_request=True)
    if context is not None:
        notice_unseen_span(span)
        return context.pairs()
    return [(property_header(name), value) for name, value in settings.properties.items()]


def take_off_helicone_headers(request: Request, previous: Request) -> None:
    """Take every ``Helicone-*`` header off a redirect to another origin, the caller's included.

    HTTP clients take ``Authorization`` off when a redirect leads to another origin; this does the
    same for the headers that hold Helicone's key and what the sessions are about. Where the new
    origin is Helicone's too, the session's are added again.

    Args:
        request: the request that follows the redirect; its headers are its own.
        previous: the request that was redirected.
    """
    try:
        if not _origin(previous.url).keeps_credentials_to(_origin(request.url)):
            _take_off_all(request)
    except Exception:
        log_failure_once("taking Helicone's headers off a redirect")


def _origin(url: Url) -> Origin:
    return Origin.of(url.scheme, url.raw_host.decode("ascii", "replace"), url.port)


def _take_off_all(request: Request) -> None:
    headers = raw_headers(request.headers)
    kept = [header for header in headers if not header[1].startswith(_PREFIX)]
    if len(kept) < len(headers):
        keep_raw(request, kept)


def take_off_added(request: Request) -> None:
    """Take the session headers off that were put on a request, if any were."""
    if _ADDED in request.__dict__:
        _take_off_added(request)


def take_off_header(request: Request, name: str) -> None:
    """Take one header off a request, in any letter case."""
    lower = name.lower().encode("ascii")
    keep_raw(request, [header for header in raw_headers(request.headers) if header[1] != lower])


def _take_off_added(request: Request) -> None:
    added: Sequence[RawHeader] = request.__dict__.pop(_ADDED)
    keep_raw(request, [header for header in raw_headers(request.headers) if header not in added])


def warn_if_unrecorded(host: str, auth: str | None, authorization: str | None) -> None:
    """Warn where Helicone would answer as usual but record nothing.

    Recorded from the real gateway: with a ``Helicone-Auth`` that is missing, malformed or without
    ``Bearer`` the call works, the answer says ``helicone-status: success``, and no row is stored.
    A well-formed Helicone key in ``Authorization`` is taken as well. A gateway on this machine is
    left alone: the local Helicone needs no key.

    Args:
        host: where the request goes.
        auth: its ``Helicone-Auth`` header.
        authorization: its ``Authorization`` header.
    """
    if _is_well_formed(auth) or _is_well_formed(authorization) or is_loopback(host):
        return
    problem = "a malformed Helicone-Auth header" if auth else "no Helicone-Auth header"
    warn_once(
        f"unrecorded:{host}",
        "A call to %s has %s: it works, but Helicone records nothing of it. "
        "Set the header to 'Bearer <your Helicone API key>', in the client's default_headers.",
        host,
        problem,
    )


def has_sent_a_key() -> bool:
    """Return whether any call to Helicone has had a well-formed key."""
    return bool(_well_formed)


def _is_well_formed(authorization: str | None) -> bool:
    if authorization is None:
        return False
    if authorization in _well_formed:
        return True
    if not authorization.startswith("Bearer ") or not re.fullmatch(
        API_KEY_PATTERN, authorization[7:]
    ):
        return False
    if len(_well_formed) < _MAX_KEYS:
        _well_formed.add(authorization)
    return True
