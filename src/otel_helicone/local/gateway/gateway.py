"""The gateway: takes a request, asks the upstream, passes the answer on and records both."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import anyio
from starlette.types import Receive, Scope, Send

from otel_helicone.local.gateway.answer_cache import AnswerCache
from otel_helicone.local.gateway.answers import error_answer, helicone_error, send_answer
from otel_helicone.local.gateway.cache_settings import CacheRefused
from otel_helicone.local.gateway.caching import Caching
from otel_helicone.local.gateway.caller import BodyTooLarge, Caller, CallerLeft
from otel_helicone.local.gateway.exchange import Exchange, Stopwatch
from otel_helicone.local.gateway.helicone_headers import HELICONE_PREFIX, read_helicone_headers
from otel_helicone.local.gateway.stream_usage import asking_for_usage
from otel_helicone.local.gateway.upstream import (
    RawHeaders,
    Upstream,
    UpstreamAnswer,
    UpstreamBroke,
    UpstreamRequest,
    UpstreamUnreachable,
)
from otel_helicone.local.storage.records import (
    STATUS_CALLER_LEFT,
    STATUS_UPSTREAM_BROKE,
    RequestRecord,
)

__all__ = ["MAX_HEADER_BYTES", "Gateway"]

MAX_HEADER_BYTES: Final = 128 * 1024
"""What all header lines of a request may hold, as with Helicone's worker: 431 above."""

_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# Decoded for the record, so the upstream is offered what can be decoded here; the caller gets the
# bytes as they come.
_READABLE_ENCODINGS: Final = (b"gzip", b"deflate", b"identity")

_OF_HELICONE_ERRORS: Final = (
    (b"content-type", b"application/json;charset=UTF-8"),
    (b"helicone-error", b"true"),
)
_OF_TEXT: Final = ((b"content-type", b"text/plain;charset=UTF-8"),)
# Helicone's worker says so to a POST without a body, and asks no upstream.
_NO_BODY: Final = (
    "Body has already been used. It can only be used once. Use tee() first if you need to read it"
    " twice."
)

_logger = logging.getLogger(__name__)


class Gateway:
    """The ASGI application below ``/v1/``."""

    def __init__(
        self,
        upstream: Upstream,
        keep: Callable[[RequestRecord], None],
        max_body_bytes: int,
        lose: Callable[[], None],
    ) -> None:
        """Put a gateway before an upstream.

        Args:
            upstream: what answers the requests.
            keep: takes each record; must not block.
            max_body_bytes: how long a request's body may be; 413 above.
            lose: called for each request of which no record could be made.
        """
        self._in_progress: set[anyio.CancelScope] = set()
        self._cache = AnswerCache()
        self._upstream = upstream
        self._keep = keep
        self._lose = lose
        self._max_body_bytes = max_body_bytes

    @property
    def in_progress(self) -> int:
        """How many requests are being answered."""
        return len(self._in_progress)

    def end_all(self) -> None:
        """End all requests in progress, because the server stops; call it in the event loop."""
        for answering in self._in_progress:
            answering.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        caller = Caller(receive, send)
        answering = anyio.CancelScope()
        self._in_progress.add(answering)
        try:
            with answering:
                await self._answer(scope, caller)
            if answering.cancelled_caught:
                await caller.end_early()
        finally:
            self._in_progress.discard(answering)

    async def aclose(self) -> None:
        """Let go of the upstream."""
        await self._upstream.aclose()

    async def _answer(self, scope: Scope, caller: Caller) -> None:
        stopwatch = Stopwatch()
        headers: RawHeaders = tuple(scope["headers"])
        if sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEADER_BYTES:
            await error_answer(caller.send, 431, "The request's headers are too large.")
            return
        try:
            body = await caller.body(headers, self._max_body_bytes)
        except BodyTooLarge:
            text = f"The request's body is larger than {self._max_body_bytes} bytes."
            await error_answer(caller.send, 413, text)
            return
        except CallerLeft:
            return
        if scope["method"] == "POST" and not body:
            failed = helicone_error(_NO_BODY)
            await send_answer(caller.send, 500, failed, _OF_HELICONE_ERRORS)
            return
        try:
            caching = Caching(self._cache, headers)
        except CacheRefused as error:
            await send_answer(caller.send, 500, str(error).encode(), _OF_TEXT)
            return
        helicone = read_helicone_headers(headers)
        path = scope["raw_path"]
        if helicone.stream_usage:
            body = asking_for_usage(path, body)
        request = UpstreamRequest(
            scope["method"], path, scope["query_string"], _outgoing(headers), body
        )
        provider = self._upstream.provider(path)
        exchange = Exchange(request, helicone, stopwatch, provider)
        status = STATUS_CALLER_LEFT
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(caller.watch)
                status = await self._relay(request, exchange, caller, caching)
                tasks.cancel_scope.cancel()
        except Exception:
            status = 500
            raise
        finally:
            # Also when the server stops in the middle: the caller has lost its answer then.
            self._record(exchange, status)

    async def _relay(
        self, request: UpstreamRequest, exchange: Exchange, caller: Caller, caching: Caching
    ) -> int:
        kept = caching.find(request)
        if kept is not None:
            exchange.from_cache = True
            return await self._pass_on(kept, exchange, caller, caching)
        try:
            async with self._upstream.send(request) as answer:
                keep_length = request.method == "HEAD"
                incoming = _incoming(answer.headers, keep_length=keep_length)
                answer = replace(answer, headers=incoming)
                return await self._pass_on(answer, exchange, caller, caching)
        except UpstreamUnreachable as error:
            text = f"Unable to connect to the provider: {error}"
            ours = _our_headers(exchange) + caching.miss
            body = await error_answer(caller.send, 502, text, "upstream_unreachable", ours)
            exchange.received(body)
            return 502

    async def _pass_on(
        self, answer: UpstreamAnswer, exchange: Exchange, caller: Caller, caching: Caching
    ) -> int:
        exchange.answered(answer.headers)
        ours = _our_headers(exchange) + (() if exchange.from_cache else caching.miss)
        await caller.start(answer.status, answer.headers + ours)
        status = answer.status
        # Like Helicone: an answer that comes at once is waited for, and kept, when its caller
        # has left; a stream ends with its caller.
        with caller.until_left() if exchange.streamed else anyio.CancelScope():
            try:
                async for chunk in answer.chunks:
                    caching.received(exchange.received(chunk))
                    await caller.pass_on(chunk)
            except UpstreamBroke as error:
                _logger.info("the upstream broke off its answer: %s", error)
                status = STATUS_UPSTREAM_BROKE
        # Clients hang up as soon as they have read the closing event, which is no break.
        if caller.left and not exchange.ended:
            return STATUS_CALLER_LEFT
        await caller.finish()
        if status == 200 and exchange.readable and not exchange.from_cache:
            caching.save(answer.headers, exchange.milliseconds())
        return status

    def _record(self, exchange: Exchange, status: int) -> None:
        try:
            self._keep(exchange.record(status))
        except Exception:
            _logger.exception("a request could not be recorded")
            self._lose()


def _our_headers(exchange: Exchange) -> RawHeaders:
    return (
        (b"helicone-id", exchange.helicone.request_id.encode("latin-1")),
        (b"helicone-status", b"success"),
    )


def _connection_headers(headers: RawHeaders) -> frozenset[bytes]:
    """Give the lower-case names of headers that are about one connection only."""
    named = b",".join(value for name, value in headers if name.lower() == b"connection")
    return _HOP_BY_HOP | {part.strip().lower() for part in named.split(b",")}


def _outgoing(headers: RawHeaders) -> RawHeaders:
    left_out = _connection_headers(headers) | {b"host", b"content-length", b"expect"}
    return tuple(
        (name, _offered(value) if name.lower() == b"accept-encoding" else value)
        for name, value in headers
        if name.lower() not in left_out and not name.lower().startswith(HELICONE_PREFIX)
    )


def _offered(accept_encoding: bytes) -> bytes:
    parts = [part.strip() for part in accept_encoding.split(b",")]
    kept = [part for part in parts if part.lower().split(b";")[0].strip() in _READABLE_ENCODINGS]
    return b", ".join(kept) or b"identity"


def _incoming(headers: RawHeaders, *, keep_length: bool) -> RawHeaders:
    """Give the headers of an answer that go to the caller.

    The length is left out, as in Helicone's answers: a body that breaks off then still ends, and
    what had come arrives.
    """
    left_out = _connection_headers(headers) | {b"helicone-id", b"helicone-status"}
    if not keep_length:
        left_out |= {b"content-length"}
    return tuple((name, value) for name, value in headers if name.lower() not in left_out)
