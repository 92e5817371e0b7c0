"""The spool's database: transactions that are on the disk, and what becomes of trouble."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from otel_helicone.bridge.schema import SpoolError, is_damaged, lock, open_database, set_aside
from otel_helicone.bridge.stored import SpoolFull

__all__ = ["SpoolDatabase"]


class SpoolDatabase:
    """One SQLite file. Safe to use from several threads; one process at a time."""

    def __init__(self, path: Path) -> None:
        """Open the file, or begin one, and keep other bridges away from it.

        Args:
            path: the file.

        Raises:
            SpoolError: where it can't be used.
        """
        self.path = path
        self.mutex = threading.RLock()
        self.begun_anew = 0
        """How often the file was found damaged and set aside while it was open."""
        self._lock: int | None = lock(path)
        try:
            self._connection = open_database(path)
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Close the file. To call it again does nothing."""
        with self.mutex:
            self._connection.close()
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Do all or nothing, and have it on the disk.

        Raises:
            SpoolFull: where the disk is full.
            SpoolError: where it can't be written.
        """
        with self.mutex:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise self._trouble(error) from None

    @contextmanager
    def rows(self, query: str, values: Sequence[object] = ()) -> Iterator[sqlite3.Cursor]:
        """Give the rows of a query, one by one.

        Raises:
            SpoolError: where they can't be read.
        """
        with self.mutex:
            try:
                yield self._connection.execute(query, values)
            except sqlite3.Error as error:
                raise self._trouble(error) from None

    def read(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        """Give all rows of a query.

        Raises:
            SpoolError: where they can't be read.
        """
        with self.rows(query, values) as found:
            return found.fetchall()

    def count(self, of: str) -> int:
        """Give how many rows a table has, or ``table WHERE condition``."""
        return int(self.read(f"SELECT count(*) FROM {of}")[0][0])

    def used_bytes(self) -> int:
        """Give how much of the file is in use, in bytes."""
        with self.mutex:
            pages, free, size = (
                self.read(f"PRAGMA {name}")[0][0]
                for name in ("page_count", "freelist_count", "page_size")
            )
        return int((pages - free) * size)

    def _trouble(self, error: sqlite3.Error) -> Exception:
        if is_damaged(error):
            self._connection.close()
            set_aside(self.path, str(error))
            self._connection = open_database(self.path)
            self.begun_anew += 1
            return SpoolError(f"the spool was damaged and has begun anew: {error}")
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return SpoolFull("the disk is full")
        return SpoolError(f"the spool {self.path} can't be written: {error}")
