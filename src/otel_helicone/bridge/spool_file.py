"""The spool's file itself: whose it is, that one bridge has it alone, and that it is still there.

A file is not its name. Symbolic links and hard links give it others, so the lock is on the file.
And one that is deleted goes on being written to, under no name at all, so that is looked at again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import stat
import struct
from contextlib import closing
from pathlib import Path
from typing import Final

__all__ = ["APPLICATION_ID", "SpoolError", "SpoolFile", "identify"]

APPLICATION_ID: Final = 0x4F48_4252
"""Written into the file, so that another program's is not taken for ours."""

_MAGIC: Final = b"SQLite format 3\0"
_HEADER_BYTES: Final = 100
_APPLICATION_ID_AT: Final = slice(68, 72)
# SQLite locks bytes from 2 to the 30th on, and no file of it gets as long as this.
_LOCKED_BYTE: Final = 2**62

_Identity = tuple[int, int]
# Those that this process has. To open such a file again and to close it would release the locks
# that SQLite has on it: POSIX locks belong to the process, and go with any closing of the file.
_in_use: Final[set[_Identity]] = set()


class SpoolError(Exception):
    """The spool can't be used; the message names the file and says what to do."""


class SpoolFile:
    """A file that is a spool of ours or empty, locked for this process until it is closed.

    Attributes:
        path: its name, with symbolic links followed.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or make one, and lock it. A file of somebody else's is left as it is.

        Args:
            path: the file.

        Raises:
            SpoolError: where it can't be opened, is no spool of a bridge, or is in use.
        """
        self.path = Path(os.path.realpath(path))
        self._journal: _Identity | None = None
        self._descriptor: int | None = None
        self._beside: int | None = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                status = self.path.stat()
                if not stat.S_ISREG(status.st_mode):
                    raise SpoolError(f"the spool {path} is no file: name another with --spool")
                if (status.st_dev, status.st_ino) in _in_use:
                    raise _in_use_error(path)
            # It holds what users said to a model: for the owner's eyes only.
            flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC
            self._descriptor = os.open(self.path, flags, 0o600)
            self._lock(path)
            _check_ours(self.path, self._descriptor)
            # Where a system can't lock single bytes, and for bridges of earlier versions.
            self._beside = _lock_beside(self.path, path)
        except OSError as error:
            self.close()
            raise SpoolError(f"the spool {path} can't be opened: {error}") from None
        except BaseException:
            self.close()
            raise
        _in_use.add(self._identity)

    def _lock(self, path: Path) -> None:
        assert self._descriptor is not None
        status = os.fstat(self._descriptor)
        self._identity = (status.st_dev, status.st_ino)
        if not hasattr(fcntl, "F_OFD_SETLK"):
            return
        wanted = struct.pack("hhqqii", fcntl.F_WRLCK, os.SEEK_SET, _LOCKED_BYTE, 1, 0, 0)
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, wanted)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise _in_use_error(path) from None

    def close(self) -> None:
        """Release the file, once SQLite has closed it. To call it again does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            _in_use.discard(getattr(self, "_identity", (0, 0)))
        if self._beside is not None:
            os.close(self._beside)
            self._beside = None

    @property
    def journal(self) -> Path:
        """The write-ahead log, without which the file is not whole."""
        return self.path.with_name(f"{self.path.name}-wal")

    def note_journal(self) -> None:
        """Note which file the write-ahead log is, once SQLite has opened it."""
        self._journal = _identity_of(self.journal)

    def is_there(self) -> bool:
        """Return whether the file still has its name."""
        return _identity_of(self.path) == self._identity

    def is_whole(self) -> bool:
        """Return whether the file and its write-ahead log still have their names."""
        return self.is_there() and _identity_of(self.journal) == self._journal

    def remove_rest(self) -> None:
        """Remove what is left beside a file that has lost its name, so that no other takes it."""
        if self._journal is not None and _identity_of(self.journal) == self._journal:
            self.journal.unlink()
            self.path.with_name(f"{self.path.name}-shm").unlink(missing_ok=True)


def identify(path: Path) -> tuple[int, int, int]:
    """Return the application id, the version, and the number of tables of an SQLite file.

    Nothing is changed, not even by carrying over its write-ahead log.

    Raises:
        sqlite3.Error: where it is no such file.
    """
    has_journal = path.with_name(f"{path.name}-wal").exists()
    how = "mode=ro" if has_journal else "mode=ro&immutable=1"
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)) as database:
        (owner,) = database.execute("PRAGMA application_id").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return owner, version, tables


def _check_ours(path: Path, descriptor: int) -> None:
    beginning = os.pread(descriptor, _HEADER_BYTES, 0)
    if not beginning:
        return
    if beginning.startswith(_MAGIC) and len(beginning) == _HEADER_BYTES:
        owner = int.from_bytes(beginning[_APPLICATION_ID_AT], "big")
        if owner == APPLICATION_ID:
            return
        # One that was made by an earlier version and not closed may have it in its log alone.
        if not owner and _is_ours_or_blank(path):
            return
    raise SpoolError(
        f"{path} is no spool of a bridge, or one whose very beginning is damaged, and is left as it"
        " is: name another file with --spool, or move this one away"
    )


def _is_ours_or_blank(path: Path) -> bool:
    try:
        owner, version, tables = identify(path)
    except sqlite3.Error:
        return False
    return owner == APPLICATION_ID or (owner, version, tables) == (0, 0, 0)


def _identity_of(path: Path) -> _Identity | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _in_use_error(path: Path) -> SpoolError:
    return SpoolError(
        f"the spool {path} is in use by another bridge: give each its own, with --spool or"
        " HELICONE_BRIDGE_SPOOL"
    )


def _lock_beside(path: Path, given: Path) -> int:
    descriptor = os.open(
        path.with_name(f"{path.name}.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600
    )
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise _in_use_error(given) from None
    return descriptor
