"""Messages of gRPC that are being read: a few at a time, and slow ones give way.

gRPC hands a message over when it is whole, and doesn't tell how much of it has come. So what bounds
memory is how many are read at once; the others wait before anything of them is taken in but the
first 64 KiB. Whoever has sent half a message and then nothing loses the place to those who wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from otel_helicone.bridge.reading import NoRoom

__all__ = ["Messages", "NoMessage"]

_MAX_READING: Final = 16
_MAX_WAITING: Final = 1000
_SECONDS_TO_READ: Final = 60.0
# A message of 2 MB over a line of 16 Mbit/s takes so long.
_SECONDS_UNDISTURBED: Final = 1.0


class NoMessage(Exception):
    """The sender has ended its side of the call without one."""


@dataclass(slots=True, eq=False)
class _Reading:
    timeout: asyncio.Timeout
    since: float


class Messages:
    """The places in which messages are read. Used in one event loop."""

    def __init__(self) -> None:
        """Begin with all places free."""
        self._free = _MAX_READING
        # Those that are being read, the oldest first.
        self._reading: dict[_Reading, None] = {}
        # Those that wait, the newest last. That one is next: under an attack the older ones are of
        # the attacker, and under a load all get their turn.
        self._waiting: list[asyncio.Future[None]] = []
        self._look: asyncio.TimerHandle | None = None

    async def read(self, messages: AsyncIterator[bytes]) -> bytes:
        """Read the message of a call.

        Args:
            messages: what gRPC gives.

        Raises:
            NoMessage: where there is none.
            NoRoom: where too many wait for a place.
            TimeoutError: where it takes too long, or has to give way to others.
        """
        await self._take_place()
        try:
            async with asyncio.timeout(_SECONDS_TO_READ) as timeout:
                reading = _Reading(timeout, asyncio.get_running_loop().time())
                self._reading[reading] = None
                try:
                    self._make_way()
                    async for message in messages:
                        return message
                    raise NoMessage
                finally:
                    self._reading.pop(reading, None)
        finally:
            self._leave_place()

    async def _take_place(self) -> None:
        if self._free:
            self._free -= 1
            return
        if len(self._waiting) >= _MAX_WAITING and not (oldest := self._waiting.pop(0)).done():
            oldest.set_exception(NoRoom())
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._make_way()
        try:
            await turn
        except asyncio.CancelledError:
            # The sender has hung up, maybe just when it was given a place.
            if turn in self._waiting:
                self._waiting.remove(turn)
            elif not turn.cancelled() and turn.exception() is None:
                self._leave_place()
            raise

    def _leave_place(self) -> None:
        while self._waiting:
            turn = self._waiting.pop()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _make_way(self) -> None:
        """Have those that were read for long enough give way to those that wait."""
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if not self._waiting or not self._reading:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        for reading in list(self._reading)[: len(self._waiting)]:
            due = reading.since + _SECONDS_UNDISTURBED
            if due > now:
                self._look = loop.call_at(due, self._make_way)
                break
            del self._reading[reading]
            reading.timeout.reschedule(now)
