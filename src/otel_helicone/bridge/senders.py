"""A sender for each key, so that one organization's trouble is not another's."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from otel_helicone.bridge.connection import Connection
from otel_helicone.bridge.keys import Keys
from otel_helicone.bridge.metrics import BridgeMetrics
from otel_helicone.bridge.outcomes import Outcomes
from otel_helicone.bridge.sender import Sender
from otel_helicone.bridge.spool import Spool
from otel_helicone.bridge.spool_file import SpoolError
from otel_helicone.bridge.troubles import Troubles
from otel_helicone.settings.exporter import ExporterSettings

__all__ = ["Senders"]

_SECONDS_BETWEEN_LOOKS: Final = 1.0
# How many keys are looked at that posts wait for; senders may name any.
_MAX_NAMES: Final = 1000
_MAX_NAMES_TOLD: Final = 100
# Long enough to notice that a key is missing and to add it, over a night.
_MAX_SECONDS_WITHOUT_KEY: Final = 86400.0
_SECONDS_BETWEEN_GIVING_UP: Final = 10.0
_MAX_GIVEN_UP: Final = 500
_MAX_UNSETTLED_BYTES: Final = 16 * 1024 * 1024
_MIN_UNSETTLED_BYTES: Final = 1024 * 1024


class Senders:
    """Sends the posts of the spool, each with its key. Used in one event loop."""

    def __init__(
        self,
        spool: Spool,
        metrics: BridgeMetrics,
        settings: ExporterSettings,
        keys: Keys,
        troubles: Troubles,
    ) -> None:
        """Describe what is sent where; nothing is sent or connected yet.

        Args:
            spool: where the posts are.
            metrics: told about each attempt.
            settings: where to send to, and how many may be in flight with each key.
            keys: the keys.
            troubles: told what keeps logs from Helicone.
        """
        self._troubles = troubles
        self._spool = spool
        self._metrics = metrics
        self._settings = settings
        self._keys = keys
        self._outcomes = Outcomes(spool, troubles)
        self._by_name: dict[str, Sender] = {}
        self._more = asyncio.Event()
        self._told: set[str] = set()
        self._give_up_next = 0.0
        self.unknown: tuple[str, ...] = ()
        """The names that posts wait for and that no key has."""

    def wake(self) -> None:
        """Note that there are new posts, or other keys; from the loop's thread."""
        self._more.set()
        for sender in self._by_name.values():
            sender.wake()

    def renew_keys(self) -> None:
        """Note that keys are others than before; from the loop's thread."""
        for sender in self._by_name.values():
            sender.look_for_key()
        self.wake()

    @property
    def taken(self) -> int:
        """How many posts Helicone took."""
        return sum(sender.taken for sender in self._by_name.values())

    @property
    def in_flight(self) -> int:
        """How many posts are in flight."""
        return sum(sender.pace.in_flight for sender in self._by_name.values())

    @property
    def wrong_key(self) -> str | None:
        """What Helicone said of a key, where that was the last that it said."""
        found = (sender.wrong_key for sender in self._by_name.values())
        return next((said for said in found if said is not None), None)

    @property
    def is_idle(self) -> bool:
        """Whether every post that was read is settled, and that is stored."""
        read = sum(sender.unsettled for sender in self._by_name.values())
        return not read and self._outcomes.are_stored

    def without_key(self) -> int:
        """Return how many posts wait for a key that is not known; to be called in any thread."""
        return sum(self._spool.count_posts(name) for name in self.unknown)

    def is_stuck(self, waiting: int) -> bool:
        """Return whether nothing of what is left gets any further.

        It was refused several times, and nothing taken meanwhile; or it waits for a key.

        Args:
            waiting: how many posts the spool has.
        """
        busy = [sender for sender in self._by_name.values() if sender.unsettled]
        left = waiting - self.without_key()
        return (
            left == sum(sender.unsettled for sender in busy)
            and (bool(busy) or left < waiting)
            and all(sender.is_stuck for sender in busy)
        )

    async def give_up(self) -> str:
        """Settle what failed by its own fault as refused; see :meth:`.Sender.give_up`."""
        reasons = [sender.give_up() for sender in self._by_name.values()]
        await self._outcomes.flush()
        return next(filter(None, reasons), "")

    async def drain(self, seconds: float) -> None:
        """Begin no more posts, and wait for those in flight.

        Args:
            seconds: how long to wait for their answers.
        """
        closing = [sender.pace.close(seconds) for sender in self._by_name.values()]
        await asyncio.gather(*closing)

    async def run(self) -> None:
        """Send until cancelled; then what was taken is stored before this ends."""
        connection = Connection(self._settings)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._outcomes.run())
                group.create_task(self._look(group, connection))
        finally:
            await connection.close()
            await self._outcomes.flush()

    async def _look(self, group: asyncio.TaskGroup, connection: Connection) -> None:
        """Begin a sender for each key that posts wait for."""
        while True:
            self._more.clear()
            new, unknown = await asyncio.to_thread(self._names)
            for name in new:
                if name not in self._by_name:
                    sender = self._by_name[name] = Sender(
                        *(self._spool, self._metrics, self._settings, self._keys, name),
                        *(self._outcomes, self._troubles),
                    )
                    group.create_task(sender.run(connection))
            for sender in self._by_name.values():
                share = _MAX_UNSETTLED_BYTES // len(self._by_name)
                sender.max_held_bytes = max(share, _MIN_UNSETTLED_BYTES)
            self.unknown = unknown
            await self._give_up_old()
            self._tell_unknown()
            try:
                async with asyncio.timeout(_SECONDS_BETWEEN_LOOKS):
                    await self._more.wait()
            except TimeoutError:
                pass

    async def _give_up_old(self) -> None:
        """Keep apart what has waited long for a key, for somebody to send again or delete."""
        if not self.unknown or time.monotonic() < self._give_up_next:
            return
        self._give_up_next = time.monotonic() + _SECONDS_BETWEEN_GIVING_UP
        before = self._spool.now() - _MAX_SECONDS_WITHOUT_KEY
        for name in self.unknown:
            reason = f"no key has the name {name!r}" if name else "there is no default key"
            try:
                old = await asyncio.to_thread(self._spool.old_posts, name, before, _MAX_GIVEN_UP)
            except SpoolError as error:
                self._troubles.begin("reading", "The spool can be read again", "%s.", error)
                return
            for number in old:
                self._outcomes.refuse(number, reason)
                self._metrics.failed("no-key")
            if old:
                await self._outcomes.flush()

    def _names(self) -> tuple[list[str], tuple[str, ...]]:
        """Return the names of known keys that have posts and no sender, and of unknown ones."""
        known = set(self._keys.names)
        try:
            # Asked for by name: senders may name any number of keys that are not known.
            new = [name for name in known - set(self._by_name) if self._spool.posts(0, 1, 1, name)]
            names = self._spool.key_names(_MAX_NAMES)
        except SpoolError as error:
            self._troubles.begin("reading", "The spool can be read again", "%s.", error)
            return [], self.unknown
        self._troubles.over("reading")
        return new, tuple(name for name in names if name not in known)

    def _tell_unknown(self) -> None:
        self._troubles.over(*(f"no-key:{name}" for name in self._told.difference(self.unknown)))
        self._told = set(self.unknown[:_MAX_NAMES_TOLD])
        for name in self._told:
            said = f"the key {name!r}" if name else "a default key"
            self._troubles.begin(
                *(f"no-key:{name}", f"No more logs wait for {said}"),
                "Logs wait for %s, which %s has not. They are kept, and sent once it is there.",
                *(said, self._keys.source),
            )
