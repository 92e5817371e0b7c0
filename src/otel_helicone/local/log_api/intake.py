"""What the log endpoints share: bodies, answers, and the count of requests in progress."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from otel_helicone.local.gateway.body_text import BodyDecoder
from otel_helicone.local.gateway.exchange import header
from otel_helicone.local.gateway.upstream import RawHeaders
from otel_helicone.local.log_api.api_keys import ApiKeys
from otel_helicone.local.log_api.record import Log, LogLost, record_of
from otel_helicone.local.storage.changes import Scores
from otel_helicone.local.storage.records import RequestRecord

__all__ = ["MOST_LOGGED", "LogIntake", "NoRoom", "decoded", "read_body", "without_length"]

MOST_LOGGED: Final = 10 * 1024 * 1024
"""How long a log may be: characters at the worker, bytes at the API server."""

_logger = logging.getLogger(__name__)


class NoRoom(Exception):
    """A log can be kept nowhere; the text is for its sender."""


class LogIntake:
    """Takes logs and scores for the store.

    Attributes:
        keys: the keys that logs are taken with.
        in_progress: how many requests are being answered.
    """

    def __init__(
        self,
        keep: Callable[[RequestRecord | Scores], None],
        keys: ApiKeys,
        is_losing: Callable[[], bool] = lambda: False,
    ) -> None:
        """Begin with nothing in progress.

        Args:
            keep: takes each record; must not block.
            keys: the keys that logs are taken with.
            is_losing: whether what came in last is lost, and what comes in most likely will be.
        """
        self.keys = keys
        self._is_losing = is_losing
        self.in_progress = 0
        self.keep = keep

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Count a request as in progress."""
        self.in_progress += 1
        try:
            yield
        finally:
            self.in_progress -= 1

    def take(self, log: Log) -> None:
        """Store a log, or lose it where Helicone would, and say so in the process's own log.

        Raises:
            NoRoom: where it can most likely be stored nowhere; its sender should send it again.
        """
        try:
            self.keep(record_of(log))
        except LogLost as error:
            self.lose(log.helicone.request_id, str(error))
        if self._is_losing():
            raise NoRoom("The store cannot be written; send this log again once it can.")

    def lose(self, request_id: str, reason: str) -> None:
        """Say that a log is lost, which its sender is not told."""
        _logger.warning("a log is lost, as in Helicone (request id %s): %s", request_id, reason)


async def read_body(request: Request, most_bytes: int) -> bytes | None:
    """Read a whole body; None where it is too long, or its sender has left."""
    pieces: list[bytes] = []
    length = 0
    try:
        async for piece in request.stream():
            length += len(piece)
            # The rest is read and let go of, so that the sender reads the answer.
            if length <= most_bytes:
                pieces.append(piece)
    except ClientDisconnect:
        return None
    return b"".join(pieces) if length <= most_bytes else None


def decoded(body: bytes, headers: RawHeaders, most_bytes: int) -> bytes:
    """Undo a body's ``Content-Encoding``; one byte too many is given where it is too long."""
    decoder = BodyDecoder(header(headers, b"content-encoding"), most_bytes + 1)
    return decoder.decode(body)


def without_length(response: Response) -> Response:
    """Take off the content type that an empty body does not need."""
    if "content-type" in response.headers:
        del response.headers["content-type"]
    return response
