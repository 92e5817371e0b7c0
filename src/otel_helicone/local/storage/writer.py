"""Writing records away from the event loop."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from otel_helicone.local.prices import price_list
from otel_helicone.local.storage.changes import Change, Deletion, PropertySet
from otel_helicone.local.storage.changing import Changing
from otel_helicone.local.storage.errors import is_locked, store_error
from otel_helicone.local.storage.records import RequestRecord
from otel_helicone.local.storage.retention import Retention
from otel_helicone.local.storage.schema import connect

__all__ = ["NotWritten", "StoreWriter", "Unwritten"]

# So many records at once cost hardly more than one; more would keep readers of the file waiting.
_MAX_AT_ONCE: Final = 256
# How often it is looked at what is too old or too much, in seconds.
_SECONDS_OF_RETENTION: Final = 60.0
# How often it is tried to empty the write-ahead log of what was deleted, in seconds.
_SECONDS_UNTIL_EMPTIED: Final = 0.2
# How long one try waits for a lock at most; and where it was waited long enough, until it is gone.
_MILLISECONDS_FOR_A_LOCK: Final = 5000
_MILLISECONDS_ONCE_GIVEN_UP: Final = 100

_logger = logging.getLogger(__name__)


class NotWritten(Exception):
    """A change could not be written, or not in time."""


@dataclass(slots=True)
class _Awaited:
    """A change that somebody waits for; without a change, that all before it are written."""

    change: Change | None
    done: threading.Event = field(default_factory=threading.Event)
    requests: int = 0
    error: str | None = None


_Stop: TypeAlias = None
_Item: TypeAlias = Change | _Awaited | _Stop

Unwritten: TypeAlias = Callable[[Sequence[Change], str], None]
"""Takes what could not be written, and why."""


class StoreWriter:
    """Takes records without blocking and writes them to the store in a thread of its own.

    Attributes:
        failed: how many changes could not be written so far.
        error: why the last of these could not, in a sentence; None where all could.
        is_failing: whether the last change could not be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        retention: Retention | None = None,
        bodies: bool = True,
        unwritten: Unwritten | None = None,
        lock_timeout: float = 30.0,
    ) -> None:
        """Open the store, which is made where it is missing, and start the thread.

        Args:
            path: the SQLite file.
            retention: how long and how much is kept; None for everything.
            bodies: whether the bodies of requests and answers are kept.
            unwritten: takes what was put and could not be written, and why; None to log it.
            lock_timeout: how long to wait for another process that has locked the store, in
                seconds.

        Raises:
            StoreError: where the file cannot be made or used.
        """
        # Opened here, so that what is wrong is known here; used by the thread alone.
        self._connection = connect(path, create=True)
        self._changing = Changing(self._connection, bodies=bodies)
        self._path = path
        self._retention = retention
        self._unwritten = unwritten
        self._lock_timeout = lock_timeout
        self._busy_timeout = min(_MILLISECONDS_FOR_A_LOCK, round(lock_timeout * 1000))
        self._gave_up_waiting = False
        self._closing = threading.Event()
        self._logged: set[str] = set()
        self.failed = 0
        self.error: str | None = None
        self.is_failing = False
        self._items: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="otel-helicone store", daemon=True)
        self._thread.start()

    def put(self, change: Change) -> None:
        """Take a record, or a change to some; it can be read some milliseconds later."""
        self._items.put(change)

    def apply(self, change: Change, timeout: float = 5.0) -> int:
        """Make a change, and wait until it can be read; call it outside of the event loop.

        Args:
            change: the record or the change.
            timeout: how long to wait, in seconds.

        Returns:
            How many stored requests it was about.

        Raises:
            NotWritten: where it failed, or took longer; it may be made yet then.
        """
        awaited = _Awaited(change)
        self._items.put(awaited)
        if not awaited.done.wait(timeout):
            raise NotWritten(f"not written within {timeout:g} s")
        if awaited.error is not None:
            raise NotWritten(awaited.error)
        return awaited.requests

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until everything taken so far can be read.

        Args:
            timeout: how long to wait, in seconds.

        Returns:
            Whether it was done in time.
        """
        awaited = _Awaited(None)
        self._items.put(awaited)
        return awaited.done.wait(timeout)

    def close(self) -> None:
        """Write what was taken and stop; what is put afterwards is not written."""
        self._closing.set()
        self._items.put(None)
        self._thread.join()

    def _run(self) -> None:
        self._set_busy_timeout(self._busy_timeout)
        # It is read once, in a third of a second: here, before anything waits for it.
        price_list()
        next_retention = time.monotonic()
        is_emptied = True
        try:
            while True:
                waits = [_SECONDS_UNTIL_EMPTIED] if not is_emptied else []
                if self._retention is not None:
                    waits.append(max(next_retention - time.monotonic(), 0))
                items = self._next_items(min(waits, default=None))
                if items:
                    self._write([item for item in items if item is not None])
                    if any(_is_deletion(item) for item in items):
                        is_emptied = False
                if self._retention is not None and time.monotonic() >= next_retention:
                    deleted = self._retain(self._retention)
                    next_retention = time.monotonic() + (0 if deleted else _SECONDS_OF_RETENTION)
                    is_emptied = is_emptied and not deleted
                if not is_emptied:
                    is_emptied = self._empty_log()
                if None in items:
                    return
        finally:
            self._connection.close()

    def _next_items(self, wait: float | None) -> list[_Item]:
        """Return what is there, having waited so many seconds for a first item."""
        items: list[_Item] = []
        try:
            items.append(self._items.get(timeout=wait))
            while len(items) < _MAX_AT_ONCE:
                items.append(self._items.get_nowait())
        except queue.Empty:
            pass  # that is all there is for now
        return items

    def _write(self, items: Sequence[Change | _Awaited]) -> None:
        """Write changes, each by itself where they can't be written together."""
        real = [item for item in items if not isinstance(item, _Awaited) or item.change is not None]
        try:
            if real:
                self._write_together(real)
        except Exception as error:
            if len(real) > 1 and not is_locked(error):
                # What is wrong with one of them is not to lose the others.
                for item in items:
                    self._write([item])
                return
            self._not_written(real, error)
        for item in items:
            if isinstance(item, _Awaited):
                item.done.set()

    def _write_together(self, items: Sequence[Change | _Awaited]) -> None:
        deadline = time.monotonic() + (0 if self._gave_up_waiting else self._lock_timeout)
        while True:
            try:
                with self._changing.transaction():
                    for item in items:
                        if not isinstance(item, _Awaited):
                            self._changing.apply(item)
                        elif item.change is not None:
                            item.requests = self._changing.apply(item.change)
                break
            except sqlite3.Error as error:
                # As long as somebody else has locked the store, what comes in waits in memory.
                if not is_locked(error):
                    raise
                if time.monotonic() >= deadline or self._closing.is_set():
                    self._gave_up_waiting = True
                    self._set_busy_timeout(_MILLISECONDS_ONCE_GIVEN_UP)
                    raise
        self.is_failing = False
        if self._gave_up_waiting:
            self._gave_up_waiting = False
            self._set_busy_timeout(self._busy_timeout)
        if any(_is_deletion(item) for item in items):
            self._empty_log()  # at once where nobody reads, so that it can be relied on

    def _not_written(self, items: Sequence[Change | _Awaited], error: Exception) -> None:
        self.failed += len(items)
        self.is_failing = True
        if isinstance(error, sqlite3.Error):
            self.error = str(store_error(self._path, error))
        else:
            self.error = f"{type(error).__name__}: {error}"
        unasked: list[Change] = []
        for item in items:
            if isinstance(item, _Awaited):
                item.error = self.error  # for whoever waits
            elif isinstance(item, RequestRecord):
                unasked.append(self._changing.kept(item))
            else:
                unasked.append(item)
        if unasked and self._unwritten is not None:
            self._unwritten(unasked, self.error)
        elif unasked:
            self._log_once(f"what came in could not be written: {self.error}")

    def _set_busy_timeout(self, milliseconds: int) -> None:
        self._connection.execute(f"PRAGMA busy_timeout = {milliseconds}")

    def _log_once(self, text: str) -> None:
        if text not in self._logged:
            self._logged.add(text)
            _logger.error("%s", text)

    def _empty_log(self) -> bool:
        """Empty the write-ahead log, in which what was deleted is still; return whether it was."""
        # Whoever reads holds it up, and is not waited for: it is tried again.
        self._set_busy_timeout(20)
        try:
            ((busy, *_),) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            reason = store_error(self._path, error)
            self._log_once(f"the store's write-ahead log could not be emptied: {reason}")
            return True
        finally:
            self._set_busy_timeout(self._busy_timeout)
        return not busy

    def _retain(self, retention: Retention) -> bool:
        """Delete some of what is too much; return whether there may be more of it."""
        try:
            deleted = retention.step(self._connection, self._changing)
        except sqlite3.Error as error:
            reason = store_error(self._path, error)
            self._log_once(f"old sessions could not be deleted from the store: {reason}")
            return False
        if deleted:
            _logger.info("%d sessions were deleted, as the retention asks for", deleted)
        return bool(deleted)


def _is_deletion(item: _Item) -> bool:
    change = item.change if isinstance(item, _Awaited) else item
    # A property that is set takes the place of one that may be what is to be forgotten.
    return isinstance(change, Deletion | PropertySet)
