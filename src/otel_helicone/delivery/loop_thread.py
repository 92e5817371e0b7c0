"""An asyncio loop in a daemon thread of its own, out of the application's sight."""

from __future__ import annotations

import asyncio
import contextvars
import os
import selectors
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_helicone.delivery.first_imports import import_all

__all__ = ["LoopThread", "make_own_context"]

# What a forked process inherited is never freed there: destructors would act on it.
_inherited: Final[list[object]] = []


def make_own_context() -> contextvars.Context:
    """Return a context in which nothing is traced, and that has no span and no session.

    For requests of this library's own: those of an application that is traced in the same process
    are none of theirs.
    """

    def suppressed() -> contextvars.Context:
        with suppress_instrumentation():
            return contextvars.copy_context()

    return contextvars.Context().run(suppressed)


class LoopThread:
    """A running loop, where the application's context, spans and instrumentation don't reach.

    At the end of the process Python may start no more threads (3.12 and later), though a batch
    processor sends its last spans just then. The loop then has no thread, and :meth:`wait` runs it
    in the thread that waits.
    """

    def __init__(self, name: str) -> None:
        """Start the thread.

        Args:
            name: the thread's name.
        """
        self._selector = selectors.DefaultSelector()
        self.loop = asyncio.SelectorEventLoop(self._selector)
        # Python's development mode would report slow steps, of which a first connection is one.
        self.loop.set_debug(False)
        # Nothing is printed about tasks that the end of the process leaves behind.
        self.loop.set_exception_handler(lambda _loop, _trouble: None)
        self.loop.set_default_executor(_DaemonThreads())
        # Nothing of what the thread that sends first has in its context: a new thread may inherit
        # it, and instrumentations of threads hand it over too.
        self._context = contextvars.Context()
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = threading.Thread(
            target=self._context.copy().run, args=(self._run,), name=name, daemon=True
        )
        self._started = threading.Event()
        try:
            self._thread.start()
        except RuntimeError:
            self._thread = None
            self._prepare_here()
        else:
            self._started.wait(5)

    def _run(self) -> None:
        with suppress_instrumentation():
            self._context = contextvars.copy_context()
            self._started.set()
            asyncio.set_event_loop(self.loop)
            try:
                self.loop.run_until_complete(import_all())
                self.loop.run_forever()
            finally:
                asyncio.set_event_loop(None)
                self.loop.close()

    def _prepare_here(self) -> None:
        self._context = make_own_context()

    @property
    def is_current(self) -> bool:
        """Whether this is called in the loop's own thread."""
        return self._thread is threading.current_thread()

    def call(self, callback: Callable[..., object], *arguments: Any) -> bool:
        """Have the loop call something; from any thread.

        Returns:
            Whether it will: not once the loop is closed.
        """
        try:
            self.loop.call_soon_threadsafe(callback, *arguments, context=self._context)
        except RuntimeError:
            return False
        return True

    def wait(self, condition: threading.Condition, timeout: float) -> None:
        """Wait for a condition, whose lock is held, as ``Condition.wait`` does.

        Args:
            condition: what to wait for; it may also return before it is notified.
            timeout: how long, in seconds.
        """
        if self._thread is not None:
            condition.wait(timeout)
            return
        condition.release()
        try:
            if self._turn.acquire(timeout=0.005):
                try:
                    # In small pieces, because nothing here can wake this thread.
                    self._context.copy().run(self._run_for, min(timeout, 0.005))
                finally:
                    self._turn.release()
        finally:
            condition.acquire()

    def _run_for(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(max(seconds, 0)))

    def finish(self, last: Callable[[], Coroutine[Any, Any, None]], timeout: float) -> None:
        """Run a last coroutine, then stop and close the loop.

        Args:
            last: makes the coroutine; it must not raise.
            timeout: how long to wait for the end of it, in seconds.
        """
        if self._thread is None:
            if self._turn.acquire(timeout=timeout):
                if not self.loop.is_closed():
                    self._context.copy().run(self.loop.run_until_complete, last())
                    self.loop.close()
                self._turn.release()
            return

        def begin() -> None:
            self._last = self.loop.create_task(last())
            self._last.add_done_callback(lambda _task: self.loop.stop())

        if self.call(begin) and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def leave_to_parent(self) -> None:
        """In a forked process, let go of the parent's loop without any effect on the parent.

        The selector and the connections are shared with the parent. A destructor that takes a
        socket out of the selector would take it out of the parent's too; so this process puts
        nothing in the place of both. The objects keep descriptors that are theirs to close.
        """
        _inherited.append(self)
        try:
            shared = [key.fd for key in list((self._selector.get_map() or {}).values())]
            # Where the selector is nothing but a list, there is nothing of it to share.
            if (fileno := getattr(self._selector, "fileno", None)) is not None:
                shared.append(fileno())
            nothing = os.open(os.devnull, os.O_RDWR)
            try:
                for descriptor in shared:
                    os.dup2(nothing, descriptor, inheritable=False)
            finally:
                os.close(nothing)
        except (OSError, ValueError):
            pass


class _DaemonThreads(ThreadPoolExecutor):
    """Looks up host names: a look-up that hangs must not keep the process from ending.

    Python waits for an ordinary executor's threads at exit, a minute where a resolver is silent.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        try:
            threading.Thread(target=work, name="otel-helicone lookup", daemon=True).start()
        except RuntimeError:
            work()  # the process is ending: see LoopThread
        return future
