"""What a session waited for, as the terminal tells it."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from otel_helicone.local.analysis.report import report
from otel_helicone.local.figures import (
    shown_cost,
    shown_count,
    shown_milliseconds,
    shown_status,
)
from otel_helicone.local.storage.records import RequestRecord
from otel_helicone.local.terminal_report import print_report
from tests.local.session_records import call

TRIP = [
    call("/plan", 0, 400, status=429),
    call("/plan", 500, 300, cost_usd=0.5),
    call("/plan/flight", 900, 800, cost_usd=0.25),
    call("/caf%C3%A9%1b[2J", 1000, 100, status=-3),
]


def printed(
    requests: Sequence[RequestRecord], others: Sequence[Sequence[RequestRecord]] = ()
) -> str:
    file = io.StringIO()
    console = Console(file=file, width=100, highlight=False, markup=False, emoji=False)
    print_report(console, "Trip", report(requests, others))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def test_each_section_says_what_there_is_to_say() -> None:
    assert (
        printed(TRIP)
        == """
Critical path: 1500 ms in requests, 200 ms between requests
STEP          BEFORE    TIME  SHARE
/plan                 400 ms   24 %
/plan         100 ms  300 ms   18 %
/plan/flight  100 ms  800 ms   47 %

Time by segment
PATH             OWN    TOTAL  SHARE
/plan         700 ms  1500 ms   88 %
/plan/flight  800 ms   800 ms   47 %
/café\\x1b[2J  100 ms   100 ms    6 %

Slowest
/plan/flight  800 ms
/plan         400 ms
/plan         300 ms
/café\\x1b[2J  100 ms

Dearest
/plan         $0.5000
/plan/flight  $0.2500

Errors and retries
/plan: 2 attempts, the last one succeeded
/plan: 429
/café\\x1b[2J: caller left"""
    )


def test_a_session_is_set_beside_others_of_its_name() -> None:
    others = [[call("/plan", 0, latency)] for latency in (100, 200, 300)]
    text = printed([call("/plan", 0, 900), call("/extra", 900, 100)], others)
    assert "Compared with 3 other sessions of Trip" in text
    assert "duration  1000 ms  200 ms        100 %" in text
    assert "/plan   900 ms  200 ms     +700 ms" in text
    assert "/extra  100 ms     new     +100 ms" in text


def test_one_request_needs_no_explanation() -> None:
    assert printed([call()]) == ""
    assert printed([]) == ""


def test_long_lists_end_with_how_much_is_left_out() -> None:
    text = printed([call(f"/{n}", n * 100, 50, status=500) for n in range(30)])
    assert "and 18 more steps" in text
    assert "and 18 more paths" in text
    assert "and 18 more" in text.splitlines()[-1]


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (None, "-"),
        (0.0, "$0"),
        (1234.5, "$1,234.50"),
        (0.0123, "$0.0123"),
        (0.0000045, "$0.0000045"),
        (0.00045, "$0.00045"),
        (1e-9, "<$0.0000001"),
    ],
)
def test_costs_have_the_digits_that_tell_them_apart(cost: float | None, text: str) -> None:
    assert shown_cost(cost) == text


@given(st.floats(0, 1e6))
def test_a_cost_is_shown_close_to_what_it_is(cost: float) -> None:
    text = shown_cost(cost)
    if not text.startswith("<"):
        assert float(text.strip("$").replace(",", "")) == pytest.approx(cost, rel=0.51, abs=1e-7)


def test_times_counts_and_statuses_are_written_for_people() -> None:
    times = {850: "850 ms", 12_345: "12.3 s", 187_000: "3 min 07 s", 7_500_000: "2 h 05 min"}
    assert [shown_milliseconds(time) for time in times] == list(times.values())
    assert shown_count(1234567) == "1,234,567"
    assert [shown_status(status) for status in (200, -2, -3)] == ["200", "broke off", "caller left"]
