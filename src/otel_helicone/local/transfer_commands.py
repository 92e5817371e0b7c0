"""What ``otel-helicone export`` and ``otel-helicone import`` do."""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from io import TextIOWrapper
from itertools import chain, islice
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import IO, Final, TypeAlias

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from otel_helicone.local.command_output import failed, reason_of, requests, run, say
from otel_helicone.local.output_file import OutputRefused, whole_file
from otel_helicone.local.session_ids import NotOneSession, find_session_id
from otel_helicone.local.storage.errors import StoreError
from otel_helicone.local.storage.records import RequestRecord
from otel_helicone.local.storage.store import Store
from otel_helicone.local.storage.transfer import (
    MAX_LINE,
    NotAnExport,
    exported_lines,
    imported_records,
    is_export,
)
from otel_helicone.local.storage.writer import StoreWriter

__all__ = ["export", "import_files"]

_STANDARD: Final = "-"
# So many records wait for the disk at most, so that memory does not grow with the file.
_MAX_UNWRITTEN: Final = 1000
_SECONDS_TO_WRITE: Final = 120.0


def export(store: Path, start_of_id: str | None, output: str | None) -> int:
    """Write the requests of a store, or of one session.

    Args:
        store: the store's file.
        start_of_id: the session's id, or the start of it; None for all requests.
        output: the file to write, for its owner's eyes only; None or ``-`` for standard output.

    Returns:
        The exit code.
    """
    return run(lambda: _export(store, start_of_id, output))


def _export(store: Path, start_of_id: str | None, output: str | None) -> int:
    reader = Store(store)
    try:
        session_id = None if start_of_id is None else find_session_id(reader, start_of_id)
    except NotOneSession as error:
        return failed(str(error))
    with reader.counted_requests(session_id) as (count, records):
        # Read before anything is written: where the store is none, there is nothing to write.
        return _write(store, count, _begun(records), output)


def _write(store: Path, count: int, records: Iterable[RequestRecord], output: str | None) -> int:
    if output is None or output == _STANDARD:
        if _is_standard_output(store):
            return failed(f"standard output is the store {store}: nothing was written")
        for line in exported_lines(records, count):
            sys.stdout.write(line + "\n")
        return 0
    try:
        with _writing(output) as file, _counting("Written") as counted:
            for line in exported_lines(counted(records), count):
                file.write(line + "\n")
    except OutputRefused as error:
        return failed(str(error))
    except OSError as error:
        return failed(f"{output} cannot be written: {reason_of(error)}")
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
    return run(lambda: _import(store, names))


class _NotRead(Exception):
    """A file cannot be read, or not to its end; the text says why."""


def _import(store: Path, names: Sequence[str]) -> int:
    for name in names:
        try:
            if not _is_stream(name):
                with _records(name):
                    pass  # the first line of each, before anything is stored
        except _NotRead as error:
            return failed(f"{name}: {error}")
    with ExitStack() as stack:
        writer: StoreWriter | None = None
        for name in names:
            read = 0
            try:
                with _counting("Read") as count, _records(name) as records:
                    if writer is None:
                        writer = stack.enter_context(closing(_writer(store)))
                    for read, record in enumerate(count(records), start=1):
                        writer.put(record)
                        if read % _MAX_UNWRITTEN == 0:
                            _wait(writer)
                    _wait(writer)
            except (_NotRead, KeyboardInterrupt) as error:
                if writer is not None:
                    _wait(writer)
                stored = f"; {requests(read)} before that are stored in {store}" if read else ""
                if isinstance(error, KeyboardInterrupt):
                    return failed(f"{name}: stopped{stored}", 130)
                return failed(f"{name}: {error}{stored}")
            say(f"Read {requests(read)} from {name} into {store}.")
    return 0


def _writer(store: Path) -> StoreWriter:
    # What could not be written is still in the file that is read, and `_wait` says why.
    return StoreWriter(store, unwritten=lambda _changes, _why: None)


def _is_stream(name: str) -> bool:
    """Return whether a file can be read only once."""
    if name == _STANDARD:
        return True
    try:
        mode = Path(name).stat().st_mode
    except OSError:
        return False  # which is said when it is read
    return not (S_ISREG(mode) or S_ISDIR(mode))


def _wait(writer: StoreWriter) -> None:
    """Wait until all is stored, and raise :class:`StoreError` where it can't be."""
    if not writer.flush(_SECONDS_TO_WRITE):
        raise StoreError(f"The store could not be written within {_SECONDS_TO_WRITE:g} s.")
    if writer.error is not None:
        raise StoreError(writer.error)


def _begun(records: Iterator[RequestRecord]) -> Iterable[RequestRecord]:
    """Read the first record at once."""
    return chain(list(islice(records, 1)), records)


def _is_standard_output(store: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(sys.stdout.fileno()), store.stat())
    except (OSError, ValueError):  # no file at all, in a test for instance
        return False


@contextmanager
def _writing(output: str) -> Iterator[IO[str]]:
    with whole_file(Path(output).expanduser(), is_export) as raw:
        if output.endswith(".gz"):
            with gzip.open(raw, "wt", encoding="ascii") as packed:
                yield packed
        else:
            plain = TextIOWrapper(raw, encoding="ascii")
            yield plain
            plain.flush()
            plain.detach()


@contextmanager
def _records(name: str) -> Iterator[Iterator[RequestRecord]]:
    """Open a file and read its first line; raise :class:`_NotRead` for what is wrong with it."""
    try:
        with _reading(name) as file:
            yield imported_records(_lines(file))
    except (NotAnExport, EOFError, zlib.error) as error:
        raise _NotRead(str(error)) from error
    except OSError as error:
        raise _NotRead(reason_of(error)) from error


@contextmanager
def _reading(name: str) -> Iterator[IO[str]]:
    if name == _STANDARD:
        yield sys.stdin
    elif name.endswith(".gz"):
        with gzip.open(name, "rt", encoding="utf-8") as file:
            yield file
    else:
        with Path(name).open(encoding="utf-8") as file:
            yield file


def _lines(file: IO[str]) -> Iterator[str]:
    """Read lines, none of them further than it has to be known that it is too long."""
    return iter(lambda: file.readline(MAX_LINE + 2), "")


_Counter: TypeAlias = Callable[[Iterable[RequestRecord]], Iterator[RequestRecord]]
"""Passes requests on, and counts them."""


@contextmanager
def _counting(did: str) -> Iterator[_Counter]:
    """Show on a terminal how many requests there were so far."""
    console = Console(stderr=True)
    if not console.is_terminal:
        # Old releases of rich write an empty line at the end of a progress that is disabled, too.
        yield iter
        return
    columns = (SpinnerColumn(), TextColumn("{task.description} {task.completed:,.0f} requests"))
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(did, total=None)

        def count(records: Iterable[RequestRecord]) -> Iterator[RequestRecord]:
            for record in records:
                progress.advance(task)
                yield record

        yield count
