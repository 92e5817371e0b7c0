"""Writing records away from the event loop."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from otel_helicone.local.prices import price_list
from otel_helicone.local.storage.changes import Deletion, PropertySet
from otel_helicone.local.storage.changing import Change, Changing
from otel_helicone.local.storage.retention import Retention
from otel_helicone.local.storage.schema import connect

__all__ = ["NotWritten", "StoreWriter"]

# So many records at once cost hardly more than one; more would keep readers of the file waiting.
_MOST_AT_ONCE: Final = 256
# How often it is looked at what is too old or too much, in seconds.
_SECONDS_OF_RETENTION: Final = 60.0
# How often it is tried to empty the write-ahead log of what was deleted, in seconds.
_SECONDS_UNTIL_EMPTIED: Final = 0.2

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


class StoreWriter:
    """Takes records without blocking and writes them to the store in a thread of its own.

    Attributes:
        failed: how many changes could not be written so far.
    """

    def __init__(
        self, path: Path, *, retention: Retention | None = None, bodies: bool = True
    ) -> None:
        """Open the store, which is made where it is missing, and start the thread.

        Args:
            path: the SQLite file.
            retention: how long and how much is kept; None for everything.
            bodies: whether the bodies of requests and answers are kept.

        Raises:
            StoreError: where the file cannot be made or used.
        """
        connect(path, create=True).close()
        self._path = path
        self._retention = retention
        self._bodies = bodies
        self.failed = 0
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
        self._items.put(None)
        self._thread.join()

    def _run(self) -> None:
        # It is read once, in a third of a second: here, before anything waits for it.
        price_list()
        connection = connect(self._path, create=True)
        changing = Changing(connection, bodies=self._bodies)
        next_retention = time.monotonic()
        is_emptied = True
        try:
            while True:
                waits = [_SECONDS_UNTIL_EMPTIED] if not is_emptied else []
                if self._retention is not None:
                    waits.append(max(next_retention - time.monotonic(), 0))
                items = self._next_items(min(waits, default=None))
                if items:
                    self.failed += _write(connection, changing, items)
                    if any(_is_deletion(item) for item in items):
                        is_emptied = False
                if self._retention is not None and time.monotonic() >= next_retention:
                    deleted = _retain(self._retention, connection, changing)
                    next_retention = time.monotonic() + (0 if deleted else _SECONDS_OF_RETENTION)
                    is_emptied = is_emptied and not deleted
                if not is_emptied:
                    is_emptied = _emptied(connection)
                if None in items:
                    return
        finally:
            connection.close()

    def _next_items(self, wait: float | None) -> list[_Item]:
        """Give what is there, having waited so many seconds for a first item."""
        items: list[_Item] = []
        try:
            items.append(self._items.get(timeout=wait))
            while len(items) < _MOST_AT_ONCE:
                items.append(self._items.get_nowait())
        except queue.Empty:
            pass  # that is all there is for now
        return items


def _write(connection: sqlite3.Connection, changing: Changing, items: list[_Item]) -> int:
    """Write changes, and give how many could not be written."""
    changes = [item for item in items if item is not None]
    real = [item for item in changes if not isinstance(item, _Awaited) or item.change is not None]
    error: str | None = None
    if real:
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                for item in real:
                    if not isinstance(item, _Awaited):
                        changing.apply(item)
                    elif item.change is not None:
                        item.requests = changing.apply(item.change)
                changing.finish()
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                changing.forget()
                raise
        except Exception as failure:
            if len(changes) > 1:
                # What is wrong with one of them is not to lose the others.
                return sum(_write(connection, changing, [item]) for item in changes)
            # A full disk, for instance. The gateway goes on; the developer is told.
            _logger.exception("a change could not be written to the store")
            error = f"{type(failure).__name__}: {failure}"
        else:
            if any(_is_deletion(item) for item in real):
                _emptied(connection)  # at once where nobody reads, so that it can be relied on
    for item in changes:
        if isinstance(item, _Awaited):
            item.error = error
            item.done.set()
    return 0 if error is None else len(real)


def _emptied(connection: sqlite3.Connection) -> bool:
    """Empty the write-ahead log, in which what was deleted is still; tell whether it could be."""
    # Whoever reads holds it up, and is not waited for: it is tried again.
    connection.execute("PRAGMA busy_timeout = 20")
    try:
        ((busy, *_),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error:
        _logger.exception("the store's write-ahead log could not be emptied")
        return True
    finally:
        connection.execute("PRAGMA busy_timeout = 5000")
    return not busy


def _is_deletion(item: _Item) -> bool:
    change = item.change if isinstance(item, _Awaited) else item
    # A property that is set takes the place of one that may be what is to be forgotten.
    return isinstance(change, Deletion | PropertySet)


def _retain(retention: Retention, connection: sqlite3.Connection, changing: Changing) -> bool:
    """Delete some of what is too much; tell whether there may be more of it."""
    try:
        deleted = retention.step(connection, changing)
        if deleted:
            _logger.info("%d sessions were deleted, as the retention asks for", deleted)
        return bool(deleted)
    except Exception:
        _logger.exception("old sessions could not be deleted from the store")
        return False
