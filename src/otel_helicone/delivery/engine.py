"""Attempts and retries of the posts in flight; everything here runs in the delivery's loop."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final
from weakref import WeakMethod

from otel_helicone.delivery.connection import Connection
from otel_helicone.delivery.key_state import KeyState
from otel_helicone.delivery.loop_thread import LoopThread
from otel_helicone.delivery.metrics import DeliveryMetrics
from otel_helicone.delivery.retry_after import backoff
from otel_helicone.delivery.sending import Flight
from otel_helicone.delivery.verdict import Judge, Judgement, Verdict
from otel_helicone.primitives.log_once import log_failure_once

__all__ = ["Engine"]

# A Retry-After of hours, maybe a mistake of a server's, must not silence the process for hours:
# Helicone is asked again after this long.
_MAX_PAUSE: Final = 300.0
_SHORTEST_ATTEMPT: Final = 1.0

Settle = Callable[[Flight, "Judgement | None"], None]


class Engine:
    """Delivers posts in a loop, as tasks; made anew in a forked process."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        judge: Judge,
        settle: WeakMethod[Settle],
        metrics: DeliveryMetrics,
        key: KeyState,
    ) -> None:
        """Start the loop's thread.

        Args:
            connect: makes the HTTP client; called in the loop.
            judge: says what an answer means.
            settle: called once a post is done with; without a judgement, it has expired.
            metrics: told about each attempt.
            key: knows whether the API key was refused.
        """
        self._connect = connect
        self._judge = judge
        self._settle_of = settle
        self._metrics = metrics
        self._key = key
        self._connection: Connection | None = None
        self._tasks: dict[asyncio.Task[None], Flight] = {}
        self._queue: deque[Flight] = deque()
        self._woken = False
        self._paused_until = 0.0
        self.thread = LoopThread("otel-helicone delivery")

    def put(self, flight: Flight) -> bool:
        """Take a post; from any thread. Give whether that was possible."""
        self._queue.append(flight)
        if self._woken:
            return True
        self._woken = True
        return self.thread.call(self._take)

    def call_soon(self, callback: Callable[[], None]) -> bool:
        """Call something in the next turn of the loop; give False outside of the loop's thread."""
        if not self.thread.is_current:
            return False
        self.thread.loop.call_soon(callback)
        return True

    def cancel(self, flights: list[Flight]) -> None:
        """Stop working on posts; from any thread."""
        self.thread.call(self._cancel, set(flights))

    def close(self, timeout: float) -> None:
        """Cancel everything, close the connections and stop the thread; from any thread."""
        self.thread.finish(self._close, timeout)

    def _take(self) -> None:
        self._woken = False
        while self._queue:
            flight = self._queue.popleft()
            task = self.thread.loop.create_task(self._deliver(flight))
            self._tasks[task] = flight
            task.add_done_callback(self._tasks.pop)

    def _cancel(self, flights: set[Flight]) -> None:
        for task, flight in list(self._tasks.items()):
            if flight in flights:
                task.cancel()

    async def _close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=1)
            if self._connection is not None:
                async with asyncio.timeout(1):
                    await self._connection.close()
        except Exception:
            pass  # the connections are lost either way

    async def _deliver(self, flight: Flight) -> None:
        judgement: Judgement | None = None
        try:
            async with asyncio.timeout_at(flight.sending.deadline):
                judgement = await self._attempts(flight)
        except TimeoutError:
            flight.trouble = flight.trouble or "no answer"
        except asyncio.CancelledError:
            flight.trouble = flight.trouble or "no answer"
            raise
        except Exception:
            log_failure_once("delivering a log")
        finally:
            # Weak, so that a delivery that nobody holds any more can end its thread.
            if (settle := self._settle_of()) is not None:
                settle(flight, judgement)

    async def _attempts(self, flight: Flight) -> Judgement | None:
        """Try until there is a final judgement; None where trying on is in vain."""
        deadline = flight.sending.deadline
        allowed = max((deadline - time.monotonic()) / 3, _SHORTEST_ATTEMPT)
        failures = 0
        was_dropped = False
        while True:
            while (wait := self._paused_until - time.monotonic()) > 0:
                if self._paused_until >= deadline:
                    flight.trouble = flight.trouble or "Helicone asked to wait"
                    return None
                await asyncio.sleep(wait)
            if time.monotonic() >= deadline:
                # It waited in the queue, or was given up: nothing of it may be sent any more.
                return None
            if (refusal := self._key.refusal()) is not None:
                return refusal
            if failures:
                self._metrics.retried()
            judgement, dropped = await self._attempt(flight, allowed)
            if judgement is not None:
                self._key.note(judgement)
                if judgement.verdict is not Verdict.RETRY:
                    return judgement
                flight.trouble = judgement.reason
            failures += 1
            if judgement is not None and judgement.retry_after is not None:
                asked = judgement.retry_after
                until = time.monotonic() + min(asked, _MAX_PAUSE)
                if judgement.reason[:3] in ("429", "503"):
                    self._paused_until = max(self._paused_until, until)
                if time.monotonic() + asked >= deadline:
                    return None
                await asyncio.sleep(until - time.monotonic())
            elif dropped and not was_dropped:
                # Mostly an idle connection that the server had just closed: the server is fine.
                was_dropped = True
            else:
                wait = backoff(failures)
                if time.monotonic() + wait >= deadline:
                    return None
                await asyncio.sleep(wait)

    async def _attempt(self, flight: Flight, allowed: float) -> tuple[Judgement | None, bool]:
        """Try once; give the judgement, if there was an answer, and whether it was dropped."""
        started = time.monotonic()
        left = flight.sending.deadline - started
        status: int | None = None
        trouble: str | None = None
        try:
            if self._connection is None:
                self._connection = self._connect()
            # The rest of the time is not cut into an attempt and a stump of one.
            async with asyncio.timeout(allowed if left > 1.5 * allowed else left):
                status, headers, body = await self._connection.post(flight.post)
            judgement = self._judge(flight.post, status, headers, body)
            if judgement.verdict is not Verdict.TAKEN:
                trouble = str(status)
            return judgement, False
        except TimeoutError:
            trouble = flight.trouble = "timeout"
            return None, False
        except Exception as error:
            trouble = type(error).__name__
            flight.trouble = f"{trouble}: {error}" if str(error) else trouble
            return None, self._connection is not None and self._connection.was_dropped(error)
        finally:
            self._metrics.attempted(time.monotonic() - started, status, trouble)
