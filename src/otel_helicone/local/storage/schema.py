"""The store's tables, and how a file of an older version becomes one of this version."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from otel_helicone.local.storage.errors import NoStore, StoreError, store_error
from otel_helicone.local.storage.summaries import rebuild

__all__ = [
    "MAX_MAPPED_BYTES",
    "SCHEMA_VERSION",
    "StoreError",
    "bring_up_to_date",
    "check_file",
    "connect",
    "version_of",
]

_MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """
        CREATE TABLE request (
            row INTEGER PRIMARY KEY,
            request_id TEXT NOT NULL,
            session_id TEXT,
            session_path TEXT,
            session_name TEXT,
            user_id TEXT,
            properties TEXT NOT NULL,
            provider TEXT NOT NULL,
            model TEXT,
            method TEXT NOT NULL,
            target_path TEXT NOT NULL,
            status INTEGER NOT NULL,
            prompt_tokens INTEGER NOT NULL,
            completion_tokens INTEGER NOT NULL,
            total_tokens INTEGER NOT NULL,
            started_at INTEGER NOT NULL, -- microseconds since 1970 in UTC
            latency_ms INTEGER NOT NULL,
            time_to_first_token_ms INTEGER,
            request_body TEXT NOT NULL,
            response_body TEXT NOT NULL,
            helicone_headers TEXT NOT NULL
        )
        """,
        "CREATE INDEX request_by_session ON request (session_id, session_name, started_at)",
        "CREATE INDEX request_by_id ON request (request_id)",
        "CREATE INDEX request_by_start ON request (started_at)",
    ),
    (
        "ALTER TABLE request ADD COLUMN prompt_cache_read_tokens INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE request ADD COLUMN prompt_cache_write_tokens INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE request ADD COLUMN reasoning_tokens INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE request ADD COLUMN target_url TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE request ADD COLUMN kind TEXT NOT NULL DEFAULT 'llm'",
        "ALTER TABLE request ADD COLUMN scores TEXT NOT NULL DEFAULT '{}'",
    ),
    (
        """
        CREATE TABLE session (
            number INTEGER PRIMARY KEY,
            session_id TEXT NOT NULL, -- empty for requests that are in no session
            session_name TEXT NOT NULL,
            requests INTEGER NOT NULL,
            errors INTEGER NOT NULL,
            prompt_tokens INTEGER NOT NULL,
            completion_tokens INTEGER NOT NULL,
            total_tokens INTEGER NOT NULL,
            cost_usd REAL NOT NULL,
            unpriced INTEGER NOT NULL,
            started_at INTEGER NOT NULL,
            ended_at INTEGER NOT NULL,
            latency_ms INTEGER NOT NULL,
            changed_at INTEGER NOT NULL,
            UNIQUE (session_id, session_name)
        )
        """,
        # What sessions can be found by: users, models, statuses and properties.
        """
        CREATE TABLE value (
            number INTEGER PRIMARY KEY,
            name TEXT NOT NULL, -- user, model, status or property:<its name>
            value TEXT NOT NULL,
            UNIQUE (name, value)
        )
        """,
        """
        CREATE TABLE session_value (
            value INTEGER NOT NULL,
            session INTEGER NOT NULL,
            requests INTEGER NOT NULL,
            errors INTEGER NOT NULL,
            total_tokens INTEGER NOT NULL,
            cost_usd REAL NOT NULL,
            latency_ms INTEGER NOT NULL,
            PRIMARY KEY (value, session)
        ) WITHOUT ROWID
        """,
        "CREATE TABLE session_tag (session_id TEXT PRIMARY KEY, tag TEXT NOT NULL)",
        "CREATE TABLE state (changes INTEGER NOT NULL)",
        "INSERT INTO state VALUES (0)",
        # Bodies apart: a session of ten thousand requests is read without walking over them.
        """
        CREATE TABLE body (
            row INTEGER PRIMARY KEY,
            request_body TEXT NOT NULL,
            response_body TEXT NOT NULL,
            helicone_headers TEXT NOT NULL
        )
        """,
        "INSERT INTO body SELECT row, request_body, response_body, helicone_headers FROM request",
        """
        CREATE TABLE request_without_bodies (
            row INTEGER PRIMARY KEY,
            request_id TEXT NOT NULL,
            session INTEGER NOT NULL,
            session_id TEXT,
            session_path TEXT,
            session_name TEXT,
            user_id TEXT,
            properties TEXT NOT NULL,
            provider TEXT NOT NULL,
            model TEXT,
            method TEXT NOT NULL,
            target_path TEXT NOT NULL,
            status INTEGER NOT NULL,
            prompt_tokens INTEGER NOT NULL,
            completion_tokens INTEGER NOT NULL,
            total_tokens INTEGER NOT NULL,
            started_at INTEGER NOT NULL,
            latency_ms INTEGER NOT NULL,
            time_to_first_token_ms INTEGER,
            prompt_cache_read_tokens INTEGER NOT NULL,
            prompt_cache_write_tokens INTEGER NOT NULL,
            reasoning_tokens INTEGER NOT NULL,
            target_url TEXT NOT NULL,
            kind TEXT NOT NULL,
            scores TEXT NOT NULL,
            cost_usd REAL,
            from_cache INTEGER NOT NULL DEFAULT 0
        )
        """,
        """
        INSERT INTO request_without_bodies
        SELECT row, request_id, 0, session_id, session_path, session_name, user_id, properties,
               provider, model, method, target_path, status, prompt_tokens, completion_tokens,
               total_tokens, started_at, latency_ms, time_to_first_token_ms,
               prompt_cache_read_tokens, prompt_cache_write_tokens, reasoning_tokens, target_url,
               kind, scores, NULL, 0
        FROM request
        """,
        "DROP TABLE request",
        "ALTER TABLE request_without_bodies RENAME TO request",
        "CREATE INDEX request_by_session ON request (session, started_at)",
        "CREATE INDEX request_by_id ON request (request_id)",
        "CREATE INDEX request_by_start ON request (started_at)",
        "CREATE INDEX session_by_start ON session (started_at)",
        "CREATE INDEX session_by_end ON session (ended_at)",
        "CREATE INDEX session_by_name ON session (session_name, started_at)",
        "CREATE INDEX session_value_by_session ON session_value (session)",
    ),
)
"""One entry for each version: entry 0 makes version 1 of an empty file. Never change one."""

# A file of an earlier version gets its summaries once, when it is brought up to date.
_FIRST_WITH_SUMMARIES: Final = 3
MAX_MAPPED_BYTES: Final = 4 * 1024**3
"""How much of a store is read without copying."""

SCHEMA_VERSION: Final = len(_MIGRATIONS)


# Columns that the table of requests has had in every version, and hardly another program's has.
_OWN_COLUMNS: Final = ("request_id", "session_id", "session_path", "session_name")


def connect(path: Path, *, create: bool) -> sqlite3.Connection:
    """Open a store to write, and bring it up to this version.

    Args:
        path: the file.
        create: whether to make the file, and the folders above it, where it is missing. The file
            is for its owner's eyes only: it holds prompts and answers.

    Returns:
        A connection in autocommit mode, for any thread, but for one at a time.

    Raises:
        StoreError: where the file is missing, is no store or is of a later version.
    """
    check_file(path, may_be_missing=create)
    try:
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(
            path, timeout=5.0, isolation_level=None, check_same_thread=False
        )
    except (OSError, sqlite3.Error) as error:
        raise store_error(path, error) from error
    try:
        _prepare(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise store_error(path, error) from error
    except StoreError:
        connection.close()
        raise
    return connection


def check_file(path: Path, *, may_be_missing: bool) -> None:
    """Raise :class:`StoreError` where a file is none that a store can be in.

    Nothing is locked, made or changed for it, not even the write-ahead log of somebody else's
    database, which SQLite would put away.

    Args:
        path: the file.
        may_be_missing: whether the file may be missing, or empty.
    """
    try:
        if not path.exists():
            if may_be_missing:
                return
            raise NoStore(f"There is no store at {path}.")
        if path.is_dir():
            raise StoreError(f"{path} is a folder, not a store.")
        if not path.is_file():
            raise StoreError(f"{path} is not a file that a store can be in.")
        if not path.stat().st_size:
            if may_be_missing:
                return
            raise StoreError(f"{path} is empty, not a store.")
        # As it is on disk, without its write-ahead log: tables are made before there is one.
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            _check_tables(connection, path)
    except OSError as error:
        raise store_error(path, error) from error
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise store_error(path, error) from error
        # Torn, where another process writes just now; who opens it in earnest will see.


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of a store's tables; 0 for an empty file."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables of this version, in one transaction.

    Args:
        connection: one that writes.
        path: how the file is called where something is wrong.
    """
    # So that a file can give back what retention deletes; it counts for new files only.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Looked at again under the lock: another process may have been faster.
        _check_tables(connection, path)
        version = version_of(connection)
        for statements in _MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        if 0 < version < _FIRST_WITH_SUMMARIES:
            rebuild(connection)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite ends it itself where the disk is full
            connection.execute("ROLLBACK")
        raise


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    # What is deleted is overwritten, also what a migration moves.
    connection.execute("PRAGMA secure_delete = ON")
    if version_of(connection) != SCHEMA_VERSION:
        bring_up_to_date(connection, path)
    # Readers and the writer do not wait for each other; a power cut costs the last records at most.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    # A big file is read without copying.
    connection.execute(f"PRAGMA mmap_size = {MAX_MAPPED_BYTES}")


def _check_tables(connection: sqlite3.Connection, path: Path) -> None:
    version = version_of(connection)
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (own,) = connection.execute(
        "SELECT count(*) FROM pragma_table_info('request')"
        f" WHERE name IN ({', '.join('?' * len(_OWN_COLUMNS))})",
        _OWN_COLUMNS,
    ).fetchone()
    if tables and (version == 0 or own < len(_OWN_COLUMNS)):
        raise StoreError(f"{path} is a database of something else, not a store.")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"The store {path} was written by a later otel-helicone (version {version} of its"
            f" tables; this one knows {SCHEMA_VERSION}): upgrade, or use another --store."
        )
