"""Writing records away from the event loop."""

from __future__ import annotations

import json
import logging
import queue
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from otel_helicone.local.storage.records import RequestRecord
from otel_helicone.local.storage.schema import connect
from otel_helicone.local.storage.store import COLUMNS, row_of

__all__ = ["Scores", "StoreWriter"]

_INSERT: Final = (
    f"INSERT INTO request ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
)
# What makes two rows one in Helicone's table, once it has merged them; here at once.
_KEY: Final = ("request_id", "provider", "model", "user_id", "started_at")
_SAME: Final = f"DELETE FROM request WHERE {' AND '.join(f'{column} IS ?' for column in _KEY)}"
# So many records at once cost hardly more than one; more would keep readers of the file waiting.
_MOST_AT_ONCE: Final = 256


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores for a request that is stored, or will be before them.

    Attributes:
        request_id: the request's id, in lower case.
        scores: numbers by name; a name that the request has already gets the new number.
    """

    request_id: str
    scores: Mapping[str, int]


_Stop: TypeAlias = None
_Item: TypeAlias = RequestRecord | Scores | threading.Event | _Stop

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

    def put(self, record: RequestRecord | Scores) -> None:
        """Take a record, or scores; it can be read some milliseconds later."""
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
        records = [item for item in items if isinstance(item, RequestRecord | Scores)]
        if records:
            _write(connection, records)
        for item in items:
            if isinstance(item, threading.Event):
                item.set()
        return None not in items


def _write(connection: sqlite3.Connection, records: list[RequestRecord | Scores]) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            for record in records:
                if isinstance(record, RequestRecord):
                    _write_record(connection, record)
                else:
                    _write_scores(connection, record)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
    except Exception:
        # A full disk, for instance. The gateway goes on; the developer is told.
        _logger.exception("%d requests could not be written to the store", len(records))


def _write_record(connection: sqlite3.Connection, record: RequestRecord) -> None:
    row = row_of(record)
    values = dict(zip(COLUMNS, row, strict=True))
    connection.execute(_SAME, [values[column] for column in _KEY])
    connection.execute(_INSERT, row)


def _write_scores(connection: sqlite3.Connection, given: Scores) -> None:
    found = connection.execute(
        "SELECT row, scores FROM request WHERE request_id = ?", [given.request_id]
    ).fetchall()
    for row, scores in found:
        merged = json.dumps({**json.loads(scores), **given.scores})
        connection.execute("UPDATE request SET scores = ? WHERE row = ?", [merged, row])
