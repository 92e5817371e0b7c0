"""Writing records away from the event loop."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from pathlib import Path
from typing import Final, TypeAlias

from otel_helicone.local.records import RequestRecord
from otel_helicone.local.schema import connect
from otel_helicone.local.store import COLUMNS, row_of

__all__ = ["StoreWriter"]

_INSERT: Final = (
    f"INSERT INTO request ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
)
# So many records at once cost hardly more than one; more would keep readers of the file waiting.
_MOST_AT_ONCE: Final = 256

_Stop: TypeAlias = None
_Item: TypeAlias = RequestRecord | threading.Event | _Stop

_logger = logging.getLogger(__name__)


class StoreWriter:
    """Takes records without blocking and writes them to the store in a thread of its own."""

    def __init__(self, path: Path) -> None:
        """Open the store, which is made where it is missing, and start the thread.

        Args:
            path: the SQLite file.

        Raises:
            StoreError: where the file cannot be made or used.
        """
        connect(path, create=True).close()
        self._path = path
        self._items: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="otel-helicone store", daemon=True)
        self._thread.start()

    def put(self, record: RequestRecord) -> None:
        """Take a record; it can be read some milliseconds later."""
        self._items.put(record)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until everything taken so far can be read.

        Args:
            timeout: how long to wait, in seconds.

        Returns:
            Whether it was done in time.
        """
        written = threading.Event()
        self._items.put(written)
        return written.wait(timeout)

    def close(self) -> None:
        """Write what was taken and stop; what is put afterwards is not written."""
        self._items.put(None)
        self._thread.join()

    def _run(self) -> None:
        connection = connect(self._path, create=True)
        try:
            while self._write_some(connection):
                pass
        finally:
            connection.close()

    def _write_some(self, connection: sqlite3.Connection) -> bool:
        """Write what is there, having waited for a first item; False at the end."""
        items = [self._items.get()]
        while len(items) < _MOST_AT_ONCE:
            try:
                items.append(self._items.get_nowait())
            except queue.Empty:
                break
        records = [item for item in items if isinstance(item, RequestRecord)]
        if records:
            _write(connection, records)
        for item in items:
            if isinstance(item, threading.Event):
                item.set()
        return None not in items


def _write(connection: sqlite3.Connection, records: list[RequestRecord]) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(_INSERT, [row_of(record) for record in records])
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
    except Exception:
        # A full disk, for instance. The gateway goes on; the developer is told.
        _logger.exception("%d requests could not be written to the store", len(records))
