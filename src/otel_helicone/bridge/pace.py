"""An adaptive concurrency limit on posts in flight, and pauses that Helicone asks for."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from otel_helicone.delivery.retry_after import backoff

__all__ = ["Pace"]

# One failure may be the fault of its post; with this many in a row, Helicone is in trouble.
_FAILURES_IN_A_ROW: Final = 3
# A Retry-After of hours, maybe a mistake of a server's, must not hold everything up for hours.
_MAX_PAUSE: Final = 300.0
_MAX_PAUSE_AFTER_REFUSAL: Final = 1.0


class Pace:
    """Limits how many posts are in flight; used in one event loop.

    The limit is halved when Helicone answers 429, and grows by one after as many posts that it
    took: additive increase, multiplicative decrease, as TCP has it.

    Attributes:
        limit: how many posts may be in flight at present.
        in_flight: how many are.
    """

    def __init__(self, most: int) -> None:
        """Begin with as many as there may be.

        Args:
            most: how many posts may be in flight at best.
        """
        self.limit = float(most)
        self.in_flight = 0
        self._most = most
        self._paused_until = 0.0
        self._failures = 0
        self._is_closed = False
        self._changed = asyncio.Event()

    @property
    def seconds_paused(self) -> float:
        """How long nothing is sent from now on, in seconds; 0 where it is."""
        return max(self._paused_until - time.monotonic(), 0.0)

    async def __aenter__(self) -> None:
        # No lock is needed in one event loop, and nearly always there is nothing to wait for.
        while not self._may_begin():
            await self._change(self.seconds_paused or None)
        self.in_flight += 1

    async def __aexit__(self, *_error: object) -> None:
        self.in_flight -= 1
        self._changed.set()

    def _may_begin(self) -> bool:
        if self._is_closed or self.seconds_paused:
            return False
        # While Helicone is in trouble, one post at a time finds out whether it still is.
        in_trouble = self._failures >= _FAILURES_IN_A_ROW
        return self.in_flight < (1 if in_trouble else max(int(self.limit), 1))

    async def _change(self, seconds: float | None) -> None:
        """Wait until a post has ended, for so long at most."""
        self._changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def close(self, seconds: float) -> None:
        """Let nothing more begin, and wait for what is in flight.

        Args:
            seconds: how long to wait at most.
        """
        self._is_closed = True
        deadline = time.monotonic() + seconds
        while self.in_flight and (left := deadline - time.monotonic()) > 0:
            await self._change(left)

    def took(self) -> None:
        """Note that Helicone took a post, and so is well."""
        self._failures = 0
        self.limit = min(self.limit + 1 / self.limit, self._most)

    def throttled(self, retry_after: float | None) -> None:
        """Note that Helicone asks for less.

        Args:
            retry_after: the seconds that it asks to wait, None where it does not say.
        """
        # Posts that were in flight together are refused together; that counts once.
        if not self.seconds_paused:
            self.limit = max(self.limit / 2, 1.0)
            self._failures += 1
        self._pause(backoff(max(self._failures, 1)) if retry_after is None else retry_after)

    def failed(self) -> None:
        """Note that Helicone did not answer, or with an error of its own."""
        self._failures += 1
        if self._failures >= _FAILURES_IN_A_ROW:
            self._pause(backoff(self._failures - _FAILURES_IN_A_ROW + 1))

    def refused(self) -> None:
        """Note that a post was refused, which may be the answer to every post."""
        self._failures += 1
        if self._failures >= _FAILURES_IN_A_ROW:
            # Posts that deserve it may come in numbers, with others behind them.
            wait = backoff(self._failures - _FAILURES_IN_A_ROW + 1)
            self._pause(min(wait, _MAX_PAUSE_AFTER_REFUSAL))

    def pause(self, seconds: float) -> None:
        """Send nothing for a while."""
        self._pause(seconds)

    def resume(self) -> None:
        """Send again, whatever there was to wait for."""
        self._paused_until = 0.0
        self._changed.set()

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + min(seconds, _MAX_PAUSE)
        self._paused_until = max(self._paused_until, until)
