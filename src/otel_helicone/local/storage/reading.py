"""Opening a store to read: nothing is changed by it, and it may be where nothing can be."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final

from otel_helicone.local.storage.errors import (
    DamagedRow,
    StoreError,
    is_not_writable,
    store_error,
)
from otel_helicone.local.storage.schema import (
    MAX_MAPPED_BYTES,
    SCHEMA_VERSION,
    bring_up_to_date,
    check_file,
    connect,
    version_of,
)

__all__ = ["reading"]

# What SQLite keeps beside a database until it is part of it.
_UNFINISHED: Final = ("-wal", "-journal")


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a store to read; what SQLite says within becomes a :class:`StoreError`.

    A store of an earlier version is brought up to date first: in its file, or where that can't be
    written, in a copy that is gone afterwards.

    Args:
        path: the file.

    Raises:
        StoreError: where the file is missing, is no store, is of a later version, or is damaged
            where it is read.
    """
    _check(path)
    try:
        with closing(_connection(path)) as connection:
            connection.execute("PRAGMA query_only = ON")
            # A big file is read without copying.
            connection.execute(f"PRAGMA mmap_size = {MAX_MAPPED_BYTES}")
            yield connection
    except (sqlite3.Error, DamagedRow) as error:
        raise store_error(path, error) from error


def _check(path: Path) -> None:
    try:
        status = path.stat()
    except OSError:
        check_file(path, may_be_missing=False)
    else:
        _check_once(path, status.st_dev, status.st_ino)


@lru_cache(maxsize=64)
def _check_once(path: Path, _device: int, _inode: int) -> None:
    """Raise where a file is no store; looked at once, as pages open theirs for each query."""
    check_file(path, may_be_missing=False)


def _connection(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5.0, isolation_level=None)
    try:
        if version_of(connection) == SCHEMA_VERSION:
            return connection
    except sqlite3.Error as error:
        connection.close()
        if not is_not_writable(error):
            raise
        return _read_only(path)
    connection.close()
    try:
        return connect(path, create=False)
    except StoreError as error:
        if error.__cause__ is None or not is_not_writable(error.__cause__):
            raise
        return _copied(path)


def _read_only(path: Path) -> sqlite3.Connection:
    """Open a store on a read-only mount, where SQLite can't make the files that it shares."""
    if any(_has_bytes(path.with_name(path.name + suffix)) for suffix in _UNFINISHED):
        return _copied(path)
    # Nobody can write to it here, so it needs no locks.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None
    )
    if version_of(connection) == SCHEMA_VERSION:
        return connection
    connection.close()
    return _copied(path)


def _copied(path: Path) -> sqlite3.Connection:
    """Copy a store with what is unfinished of it into a database that is gone once it is closed."""
    copy = sqlite3.connect("", isolation_level=None)
    try:
        with tempfile.TemporaryDirectory(prefix="otel-helicone-") as folder:
            name = Path(folder) / "store.db"
            shutil.copyfile(path, name)
            for suffix in _UNFINISHED:
                if _has_bytes(beside := path.with_name(path.name + suffix)):
                    shutil.copyfile(beside, name.with_name(name.name + suffix))
            with closing(sqlite3.connect(name)) as whole:
                whole.backup(copy)
        if version_of(copy) != SCHEMA_VERSION:
            bring_up_to_date(copy, path)
    except OSError as error:
        copy.close()
        raise store_error(path, error) from error
    except BaseException:
        copy.close()
        raise
    return copy


def _has_bytes(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
