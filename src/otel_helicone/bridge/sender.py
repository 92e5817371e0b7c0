"""Sends the posts of the spool until Helicone has them."""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from typing import Final

import aiohttp

from otel_helicone.bridge.connection import Connection
from otel_helicone.bridge.history import History
from otel_helicone.bridge.keys import Keys
from otel_helicone.bridge.metrics import BridgeMetrics
from otel_helicone.bridge.outcomes import Outcomes
from otel_helicone.bridge.pace import Pace
from otel_helicone.bridge.spool import Spool
from otel_helicone.bridge.spool_file import SpoolError
from otel_helicone.bridge.stored import DuePost
from otel_helicone.bridge.troubles import Troubles
from otel_helicone.delivery.retry_after import backoff
from otel_helicone.delivery.verdict import Judgement, Verdict, judge_log
from otel_helicone.primitives.log_once import log_failure_once, warn_once
from otel_helicone.settings.exporter import ExporterSettings

__all__ = ["Sender"]

_logger: Final = logging.getLogger("otel_helicone")

# How much is read at once, and how long what was read and is not settled may be together.
_MAX_READ: Final = 128
_MAX_READ_BYTES: Final = 4 * 1024 * 1024
_MAX_UNSETTLED_BYTES: Final = 16 * 1024 * 1024
# The sender is told of new posts, save of those that another process has put back.
_SECONDS_BETWEEN_LOOKS: Final = 1.0
# A wrong key may be made right on Helicone's side.
_SECONDS_BETWEEN_KEYS: Final = 60.0
# With so many refusals in a row it is not the fault of the posts, or not of them alone.
_MAX_REFUSALS: Final = 3
# What a server may ask to wait for one post.
_MAX_PAUSE: Final = 300.0
# To try what was refused again helps only once something else has changed: it waits this many times
# as long as after a failure, up to a minute.
_WAITS_AFTER_REFUSAL: Final = 12


class Sender:
    """Reads the posts of one key from the spool, sends them, and tells what became of them.

    A post is sent again until Helicone takes it or refuses it for good. Used in one event loop.
    """

    def __init__(
        self,
        spool: Spool,
        metrics: BridgeMetrics,
        settings: ExporterSettings,
        keys: Keys,
        key_name: str,
        outcomes: Outcomes,
        troubles: Troubles,
    ) -> None:
        """Describe a sender; nothing is sent yet.

        Args:
            spool: where the posts are.
            metrics: told about each attempt.
            settings: where to send to, and how many may be in flight.
            keys: where the key is.
            key_name: its name.
            outcomes: told what became of posts.
            troubles: told what keeps them from Helicone.
        """
        self._spool = spool
        self._metrics = metrics
        self._settings = settings
        self._keys = keys
        self._key_name = key_name
        self._outcomes = outcomes
        self._troubles = troubles
        # What is over once a post with this key is taken.
        self._wrong_key_cause = f"wrong-key:{key_name}"
        self._refuses_cause = f"refuses:{key_name}"
        self._busy_cause = f"busy:{key_name}"
        self._has_key = asyncio.Event()
        self.max_held_bytes = _MAX_UNSETTLED_BYTES
        """How long what was read and is not settled may be together."""
        self._key = ""
        self._most = max_in_flight = settings.max_in_flight
        self.pace = Pace(max_in_flight)
        self._queue: asyncio.Queue[tuple[DuePost, History]] = asyncio.Queue()
        self._more = asyncio.Event()
        self._unsettled = 0
        # What failed and is to be read again: when, and the number. Its body is not kept in memory,
        # so that logs which always fail, however many and long, don't keep others from being read.
        self._aside: list[tuple[float, int]] = []
        self._failed: dict[int, History] = {}
        # How many in a row were refused, and for the key.
        self._refusals = self._key_refusals = 0
        # How many posts are in memory, and how long they are together.
        self._held = self._held_bytes = 0
        self._settled = asyncio.Event()
        self.taken = 0
        """How many posts Helicone took."""
        self.wrong_key: str | None = None
        """What Helicone said of the key, where that was the last that it said."""
        self.look_for_key()

    def wake(self) -> None:
        """Note that there are new posts; from the loop's thread."""
        self._more.set()

    def look_for_key(self) -> None:
        """Note that the key may be another, or known now, or not known any more."""
        if self._keys.get(self._key_name) is None:
            self._has_key.clear()
        else:
            self._has_key.set()
        if self.wrong_key is not None:
            self.wrong_key = None
            self._key_refusals = 0
            self.pace.resume()

    @property
    def unsettled(self) -> int:
        """How many posts were read and are not settled."""
        return self._unsettled

    async def run(self, connection: Connection) -> None:
        """Send until cancelled.

        Args:
            connection: how.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read())
            for _ in range(self._most):
                group.create_task(self._work(connection))

    @property
    def is_stuck(self) -> bool:
        """Whether all that was read was refused several times, and nothing taken meanwhile."""
        return (
            self._refusals >= _MAX_REFUSALS
            and self._unsettled == len(self._failed)
            and all(
                history.is_refused and history.failures >= _MAX_REFUSALS
                for history in self._failed.values()
            )
        )

    def give_up(self) -> str:
        """Settle the failed posts as refused where they are at fault, after the last attempt.

        A post is at fault if its content was refused and Helicone accepted others. All other
        failed posts stay in the queue.

        Returns:
            The answer to one of the posts that stay, or an empty string if none stays.
        """
        reason = ""
        for number, history in list(self._failed.items()):
            if history.answer is None:
                continue
            if self.taken and history.is_refused_clearly:
                self._refuse(number, history.answer)
            else:
                reason = self._keys.hide(history.answer.reason)
        return reason

    async def drain(self, seconds: float) -> None:
        """Begin no more posts, and wait for those in flight.

        Args:
            seconds: how long to wait for their answers.
        """
        await self.pace.close(seconds)

    async def _read(self) -> None:
        last = 0
        await self._has_key.wait()
        while True:
            self._more.clear()
            for number in self._due_again():
                found = await self._posts(number - 1, 1)
                if found and found[0].id == number:
                    self._hold(found[0], self._failed[number])
                else:  # it could not be read now
                    heapq.heappush(self._aside, (time.monotonic() + 1.0, number))
            due = await self._posts(last, _MAX_READ)
            for post in due:
                self._unsettled += 1
                last = post.id
                self._hold(post, History(self.taken))
            while self._held_bytes > self.max_held_bytes or self._held > 16 * self._most:
                self._settled.clear()
                await self._settled.wait()
            if not due:
                until_again = self._aside[0][0] - time.monotonic() if self._aside else 60.0
                try:
                    async with asyncio.timeout(min(_SECONDS_BETWEEN_LOOKS, max(until_again, 0.0))):
                        await self._more.wait()
                except TimeoutError:
                    pass

    async def _posts(self, after: int, most: int) -> list[DuePost]:
        try:
            return await asyncio.to_thread(
                self._spool.posts, after, most, _MAX_READ_BYTES, self._key_name
            )
        except SpoolError as error:
            self._troubles.begin("reading", "The spool can be read again", "%s.", error)
            return []

    def _due_again(self) -> list[int]:
        numbers: list[int] = []
        # A few at a time, because each may be long.
        while self._aside and self._aside[0][0] <= time.monotonic() and len(numbers) < 4:
            numbers.append(heapq.heappop(self._aside)[1])
        return numbers

    def _hold(self, post: DuePost, history: History) -> None:
        self._held += 1
        self._held_bytes += len(post.post.body)
        self._queue.put_nowait((post, history))

    def _let_go(self, post: DuePost) -> None:
        self._held -= 1
        self._held_bytes -= len(post.post.body)
        self._settled.set()

    def _put_aside(self, post: DuePost, history: History, seconds: float) -> None:
        self._let_go(post)
        self._failed[post.id] = history
        heapq.heappush(self._aside, (time.monotonic() + seconds, post.id))
        self._more.set()

    async def _work(self, connection: Connection) -> None:
        while True:
            due, history = await self._queue.get()
            await self._has_key.wait()
            async with self.pace:
                judgement, trouble = await self._attempt(connection, due)
            final = self._decide(due, history, judgement, trouble)
            if final is not None:
                self._settle(due, final)

    def _decide(
        self, due: DuePost, history: History, judgement: Judgement | None, trouble: str
    ) -> Judgement | None:
        """Return what is final; else have the post sent again, without holding anybody up."""
        if judgement is not None and judgement.verdict is Verdict.TAKEN:
            self._on_taken()
            return judgement
        is_throttled = trouble in ("429", "503")
        if judgement is not None and judgement.verdict is Verdict.RETRY and is_throttled:
            self._metrics.retried()
            self._troubles.begin(
                *(self._busy_cause, "Helicone takes logs without delay again"),
                "Helicone asks for less (%s). Logs are sent more slowly, and none is lost.",
                self._keys.hide(judgement.reason),
            )
            self.pace.throttled(judgement.retry_after)
            self._queue.put_nowait((due, history))
            return None
        if judgement is not None and judgement.wrong_key:
            self._key_refusals += 1
            if self._key_refusals >= _MAX_REFUSALS:
                # Not the fault of the post: it waits for a right key.
                self._metrics.retried()
                self._on_wrong_key(judgement.reason)
                self._queue.put_nowait((due, history))
                return None
        history.fail(self.taken, int(trouble) if trouble.isdigit() else 0, judgement)
        if judgement is not None and history.is_at_fault:
            return Judgement(Verdict.REFUSED, judgement.reason)
        self._metrics.retried()
        wait = backoff(history.failures)
        if judgement is None or judgement.verdict is Verdict.RETRY:
            self.pace.failed()
            if judgement is not None:
                self._troubles.begin(
                    *("answers", "Helicone takes logs again"),
                    "Helicone fails (%s). The logs are kept, and it is tried again.",
                    self._keys.hide(judgement.reason),
                )
        elif not judgement.wrong_key:
            self._on_refused(judgement.reason)
            wait *= _WAITS_AFTER_REFUSAL
        asked = None if judgement is None else judgement.retry_after
        self._put_aside(due, history, wait if asked is None else min(asked, _MAX_PAUSE))
        return None

    def _on_taken(self) -> None:
        self.wrong_key = None
        self._key_refusals = 0
        self.pace.took()
        self._troubles.over(
            *("unreachable", "answers", self._busy_cause),
            *(self._wrong_key_cause, self._refuses_cause),
        )
        if self._refusals >= _MAX_REFUSALS:
            # What kept every post from being taken is over, so that none has to wait any longer.
            now = time.monotonic()
            self._aside = sorted((now, number) for _, number in self._aside)
            self._more.set()
        self._refusals = 0

    def _on_refused(self, reason: str) -> None:
        self.wrong_key = None
        self._key_refusals = 0
        self.pace.refused()
        self._refusals += 1
        if self._refusals == _MAX_REFUSALS:
            self._troubles.begin(
                *(self._refuses_cause, "Helicone takes logs again"),
                "The last logs were all refused (%s), so that it may not be their fault. They are"
                " kept, and tried again one at a time. See that HELICONE_ENDPOINT, %s, is"
                " Helicone's log API, and what proxies on the way there answer.",
                self._keys.hide(reason),
                self._settings.endpoint,
            )

    def _on_wrong_key(self, reason: str) -> None:
        self.wrong_key = reason
        self.pace.pause(_SECONDS_BETWEEN_KEYS)
        if self._key_name:
            self._troubles.begin(
                *(self._wrong_key_cause, f"Helicone takes the API key {self._key_name!r} again"),
                "Helicone refuses the API key %r (%s). Its logs are kept, and it is tried again"
                " once a minute. Put a key that may write into %s.",
                self._key_name,
                self._keys.hide(reason),
                self._keys.source,
            )
            return
        self._troubles.begin(
            *(self._wrong_key_cause, "Helicone takes the API key again"),
            "Helicone refuses the API key (%s). The logs are kept, and it is tried again once a"
            " minute. Set HELICONE_API_KEY to a key that may write, and start the bridge again; or"
            " have it read from a file, see --keys-file.",
            self._keys.hide(reason),
        )

    def _settle(self, due: DuePost, judgement: Judgement) -> None:
        if judgement.verdict is Verdict.TAKEN:
            self._outcomes.take(due.id)
            self.taken += 1
            self._metrics.sent(len(due.post.body), self._spool.now() - due.received)
            self._failed.pop(due.id, None)
            self._unsettled -= 1
        else:
            self._refuse(due.id, judgement)
        self._let_go(due)

    def _refuse(self, number: int, judgement: Judgement) -> None:
        reason = self._keys.hide(judgement.reason)
        self._outcomes.refuse(number, reason)
        self._failed.pop(number, None)
        self._unsettled -= 1
        self._metrics.failed(reason[:3])
        warn_once(
            f"refused:{reason[:3]}",
            "Helicone refuses a log for good (%s). It is kept: `otel-helicone bridge dead"
            " list` shows such logs. This is logged once for each status.",
            reason,
        )

    async def _attempt(self, connection: Connection, due: DuePost) -> tuple[Judgement | None, str]:
        """Try once; return the judgement of the answer, if any, and the status or the trouble."""
        started = time.monotonic()
        trouble = ""
        try:
            # Where it has gone since, the one before is no worse than none.
            self._key = self._keys.get(self._key_name) or self._key
            status, headers, body = await connection.post(due.post, self._key)
            trouble = str(status)
            return judge_log(due.post, status, headers, body), trouble
        except (OSError, aiohttp.ClientError) as error:  # TimeoutError is an OSError
            trouble = type(error).__name__
            self._troubles.begin(
                *("unreachable", "Helicone can be reached again"),
                "Helicone can't be reached (%s: %s). The logs are kept, and it is tried again.",
                *(trouble, error),
            )
            return None, trouble
        except Exception:
            trouble = "failure"
            log_failure_once("sending a log")
            return None, trouble
        finally:
            self._metrics.attempted(time.monotonic() - started, trouble)
