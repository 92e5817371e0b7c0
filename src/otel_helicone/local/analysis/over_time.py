"""Sessions by when they started, for charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from otel_helicone.local.analysis.percentiles import percentile
from otel_helicone.local.storage.columns import time_of
from otel_helicone.local.storage.filters import SessionFigures

__all__ = ["TimeBucket", "over_time"]

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
# In seconds: what people count time in.
_WIDTHS: Final = (
    *(1, 2, 5, 10, 15, 30),
    *(_MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE),
    *(_HOUR, 2 * _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR),
    *(_DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY, 28 * _DAY, 91 * _DAY, 364 * _DAY),
)
_SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class TimeBucket:
    """The sessions that started within one stretch of time.

    Attributes:
        start: when it begins, in UTC.
        width: how long it is.
        sessions: how many started in it.
        failed_sessions: in how many of them a request failed.
        requests: of all of them.
        errors: how many of the requests failed.
        cost_usd: of all of them, in US dollars.
        duration_p50_ms: the median of their durations; None for no session.
        duration_p95_ms: nineteen in twenty are shorter; None for no session.
    """

    start: datetime
    width: timedelta
    sessions: int
    failed_sessions: int
    requests: int
    errors: int
    cost_usd: float
    duration_p50_ms: float | None
    duration_p95_ms: float | None


def over_time(figures: Sequence[SessionFigures], buckets: int = 48) -> tuple[TimeBucket, ...]:
    """Group sessions by when they started.

    Args:
        figures: the sessions.
        buckets: how many groups there may be, at least 1.

    Returns:
        Groups of one round width, in order and without a hole, from the first start to the last.
    """
    if not figures:
        return ()
    starts = [session.started_at for session in figures]
    first, last = min(starts), max(starts)
    width = next(
        (
            seconds * _SECOND
            for seconds in _WIDTHS
            if last // (seconds * _SECOND) - first // (seconds * _SECOND) < buckets
        ),
        (last - first) // max(buckets - 1, 1) + 1,
    )
    groups: dict[int, list[SessionFigures]] = {}
    for session in figures:
        groups.setdefault(session.started_at // width, []).append(session)
    return tuple(
        _bucket(number * width, width, groups.get(number, []))
        for number in range(first // width, last // width + 1)
    )


def _bucket(start: int, width: int, group: list[SessionFigures]) -> TimeBucket:
    durations = sorted(session.duration_ms for session in group)
    return TimeBucket(
        start=time_of(start),
        width=timedelta(microseconds=width),
        sessions=len(group),
        failed_sessions=sum(session.errors > 0 for session in group),
        requests=sum(session.requests for session in group),
        errors=sum(session.errors for session in group),
        cost_usd=sum(session.cost_usd for session in group),
        duration_p50_ms=percentile(durations, 0.5) if durations else None,
        duration_p95_ms=percentile(durations, 0.95) if durations else None,
    )
