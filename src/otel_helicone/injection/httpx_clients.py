"""Session headers on the requests of ``httpx2`` and ``httpx``, sync and async.

Two methods of their client classes are replaced while injection is on. Both are private, because
nothing public sees each hop of a redirect for clients that exist already: ``send`` sees the first
one only, event hooks belong to one client, and a transport's view is below the HTTP spans of
OpenTelemetry's instrumentation. ``_send_single_request`` runs once for each attempt and each hop,
after the application's event hooks and above all transports, in the context of the caller;
``_build_redirect_request`` makes the request of the next hop, where the clients themselves take
``Authorization`` off. The tests hold both over the oldest and the newest supported versions.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import TYPE_CHECKING, Final

from otel_helicone.injection.answers import note_answer
from otel_helicone.injection.calls_elsewhere import notice_call_elsewhere
from otel_helicone.injection.headers import add_session_headers, take_off_helicone_headers
from otel_helicone.injection.replaced_methods import Method, replace_method
from otel_helicone.injection.routing import take_detour
from otel_helicone.primitives.log_once import warn_once

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from otel_helicone.injection.http_types import Request, Response

__all__ = ["install"]

_SEND: Final = "_send_single_request"
_REDIRECT: Final = "_build_redirect_request"


def install(module: ModuleType) -> None:
    """Make the clients of an HTTP stack add session headers; once, however often it is called.

    Args:
        module: ``httpx2`` or ``httpx``; after ``httpx2.alias_httpx()`` both are one module.
    """
    for client_name, wrap in (("Client", _sending), ("AsyncClient", _sending_async)):
        client = getattr(module, client_name, None)
        if not isinstance(client, type):
            continue
        if not (callable(getattr(client, _SEND, None)) and hasattr(client, _REDIRECT)):
            warn_once(
                f"unknown-client:{module.__name__}",
                "This version of %s is not known to otel-helicone: no session headers are added "
                "to its requests. Use session_headers() at the call, or another version.",
                module.__name__,
            )
            continue
        replace_method(client, _SEND, wrap)
        replace_method(client, _REDIRECT, _redirecting)


def _sending(send: Method) -> Method:
    @functools.wraps(send)
    def _send_single_request(self: object, request: Request) -> Response:
        detour = take_detour(self, request)
        span = add_session_headers(request)
        try:
            response: Response = send(self, request)
        except Exception as error:
            if detour is None:
                raise
            detour.end()
            if not detour.goes_direct_after(error):
                raise
            direct: Response = send(self, request)
            return direct
        finally:
            if detour is not None:
                detour.end()
        _look_at(request, response, span)
        return response

    return _send_single_request


def _sending_async(send: Callable[..., Awaitable[Response]]) -> Method:
    @functools.wraps(send)
    async def _send_single_request(self: object, request: Request) -> Response:
        detour = take_detour(self, request)
        span = add_session_headers(request)
        try:
            response = await send(self, request)
        except Exception as error:
            if detour is None:
                raise
            detour.end()
            if not detour.goes_direct_after(error):
                raise
            return await send(self, request)
        finally:
            if detour is not None:
                detour.end()
        _look_at(request, response, span)
        return response

    return _send_single_request


def _look_at(request: Request, response: Response, span: Span | None) -> None:
    """Note an answer of Helicone's on the span of its call, and notice calls that passed it by."""
    if span is not None:
        note_answer(response, span)
    else:
        notice_call_elsewhere(request, response)


def _redirecting(build: Callable[..., Request]) -> Method:
    @functools.wraps(build)
    def _build_redirect_request(self: object, request: Request, response: Response) -> Request:
        redirected = build(self, request, response)
        take_off_helicone_headers(redirected, request)
        return redirected

    return _build_redirect_request
