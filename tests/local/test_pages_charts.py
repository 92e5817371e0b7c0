"""The charts of sessions over time: where the bars stand, and what they say."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_helicone.local.analysis.over_time import TimeBucket
from otel_helicone.local.pages.charts import HEIGHT, WIDTH, Bar, charts_of, round_top

START = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def bucket(
    number: int,
    sessions: int = 0,
    failed: int = 0,
    cost_usd: float = 0.0,
    p50: float | None = None,
    p95: float | None = None,
) -> TimeBucket:
    return TimeBucket(
        start=START + number * HOUR,
        width=HOUR,
        sessions=sessions,
        failed_sessions=failed,
        requests=sessions,
        errors=failed,
        cost_usd=cost_usd,
        duration_p50_ms=p50,
        duration_p95_ms=p95,
    )


def test_without_sessions_there_are_no_charts() -> None:
    assert charts_of(()) == ()


def test_failed_sessions_stand_below_the_others_of_their_time() -> None:
    chart = charts_of([bucket(0, sessions=10, failed=4), bucket(1), bucket(2, sessions=5)])[0]
    bad, usual, last = chart.bars
    assert (bad.kind, bad.y, bad.height) == ("bad", 60, 40)
    assert (usual.kind, usual.y, usual.height) == ("usual", 0, 60)
    assert (last.kind, last.y, last.height) == ("usual", 50, 50)
    assert last.x > 2 * WIDTH / 3
    assert chart.top == "10"
    assert bad.words == "2026-05-04 12:00 UTC: 10 sessions, 4 with errors"
    assert chart.summary == (
        "Sessions over time: 15 sessions, 4 with errors. The table below has the numbers."
    )
    assert (chart.start, chart.end) == (START, START + 3 * HOUR)


def test_the_median_stands_before_the_duration_that_few_exceed() -> None:
    chart = charts_of([bucket(0, sessions=3, p50=1000.0, p95=4000.0), bucket(1)])[1]
    behind, before = chart.bars
    assert (behind.kind, behind.height) == ("pale", 100)
    assert (before.kind, before.height) == ("usual", 25)
    assert chart.top == "4000 ms"
    assert before.words == "2026-05-04 12:00 UTC: p50 1000 ms, p95 4000 ms"


def test_costs_have_a_bar_for_each_time_that_cost_something() -> None:
    chart = charts_of([bucket(0, sessions=1, cost_usd=0.03), bucket(1), bucket(2, cost_usd=0.015)])
    first, second = chart[2].bars
    assert (first.height, second.height) == (100, 50)
    assert chart[2].top == "$0.0300"
    assert first.words == "2026-05-04 12:00 UTC: $0.0300"


def test_one_failure_among_many_can_be_seen() -> None:
    chart = charts_of([bucket(0, sessions=100_000, failed=1)])[0]
    assert [bar.height for bar in chart.bars if bar.kind == "bad"] == [1.0]


@pytest.mark.parametrize(
    ("highest", "top"),
    [(0, 1), (1, 1), (9, 10), (51, 60), (1234, 2000), (0.00001, 0.00001), (0.00031, 0.0004)],
)
def test_the_top_of_a_chart_is_a_round_number(highest: float, top: float) -> None:
    assert round_top(highest) == top


@pytest.mark.parametrize(
    ("milliseconds", "top"),
    [(0, 1), (7, 8), (950, 1000), (11_000, 15_000), (61_000, 120_000), (4_000_000, 7_200_000)],
)
def test_the_top_of_durations_is_a_round_time(milliseconds: float, top: float) -> None:
    assert round_top(milliseconds, duration=True) == top


AMOUNTS = st.integers(min_value=0, max_value=10**6)


@st.composite
def drawn_bucket(draw: st.DrawFn, number: int) -> TimeBucket:
    sessions = draw(AMOUNTS)
    half = draw(st.floats(min_value=0, max_value=1e12)) if sessions else None
    return bucket(
        number,
        sessions=sessions,
        failed=draw(st.integers(min_value=0, max_value=sessions)),
        cost_usd=draw(st.floats(min_value=0, max_value=1e9)),
        p50=half,
        p95=None if half is None else half * draw(st.floats(min_value=1, max_value=10)),
    )


@given(
    st.integers(min_value=1, max_value=60).flatmap(
        lambda count: st.tuples(*(drawn_bucket(number) for number in range(count)))
    )
)
def test_bars_stay_inside_and_apart(buckets: tuple[TimeBucket, ...]) -> None:
    for chart in charts_of(buckets):
        for bar in chart.bars:
            assert 0 <= bar.x < bar.x + bar.width <= WIDTH + 0.01
            assert -1.01 <= bar.y < bar.y + bar.height <= HEIGHT + 0.01
        columns: dict[float, Bar] = {bar.x: bar for bar in chart.bars}
        ordered = sorted(columns)
        for left, right in itertools.pairwise(ordered):
            assert left + columns[left].width <= right + 0.01


@given(st.floats(min_value=1e-12, max_value=1e15), st.booleans())
def test_the_top_is_above_the_highest_and_not_far(highest: float, duration: bool) -> None:
    top = round_top(highest, duration=duration)
    assert top >= highest
    if not duration:
        assert top <= max(highest * 2, 1e-12)
