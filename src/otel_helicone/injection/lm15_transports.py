"""Session headers on the requests of ``lm15``, the client of its own that DSPy 3.4 sends with.

``stream`` of its transport for threads, and ``_do_stream`` of the one for asyncio, are replaced
while injection is on: one call is one request, streamed or not, and redirects are not followed. The
second is private, because the public ``stream`` returns before anything is sent. DSPy brings
``lm15`` along inside its own package, under a private name; it is also a package by itself.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from types import ModuleType
from typing import Any

from opentelemetry.trace import Span

from otel_helicone.injection.answers import note_answer_headers
from otel_helicone.injection.plain_requests import add_headers
from otel_helicone.injection.replaced_methods import Method, replace_method
from otel_helicone.primitives.hosts import Origin
from otel_helicone.primitives.log_once import log_failure_once

__all__ = ["install"]


def install(module: ModuleType) -> None:
    """Make transports add session headers; once, however often it is called.

    Args:
        module: ``lm15.transports``, or DSPy's own.
    """
    # Its own parser, which decides where it connects to.
    parse: Method = importlib.import_module(f"{module.__name__}._url").parse_url
    for class_name, name, wrap in (
        ("StdlibTransport", "stream", _sending),
        ("StdlibAsyncTransport", "_do_stream", _sending_async),
    ):
        owner = getattr(module, class_name, None)
        if isinstance(owner, type) and callable(getattr(owner, name, None)):
            replace_method(owner, name, functools.partial(wrap, parse))


def _sending(parse: Method, send: Method) -> Method:
    @functools.wraps(send)
    def stream(self: Any, request: Any) -> Any:
        request, span = _with_session(parse, request)
        response = send(self, request)
        if span is not None:
            note_answer_headers(response, span)
        return response

    return stream


def _sending_async(parse: Method, send: Callable[..., Awaitable[Any]]) -> Method:
    @functools.wraps(send)
    async def _do_stream(self: Any, request: Any) -> Any:
        request, span = _with_session(parse, request)
        response = await send(self, request)
        if span is not None:
            note_answer_headers(response, span)
        return response

    return _do_stream


class _Headers:
    """Pairs of names and values, to which more are added."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.pairs = list(pairs)

    def items(self) -> Iterable[tuple[str, str]]:
        return self.pairs

    def __setitem__(self, name: str, value: str) -> None:
        self.pairs.append((name, value))


def _with_session(parse: Method, request: Any) -> tuple[Any, Span | None]:
    try:
        url = parse(request.url)
        headers = _Headers(request.headers)
        span = add_headers(Origin.of(url.scheme, url.host, url.port), headers)
        if span is not None:
            return replace(request, headers=headers.pairs), span
    except Exception:
        log_failure_once("adding session headers to a request")
    return request, None
