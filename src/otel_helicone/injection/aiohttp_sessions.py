"""Session headers on the requests of ``aiohttp``'s client, WebSocket handshakes included.

Two methods are replaced while injection is on. ``ClientRequest.send`` runs once for each attempt
and each hop of a redirect, with headers that belong to that one alone, in the context of the
caller. ``ClientSession._request`` is private: nothing public is around all the hops of a call of a
session that exists already, for a trace configuration belongs to one session and is given to it
when it is made. It is there so that the hops of one call know of each other, for ``aiohttp`` takes
``Authorization`` off a redirect to another host but not Helicone's headers, and to see the answer.
The tests hold both over the oldest and the newest version.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from types import ModuleType
from typing import Any, Final

from opentelemetry import trace

from otel_helicone.injection.answers import note_answer_headers
from otel_helicone.injection.plain_requests import (
    add_headers,
    keeps_credentials,
    take_off_helicone,
)
from otel_helicone.injection.replaced_methods import Method, replace_method
from otel_helicone.primitives.hosts import Origin
from otel_helicone.primitives.log_once import log_failure_once, warn_once
from otel_helicone.settings.in_use import injecting, is_gateway

__all__ = ["install", "origin_of_url"]


class _Call:
    """One call of a session, with all its hops."""

    __slots__ = ("goes_to_helicone", "span", "urls")

    def __init__(self) -> None:
        # The caller's: one of OpenTelemetry's for the request has ended when the answer is seen.
        self.span = trace.get_current_span()
        self.goes_to_helicone = False
        self.urls: list[Any] = []


_call: Final[ContextVar[_Call | None]] = ContextVar("otel_helicone_aiohttp_call", default=None)


def install(module: ModuleType) -> None:
    """Make sessions add session headers; once, however often it is called.

    Args:
        module: ``aiohttp.client``.
    """
    found = [
        (owner, name, wrap)
        for class_name, name, wrap in (
            ("ClientSession", "_request", _calling),
            ("ClientRequest", "send", _sending),
        )
        if isinstance(owner := getattr(module, class_name, None), type)
        and callable(getattr(owner, name, None))
    ]
    if len(found) < 2:
        warn_once(
            "unknown-client:aiohttp",
            "This version of aiohttp is not known to otel-helicone: no session headers are added "
            "to its requests. Use session_headers() at the call, or another version.",
        )
        return
    for owner, name, wrap in found:
        replace_method(owner, name, wrap)


def origin_of_url(url: Any) -> Origin:
    """Return the origin of a ``yarl.URL``."""
    return Origin.of(url.scheme, url.raw_host or "", url.port)


def _calling(request: Callable[..., Awaitable[Any]]) -> Method:
    @functools.wraps(request)
    async def _request(self: Any, *arguments: Any, **options: Any) -> Any:
        if not injecting():
            return await request(self, *arguments, **options)
        call = _Call()
        token = _call.set(call)
        try:
            response = await request(self, *arguments, **options)
        except Exception as error:
            # ClientResponseError, by raise_for_status.
            _note(error, call)
            raise
        finally:
            _call.reset(token)
        _note(response, call)
        return response

    return _request


def _note(answer: Any, call: _Call) -> None:
    if call.goes_to_helicone:
        note_answer_headers(answer, call.span)


def _sending(send: Method) -> Method:
    @functools.wraps(send)
    def send_with_session(self: Any, *arguments: Any, **options: Any) -> Any:
        # To a proxy, CONNECT tells the URL that the tunnel is for.
        if self.method != "CONNECT":
            _prepare(self)
        return send(self, *arguments, **options)

    return send_with_session


def _prepare(request: Any) -> None:
    try:
        url, call = request.url, _call.get()
        goes_to_helicone = is_gateway(url.scheme, url.raw_host or "", url.port)
        if call is not None:
            call.goes_to_helicone = goes_to_helicone
            call.urls.append(url)
            if len(call.urls) > 1 and not keeps_credentials([*map(origin_of_url, call.urls)]):
                take_off_helicone(request.headers)
        if goes_to_helicone:
            add_headers(origin_of_url(url), request.headers)
    except Exception:
        log_failure_once("adding session headers to a request")
