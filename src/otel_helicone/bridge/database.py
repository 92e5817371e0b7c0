"""The spool's database: transactions that are on the disk, and what becomes of trouble."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from otel_helicone.bridge.room import Pages
from otel_helicone.bridge.schema import INCREMENTAL, is_damaged, open_database, set_aside
from otel_helicone.bridge.spool_file import SpoolError, SpoolFile
from otel_helicone.bridge.stored import SpoolFull

__all__ = ["SpoolDatabase"]

_logger: Final = logging.getLogger("otel_helicone")

_PAGES_A_STEP: Final = 256
# To write the file anew needs room for what is in it, and nothing else can be done meanwhile.
_MAX_REWRITTEN: Final = 4 * 1024 * 1024


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
        self._open()

    def _open(self) -> None:
        self._file = SpoolFile(self.path)
        try:
            try:
                self._connection = open_database(self._file.path)
            except sqlite3.DatabaseError as error:
                if not is_damaged(error):
                    raise
                self._begin_anew(str(error))
            self._file.note_journal()
        except (sqlite3.Error, OSError) as error:
            self._file.close()
            raise SpoolError(f"the spool {self.path} can't be opened: {error}") from None
        except BaseException:
            self._file.close()
            raise

    def _begin_anew(self, damage: str) -> None:
        set_aside(self._file.path, damage)
        self._file.close()
        self._file = SpoolFile(self.path)
        self._connection = open_database(self._file.path)

    def close(self) -> None:
        """Close the file. To call it again does nothing."""
        with self.mutex:
            self._connection.close()
            # Not before: the locks of SQLite would go.
            self._file.close()

    def make_whole(self) -> None:
        """Check whether the file is still there, and write it anew where it was deleted.

        What was deleted is there until it is closed, so that nothing of it is lost.

        Raises:
            SpoolError: where another file is in its place, or it can't be written.
        """
        if self._file.is_whole():
            return
        with self.mutex:
            if self._file.is_whole():  # another thread has done it
                return
            try:
                if self._file.is_there():
                    # The log alone is gone; what it holds is carried over into the file.
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                else:
                    self._copy()
                self._connection.close()
            except (sqlite3.Error, OSError) as error:
                raise SpoolError(
                    f"the spool {self.path} was deleted or replaced, and can't be written anew"
                    f" ({error}): spans that it still holds are sent, and no more are taken. Start"
                    " the bridge again once they are"
                ) from None
            self._file.close()
            self._open()
        _logger.error(
            "The spool %s was deleted while it was in use. All that it held was written anew.",
            self.path,
        )

    def _copy(self) -> None:
        path = self._file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.anew-{os.getpid()}")
        os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        try:
            with closing(sqlite3.connect(beside)) as copy:
                self._connection.backup(copy)
            self._file.remove_rest()
            os.link(beside, path)  # fails where there is a file by now
        finally:
            beside.unlink()

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
        """Yield the rows of a query, one by one.

        Raises:
            SpoolError: where they can't be read.
        """
        with self.mutex:
            try:
                yield self._connection.execute(query, values)
            except sqlite3.Error as error:
                raise self._trouble(error) from None

    def read(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        """Return all rows of a query.

        Raises:
            SpoolError: where they can't be read.
        """
        with self.rows(query, values) as found:
            return found.fetchall()

    def count(self, of: str) -> int:
        """Return how many rows a table has, or ``table WHERE condition``."""
        return int(self.read(f"SELECT count(*) FROM {of}")[0][0])

    def pages(self) -> Pages:
        """Return how much of the file is in use, and how much is free.

        Raises:
            SpoolError: where it can't be read.
        """
        with self.mutex:
            count, free, size = (
                int(self.read(f"PRAGMA {name}")[0][0])
                for name in ("page_count", "freelist_count", "page_size")
            )
        return Pages(used=(count - free) * size, free=free * size)

    def give_back(self) -> bool:
        """Return some free pages to the volume, where there are more than will be needed soon.

        A step takes a few milliseconds, so that nobody waits long for the mutex.

        Returns:
            Whether there is more to give back.

        Raises:
            SpoolFull: where the disk is too full even for that.
            SpoolError: where the file can't be written.
        """
        with self.mutex:
            pages = self.pages()
            if not pages.surplus:
                return False
            try:
                ((mode,),) = self.read("PRAGMA auto_vacuum")
                if mode == INCREMENTAL:
                    # executescript, because execute would free a single page.
                    self._connection.executescript(f"PRAGMA incremental_vacuum({_PAGES_A_STEP})")
                elif pages.used > _MAX_REWRITTEN:
                    return False
                else:
                    # A file of an earlier version: it is written anew while little is in it.
                    self._connection.execute(f"PRAGMA auto_vacuum={INCREMENTAL}")
                    self._connection.execute("VACUUM")
                if 0 < self.pages().surplus < pages.surplus:
                    return True
                # The file gets shorter when the write-ahead log has been carried over into it.
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            except sqlite3.Error as error:
                raise self._trouble(error) from None
        return False

    def _trouble(self, error: sqlite3.Error) -> Exception:
        if is_damaged(error):
            self._connection.close()
            self._begin_anew(str(error))
            self._file.note_journal()
            self.begun_anew += 1
            return SpoolError(f"the spool was damaged and has begun anew: {error}")
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return SpoolFull("the disk is full")
        return SpoolError(f"the spool {self.path} can't be written: {error}")
