"""The spool's database: its tables, how it is checked, and set aside where it is damaged."""

from __future__ import annotations

import logging
import sqlite3
import time
from pathlib import Path
from typing import Final

from otel_helicone.bridge.room import journal_limit
from otel_helicone.bridge.spool_file import APPLICATION_ID, SpoolError, identify

__all__ = [
    "INCREMENTAL",
    "is_damaged",
    "open_beside",
    "open_database",
    "set_aside",
]

INCREMENTAL: Final = 2
"""The ``auto_vacuum`` of SQLite with which free pages are given back when that is asked for."""

_logger: Final = logging.getLogger("otel_helicone")

_VERSION: Final = 2

_TABLES: Final = """
CREATE TABLE origin (
    id INTEGER PRIMARY KEY,
    content BLOB NOT NULL UNIQUE
);
CREATE TABLE trace (
    trace_id BLOB PRIMARY KEY,
    last REAL NOT NULL,
    due REAL,
    has_top INTEGER NOT NULL,
    has_logs INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX trace_due ON trace (due) WHERE due IS NOT NULL;
CREATE INDEX trace_settled ON trace (last) WHERE due IS NULL;
CREATE TABLE span (
    id INTEGER PRIMARY KEY,
    trace_id BLOB NOT NULL,
    span_id BLOB NOT NULL,
    parent_id BLOB,
    traits INTEGER NOT NULL,
    state INTEGER NOT NULL,
    received REAL NOT NULL,
    origin INTEGER NOT NULL,
    content BLOB NOT NULL,
    UNIQUE (trace_id, span_id)
);
CREATE INDEX span_waiting ON span (trace_id, id) WHERE state = 0;
CREATE INDEX span_oldest ON span (received) WHERE state = 0;
CREATE TABLE post (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    request_id TEXT NOT NULL,
    path TEXT NOT NULL,
    received REAL NOT NULL,
    body BLOB NOT NULL,
    key_name TEXT NOT NULL DEFAULT ''
);
CREATE INDEX post_key ON post (key_name, id);
CREATE TABLE dead (
    id INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL,
    path TEXT NOT NULL,
    received REAL NOT NULL,
    died REAL NOT NULL,
    reason TEXT NOT NULL,
    body BLOB NOT NULL,
    key_name TEXT NOT NULL DEFAULT ''
);
CREATE TABLE session_name (
    session_id TEXT PRIMARY KEY,
    name TEXT,
    used REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX session_name_used ON session_name (used);
CREATE TABLE progress (
    source TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) WITHOUT ROWID;
"""


# What makes the tables of an earlier version those of the next one, by the earlier one's number.
_UPGRADES: Final = {
    1: (
        "ALTER TABLE post ADD COLUMN key_name TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE dead ADD COLUMN key_name TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX post_key ON post (key_name, id)",
    ),
}


def is_damaged(error: sqlite3.Error) -> bool:
    """Return whether an error says that the file is broken, and not busy, full or unreadable."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def open_database(path: Path) -> sqlite3.Connection:
    """Open the database of a spool, and make its tables where nothing is in it yet.

    Args:
        path: the file, which is a spool of ours or empty; see :class:`.SpoolFile`.

    Raises:
        sqlite3.Error: where it can't be opened; see :func:`is_damaged`.
        SpoolError: where it is another version's.
    """
    connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    try:
        is_new = _is_new(connection, path)
        (damage,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if damage != "ok":
            error = sqlite3.DatabaseError(str(damage))
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        if is_new:
            # To be set before anything is in the file.
            connection.execute(f"PRAGMA auto_vacuum={INCREMENTAL}")
            # Before there is a write-ahead log, so that the file itself says whose it is.
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute("PRAGMA journal_mode=WAL")
        # FULL: a commit is on the disk itself when it returns, also through a loss of power.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA journal_size_limit={journal_limit(path.parent)}")
        connection.execute("PRAGMA temp_store=MEMORY")
        if is_new:
            _make_tables(connection)
        else:
            _upgrade(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def open_beside(path: Path) -> sqlite3.Connection:
    """Open the spool of a bridge that may be running; nothing is made, checked or set aside.

    Args:
        path: the file.

    Raises:
        SpoolError: where there is none.
    """
    if not path.exists():
        raise SpoolError(f"there is no spool {path}; name it with --spool")
    if not path.is_file():  # to open a pipe would wait for its other end
        raise SpoolError(f"the spool {path} is no file: name another with --spool")
    try:
        owner, version, _ = identify(path)
    except sqlite3.Error as error:
        raise SpoolError(f"the spool {path} can't be read: {error}") from None
    if owner != APPLICATION_ID:
        raise SpoolError(f"{path} is no spool of a bridge")
    if version != _VERSION:
        raise SpoolError(
            f"the spool {path} is of another version: start the bridge of this version with it once"
        )
    database = sqlite3.connect(path, timeout=10, isolation_level=None)
    database.execute("PRAGMA synchronous=FULL")
    return database


def _is_new(connection: sqlite3.Connection, path: Path) -> bool:
    """Return whether nothing is in the file yet; refuse what another version made."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and version != _VERSION and version not in _UPGRADES:
        raise SpoolError(
            f"the spool {path} is no spool of this version: name another file, or let the version"
            " that made it send what it holds"
        )
    return not tables


def _make_tables(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in _TABLES.split(";"):
        if statement.strip():
            connection.execute(statement)
    # Numbers are never used again, not even where a spool begins in the place of a damaged one.
    first = time.time_ns() // 1000
    connection.execute("INSERT INTO sqlite_sequence VALUES ('post', ?)", (first,))
    connection.execute(f"PRAGMA user_version={_VERSION}")
    connection.execute("COMMIT")


def _upgrade(connection: sqlite3.Connection) -> None:
    """Make the tables those of this version, all or nothing."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == _VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        while version != _VERSION:
            for statement in _UPGRADES[version]:
                connection.execute(statement)
            version += 1
        connection.execute(f"PRAGMA user_version={_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def set_aside(path: Path, damage: str) -> Path:
    """Rename a damaged spool, so that a new one can begin and nothing of the old is lost.

    Args:
        path: the file.
        damage: what is wrong with it.

    Returns:
        Where it is now.
    """
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + suffix))
    _logger.error(
        "The spool %s is damaged (%s). It is now %s, and a new one begins; what the old one still"
        " holds may be read with sqlite3's .recover.",
        path,
        damage,
        aside,
    )
    return aside
