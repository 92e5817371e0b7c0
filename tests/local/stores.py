"""Files that are given to commands as stores: good ones, and every kind of bad one."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from otel_helicone.local.storage.schema import SCHEMA_VERSION
from otel_helicone.local.storage.writer import StoreWriter
from tests.local.session_records import call

__all__ = [
    "BAD_STORES",
    "corrupt_middle",
    "fill",
    "hold_locked",
    "snapshot",
]

PAGE_BYTES = 4096


def fill(path: Path, requests: int = 300) -> Path:
    """Make a store of several hundred kilobytes, so that its middle holds requests."""
    with closing(StoreWriter(path)) as writer:
        for number in range(requests):
            body = f"{number} " * 500
            writer.put(call(f"/{number}", number, session_id=f"trip-{number}", request_body=body))
    return path


def snapshot(folder: Path) -> dict[str, object]:
    """Return all that is in a folder: where links lead to, and the bytes of files."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else "folder"
        for path in sorted(folder.rglob("*"))
    }


def corrupt_middle(path: Path) -> None:
    """Write over the second quarter of a store, which leaves its tables and the last requests."""
    pages = path.stat().st_size // PAGE_BYTES
    with path.open("r+b") as file:
        file.seek(pages // 4 * PAGE_BYTES)
        file.write(b"\xa5" * (pages // 4 * PAGE_BYTES))


@contextmanager
def hold_locked(path: Path) -> Iterator[None]:
    """Hold a store as another program may that lets nobody else read or write."""
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN IMMEDIATE")
        holder.execute("UPDATE state SET changes = changes + 1")
        yield
        holder.execute("ROLLBACK")


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "mine.txt").write_text("keep me")


def _database(path: Path, version: int = 0) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.execute("INSERT INTO bookmarks VALUES ('https://example.com')")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.commit()


def _database_of_a_process_that_died(path: Path) -> None:
    """Make a database whose last changes are in its write-ahead log."""
    origin = path.with_name("origin")
    with closing(sqlite3.connect(origin, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("INSERT INTO bookmarks VALUES ('https://example.com')")
        for suffix in ("", "-wal"):
            copy = path.with_name(path.name + suffix)
            copy.write_bytes(origin.with_name(origin.name + suffix).read_bytes())
    origin.unlink()


def _cut(path: Path) -> None:
    fill(path)
    os.truncate(path, path.stat().st_size // 2)


def _newer(path: Path) -> None:
    fill(path, requests=3)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE request ADD COLUMN colour TEXT")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        connection.commit()


def _text(path: Path) -> None:
    path.write_text("dear diary, " * 1000)


def _link_to_text(path: Path) -> None:
    _text(path.with_name("t.txt"))
    path.symlink_to("t.txt")


BAD_STORES: Mapping[str, tuple[Callable[[Path], object], str]] = {
    "folder": (_folder, "is a folder, not a store"),
    "text": (_text, "cannot be used as a store"),
    "short text": (lambda path: path.write_text("hi"), "cannot be used as a store"),
    "pipe": (os.mkfifo, "is not a file"),
    "database": (_database, "a database of something else"),
    "database with a version": (
        lambda path: _database(path, SCHEMA_VERSION),
        "a database of something else",
    ),
    "database with a later version": (
        lambda path: _database(path, SCHEMA_VERSION + 5),
        "a database of something else",
    ),
    "database with a log": (_database_of_a_process_that_died, "a database of something else"),
    "cut": (_cut, "is damaged"),
    "newer": (_newer, "a later otel-helicone"),
    "link to text": (_link_to_text, "cannot be used as a store"),
}
"""By its kind: what makes it, and what is said of it."""
