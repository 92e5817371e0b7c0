"""Session headers on the handshake of WebSocket connections, OpenAI's Realtime API for one.

Two public methods of ``websockets`` are replaced while injection is on: ``send_request`` of the
protocol, where the client for threads and the one for asyncio both end up once for each attempt
and each hop of a redirect, with the caller's headers in place; and ``process_redirect``, where the
client itself takes ``Authorization`` off when a redirect leads to another origin.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from otel_helicone.injection.plain_requests import add_headers, without_helicone
from otel_helicone.injection.replaced_methods import Method, replace_method
from otel_helicone.primitives.hosts import Origin
from otel_helicone.primitives.log_once import log_failure_once

__all__ = ["install"]


def install(module: ModuleType) -> None:
    """Make the clients of ``websockets`` add session headers; once, however often it is called.

    Args:
        module: ``websockets.client`` or ``websockets.asyncio.client``; in a version without the
            class or the method in question nothing is done.
    """
    for class_name, name, wrap in (
        ("ClientProtocol", "send_request", _sending),
        ("connect", "process_redirect", _redirecting),
    ):
        # Not by getattr: what `websockets.client` no longer has it looks for, with a warning.
        owner = vars(module).get(class_name)
        if isinstance(owner, type) and callable(vars(owner).get(name)):
            replace_method(owner, name, wrap)


class _Headers:
    """The headers of a handshake, whose own ``items()`` refuses names that are there twice."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Any) -> None:
        self._headers = headers

    def items(self) -> Iterable[tuple[str, str]]:
        pairs: Iterable[tuple[str, str]] = self._headers.raw_items()
        return pairs

    def __setitem__(self, name: str, value: str) -> None:
        self._headers[name] = value


def _sending(send: Method) -> Method:
    @functools.wraps(send)
    def send_request(self: Any, request: Any) -> Any:
        try:
            # Before websockets 15 it was named otherwise.
            uri = self.uri if hasattr(self, "uri") else self.wsuri
            add_headers(_origin_of(uri), _Headers(request.headers))
        except Exception:
            log_failure_once("adding session headers to a handshake")
        return send(self, request)

    return send_request


def _origin_of(uri: Any) -> Origin:
    return Origin.of("wss" if uri.secure else "ws", uri.host, uri.port)


def _redirecting(process: Method) -> Method:
    @functools.wraps(process)
    def process_redirect(self: Any, error: Exception) -> Any:
        to = process(self, error)
        try:
            if isinstance(to, str) and not _keeps_credentials(self.uri, to):
                if hasattr(self, "additional_headers"):
                    self.additional_headers = _kept(self.additional_headers)
                else:  # websockets 14
                    given, *others = self.handshake_args
                    self.handshake_args = (_kept(given), *others)
        except Exception:
            log_failure_once("taking Helicone's headers off a redirect")
        return to

    return process_redirect


def _keeps_credentials(before: str, to: str) -> bool:
    from websockets.uri import parse_uri

    return _origin_of(parse_uri(before)).keeps_credentials_to(_origin_of(parse_uri(to)))


def _kept(headers: Any) -> Any:
    from websockets.datastructures import Headers

    return headers and without_helicone(Headers(headers).raw_items())
