"""Requests that a store does not take, kept in a file of their own."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from otel_helicone.local.storage.changes import Change
from otel_helicone.local.storage.columns import body_row_of, record_of, request_row_of
from otel_helicone.local.storage.errors import DamagedRow
from otel_helicone.local.storage.records import RequestRecord
from otel_helicone.local.storage.transfer import (
    FIRST_LINE,
    NotAnExport,
    exported_lines,
    imported_records,
)

__all__ = ["UnwrittenRequests"]

_FIRST: Final = f"{json.dumps(FIRST_LINE)}\n"

_logger = logging.getLogger(__name__)


class UnwrittenRequests:
    """Keeps requests in a file beside the store, or in the folder for temporary files.

    Their senders were answered long before, and nobody sends them again. The file is made for the
    first of them, and is one that ``otel-helicone import`` reads.

    Attributes:
        path: the file; None as long as there is none.
        kept: how many requests are in it.
        lost: how many are not, as it could not be written either, or they are not to be stored
            at all.
        is_losing: whether the last ones could not be kept.
    """

    def __init__(self, store: Path) -> None:
        """Begin without a file.

        Args:
            store: the store's file.
        """
        self._store = store
        self.path: Path | None = None
        self.kept = 0
        self.lost = 0
        self.is_losing = False
        self._logged: set[str] = set()

    def keep(self, changes: Iterable[Change], why: str) -> None:
        """Keep requests, or count them as lost; other changes are lost.

        Args:
            changes: what the store did not take.
            why: the reason, in a sentence.
        """
        self._log_once(f"what came in could not be written: {why}")
        lines = []
        for change in changes:
            line = _line(change)
            if line is None:
                self.lost += 1
            else:
                lines.append(line)
        if lines:
            self._keep(lines)

    def lose(self) -> None:
        """Count a request of which no record could be made."""
        self.lost += 1

    def _keep(self, lines: Sequence[str]) -> None:
        problem: OSError | None = None
        for place in self._places():
            try:
                _append(place, "".join(lines if place == self.path else (_FIRST, *lines)))
            except OSError as error:
                problem = error
                continue
            self._log_once(f"requests that could not be written are kept in {place}")
            self.path = place
            self.kept += len(lines)
            self.is_losing = False
            return
        self._log_once(f"requests are lost: they cannot be kept in a file either: {problem}")
        self.lost += len(lines)
        self.is_losing = True

    def _log_once(self, text: str) -> None:
        if text not in self._logged:
            self._logged.add(text)
            _logger.error("%s", text)

    def _places(self) -> Iterator[Path]:
        if self.path is not None:
            yield self.path
            return
        name = f"{self._store.name}.unwritten-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.jsonl"
        yield self._store.with_name(name)
        yield Path(tempfile.gettempdir()) / name


def _line(change: Change) -> str | None:
    """Return a request as a line of the file; None for what could not be read from it again."""
    if not isinstance(change, RequestRecord):
        return None
    try:
        first, line = exported_lines([record_of((*request_row_of(change), *body_row_of(change)))])
        list(imported_records([first, line]))
    except (DamagedRow, NotAnExport):
        return None
    return f"{line}\n"


def _append(place: Path, text: str) -> None:
    """Write lines at the end of a file, all of them or none."""
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    before = os.fstat(descriptor).st_size
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(text.encode("ascii"))
    except OSError:
        # Half a line would have the whole file refused.
        os.ftruncate(descriptor, before)
        if not before:
            place.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
