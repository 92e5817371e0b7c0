"""The front of delivery: limits, deadlines, counts, threads and forks."""

from __future__ import annotations

import operator
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.metrics import MeterProvider

from otel_helicone.delivery.connection import Connection
from otel_helicone.delivery.drop_log import SECONDS_BETWEEN_TOTALS, DropLog
from otel_helicone.delivery.engine import Engine
from otel_helicone.delivery.key_state import KeyState
from otel_helicone.delivery.metrics import DeliveryMetrics
from otel_helicone.delivery.post import Post
from otel_helicone.delivery.sending import Flight, Outcome, Sending
from otel_helicone.delivery.verdict import Judge, Judgement, Verdict
from otel_helicone.primitives.log_once import log_failure_once, warn_once

__all__ = ["Delivery", "Outcome"]

# The loop settles its posts at the deadline; send() waits this much longer for it to say so.
_GRACE: Final = 0.03
_deliveries: Final[weakref.WeakSet[Delivery]] = weakref.WeakSet()


class Delivery:
    """Delivers posts to one Helicone endpoint, many at once.

    Safe to use from several threads; the limits hold for all of them together. A thread of its own
    is started by the first :meth:`send`, in each process. Nothing here raises into the caller.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        api_key: str,
        judge: Judge,
        max_in_flight: int = 16,
        max_in_flight_bytes: int = 64 * 1024 * 1024,
        component_type: str = "helicone_span_exporter",
        meter_provider: MeterProvider | None = None,
    ) -> None:
        """Describe a delivery; nothing is started or connected.

        Args:
            endpoint: the URL that the paths of the posts are added to.
            api_key: goes into ``Authorization``, never into a message.
            judge: says what an answer means.
            max_in_flight: how many posts may be in flight at once, those between two attempts
                included.
            max_in_flight_bytes: how long their bodies may be together; a longer one goes alone.
            component_type: what metrics call the component that sends.
            meter_provider: where metrics go, None for the global provider.

        Raises:
            ValueError: for an endpoint that is not an ``http`` or ``https`` URL with a host, a key
                that no header can carry, or limits below 1.
        """
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("endpoint must be an http or https URL with a host")
        if not api_key or not all("!" <= char <= "~" for char in api_key):
            raise ValueError("api_key must be visible ASCII characters, and at least one")
        if max_in_flight < 1 or max_in_flight_bytes < 1:
            raise ValueError("max_in_flight and max_in_flight_bytes must be at least 1")
        # Not later in the thread that sends: openai 2 looks for httpx2 among the modules that are
        # imported, and its calls fail while another thread is in the middle of importing it.
        import_module("httpx2")
        self._endpoint = endpoint.rstrip("/")
        # What is shown of it: neither user and password nor a query.
        port = parts.port or (443 if parts.scheme == "https" else 80)
        self._shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._api_key = api_key
        self._judge = judge
        self._most = max_in_flight
        self._most_bytes = max_in_flight_bytes
        self._metrics = DeliveryMetrics(component_type, parts.hostname, port, meter_provider)
        self._key = KeyState(self._shown)
        self._drops = DropLog(self._shown)
        self._closed = False
        self._cutoff = float("inf")
        self._start_anew()
        _deliveries.add(self)

    def __repr__(self) -> str:
        return f"Delivery(endpoint={self._shown!r}, name={self._metrics.component_name!r})"

    def __del__(self) -> None:
        engine = getattr(self, "_engine", None)
        if engine is not None and not self._closed:
            engine.close(0)

    def _connector(self) -> Callable[[], Connection]:
        # Not this object's method, which would keep it alive; and not a functools.partial, whose
        # repr would show the key.
        endpoint, api_key, most = self._endpoint, self._api_key, self._most
        return lambda: Connection(endpoint, api_key, most)

    def _start_anew(self) -> None:
        self._changed = threading.Condition()  # on a lock that its thread may take again
        self._in_flight = 0
        self._bytes = 0
        self._notify_is_due = False
        self._sendings: set[Sending] = set()
        self._engine: Engine | None = None

    def renew_after_fork(self) -> None:
        """In a forked process, leave threads, sockets, locks and posts in flight to the parent."""
        engine = self._engine
        self._start_anew()
        self._key.forget()
        self._drops.forget()
        if engine is not None:
            engine.thread.leave_to_parent()

    def send(self, posts: Iterable[Post], timeout: float) -> Outcome:
        """Deliver posts; block until each is taken or refused for good, or the time is over.

        Args:
            posts: what to send. An iterator is pulled in the calling thread, one post ahead of the
                room in flight at most.
            timeout: how long that may take, in seconds.

        Returns:
            What became of the posts.
        """
        sending = Sending(min(time.monotonic() + timeout, self._cutoff))
        pulled = 0
        exhausted = False
        try:
            with self._changed:
                self._sendings.add(sending)
            iterator = iter(posts)
            while self._reserve(sending):
                post = self._pull(iterator)
                if post is None:
                    exhausted = True
                    break
                pulled += 1
                self._dispatch(post, sending)
            self._await_all(sending)
        except Exception:
            log_failure_once("sending logs")
        finally:
            self._abandon(sending)
        unsent = 0 if exhausted else self._count_unsent(posts, pulled)
        if unsent:
            sending.expired += unsent
            self._metrics.dropped("timeout", unsent, started=False)
            self._note_drop("deadline over", "not sent", unsent)
        return Outcome(sending.taken, sending.refused, sending.expired, exhausted)

    def shutdown(self, timeout: float) -> None:
        """Stop: sends in progress may end until the timeout, then they are cancelled.

        Afterwards :meth:`send` sends nothing. To call it again does nothing.

        Args:
            timeout: how long the sends in progress have, in seconds.
        """
        try:
            cutoff = time.monotonic() + timeout
            with self._changed:
                if self._closed:
                    return
                self._cutoff = min(self._cutoff, cutoff)
                while self._has_sendings() and (left := cutoff - time.monotonic()) > 0:
                    self._changed.wait(left)
                self._closed = True
                self._changed.notify_all()
                sendings = list(self._sendings)
                engine = self._engine
            for sending in sendings:
                self._abandon(sending)
            if engine is not None:
                engine.close(max(cutoff - time.monotonic(), 0) + 0.5)
            self._drops.log_totals()
        except Exception:
            log_failure_once("shutting down the delivery of logs")

    @property
    def is_in_its_own_thread(self) -> bool:
        """Whether this is called in the thread of its loop, in a finalizer for one."""
        engine = self._engine
        return engine is not None and engine.thread.is_current

    def call_in_a_thread(self, function: Callable[[], None]) -> None:
        """Have a function called in a thread of its own, soon; for use in the loop's thread."""
        engine = self._engine
        if engine is not None:
            # The loop starts it between two tasks: a finalizer may have interrupted anything.
            engine.thread.call(lambda: threading.Thread(target=function, daemon=True).start())

    def _has_sendings(self) -> bool:
        """Return whether there are any that this thread has not interrupted by its call."""
        mine = threading.get_ident()
        return any(sending.flights or sending.thread != mine for sending in self._sendings)

    def _over(self, sending: Sending) -> bool:
        return self._closed or time.monotonic() >= min(sending.deadline, self._cutoff)

    def _wait(self, sending: Sending, more: float = 0) -> None:
        left = min(sending.deadline, self._cutoff) + more - time.monotonic()
        engine = self._engine
        if engine is None:
            self._changed.wait(max(left, 0))
        else:
            engine.thread.wait(self._changed, max(left, 0))

    def _reserve(self, sending: Sending) -> bool:
        """Wait for room for one more post; give whether there was any in time."""
        with self._changed:
            while not self._over(sending):
                if self._in_flight < self._most:
                    self._in_flight += 1
                    return True
                self._wait(sending)
        return False

    def _release(self) -> None:
        with self._changed:
            self._in_flight -= 1
            self._changed.notify_all()

    def _pull(self, iterator: Iterator[Post]) -> Post | None:
        try:
            post = next(iterator, None)
        except Exception:
            log_failure_once("making logs")
            post = None
        except BaseException:
            self._release()
            raise
        if post is None:
            self._release()
        return post

    def _dispatch(self, post: Post, sending: Sending) -> None:
        """Hand a post that has its place reserved to the loop."""
        flight = Flight(post, sending)
        size = len(post.body)
        with self._changed:
            while self._bytes and self._bytes + size > self._most_bytes:
                if self._over(sending):
                    break
                self._wait(sending)
            self._bytes += size
            sending.flights.add(flight)
            engine = self._engine
            if engine is None and not self._closed:
                engine = self._engine = Engine(
                    self._connector(), self._judge, weakref.WeakMethod(self._settle), self._metrics,
                    self._key,
                )  # fmt: skip
        self._metrics.started()
        if self._over(sending) or engine is None or not engine.put(flight):
            self._settle(flight, None)

    def _await_all(self, sending: Sending) -> None:
        with self._changed:
            while sending.flights:
                if self._closed or time.monotonic() >= sending.deadline + _GRACE:
                    return
                self._wait(sending, _GRACE)

    def _abandon(self, sending: Sending) -> None:
        """Settle what the loop has not settled, and take the sending off the list."""
        with self._changed:
            self._sendings.discard(sending)
            left = list(sending.flights)
            engine = self._engine
            self._changed.notify_all()
        for flight in left:
            self._settle(flight, None)
        if left and engine is not None:
            engine.cancel(left)

    def _settle(self, flight: Flight, judgement: Judgement | None) -> None:
        """Note what became of a post; only the first time counts, whoever says it."""
        sending, size = flight.sending, len(flight.post.body)
        with self._changed:
            if flight not in sending.flights:
                return
            sending.flights.remove(flight)
            self._in_flight -= 1
            self._bytes -= size
            if judgement is None:
                sending.expired += 1
            elif judgement.verdict is Verdict.TAKEN:
                sending.taken += 1
            else:
                sending.refused += 1
            # Posts that are settled in one turn of the loop wake the sender once: a switch of
            # threads for each of them took a third of the speed.
            notify_now = not self._notify_is_due
            self._notify_is_due = True
            engine = self._engine
        if notify_now and (engine is None or not engine.call_soon(self._notify)):
            self._notify()
        if judgement is None:
            self._metrics.dropped("timeout")
            self._note_drop("deadline over", flight.trouble)
        elif judgement.verdict is Verdict.TAKEN:
            self._metrics.taken(size)
            if judgement.reason:
                warn_once(f"taken:{judgement.reason}", "%s: %s", self._shown, judgement.reason)
        elif judgement.wrong_key:
            self._metrics.dropped("wrong_key")
        else:
            self._metrics.dropped(judgement.reason[:3] or "refused")
            self._note_drop("refused", judgement.reason)

    def _notify(self) -> None:
        with self._changed:
            self._notify_is_due = False
            self._changed.notify_all()

    def _note_drop(self, kind: str, reason: str, count: int = 1) -> None:
        engine = self._engine
        if self._drops.note(kind, reason, count) and engine is not None:
            drops = self._drops
            engine.thread.call(
                lambda: engine.thread.loop.call_later(SECONDS_BETWEEN_TOTALS, drops.log_totals)
            )

    @staticmethod
    def _count_unsent(posts: Iterable[Post], pulled: int) -> int:
        try:
            hint = operator.length_hint(posts)
        except Exception:
            return 0
        # An iterator's hint is of what is left, a sequence's of everything.
        return max(hint if isinstance(posts, Iterator) else hint - pulled, 0)


def _after_fork_in_child() -> None:
    for delivery in list(_deliveries):
        delivery.renew_after_fork()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
