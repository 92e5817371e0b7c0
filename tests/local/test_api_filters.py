"""Helicone's filters, searches and histograms, against the store and against simpler words."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_helicone.local.api.answer import BrokenCall
from otel_helicone.local.api.conditions import Condition, both, property_is
from otel_helicone.local.api.fields import InvalidBody
from otel_helicone.local.api.filters import of_requests, of_totals
from otel_helicone.local.api.histogram import Bin, histogram, number_text, quantile
from otel_helicone.local.api.likeness import add_likeness, ilike, is_like, matches
from otel_helicone.local.api.reading import Rows, rows_of
from otel_helicone.local.storage.changes import Scores, SessionTag
from otel_helicone.local.storage.records import RequestRecord
from otel_helicone.local.storage.store import Store
from otel_helicone.local.storage.writer import StoreWriter

BEGIN = datetime(2026, 11, 22, 18, tzinfo=UTC)
HOSTILE = [
    "'",
    '"',
    "\\",
    "%",
    "_",
    "'); DROP TABLE request; --",
    "?",
    ":x",
    "$.a",
    "é",
    "🎉",
]
A = RequestRecord(
    request_id="aaaaaaaa-0000-4000-8000-000000000001",
    session_id="s-1",
    session_path="/plan",
    session_name="Trip",
    user_id="alice",
    properties={"env": "prod", "Größe": "XL"},
    provider="OPENAI",
    model="gpt-4o",
    method="POST",
    target_path="/v1/chat/completions",
    status=200,
    prompt_tokens=10,
    completion_tokens=5,
    total_tokens=15,
    started_at=BEGIN,
    latency_ms=1500,
    time_to_first_token_ms=200,
    request_body='{"q": "Where is Rome?"}',
    response_body='{"a": "In Italy."}',
    cost_usd=0.01,
)
B = replace(
    A,
    request_id="aaaaaaaa-0000-4000-8000-000000000002",
    session_path="/plan/hotel",
    user_id=None,
    properties={"env": "test"},
    model="gpt-4o-mini",
    status=429,
    started_at=BEGIN + timedelta(milliseconds=2500),
    latency_ms=20,
    time_to_first_token_ms=None,
    cost_usd=None,
    from_cache=True,
)
C = replace(
    A,
    request_id="aaaaaaaa-0000-4000-8000-000000000003",
    session_id=None,
    session_path=None,
    session_name=None,
    user_id="bob",
    properties={},
    started_at=BEGIN + timedelta(hours=1),
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rows]:
    path = tmp_path_factory.mktemp("filters") / "requests.db"
    writer = StoreWriter(path)
    for change in (A, B, C, Scores(A.request_id, {"quality": 7}), SessionTag("s-1", "good")):
        writer.apply(change)
    yield rows_of(Store(path))
    writer.close()


def found(rows: Rows, condition: Condition) -> str:
    """Give the letters of the requests that a condition holds for."""
    query = f"SELECT request_id FROM request WHERE {condition.sql} ORDER BY row"
    return "".join("_ABC"[int(row[0][-1])] for row in rows(query, condition.values))


@pytest.mark.parametrize(
    ("field", "asked", "expected"),
    [
        ("model", {"equals": "gpt-4o"}, "AC"),
        ("model", {"not-equals": "gpt-4o"}, "B"),
        ("model", {"contains": "MINI"}, "B"),
        ("model", {"not-contains": "mini"}, "AC"),
        ("model", {"like": "GPT%"}, ""),
        ("model", {"ilike": "GPT%"}, "ABC"),
        ("user_id", {"equals": ""}, "B"),
        ("request_id", {"equals": A.request_id.upper()}, "A"),
        ("provider", {"equals": "OPENAI"}, "ABC"),
        ("status", {"equals": 429}, "B"),
        ("status", {"gte": "429"}, "B"),
        ("latency", {"lt": 20}, ""),
        ("latency", {"lte": 20}, "B"),
        ("latency", {"gt": 20.5}, "AC"),
        ("time_to_first_token", {"equals": 0}, "B"),
        ("total_tokens", {"equals": 15}, "ABC"),
        ("cost", {"gt": 0.005}, "AC"),
        ("cache_enabled", {"equals": True}, "B"),
        ("request_created_at", {"gt": "2026-11-22T18:00:00Z"}, "BC"),
        # Fractions of a second are cut off on the filter's side only.
        ("request_created_at", {"gt": "2026-11-22T18:00:02.900Z"}, "BC"),
        ("request_created_at", {"lt": "2026-11-22T20:00:00+01:00"}, "AB"),
        ("request_created_at", {"lt": "2026-11-22"}, ""),
        ("response_created_at", {"gte": "2026-11-22T19:00:01"}, "C"),
        ("request_body", {"contains": "rome"}, "ABC"),
        ("response_body", {"contains": "rome"}, ""),
        ("properties", {"env": {"equals": "prod"}}, "A"),
        ("properties", {"Env": {"equals": "prod"}}, ""),
        ("properties", {"env": {"not-equals": "prod"}}, "BC"),
        ("properties", {"env": {"equals": ""}}, "C"),
        ("properties", {"Größe": {"ilike": "xl"}}, "A"),
        ("properties", {"Helicone-Session-Id": {"equals": "s-1"}}, "AB"),
        ("properties", {"Helicone-Session-Id": {"equals": ""}}, "C"),
        ("properties", {"Helicone-Session-Name": {"contains": "RI"}}, "AB"),
        ("properties", {"Helicone-Session-Path": {"like": "/plan/%"}}, "B"),
        ("search_properties", {"any": {"contains": "nv"}}, "AB"),
        ("scores", {"quality": {"equals": "7"}}, "A"),
        ("scores", {"quality": {"not-equals": "7"}}, ""),
        ("scores_column", {"not-equals": "{}"}, "A"),
        ("country_code", {"equals": "DE"}, "ABC"),
    ],
)
def test_a_leaf_finds_the_requests_it_is_about(
    rows: Rows, field: str, asked: dict[str, Any], expected: str
) -> None:
    assert found(rows, of_requests({"request_response_rmt": {field: asked}})) == expected


@pytest.mark.parametrize(
    ("field", "asked", "expected"),
    [
        ("session_session_id", {"equals": "s-1"}, "AB"),
        ("session_session_name", {"ilike": "t%"}, "AB"),
        ("session_tag", {"equals": "good"}, "AB"),
        ("session_tag", {"equals": ""}, "C"),
        # Sums are looked at when all requests of a session are there.
        ("session_total_cost", {"gt": 100}, "ABC"),
    ],
)
def test_a_leaf_about_sessions_finds_their_requests(
    rows: Rows, field: str, asked: dict[str, Any], expected: str
) -> None:
    leaf = {"sessions_request_response_rmt": {field: asked}}
    assert found(rows, of_requests(leaf)) == expected


def test_sums_are_asked_for_apart(rows: Rows) -> None:
    leaf = {"sessions_request_response_rmt": {"session_total_requests": {"gte": 2}}}
    totals = of_totals(leaf)
    query = f"SELECT session FROM request GROUP BY session HAVING {totals.sql}"
    assert len(rows(query, totals.values)) == 1
    assert of_totals({"request_response_rmt": {"model": {"equals": "x"}}}).sql == "1"


def test_leaves_are_joined_and_of_several_fields_the_first_counts(rows: Rows) -> None:
    mini = {"request_response_rmt": {"model": {"equals": "gpt-4o-mini"}}}
    bob = {"request_response_rmt": {"user_id": {"equals": "bob"}, "status": {"equals": 1}}}
    joined = {"left": mini, "operator": "or", "right": bob}
    assert found(rows, of_requests(joined)) == "BC"
    assert found(rows, of_requests({**joined, "operator": "and"})) == ""
    assert found(rows, of_requests({"left": joined, "operator": "and", "right": "all"})) == "BC"
    assert found(rows, of_requests({})) == "ABC"


@pytest.mark.parametrize(
    ("refused", "sentence"),
    [
        ("every", "A filter is 'all' or an object."),
        (None, "A filter is 'all' or an object."),
        ({"left": "all", "operator": "xor", "right": "all"}, "'and' or 'or'"),
        ({"left": "all", "operator": "and"}, "A filter is 'all' or an object."),
        ({"request_response_rmt": []}, "The fields of request_response_rmt are an object."),
        ({"request_response_rmt": {"sql": {"equals": "1"}}}, "request_response_rmt.sql"),
        ({"users_view": {"user_id": {"equals": "1"}}}, "users_view.user_id"),
        ({"request_response_rmt": {"model": {"gte": "a"}}}, "model is not compared with 'gte'."),
        ({"request_response_rmt": {"model": {"equals": 1}}}, "model is compared with a text."),
        ({"request_response_rmt": {"status": {"equals": "x"}}}, "compared with a number."),
        ({"request_response_rmt": {"status": {"equals": True}}}, "compared with a number."),
        ({"request_response_rmt": {"status": {"equals": "nan"}}}, "compared with a number."),
        ({"request_response_rmt": {"request_created_at": {"gt": "soon"}}}, "ISO 8601"),
        ({"request_response_rmt": {"properties": {"a": {"gt": "b"}}}}, "not compared with 'gt'"),
        ({"request_response_rmt": {"scores": {"a": {"like": "b"}}}}, "A score is compared with"),
    ],
)
def test_what_is_no_filter_is_refused_with_a_sentence(refused: object, sentence: str) -> None:
    with pytest.raises(InvalidBody) as error:
        of_requests(refused)
    (problem,) = error.value.details.values()
    assert isinstance(problem, dict)
    assert sentence in problem["message"]


@pytest.mark.parametrize(
    "broken", [{"request_response_rmt": {}}, {"request_response_rmt": {"model": {}}}]
)
def test_what_breaks_the_real_one_is_an_error_here(broken: object) -> None:
    with pytest.raises(BrokenCall, match="Invalid operator"):
        of_requests(broken)


@pytest.mark.parametrize("operators", [("and",), ("or",), ("and", "or")])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_filter_may_be_deep_and_not_too_deep(
    rows: Rows, operators: tuple[str, ...], side: str
) -> None:
    leaf = {"request_response_rmt": {"model": {"equals": "gpt-4o-mini"}}}
    other = {"left": "right", "right": "left"}[side]

    def nested(levels: int) -> object:
        deep: object = leaf
        for level in range(levels):
            deep = {side: deep, "operator": operators[level % len(operators)], other: leaf}
        return deep

    assert found(rows, of_requests(nested(100 if len(operators) == 1 else 15))) == "B"
    with pytest.raises(InvalidBody):
        of_requests(nested(101))


@given(
    st.one_of(st.sampled_from(HOSTILE), st.text()),
    st.one_of(st.sampled_from(HOSTILE), st.text()),
    st.sampled_from(["equals", "not-equals", "like", "ilike", "contains", "not-contains"]),
)
def test_no_name_and_no_value_reaches_the_sql(name: str, value: str, operator: str) -> None:
    places = ("Helicone-Session-Id", "Helicone-Session-Path", "Helicone-Session-Name", "env")
    usual = {
        property_is(place, operator, harmless).sql for place in places for harmless in ("a", "é")
    }
    condition = property_is(name, operator, value)
    assert condition.sql in usual
    assert condition.sql.count("?") == len(condition.values)


@pytest.mark.parametrize("name", HOSTILE)
def test_properties_of_any_name_and_value_are_found(tmp_path: Path, name: str) -> None:
    writer = StoreWriter(tmp_path / "requests.db")
    writer.apply(replace(A, properties={name: name}))
    rows = rows_of(Store(tmp_path / "requests.db"))
    writer.close()
    assert found(rows, property_is(name, "equals", name)) == "A"
    assert found(rows, property_is(name, "equals", f"{name}x")) == ""


PATTERN = st.text("aAbBéÉ%_\\", max_size=6)


@given(st.text("aAbBéÉ%_\\\n", max_size=6), PATTERN)
def test_the_fast_likeness_is_the_same_as_the_slow_one(text: str, pattern: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        add_likeness(connection)
        fast = ilike("?", pattern)
        (answer,) = connection.execute(f"SELECT {fast}", [text, pattern]).fetchone()
    assert bool(answer) == matches(text, pattern, any_case=True)


@given(st.text("aAb%_\\", max_size=8), PATTERN)
def test_likeness_means_what_a_regular_expression_says(text: str, pattern: str) -> None:
    expression = re.sub(
        r"(?s)\\[%_\\]|.",
        lambda found: (
            {"%": ".*", "_": "."}.get(found[0])
            or re.escape(found[0][1:] if found[0][1:] else found[0])
        ),
        pattern,
    )
    expected = re.fullmatch(expression, text, re.DOTALL) is not None
    assert matches(text, pattern, any_case=False) is expected


def test_patterns_are_of_sqlite_where_each_backslash_escapes() -> None:
    assert is_like(r"100\%")
    assert not is_like(r"C:\dir")
    assert matches(r"C:\dir", r"c:\DIR", any_case=True)
    assert matches("STRASSE 日本", "%asse _本", any_case=True)


def test_many_wildcards_take_no_time() -> None:
    assert not matches("a" * 20_000, "%a" * 40 + "b", any_case=False)


def test_a_histogram_is_the_one_that_the_database_documents() -> None:
    assert histogram(range(1, 21), 5) == [
        Bin(1, 4.5, 4),
        Bin(4.5, 8.5, 4),
        Bin(8.5, 12.75, 4.125),
        Bin(12.75, 17, 4.625),
        Bin(17, 20, 3.25),
    ]


@given(st.lists(st.floats(-1e6, 1e6), max_size=60))
def test_a_histogram_covers_all_values_and_loses_none(values: list[float]) -> None:
    bins = histogram(values)
    assert len(bins) <= 10
    assert sum(each.height for each in bins) == pytest.approx(len(values))
    if values:
        assert (bins[0].start, bins[-1].end) == (min(values), max(values))
        assert all(left.end == right.start for left, right in pairwise(bins))


def test_a_quantile_lies_between_two_values() -> None:
    assert quantile([1, 5], 0.75) == 4
    assert quantile([3], 0.99) == 3
    assert quantile([0, 10, 20], 1) == 20


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (1.0, "1"),
        (0.5, "0.5"),
        (7.5e-07, "7.5e-7"),
        (1e-05, "0.00001"),
        (4.5e-05, "0.000045"),
        (1e-06, "0.000001"),
        (123456789.25, "123456789.25"),
        (1e16, "10000000000000000"),
        (1e21, "1e+21"),
        (-2.5e-10, "-2.5e-10"),
    ],
)
def test_numbers_are_written_as_javascript_does(number: float, text: str) -> None:
    assert number_text(number) == text


def test_conditions_are_joined_without_those_that_always_hold() -> None:
    assert both(Condition("1"), Condition("a = ?", (1,))) == Condition("(a = ?)", (1,))
    assert both() == Condition("1")
