"""Locks that are free in the child of a fork, and that their own thread may take again."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from weakref import WeakSet

__all__ = ["ForkedLock"]


class ForkedLock:
    """A lock that is made anew in the child of a fork, and is re-entrant.

    A signal handler or a finalizer that interrupts its holder may take it again. A thread of the
    parent may hold a lock at the moment of the fork; the child has no such thread, so the lock
    would never be released there.
    """

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()

    def _renew(self) -> None:
        self._lock = threading.RLock()


_locks: WeakSet[ForkedLock] = WeakSet()


def _renew_all() -> None:
    for lock in list(_locks):
        lock._renew()  # noqa: SLF001 - of this module


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_renew_all)
