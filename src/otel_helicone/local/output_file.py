"""A file that a command writes: beside its place first, and there once it is whole.

What is in its place already is only replaced where it is of the same kind, an earlier output. It
may be the only copy of something, and a name is easily mistyped.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, Final

__all__ = ["OutputRefused", "whole_file"]

_DATABASE: Final = b"SQLite format 3\x00"
# What SQLite keeps beside a database; some of them may well be empty for a while.
_BESIDE_DATABASES: Final = ("-wal", "-shm", "-journal")


class OutputRefused(Exception):
    """A place is not written to; the text says which, why, and what to do."""


@contextmanager
def whole_file(path: Path, is_earlier_output: Callable[[BinaryIO], bool]) -> Iterator[IO[bytes]]:
    """Open a file to write, which is in its place once the block has ended without an error.

    After an error all is as it was before. A link stays one: the file that it leads to is replaced.
    A terminal, a pipe or ``/dev/null`` is written to as it is.

    Args:
        path: the file's place. The new file is for its owner's eyes only.
        is_earlier_output: whether what is there, which is not empty, may be replaced.

    Raises:
        OutputRefused: where something else is there.
        OSError: where it cannot be written.
    """
    if _is_stream(path):
        with path.open("wb") as stream:
            yield stream
        return
    # Not the link itself, which would no longer be one.
    place = Path(os.path.realpath(path))
    _check(path, place, is_earlier_output)
    descriptor, name = tempfile.mkstemp(".part", ".otel-helicone-", place.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # Once more: it took a while, and others write files too.
        _check(path, place, is_earlier_output)
        part.replace(place)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _is_stream(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


def _check(path: Path, place: Path, is_earlier_output: Callable[[BinaryIO], bool]) -> None:
    for suffix in _BESIDE_DATABASES:
        if place.name.endswith(suffix):
            database = place.with_name(place.name.removesuffix(suffix))
            if database.is_file() and _begins_like_a_database(database):
                raise OutputRefused(
                    f"{path} belongs to the database {database}: nothing was written. Name another"
                    " file."
                )
    try:
        status = place.stat()
    except FileNotFoundError:
        return
    if stat.S_ISDIR(status.st_mode):
        raise OutputRefused(f"{path} is a folder: nothing was written. Name a file in it.")
    if not stat.S_ISREG(status.st_mode):
        raise OutputRefused(f"{path} is no file: nothing was written. Name another one.")
    if not status.st_size:
        return
    if _begins_like_a_database(place):
        raise OutputRefused(
            f"{path} is a database, perhaps the store itself: nothing was written. Name another"
            " file."
        )
    with place.open("rb") as file:
        if not is_earlier_output(file):
            raise OutputRefused(
                f"{path} is there already and is something else: nothing was written. Name another"
                " file, or delete this one first."
            )


def _begins_like_a_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_DATABASE)) == _DATABASE
