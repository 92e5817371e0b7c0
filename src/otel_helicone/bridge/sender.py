"""Sends the posts of the spool until Helicone has them."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Final

import aiohttp

from otel_helicone.bridge.connection import Connection
from otel_helicone.bridge.metrics import BridgeMetrics
from otel_helicone.bridge.pace import Pace
from otel_helicone.bridge.schema import SpoolError
from otel_helicone.bridge.spool import Spool
from otel_helicone.bridge.stored import DuePost, SpoolFull
from otel_helicone.delivery.retry_after import backoff
from otel_helicone.delivery.verdict import Judgement, Verdict, judge_log
from otel_helicone.exporter_settings import ExporterSettings
from otel_helicone.log_once import log_failure_once, warn_once

__all__ = ["Sender"]

_logger: Final = logging.getLogger("otel_helicone")

# What was taken is deleted this often: a transaction for each post would cost more than to send it.
# Those that a crash finds in between are sent again, and merged by their request id.
_SECONDS_BETWEEN_FLUSHES: Final = 0.1
_MOST_UNFLUSHED: Final = 512
# How much is read at once, and how long what was read and is not settled may be together.
_MOST_READ: Final = 128
_MOST_READ_BYTES: Final = 4 * 1024 * 1024
_MOST_UNSETTLED_BYTES: Final = 16 * 1024 * 1024
# The sender is told of new posts, save of those that another process has put back.
_SECONDS_BETWEEN_LOOKS: Final = 1.0
# A wrong key may be made right on Helicone's side.
_SECONDS_BETWEEN_KEYS: Final = 60.0
# What a server may ask to wait for one post.
_LONGEST_PAUSE: Final = 300.0
# A post that Helicone fails at so often, while it takes others, will not do.
_MOST_FAILURES: Final = 20


@dataclass(slots=True)
class _Pending:
    """A post that is not settled.

    Attributes:
        due: the post.
        taken_before: how many posts Helicone had taken at the last attempt.
        failures: how many attempts have failed.
        others: how many other posts Helicone took between them.
    """

    due: DuePost
    taken_before: int
    failures: int = 0
    others: int = 0


class Sender:
    """Reads posts from the spool, sends them, and stores what became of them.

    A post is sent again until Helicone takes it or refuses it for good. Used in one event loop.
    """

    def __init__(self, spool: Spool, metrics: BridgeMetrics, settings: ExporterSettings) -> None:
        """Describe a sender; nothing is sent or connected yet.

        Args:
            spool: where the posts are.
            metrics: told about each attempt.
            settings: where to send to, with which key, and how many may be in flight.
        """
        self._spool = spool
        self._metrics = metrics
        self._settings = settings
        self._most = max_in_flight = settings.max_in_flight
        self.pace = Pace(max_in_flight)
        self._queue: asyncio.Queue[_Pending] = asyncio.Queue()
        self._taken: list[int] = []
        self._refused: list[tuple[int, str]] = []
        self._more = asyncio.Event()
        self._flush_now = asyncio.Event()
        self._unsettled = 0
        self._unsettled_bytes = 0
        self._settled = asyncio.Event()
        self.taken = 0
        """How many posts Helicone took."""
        self.wrong_key: str | None = None
        """What Helicone said of the key, where that was the last that it said."""

    def wake(self) -> None:
        """Tell that there are new posts; from the loop's thread."""
        self._more.set()

    @property
    def is_idle(self) -> bool:
        """Whether every post that was read is settled, and that is stored."""
        return not self._unsettled and not self._taken and not self._refused

    async def run(self) -> None:
        """Send until cancelled; then what was taken is stored before this ends."""
        connection = Connection(self._settings)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read())
                group.create_task(self._flush_regularly())
                for _ in range(self._most):
                    group.create_task(self._work(connection))
        finally:
            await connection.close()
            await self._flush()

    async def drain(self, seconds: float) -> None:
        """Begin no more posts, and wait for those in flight.

        Args:
            seconds: how long to wait for their answers.
        """
        await self.pace.close(seconds)

    async def _read(self) -> None:
        last = 0
        while True:
            self._more.clear()
            try:
                due = await asyncio.to_thread(self._spool.posts, last, _MOST_READ, _MOST_READ_BYTES)
            except SpoolError as error:
                warn_once(f"reading:{error}", "%s", error)
                due = []
            for post in due:
                self._unsettled += 1
                self._unsettled_bytes += len(post.post.body)
                self._queue.put_nowait(_Pending(post, self.taken))
                last = post.id
            while (
                self._unsettled_bytes > _MOST_UNSETTLED_BYTES or self._unsettled > 16 * self._most
            ):
                self._settled.clear()
                await self._settled.wait()
            if not due:
                try:
                    async with asyncio.timeout(_SECONDS_BETWEEN_LOOKS):
                        await self._more.wait()
                except TimeoutError:
                    pass

    async def _work(self, connection: Connection) -> None:
        while True:
            pending = await self._queue.get()
            async with self.pace:
                judgement, trouble = await self._attempt(connection, pending.due)
            final = self._decide(pending, judgement, trouble)
            if final is not None:
                self._settle(pending.due, final)

    def _decide(
        self, pending: _Pending, judgement: Judgement | None, trouble: str
    ) -> Judgement | None:
        """Give what is final; else have the post sent again, without holding anybody up."""
        others = self.taken - pending.taken_before
        pending.taken_before = self.taken
        if judgement is not None and judgement.wrong_key and not others + pending.others:
            # Not the fault of the post: it waits for a right key.
            self._on_wrong_key(judgement.reason)
            self._queue.put_nowait(pending)
            return None
        if judgement is not None and not judgement.wrong_key:
            if judgement.verdict is not Verdict.RETRY:
                self.wrong_key = None
                self.pace.took()
                return judgement
            if trouble in ("429", "503"):
                self._metrics.retried()
                self.pace.throttled(judgement.retry_after)
                self._queue.put_nowait(pending)
                return None
        self._metrics.retried()
        pending.failures += 1
        pending.others += others
        if judgement is None or not judgement.wrong_key:
            self.pace.failed()
        is_at_fault = pending.failures >= _MOST_FAILURES and pending.others >= _MOST_FAILURES
        if judgement is not None and is_at_fault:
            return Judgement(Verdict.REFUSED, judgement.reason)
        asked = None if judgement is None else judgement.retry_after
        wait = backoff(pending.failures) if asked is None else min(asked, _LONGEST_PAUSE)
        asyncio.get_running_loop().call_later(wait, self._queue.put_nowait, pending)
        return None

    def _on_wrong_key(self, reason: str) -> None:
        self.wrong_key = reason
        self.pace.pause(_SECONDS_BETWEEN_KEYS)
        warn_once(
            "bridge:wrong-key",
            "Helicone refuses the API key (%s). The logs are kept, and it is tried again once a"
            " minute. Set HELICONE_API_KEY to a key that may write, and start the bridge again."
            " This is logged once.",
            self._without_key(reason),
        )

    def _settle(self, due: DuePost, judgement: Judgement) -> None:
        if judgement.verdict is Verdict.TAKEN:
            self._taken.append(due.id)
            self.taken += 1
            self._metrics.sent(len(due.post.body), time.time() - due.received)
        else:
            reason = self._without_key(judgement.reason)
            self._refused.append((due.id, reason))
            self._metrics.failed(reason[:3])
            warn_once(
                f"refused:{reason[:3]}",
                "Helicone refuses a log for good (%s). It is kept: `otel-helicone bridge dead"
                " list` shows such logs. This is logged once for each status.",
                reason,
            )
        self._unsettled -= 1
        self._unsettled_bytes -= len(due.post.body)
        self._settled.set()
        if len(self._taken) + len(self._refused) >= _MOST_UNFLUSHED:
            self._flush_now.set()

    def _without_key(self, reason: str) -> str:
        # A server may repeat what it was sent.
        return reason.replace(self._settings.api_key or "\0", "[key]")

    async def _attempt(self, connection: Connection, due: DuePost) -> tuple[Judgement | None, str]:
        """Try once; give the judgement, if there was an answer, and the status or the trouble."""
        started = time.monotonic()
        trouble = ""
        try:
            status, headers, body = await connection.post(due.post)
            trouble = str(status)
            return judge_log(due.post, status, headers, body), trouble
        except (OSError, aiohttp.ClientError) as error:  # TimeoutError is an OSError
            trouble = type(error).__name__
            warn_once(
                f"bridge:unreachable:{trouble}",
                "Helicone can't be reached (%s: %s). The logs are kept, and it is tried again."
                " This is logged once for each kind of trouble.",
                trouble,
                error,
            )
            return None, trouble
        except Exception:
            trouble = "failure"
            log_failure_once("sending a log")
            return None, trouble
        finally:
            self._metrics.attempted(time.monotonic() - started, trouble)

    async def _flush_regularly(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_SECONDS_BETWEEN_FLUSHES):
                    await self._flush_now.wait()
            except TimeoutError:
                pass
            self._flush_now.clear()
            await self._flush()

    async def _flush(self) -> None:
        """Store what became of posts; what can't be stored now is tried again later."""
        taken, refused = list(self._taken), list(self._refused)
        if not taken and not refused:
            return
        try:
            await asyncio.to_thread(self._spool.finish, taken, refused, time.time())
        except (SpoolError, SpoolFull) as error:
            warn_once(f"flush:{error}", "%s: logs that were sent may be sent once more", error)
            return
        # More may have been added meanwhile.
        del self._taken[: len(taken)]
        del self._refused[: len(refused)]
