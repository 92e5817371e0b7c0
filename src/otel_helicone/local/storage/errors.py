"""What is said where a store cannot be used: one sentence, with the remedy where there is one."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

__all__ = ["DamagedRow", "NoStore", "StoreError", "is_locked", "is_not_writable", "store_error"]

# The low byte of SQLite's extended codes is the kind of error.
_KIND: Final = 0xFF


class StoreError(Exception):
    """A store cannot be used; the text says which and why, for the person at the terminal."""


class NoStore(StoreError):
    """There is no file."""


class DamagedRow(Exception):
    """A row holds what no row of a store can hold."""


def store_error(path: Path, error: Exception) -> StoreError:
    """Return the error for the person at the terminal.

    Args:
        path: the store's file.
        error: what SQLite, or the operating system, said.
    """
    match _kind(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreError(
                f"The store {path} is locked by another program: try again once that has ended."
            )
        case sqlite3.SQLITE_CORRUPT:
            return StoreError(_damaged(path, error))
        case sqlite3.SQLITE_NOTADB:
            return StoreError(f"{path} cannot be used as a store: {error}.")
        case sqlite3.SQLITE_FULL:
            return StoreError(f"There is no room left for the store {path}: free some.")
        case sqlite3.SQLITE_READONLY:
            return StoreError(f"The store {path} can be read only: {error}.")
    if isinstance(error, DamagedRow) or "Could not decode to UTF-8" in str(error):
        return StoreError(_damaged(path, error))
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return StoreError(f"The store {path} cannot be used: {reason}.")


def is_locked(error: BaseException) -> bool:
    """Return whether the store is only held by somebody else for a while."""
    return _kind(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_not_writable(error: BaseException) -> bool:
    """Return whether the reason may be that nothing can be written beside the file, or into it."""
    return _kind(error) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)


def _kind(error: BaseException) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return code & _KIND if isinstance(code, int) else None


def _damaged(path: Path, error: Exception) -> str:
    return (
        f"The store {path} is damaged ({error}): use a backup or another --store. Sessions that can"
        " still be read can be saved one by one, with `otel-helicone export ID`."
    )
