"""What ``otel-helicone export`` and ``otel-helicone import`` do."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from otel_helicone.local.storage.records import RequestRecord
from otel_helicone.local.storage.schema import StoreError
from otel_helicone.local.storage.store import Store
from otel_helicone.local.storage.transfer import (
    LONGEST_LINE,
    NotAnExport,
    exported_lines,
    imported_records,
)
from otel_helicone.local.storage.writer import NotWritten, StoreWriter

__all__ = ["export", "import_files"]

# So many records wait for the disk at most, so that memory does not grow with the file.
_MOST_UNWRITTEN: Final = 1000
_SECONDS_TO_WRITE: Final = 60.0


def export(store: Path, start_of_id: str | None, output: str | None) -> int:
    """Write the requests of a store, or of one session.

    Args:
        store: the store's file.
        start_of_id: the session's id, or the start of it; None for all requests.
        output: the file to write, for its owner's eyes only; None for standard output.

    Returns:
        The exit code.
    """
    try:
        reader = Store(store)
        session_id = None
        if start_of_id is not None:
            found = reader.session_ids(start_of_id)
            if len(found) != 1:
                return _failed(f"{start_of_id!r} is the start of {len(found)} session ids")
            session_id = found[0]
        with _writing(output) as file, _counting("Written", output is not None) as count:
            for line in exported_lines(count(reader.each_request(session_id))):
                file.write(line + "\n")
    except (StoreError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        return _failed(str(error))
    return 0


def import_files(store: Path, names: Sequence[str]) -> int:
    """Read requests into a store, which is made where it is missing.

    A file is checked as it is read; what came before a line that is wrong is in the store, and
    stays one when the file is read again.

    Args:
        store: the store's file.
        names: the files; ``-`` is standard input.

    Returns:
        The exit code.
    """
    try:
        writer = StoreWriter(store)
    except StoreError as error:
        return _failed(str(error))
    name = ""
    try:
        for name in names:
            with _reading(name) as file, _counting("Read", True) as count:
                for number, record in enumerate(count(imported_records(_lines(file))), start=1):
                    writer.put(record)
                    if number % _MOST_UNWRITTEN == 0 and not writer.flush(_SECONDS_TO_WRITE):
                        raise NotWritten("the disk is too slow")
    except NotAnExport as error:
        return _failed(f"{name}: {error}")
    except (OSError, EOFError, UnicodeDecodeError, NotWritten) as error:
        return _failed(f"{name}: {error}")
    except KeyboardInterrupt:
        return _failed("stopped; what was read until then is stored", 130)
    finally:
        writer.close()
    if writer.failed:
        return _failed(f"{writer.failed} requests could not be written to {store}; see above")
    return 0


@contextmanager
def _writing(output: str | None) -> Iterator[IO[str]]:
    if output is None:
        yield sys.stdout
        return
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(descriptor, 0o600)  # where it was there already
    with os.fdopen(descriptor, "wb") as raw:
        if output.endswith(".gz"):
            with gzip.open(raw, "wt", encoding="ascii") as packed:
                yield packed
        else:
            with open(raw.fileno(), "w", encoding="ascii", closefd=False) as plain:
                yield plain


@contextmanager
def _reading(name: str) -> Iterator[IO[str]]:
    if name == "-":
        yield sys.stdin
    elif name.endswith(".gz"):
        with gzip.open(name, "rt", encoding="utf-8") as file:
            yield file
    else:
        with Path(name).open(encoding="utf-8") as file:
            yield file


def _lines(file: IO[str]) -> Iterator[str]:
    """Read lines, none of them further than it has to be known that it is too long."""
    return iter(lambda: file.readline(LONGEST_LINE + 2), "")


class _Counter:
    def __init__(self, progress: Progress, did: str) -> None:
        self._progress = progress
        self._task = progress.add_task(did, total=None)

    def __call__(self, records: Iterator[RequestRecord]) -> Iterator[RequestRecord]:
        for record in records:
            self._progress.advance(self._task)
            yield record


@contextmanager
def _counting(did: str, wanted: bool) -> Iterator[_Counter]:
    """Show on a terminal how many requests there were so far."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description} {task.completed:,.0f} requests"))
    shown = wanted and console.is_terminal
    with Progress(*columns, console=console, disable=not shown) as progress:
        yield _Counter(progress, did)


def _failed(message: str, code: int = 1) -> int:
    sys.stderr.write(f"otel-helicone: {message}\n")
    return code
