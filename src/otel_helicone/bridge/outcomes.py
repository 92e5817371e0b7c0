"""What became of posts, until the spool has stored it."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from otel_helicone.bridge.spool import Spool
from otel_helicone.bridge.spool_file import SpoolError
from otel_helicone.bridge.stored import SpoolFull
from otel_helicone.bridge.troubles import Troubles

__all__ = ["Outcomes"]

# What was taken is deleted this often: a transaction for each post would cost more than to send it.
# Those that a crash finds in between are sent again, and merged by their request id.
_SECONDS_BETWEEN_FLUSHES: Final = 0.1
_MAX_UNFLUSHED: Final = 512


class Outcomes:
    """Collects what became of posts, and stores it a few times in a second.

    Used in one event loop.
    """

    def __init__(self, spool: Spool, troubles: Troubles) -> None:
        """Begin with nothing.

        Args:
            spool: where the posts are.
            troubles: told where nothing can be stored.
        """
        self._troubles = troubles
        self._spool = spool
        self._taken: list[int] = []
        self._refused: list[tuple[int, str]] = []
        self._flush_now = asyncio.Event()

    @property
    def are_stored(self) -> bool:
        """Whether all of it is stored."""
        return not self._taken and not self._refused

    def take(self, number: int) -> None:
        """Note that Helicone has taken a post.

        Args:
            number: that of the post.
        """
        self._taken.append(number)
        self._flush_if_many()

    def refuse(self, number: int, reason: str) -> None:
        """Note that a post is given up.

        Args:
            number: that of the post.
            reason: what Helicone answered.
        """
        self._refused.append((number, reason))
        self._flush_if_many()

    def _flush_if_many(self) -> None:
        if len(self._taken) + len(self._refused) >= _MAX_UNFLUSHED:
            self._flush_now.set()

    async def run(self) -> None:
        """Store it again and again, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_SECONDS_BETWEEN_FLUSHES):
                    await self._flush_now.wait()
            except TimeoutError:
                pass
            self._flush_now.clear()
            await self.flush()

    async def flush(self) -> None:
        """Store it now; what can't be stored is tried again later."""
        taken, refused = list(self._taken), list(self._refused)
        if not taken and not refused:
            return
        try:
            await asyncio.to_thread(self._spool.finish, taken, refused, time.time())
        except (SpoolError, SpoolFull) as error:
            self._troubles.begin(
                *("outcomes", "What was sent is written down again"),
                "%s: logs that were sent may be sent once more.",
                error,
            )
            return
        self._troubles.over("outcomes")
        # More may have been added meanwhile.
        del self._taken[: len(taken)]
        del self._refused[: len(refused)]
