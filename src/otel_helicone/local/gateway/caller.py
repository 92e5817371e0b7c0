"""The caller's end of a request: its body, its answer, and whether it is still there."""

from __future__ import annotations

import anyio
from starlette.types import Message, Receive, Send

from otel_helicone.local.gateway.answers import error_answer
from otel_helicone.local.gateway.exchange import header
from otel_helicone.local.gateway.upstream import RawHeaders

__all__ = ["BodyTooLarge", "Caller", "CallerLeft"]


class BodyTooLarge(Exception):
    """The request's body is larger than is allowed."""


class CallerLeft(Exception):
    """The caller closed its connection before its request was complete."""


class Caller:
    """Speaks ASGI with the one who asked.

    Attributes:
        left: whether the caller has closed its connection.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        """Take the two functions that ASGI gives for one request."""
        self.left = False
        self._send = send
        self._receive = receive
        self._started = False
        self._ended = False
        self._until_left: anyio.CancelScope | None = None

    async def send(self, message: Message) -> None:
        """Send one of ASGI's messages."""
        self._started = True
        self._ended = message["type"] == "http.response.body" and not message.get("more_body")
        await self._send(message)

    async def body(self, headers: RawHeaders, most_bytes: int) -> bytes:
        """Read the whole body.

        Raises:
            BodyTooLarge: as soon as it is known; the rest is not kept.
            CallerLeft: where the caller goes before the end.
        """
        declared = header(headers, b"content-length")
        if declared.isdigit() and len(declared) < 20 and int(declared) > most_bytes:
            raise BodyTooLarge
        pieces: list[bytes] = []
        length = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise CallerLeft
            piece: bytes = message.get("body", b"")
            length += len(piece)
            if length > most_bytes:
                raise BodyTooLarge
            pieces.append(piece)
            if not message.get("more_body", False):
                return b"".join(pieces)

    async def watch(self) -> None:
        """Wait until the caller leaves; run beside the answer, once the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left = True
        if self._until_left is not None:
            self._until_left.cancel()

    def until_left(self) -> anyio.CancelScope:
        """Give a scope that is cancelled when the caller leaves, or has left."""
        scope = anyio.CancelScope()
        self._until_left = scope
        if self.left:
            scope.cancel()
        return scope

    async def start(self, status: int, headers: RawHeaders) -> None:
        """Begin the answer."""
        if not self.left:
            await self.send(
                {"type": "http.response.start", "status": status, "headers": list(headers)}
            )

    async def pass_on(self, chunk: bytes) -> None:
        """Send some of the answer's body, unless the caller has left."""
        if not self.left:
            await self.send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def finish(self) -> None:
        """End the answer."""
        if not self.left:
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def end_early(self) -> None:
        """End the answer where it is, because the server stops."""
        if not self._started:
            await error_answer(self.send, 503, "The local Helicone is stopping.", "server_error")
        elif not self._ended:
            await self.finish()
