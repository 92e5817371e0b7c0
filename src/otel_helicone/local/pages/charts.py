"""Charts of sessions over time, drawn as bars: where each one stands, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from otel_helicone.local.analysis.over_time import TimeBucket
from otel_helicone.local.figures import shown_cost, shown_count, shown_milliseconds

__all__ = ["HEIGHT", "WIDTH", "Bar", "Chart", "charts_of", "round_top"]

WIDTH: Final = 480
"""The width of a chart, in its own units; a page stretches it to the room there is."""

HEIGHT: Final = 100
"""The height of a chart, in its own units."""

# Between two bars, as a share of the room that one has.
_SPACE: Final = 0.18
_STEPS: Final = (1, 2, 3, 4, 5, 6, 8)
_SECOND: Final = 1000.0
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_ROUND_DURATIONS: Final = (
    *(step * unit for unit in (1.0, 10.0, 100.0) for step in _STEPS),
    *(step * _SECOND for step in (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45)),
    *(step * _MINUTE for step in (1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45)),
    *(step * _HOUR for step in (1, 2, 3, 4, 6, 8, 12, 18)),
    *(step * _DAY for step in (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)),
)


@dataclass(frozen=True, slots=True)
class Bar:
    """One rectangle.

    Attributes:
        x: its left side.
        y: its upper side.
        width: how wide it is.
        height: how high it is.
        kind: which colour it has: ``usual``, ``bad`` or ``pale``.
        words: what it stands for.
    """

    x: float
    y: float
    width: float
    height: float
    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart.

    Attributes:
        title: what it shows.
        summary: the same in a sentence, for those who do not see it.
        top: what its upper edge stands for; its lower edge is 0.
        bars: its rectangles, those behind first.
        legend: kinds of bars and their words; empty where there is one kind alone.
        start: when its left side is.
        end: when its right side is.
    """

    title: str
    summary: str
    top: str
    bars: tuple[Bar, ...]
    legend: tuple[tuple[str, str], ...]
    start: datetime
    end: datetime


def charts_of(buckets: Sequence[TimeBucket]) -> tuple[Chart, ...]:
    """Draw sessions, their durations and their costs over time.

    Args:
        buckets: the times in order, each with its sessions; without any there are no charts.
    """
    if not buckets:
        return ()
    return (_sessions(buckets), _durations(buckets), _costs(buckets))


def round_top(highest: float, *, duration: bool = False) -> float:
    """Give a round number that is not lower than the highest of a chart.

    Args:
        highest: the highest value, not negative.
        duration: whether it is a number of milliseconds, which is round as a time is.

    Returns:
        A digit times a power of ten, or a round time; 1 for nothing at all.
    """
    if highest <= 0:
        return 1.0
    if duration and highest <= _ROUND_DURATIONS[-1]:
        return next(step for step in _ROUND_DURATIONS if step >= highest)
    for power in range(-12, 300):
        for step in _STEPS:
            # Read from text: 10.0 ** -5 is not the number that is nearest to 0.00001.
            top = float(f"{step}e{power}")
            if top >= highest:
                return top
    raise ValueError(f"{highest} is too high for a chart")


def _sessions(buckets: Sequence[TimeBucket]) -> Chart:
    top = round_top(max(bucket.sessions for bucket in buckets))
    bars: list[Bar] = []
    for index, bucket in enumerate(buckets):
        words = f"{_span(bucket)}: {_of_sessions(bucket.sessions)}"
        words += f", {shown_count(bucket.failed_sessions)} with errors"
        well = bucket.sessions - bucket.failed_sessions
        bars += _bar(index, len(buckets), bucket.failed_sessions / top, "bad", words)
        bars += _bar(
            index, len(buckets), well / top, "usual", words, above=bucket.failed_sessions / top
        )
    total = sum(bucket.sessions for bucket in buckets)
    failed = sum(bucket.failed_sessions for bucket in buckets)
    return _chart(
        buckets,
        "Sessions",
        f"{_of_sessions(total)}, {shown_count(failed)} with errors",
        shown_count(round(top)),
        bars,
        (("usual", "without errors"), ("bad", "with errors")),
    )


def _durations(buckets: Sequence[TimeBucket]) -> Chart:
    highest = max(bucket.duration_p95_ms or 0.0 for bucket in buckets)
    top = round_top(highest, duration=True)
    bars: list[Bar] = []
    for index, bucket in enumerate(buckets):
        half, most = bucket.duration_p50_ms, bucket.duration_p95_ms
        if half is None or most is None:
            continue
        words = f"{_span(bucket)}: p50 {_milliseconds(half)}, p95 {_milliseconds(most)}"
        bars += _bar(index, len(buckets), most / top, "pale", words)
        bars += _bar(index, len(buckets), half / top, "usual", words)
    return _chart(
        buckets,
        "Session duration",
        f"p95 up to {_milliseconds(highest)}",
        _milliseconds(top),
        bars,
        (("usual", "p50"), ("pale", "p95")),
    )


def _costs(buckets: Sequence[TimeBucket]) -> Chart:
    top = round_top(max(bucket.cost_usd for bucket in buckets))
    bars: list[Bar] = []
    for index, bucket in enumerate(buckets):
        words = f"{_span(bucket)}: {shown_cost(bucket.cost_usd)}"
        bars += _bar(index, len(buckets), bucket.cost_usd / top, "usual", words)
    total = shown_cost(sum(bucket.cost_usd for bucket in buckets))
    return _chart(buckets, "Cost", f"{total} in all", shown_cost(top), bars, ())


def _chart(
    buckets: Sequence[TimeBucket],
    title: str,
    figures: str,
    top: str,
    bars: Sequence[Bar],
    legend: tuple[tuple[str, str], ...],
) -> Chart:
    start, end = buckets[0].start, buckets[-1].start + buckets[-1].width
    summary = f"{title} over time: {figures}. The table below has the numbers."
    return Chart(title, summary, top, tuple(bars), legend, start, end)


def _bar(
    index: int, count: int, share: float, kind: str, words: str, *, above: float = 0.0
) -> tuple[Bar, ...]:
    """Give the bar for a share of the height, over another share; none for nothing."""
    if share <= 0:
        return ()
    room = WIDTH / count
    # A pixel at least, whatever else is in the chart: a single failure has to be seen.
    height = max(share * HEIGHT, 1.0)
    return (
        Bar(
            x=round(room * (index + _SPACE / 2), 2),
            y=round(HEIGHT - above * HEIGHT - height, 2),
            width=round(room * (1 - _SPACE), 2),
            height=round(height, 2),
            kind=kind,
            words=words,
        ),
    )


def _span(bucket: TimeBucket) -> str:
    form = "%Y-%m-%d %H:%M UTC" if bucket.width.total_seconds() % 60 == 0 else "%H:%M:%S UTC"
    return bucket.start.strftime(form)


def _of_sessions(count: int) -> str:
    return "1 session" if count == 1 else f"{shown_count(count)} sessions"


def _milliseconds(value: float) -> str:
    return shown_milliseconds(round(value))
