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
from otel_helicone.local.storage.changes import Deletion
from otel_helicone.local.storage.changing import Change, Changing
from otel_helicone.local.storage.retention import Retention
from otel_helicone.local.storage.schema import connect

__all__ = ["NotWritten", "StoreWriter"]

# So many records at once cost hardly more than one; more would keep readers of the file waiting.
_MOST_AT_ONCE: Final = 256
# How often it is looked at what is too old or too much, in seconds.
_SECONDS_OF_RETENTION: Final = 60.0

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
    """Takes records without blocking and writes them to the store in a thread of its own."""

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
        try:
            while True:
                items = self._next_items(next_retention)
                if items:
                    _write(connection, changing, items)
                    if None in items:
                        return
                if self._retention is not None and time.monotonic() >= next_retention:
                    more = _retain(self._retention, connection, changing)
                    next_retention = time.monotonic() + (0 if more else _SECONDS_OF_RETENTION)
        finally:
            connection.close()

    def _next_items(self, next_retention: float) -> list[_Item]:
        """Give what is there, having waited for a first item, or for retention to be due."""
        wait = None if self._retention is None else max(next_retention - time.monotonic(), 0)
        items: list[_Item] = []
        try:
            items.append(self._items.get(timeout=wait))
            while len(items) < _MOST_AT_ONCE:
                items.append(self._items.get_nowait())
        except queue.Empty:
            pass  # that is all there is for now
        return items


def _write(connection: sqlite3.Connection, changing: Changing, items: list[_Item]) -> None:
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
                changing.count()
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                changing.forget()
                raise
            if any(_is_deletion(item) for item in real):
                # What was deleted is in the write-ahead log still, until that is emptied.
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except Exception as failure:
            if len(changes) > 1:
                # What is wrong with one of them is not to lose the others.
                for item in changes:
                    _write(connection, changing, [item])
                return
            # A full disk, for instance. The gateway goes on; the developer is told.
            _logger.exception("a change could not be written to the store")
            error = f"{type(failure).__name__}: {failure}"
    for item in changes:
        if isinstance(item, _Awaited):
            item.error = error
            item.done.set()


def _is_deletion(item: Change | _Awaited) -> bool:
    return isinstance(item.change if isinstance(item, _Awaited) else item, Deletion)


def _retain(retention: Retention, connection: sqlite3.Connection, changing: Changing) -> bool:
    """Delete some of what is too much; tell whether there may be more of it."""
    try:
        deleted = retention.step(connection, changing)
        if deleted:
            _logger.info("%d sessions were deleted, as the retention asks for", deleted)
        else:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return bool(deleted)
    except Exception:
        _logger.exception("old sessions could not be deleted from the store")
        return False
