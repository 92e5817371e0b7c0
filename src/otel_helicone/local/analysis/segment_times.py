"""Where a session's time went, by the segments of its paths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from otel_helicone.local.analysis.intervals import (
    Interval,
    interval_of,
    length_of,
    start_of,
    union,
)
from otel_helicone.local.analysis.tree import Folder, build_tree
from otel_helicone.local.storage.records import RequestRecord

__all__ = ["SegmentTime", "segment_times", "segment_times_of_tree"]


@dataclass(frozen=True, slots=True)
class SegmentTime:
    """The time of one place in the tree.

    Attributes:
        segments: the place's path, taken apart; empty for the root.
        own_ms: how long a request of exactly this path was in progress, in milliseconds.
        total_ms: how long one of this path or below was; concurrent work counts once.
        requests: how many there are at or below it.
        errors: how many of them failed.
        total_tokens: tokens of all of them.
        cost_usd: their cost in US dollars.
    """

    segments: tuple[str, ...]
    own_ms: int
    total_ms: int
    requests: int
    errors: int
    total_tokens: int
    cost_usd: float

    @property
    def depth(self) -> int:
        """How many segments the path has."""
        return len(self.segments)


def segment_times(requests: Sequence[RequestRecord]) -> tuple[SegmentTime, ...]:
    """Sum the time of each place in the tree.

    Args:
        requests: the requests of one session, in any order.

    Returns:
        One for each place, the root first, in the order of the tree.
    """
    return segment_times_of_tree(build_tree(requests))


def segment_times_of_tree(root: Folder) -> tuple[SegmentTime, ...]:
    """Sum the time of each place in a tree; see :func:`segment_times`.

    Args:
        root: from :func:`~.tree.build_tree`.
    """
    calls = list(root.calls())
    start = start_of(calls)
    if start is None:
        return ()
    intervals = {id(call): interval_of(call, start) for call in calls}
    found: list[SegmentTime] = []
    _sum(root, (), intervals, found)
    return tuple(found)


def _sum(
    folder: Folder,
    segments: tuple[str, ...],
    intervals: dict[int, Interval],
    found: list[SegmentTime],
) -> tuple[list[Interval], SegmentTime]:
    place = len(found)
    found.append(SegmentTime(segments, 0, 0, 0, 0, 0, 0.0))  # before those below it
    own: list[Interval] = []
    below: list[Interval] = []
    requests = errors = tokens = 0
    cost = 0.0
    for entry in folder.entries:
        if isinstance(entry, Folder):
            inner, time = _sum(entry, (*segments, entry.segment), intervals, found)
            below += inner
            requests += time.requests
            errors += time.errors
            tokens += time.total_tokens
            cost += time.cost_usd
        else:
            own.append(intervals[id(entry)])
            requests += 1
            errors += entry.is_error
            tokens += entry.total_tokens
            cost += entry.cost_usd or 0.0
    own = union(own)
    covered = union([*own, *below]) if below else own
    time = SegmentTime(segments, length_of(own), length_of(covered), requests, errors, tokens, cost)
    found[place] = time
    return covered, time
