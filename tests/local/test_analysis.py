"""What a session's records tell: its critical path, where its time went, what is unusual."""

from __future__ import annotations

import itertools
import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_helicone.local.analysis.comparison import compare
from otel_helicone.local.analysis.critical_path import critical_path
from otel_helicone.local.analysis.extremes import dearest, slowest
from otel_helicone.local.analysis.intervals import interval_of, length_of, union
from otel_helicone.local.analysis.names import by_name
from otel_helicone.local.analysis.over_time import over_time
from otel_helicone.local.analysis.percentiles import percentile, percentiles_of
from otel_helicone.local.analysis.report import report
from otel_helicone.local.analysis.retries import retries
from otel_helicone.local.analysis.segment_times import segment_times
from otel_helicone.local.analysis.timeline import Gap, timeline
from otel_helicone.local.storage.filters import SessionFigures
from otel_helicone.local.storage.records import RequestRecord
from tests.local.session_records import STARTED, call

paths = st.sampled_from(["/", "/a", "/a/b", "/a/b/c", "/d", None])
calls = st.builds(
    call,
    paths,
    st.integers(0, 2000),
    st.integers(-50, 1000),
    status=st.sampled_from([200, 200, 429, 500, -3]),
    cost_usd=st.none() | st.floats(0, 1),
)
sessions = st.lists(calls, min_size=1, max_size=25)


def steps(*requests: RequestRecord) -> list[tuple[str | None, int, int]]:
    found = critical_path(requests).steps
    return [(step.request.session_path, step.from_ms, step.to_ms) for step in found]


def test_of_work_at_the_same_time_the_last_to_end_is_on_the_critical_path() -> None:
    plan = call("/plan", 0, 100)
    slow, quick = call("/slow", 120, 500), call("/quick", 120, 80)
    book = call("/book", 650, 50)
    found = critical_path([quick, book, slow, plan])
    assert [step.request for step in found.steps] == [plan, slow, book]
    assert [step.waited_ms for step in found.steps] == [0, 20, 30]
    assert (found.requests_ms, found.waiting_ms) == (650, 50)


def test_a_request_waits_for_those_inside_of_it_and_below_its_path() -> None:
    assert steps(
        call("/agent", 0, 100), call("/agent/look", 10, 30), call("/agent/write", 50, 40)
    ) == [
        ("/agent", 0, 10),
        ("/agent/look", 10, 40),
        ("/agent", 40, 50),
        ("/agent/write", 50, 90),
        ("/agent", 90, 100),
    ]


def test_a_request_beside_others_waits_for_none_of_them() -> None:
    assert steps(call("/long", 0, 100), call("/short", 10, 30)) == [("/long", 0, 100)]


def test_no_time_has_no_critical_path() -> None:
    assert steps() == []
    assert steps(call("/a", 0, 0)) == []
    assert steps(call("/a", 0, -5)) == []


@given(sessions)
def test_critical_steps_and_waiting_make_up_the_whole_duration(
    requests: list[RequestRecord],
) -> None:
    found = critical_path(requests)
    assert found.requests_ms + found.waiting_ms == timeline(requests).duration_ms
    at = 0
    for step in found.steps:
        assert step.from_ms == at + step.waited_ms
        assert step.from_ms < step.to_ms
        begun, ended = interval_of(step.request, min(r.started_at for r in requests))
        assert begun <= step.from_ms
        assert step.to_ms <= ended
        at = step.to_ms


def test_the_timeline_tells_gaps_and_what_went_on_at_once() -> None:
    found = timeline([call("/a", 0, 100), call("/b", 50, 100), call("/c", 300, 100)])
    assert (found.duration_ms, found.busy_ms, found.most_at_once) == (400, 250, 2)
    assert found.gaps == (Gap(150, 300),)
    assert timeline([]).duration_ms == 0
    # One that ends when another begins is not beside it.
    assert timeline([call("/a", 0, 100), call("/b", 100, 100)]).most_at_once == 1


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)).map(sorted), max_size=20))
def test_a_union_covers_what_its_intervals_do(pairs: list[list[int]]) -> None:
    intervals = [(begun, ended) for begun, ended in pairs]
    covered = {point for begun, ended in intervals for point in range(begun, ended)}
    merged = union(intervals)
    assert {point for begun, ended in merged for point in range(begun, ended)} == covered
    assert length_of(merged) == len(covered)
    assert all(one[1] < other[0] for one, other in itertools.pairwise(merged))


def test_time_by_segment_counts_work_at_the_same_time_once() -> None:
    times = {
        "/".join(time.segments): time
        for time in segment_times(
            [
                call("/plan", 0, 100, cost_usd=0.5),
                call("/plan/flight", 100, 200, cost_usd=0.25),
                call("/plan/hotel", 150, 200, status=500),
                call("/book", 400, 50),
            ]
        )
    }
    assert list(times) == ["", "plan", "plan/flight", "plan/hotel", "book"]
    assert (times["plan"].own_ms, times["plan"].total_ms) == (100, 350)
    assert (times["plan"].requests, times["plan"].errors) == (3, 1)
    assert times["plan"].cost_usd == 0.75
    assert (times[""].own_ms, times[""].total_ms, times[""].requests) == (0, 400, 4)
    assert (times["plan/hotel"].depth, times[""].depth) == (2, 0)


@given(sessions)
def test_own_time_is_part_of_the_total_and_the_root_is_what_was_busy(
    requests: list[RequestRecord],
) -> None:
    times = segment_times(requests)
    assert times[0].total_ms == timeline(requests).busy_ms
    assert times[0].requests == len(requests)
    assert all(0 <= time.own_ms <= time.total_ms <= times[0].total_ms for time in times)


def test_a_failed_call_and_those_after_it_on_its_path_are_attempts_of_one() -> None:
    first = call("/plan", 0, 100, status=429, model=None)
    beside = call("/plan", 50, 100)  # began before the first one had failed
    second = call("/plan", 200, 100, status=500)
    third = call("/plan", 400, 100)
    other = call("/book", 500, 10, status=500)
    (found,) = retries([third, other, second, beside, first])
    assert found.attempts == (first, second, third)
    assert found.succeeded
    (given_up,) = retries([first, second])
    assert not given_up.succeeded


def test_a_call_of_another_model_or_kind_is_no_attempt() -> None:
    failed = call("/plan", 0, 100, status=500)
    assert retries([failed, call("/plan", 200, model="gpt-4o")]) == ()
    assert retries([failed, call("/plan", 200, kind="tool")]) == ()


@given(sessions)
def test_every_attempt_but_the_last_failed_before_the_next(requests: list[RequestRecord]) -> None:
    seen: list[int] = []
    for retry in retries(requests):
        seen += map(id, retry.attempts)
        for before, after in zip(retry.attempts, retry.attempts[1:], strict=False):
            assert before.is_error
            assert before.ended_at <= after.started_at
    assert len(seen) == len(set(seen))


def test_the_slowest_and_the_dearest_come_first() -> None:
    requests = [call("/a", 0, 10, cost_usd=2), call("/b", 0, 30), call("/c", 0, 20, cost_usd=3)]
    assert [request.session_path for request in slowest(requests, 2)] == ["/b", "/c"]
    assert [request.session_path for request in dearest(requests)] == ["/c", "/a"]


def test_percentiles_lie_between_the_values_around_them() -> None:
    found = percentiles_of(range(101))
    assert found is not None
    assert (found.p50, found.p75, found.p90, found.p95, found.p99) == (50, 75, 90, 95, 99)
    assert percentile([1, 2], 0.25) == 1.25
    assert percentiles_of([]) is None
    for values, share in (([], 0.5), ([1], 1.5)):
        with pytest.raises(ValueError, match=r"percentile|share"):
            percentile(values, share)


@given(st.lists(st.integers(-1000, 1000), min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_percentiles_rise_with_their_share(values: list[int], one: float, other: float) -> None:
    values.sort()
    low, high = (percentile(values, share) for share in sorted((one, other)))
    assert values[0] <= low <= high <= values[-1]


def test_a_session_is_compared_with_the_median_of_others() -> None:
    here = [call("/plan", 0, 900), call("/extra", 900, 100)]
    others = [
        [call("/plan", 0, latency), call("/book", latency, 50)] for latency in (100, 200, 300)
    ]
    found = compare(here, others)
    assert found is not None
    assert found.sessions == 3
    assert (found.duration_ms.here, found.duration_ms.usual, found.duration_ms.rank) == (
        *(1000, 250),
        1.0,
    )
    assert found.duration_ms.factor == 4
    assert [(path.path, path.here_ms, path.usual_ms) for path in found.paths] == [
        ("/plan", 900, 200),
        ("/extra", 100, None),
        ("/book", None, 50),
    ]
    assert [path.difference_ms for path in found.paths] == [700, 100, -50]


def test_what_few_others_have_is_not_missed() -> None:
    others = [[call("/plan")], [call("/plan")], [call("/plan"), call("/rare")]]
    found = compare([call("/plan")], others)
    assert found is not None
    assert [path.path for path in found.paths] == ["/plan"]


def test_without_others_nothing_is_compared() -> None:
    assert compare([call()], []) is None
    assert compare([call()], [[]]) is None
    assert compare([], [[call()]]) is None


@given(sessions, st.lists(sessions, min_size=1, max_size=4))
def test_a_rank_is_a_share_of_the_others(
    here: list[RequestRecord], others: list[list[RequestRecord]]
) -> None:
    found = compare(here, others)
    assert found is not None
    for one in (found.duration_ms, found.cost_usd, found.requests, found.errors, found.tokens):
        assert 0 <= one.rank <= 1
        assert math.isfinite(one.usual)


def figures(
    name: str, minutes: float, duration_ms: int, errors: int = 0, cost: float = 0.0
) -> SessionFigures:
    started = int((STARTED + timedelta(minutes=minutes)).timestamp() * 1_000_000)
    return SessionFigures("id", name, started, duration_ms, 2, errors, 30, cost, duration_ms)


def test_sessions_are_grouped_by_their_names() -> None:
    found = by_name(
        [figures("b", 0, 100), figures("a", 1, 100, 1, 0.5), figures("a", 5, 300, cost=1.5)]
    )
    assert [(one.name, one.sessions, one.failed_sessions) for one in found] == [
        ("a", 2, 1),
        ("b", 1, 0),
    ]
    assert (found[0].duration_ms.p50, found[0].cost_usd, found[0].requests) == (200, 2.0, 4)
    assert found[0].last_started_at - found[0].first_started_at == timedelta(minutes=4)


def test_time_is_cut_into_round_parts_without_a_hole() -> None:
    found = over_time([figures("a", 0, 100), figures("a", 3, 300, 1), figures("a", 9, 500)], 12)
    assert {bucket.width for bucket in found} == {timedelta(minutes=1)}
    assert [bucket.sessions for bucket in found] == [1, 0, 0, 1, 0, 0, 0, 0, 0, 1]
    assert [bucket.failed_sessions for bucket in found if bucket.sessions] == [0, 1, 0]
    assert found[3].duration_p50_ms == 300
    assert found[1].duration_p50_ms is None
    assert over_time([]) == ()


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=30), st.integers(1, 60))
def test_every_session_is_in_one_part_of_time(minutes: list[int], buckets: int) -> None:
    found = over_time([figures("a", minute, 100) for minute in minutes], buckets)
    assert sum(bucket.sessions for bucket in found) == len(minutes)
    assert len(found) <= buckets + 1
    assert all(one.start + one.width == other.start for one, other in itertools.pairwise(found))


@given(sessions, st.lists(sessions, max_size=3))
def test_a_report_has_all_of_it(
    requests: list[RequestRecord], others: list[list[RequestRecord]]
) -> None:
    told = report(requests, others)
    assert sum(1 for _ in told.tree.calls()) == len(requests)
    assert told.segment_times == segment_times(requests)
    assert len(told.errors) == sum(request.is_error for request in requests)
    assert (told.comparison is None) == (not others)


def test_nothing_is_told_of_nothing() -> None:
    told = report([])
    assert told.timeline.duration_ms == 0
    assert told.segment_times == ()
    assert told.comparison is None
