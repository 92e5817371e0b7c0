"""Bodies of requests that are being read: as many as memory bears, and slow ones give way.

Whoever sends half a request and then nothing would keep a place that another needs. So there is
always a place for the next request, and the one that has taken longest is asked to come again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import StreamReader

from otel_helicone.bridge.decompression import TooLarge

__all__ = ["Bodies", "NoRoom"]

_MAX_READING: Final = 256
_SECONDS_TO_READ: Final = 60.0
_CHUNK: Final = 256 * 1024


class NoRoom(Exception):
    """There is no room for a body at present."""


@dataclass(slots=True, eq=False)
class _Reading:
    timeout: asyncio.Timeout
    size: int = 0


class Bodies:
    """The bodies that are in memory. Used in one event loop.

    Attributes:
        size: how long they are together, in bytes.
    """

    def __init__(self, max_bytes: int) -> None:
        """Begin with none.

        Args:
            max_bytes: how long they may be together.
        """
        self.size = 0
        self._max_bytes = max_bytes
        # Those that are being read, the oldest first.
        self._reading: dict[_Reading, None] = {}

    @asynccontextmanager
    async def read(self, content: StreamReader, limit: int) -> AsyncIterator[bytes]:
        """Read a body; it counts until the context is left.

        Args:
            content: where it comes from.
            limit: how long it may be, in bytes.

        Raises:
            TooLarge: where it is longer.
            TimeoutError: where it takes too long, or has to give way to others.
            NoRoom: where what is being stored leaves none.
        """
        while len(self._reading) >= _MAX_READING:
            self._give_way(next(iter(self._reading)))
        chunks: list[bytes] = []
        async with asyncio.timeout(_SECONDS_TO_READ) as timeout:
            reading = _Reading(timeout)
            self._reading[reading] = None
            try:
                async for chunk in content.iter_chunked(_CHUNK):
                    self.size += len(chunk)
                    reading.size += len(chunk)
                    if reading.size > limit:
                        raise TooLarge
                    self._make_room(reading)
                    chunks.append(chunk)
            except BaseException:
                self.size -= reading.size
                raise
            finally:
                self._reading.pop(reading, None)
        try:
            body = b"".join(chunks)
            del chunks
            yield body
        finally:
            self.size -= reading.size

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Count a body that was read elsewhere, until the context is left.

        Args:
            size: how long it is, in bytes.

        Raises:
            NoRoom: where what is being stored leaves none.
        """
        self.size += size
        try:
            self._make_room(None)
            yield
        finally:
            self.size -= size

    def _make_room(self, reading: _Reading | None) -> None:
        while self.size > self._max_bytes:
            oldest = next(iter(self._reading), reading)
            if oldest is reading or oldest is None:
                raise NoRoom
            self._give_way(oldest)

    def _give_way(self, reading: _Reading) -> None:
        del self._reading[reading]
        # What was read of it goes as soon as its task runs.
        self.size -= reading.size
        reading.size = 0
        reading.timeout.reschedule(asyncio.get_running_loop().time())
