"""When requests were in progress, in milliseconds since the session began."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from otel_helicone.local.storage.records import RequestRecord

__all__ = ["Interval", "interval_of", "length_of", "start_of", "union"]

Interval: TypeAlias = tuple[int, int]
"""From and to, in milliseconds since the start of the session's first request."""

_MILLISECOND: Final = timedelta(milliseconds=1)


def start_of(requests: Iterable[RequestRecord]) -> datetime | None:
    """Give when the first of the requests came in; None where there is none."""
    return min((request.started_at for request in requests), default=None)


def interval_of(request: RequestRecord, start: datetime) -> Interval:
    """Give when a request was in progress.

    Args:
        request: any request. One that ends before it starts, as a log may say, takes no time.
        start: when the session began.
    """
    begun = (request.started_at - start) // _MILLISECOND
    return begun, begun + max(request.latency_ms, 0)


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Give the time that intervals cover, without overlaps and in order.

    Args:
        intervals: in any order; those that touch become one.
    """
    merged: list[Interval] = []
    for begun, ended in sorted(intervals):
        if merged and begun <= merged[-1][1]:
            if ended > merged[-1][1]:
                merged[-1] = (merged[-1][0], ended)
        else:
            merged.append((begun, ended))
    return merged


def length_of(intervals: Sequence[Interval]) -> int:
    """Give how long intervals without overlaps are together, in milliseconds."""
    return sum(ended - begun for begun, ended in intervals)
