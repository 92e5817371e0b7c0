"""The rows of a session's tree, each with its place on the timeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from otel_helicone.local.analysis.intervals import Interval, interval_of
from otel_helicone.local.analysis.report import SessionReport
from otel_helicone.local.analysis.tree import Folder
from otel_helicone.local.storage.records import RequestRecord

__all__ = ["MOST_ROWS", "SessionRow", "find_folder", "session_rows"]

MOST_ROWS: Final = 500
"""How many rows a page shows. Thousands would keep a browser busy for seconds."""

_MOST_IN_A_FOLDER: Final = 100
_Key: TypeAlias = tuple[str, object]


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One line of the tree.

    Attributes:
        depth: how many folders it is in.
        segments: the path of its folder.
        segment: the last segment of it; None for a request whose folder has a row of its own.
        folder: whether the row stands for a folder.
        request: the request it stands for, or None.
        from_ms: when it began, in milliseconds since the session did.
        to_ms: when it ended.
        critical: what of that is on the critical path.
        requests: how many requests it stands for.
        errors: how many of them failed.
        tokens: their tokens.
        cost_usd: their cost in US dollars; None where none of them has one.
        attempt: which attempt of how many it is, such as ``attempt 2 of 3``; else empty.
        more: how many entries of the folder are left out after this row; 0 for an ordinary row.
        more_from: the number of the first one that is left out.
    """

    depth: int
    segments: tuple[str, ...]
    segment: str | None
    folder: bool
    request: RequestRecord | None
    from_ms: int
    to_ms: int
    critical: tuple[Interval, ...]
    requests: int
    errors: int
    tokens: int
    cost_usd: float | None
    attempt: str = ""
    more: int = 0
    more_from: int = 0


def find_folder(root: Folder, segments: Sequence[str]) -> Folder | None:
    """Give the folder at a path, None where there is none.

    Args:
        root: from :func:`~otel_helicone.local.analysis.tree.build_tree`.
        segments: the path, taken apart.
    """
    folder = root
    for segment in segments:
        below = (entry for entry in folder.entries if isinstance(entry, Folder))
        found = next((entry for entry in below if entry.segment == segment), None)
        if found is None:
            return None
        folder = found
    return folder


def session_rows(
    report: SessionReport,
    folder: Folder | None = None,
    segments: tuple[str, ...] = (),
    first: int = 0,
    most: int = MOST_ROWS,
) -> list[SessionRow]:
    """Make the rows of a session, or of one folder of it.

    Args:
        report: what the session's records tell.
        folder: the folder whose entries are wanted; None for the root.
        segments: its path.
        first: how many of its entries to leave out at the start.
        most: how many rows there may be; folders for which there is no room are not opened.
    """
    return list(_Rows(report, most).of(folder or report.tree, segments, first))


def _key(request: RequestRecord) -> _Key:
    return request.request_id, request.started_at


class _Rows:
    def __init__(self, report: SessionReport, most: int) -> None:
        self._start = report.timeline.started_at
        self._left = most
        self._most = most
        self._critical: dict[_Key, list[Interval]] = {}
        for step in report.critical_path.steps:
            parts = self._critical.setdefault(_key(step.request), [])
            parts.append((step.from_ms, step.to_ms))
        self._attempts = {
            _key(attempt): f"attempt {number} of {len(retry.attempts)}"
            for retry in report.retries
            for number, attempt in enumerate(retry.attempts, start=1)
        }

    def of(
        self, folder: Folder, segments: tuple[str, ...], first: int = 0, depth: int = 0
    ) -> Iterator[SessionRow]:
        entries = folder.entries[first:]
        # The folder that is asked for fills the page; those in it leave room for others.
        fitting = self._most - 1 if depth == 0 else _MOST_IN_A_FOLDER
        shown = 0
        for entry in entries[:fitting]:
            if self._left <= 1:
                break
            self._left -= 1
            shown += 1
            if isinstance(entry, Folder):
                yield from self._folder(entry, (*segments, entry.segment), depth)
            else:
                yield self._call(entry, segments, None, depth)
        if shown < len(entries):
            self._left -= 1
            yield SessionRow(
                *(depth, segments, None, False, None, 0, 0, (), 0, 0, 0, None),
                more=len(entries) - shown,
                more_from=first + shown,
            )

    def _call(
        self, call: RequestRecord, segments: tuple[str, ...], segment: str | None, depth: int
    ) -> SessionRow:
        begun, ended = interval_of(call, self._start)
        return SessionRow(
            depth=depth,
            segments=segments,
            segment=segment,
            folder=segment is not None,
            request=call,
            from_ms=begun,
            to_ms=ended,
            critical=tuple(self._critical.get(_key(call), ())),
            requests=1,
            errors=int(call.is_error),
            tokens=call.total_tokens,
            cost_usd=call.cost_usd,
            attempt=self._attempts.get(_key(call), ""),
        )

    def _folder(
        self, folder: Folder, segments: tuple[str, ...], depth: int
    ) -> Iterator[SessionRow]:
        only = folder.entries[0] if len(folder.entries) == 1 else None
        if only is not None and not isinstance(only, Folder):
            yield self._call(only, segments, folder.segment, depth)
            return
        calls = list(folder.calls())
        intervals = [interval_of(call, self._start) for call in calls]
        costs = [call.cost_usd for call in calls if call.cost_usd is not None]
        yield SessionRow(
            depth=depth,
            segments=segments,
            segment=folder.segment,
            folder=True,
            request=None,
            from_ms=min(begun for begun, _ in intervals),
            to_ms=max(ended for _, ended in intervals),
            critical=(),
            requests=len(calls),
            errors=sum(call.is_error for call in calls),
            tokens=sum(call.total_tokens for call in calls),
            cost_usd=sum(costs) if costs else None,
        )
        yield from self.of(folder, segments, depth=depth + 1)
