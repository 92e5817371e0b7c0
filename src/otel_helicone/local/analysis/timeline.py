"""When a session was busy, and when it was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from otel_helicone.local.analysis.intervals import interval_of, length_of, start_of, union
from otel_helicone.local.storage.records import RequestRecord

__all__ = ["Gap", "Timeline", "timeline"]


@dataclass(frozen=True, slots=True)
class Gap:
    """Time in which no request was in progress: the application's own.

    Attributes:
        from_ms: when it began, in milliseconds since the session did.
        to_ms: when the next request came in.
    """

    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """A session's time.

    Attributes:
        started_at: when its first request came in, in UTC.
        duration_ms: until the last one ended, in milliseconds.
        busy_ms: how much of it at least one request was in progress.
        gaps: the rest, in order.
        most_at_once: how many requests were in progress at the same time, at most.
    """

    started_at: datetime
    duration_ms: int
    busy_ms: int
    gaps: tuple[Gap, ...]
    most_at_once: int


def timeline(requests: Sequence[RequestRecord]) -> Timeline:
    """Find out when requests were in progress.

    Args:
        requests: the requests of one session, in any order.
    """
    start = start_of(requests)
    if start is None:
        return Timeline(datetime(1970, 1, 1, tzinfo=UTC), 0, 0, (), 0)
    intervals = [interval_of(request, start) for request in requests]
    busy = union(intervals)
    gaps = tuple(Gap(before[1], after[0]) for before, after in pairwise(busy))
    return Timeline(start, busy[-1][1], length_of(busy), gaps, _most_at_once(intervals))


def _most_at_once(intervals: Sequence[tuple[int, int]]) -> int:
    # One that ends when another begins is not beside it; one without length is there for itself.
    events = sorted(
        event for begun, ended in intervals for event in ((begun, 1), (max(ended, begun + 1), -1))
    )
    now = most = 0
    for _, step in events:
        now += step
        most = max(most, now)
    return most
