"""The local Helicone's API over HTTP: forms of bodies, keys, changes, and what is not there."""

from __future__ import annotations

import json
import math
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_helicone.local.api.fields import Fields, InvalidBody
from otel_helicone.local.server import LocalHelicone

KEY = "sk-helicone-1234567-abcdefg-7654321-gfedcba"
QUESTION: dict[str, Any] = {
    "search": "",
    "timeFilter": {"startTimeUnixMs": 0, "endTimeUnixMs": 4102444800000},
    "timezoneDifference": 0,
    "filter": "all",
}
REQUEST_ID = "aaaaaaaa-0000-4000-8000-00000000000{}"


@pytest.fixture
def http(helicone: LocalHelicone) -> Iterator[httpx2.Client]:
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx2.Client(base_url=helicone.url, headers=headers) as client:
        yield client


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """Ask a server that holds nothing, for tests that leave nothing behind."""
    path = tmp_path_factory.mktemp("empty") / "requests.db"
    headers = {"Authorization": f"Bearer {KEY}"}
    with LocalHelicone(path, latency=0) as helicone:
        with httpx2.Client(base_url=helicone.url, headers=headers) as client:
            yield client


def call(client: openai.OpenAI, session_id: str, *, number: int = 1) -> None:
    client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Hi"}],
        extra_headers={
            "Helicone-Session-Id": session_id,
            "Helicone-Request-Id": REQUEST_ID.format(number),
        },
    )


def session_ids(http: httpx2.Client, **asked: Any) -> list[str]:
    answer = http.post("/v1/session/query", json={**QUESTION, **asked})
    assert answer.status_code == 200, answer.text
    return [session["session_id"] for session in answer.json()["data"]]


def test_percent_and_underscore_are_wildcards_of_a_search(
    helicone: LocalHelicone, client: openai.OpenAI, http: httpx2.Client
) -> None:
    call(client, "a-1", number=1)
    call(client, "b_1", number=2)
    helicone.settle()
    assert session_ids(http, search="%") == ["b_1", "a-1"]
    assert session_ids(http, search="_1") == ["b_1", "a-1"]
    assert session_ids(http, search=r"\_1") == ["b_1"]
    assert session_ids(http, search="A-1") == ["a-1"]


@pytest.mark.parametrize(
    ("limit", "given_ids"), [(None, 3), (0, 3), (-1, 0), (2, 2), (5000, 3), (1e300, 3), ("2", 2)]
)
def test_a_limit_means_what_it_means_to_the_real_one(
    helicone: LocalHelicone,
    client: openai.OpenAI,
    http: httpx2.Client,
    limit: object,
    given_ids: int,
) -> None:
    for number in (1, 2, 3):
        call(client, f"s-{number}", number=number)
    helicone.settle()
    asked = {} if limit is None else {"limit": limit}
    assert len(session_ids(http, **asked)) == given_ids
    assert session_ids(http, offset=1, limit=1) == ["s-2"]
    assert session_ids(http, offset=1e300) == []


def test_sums_filter_whole_sessions(
    helicone: LocalHelicone, client: openai.OpenAI, http: httpx2.Client
) -> None:
    call(client, "one", number=1)
    call(client, "two", number=2)
    call(client, "two", number=3)
    helicone.settle()
    more = {"sessions_request_response_rmt": {"session_total_requests": {"gt": 1}}}
    assert session_ids(http, filter=more) == ["two"]
    answer = http.post("/v1/session/count", json={**QUESTION, "filter": more}).json()["data"]
    assert (answer["count"], answer["avg_requests"]) == (1, 2)


def test_whole_numbers_have_no_fraction(
    helicone: LocalHelicone, client: openai.OpenAI, http: httpx2.Client
) -> None:
    call(client, "s")
    helicone.settle()
    for path in ("query", "count"):
        text = http.post(f"/v1/session/{path}", json=QUESTION).text
        assert '"avg_latency":' in text
        assert ".0," not in text
    asked = {"nameContains": "", "timezoneDifference": 0}
    assert ".0}" not in http.post("/v1/session/metrics/query", json=asked).text


def test_nothing_stored_is_no_error(empty: httpx2.Client) -> None:
    asked = {"nameContains": "", "timezoneDifference": 0}
    assert session_ids(empty) == []
    assert empty.post("/v1/session/name/query", json=asked).json() == {"data": [], "error": None}
    metrics = empty.post("/v1/session/metrics/query", json=asked).json()["data"]
    assert metrics["session_cost"] == []
    assert metrics["average"]["session_cost"] == [{"average": None}]
    listed = empty.post("/v1/request/query-clickhouse", json={"filter": "all"})
    assert (listed.status_code, listed.json()) == (201, {"data": [], "error": None})


@pytest.mark.parametrize("path", ["query", "count", "name/query", "metrics/query"])
@pytest.mark.parametrize("minutes", [-1441, 1441])
def test_times_are_not_moved_by_more_than_a_day(
    empty: httpx2.Client, path: str, minutes: int
) -> None:
    asked = {"nameContains": "", "timezoneDifference": minutes}
    if path in ("query", "count"):
        asked = {**QUESTION, "timezoneDifference": minutes}
    answer = empty.post(f"/v1/session/{path}", json=asked)
    assert answer.status_code == 500
    assert answer.json() == {"data": None, "error": "Invalid timezone difference"}


@pytest.mark.parametrize(
    ("path", "body", "details"),
    [
        (
            "/v1/session/query",
            {**QUESTION, "search": 5, "timezoneDifference": "x"},
            {
                "requestBody.search": {"message": "invalid string value", "value": 5},
                "requestBody.timezoneDifference": {
                    "message": "invalid float number",
                    "value": "x",
                },
            },
        ),
        (
            "/v1/session/query",
            {**QUESTION, "timeFilter": {"startTimeUnixMs": 0}},
            {"requestBody.timeFilter.endTimeUnixMs": {"message": "'endTimeUnixMs' is required"}},
        ),
        (
            "/v1/session/query",
            {**QUESTION, "timeFilter": 5},
            {"requestBody.timeFilter": {"message": "invalid object", "value": 5}},
        ),
        (
            "/v1/session/count",
            {**QUESTION, "page": 2},
            {
                "requestBody.page": {
                    "message": '"page" is an excess property and therefore is not allowed',
                    "value": "page",
                }
            },
        ),
        (
            "/v1/session/metrics/query",
            {"nameContains": "", "timezoneDifference": 0, "pSize": "p42"},
            {
                "requestBody.pSize": {
                    "message": "should be one of the following; ['p50','p75','p95','p99','p99.9']",
                    "value": "p42",
                }
            },
        ),
        (
            "/v1/session/s/tag",
            {},
            {"requestBody.tag": {"message": "'tag' is required"}},
        ),
        (
            "/v1/request/x/feedback",
            {"rating": 3},
            {"requestBody.rating": {"message": "invalid boolean value", "value": 3}},
        ),
        (
            "/v1/request/query-clickhouse",
            {"filter": "all", "sort": {"beauty": "asc"}},
            {
                "requestBody.sort": {
                    "message": "The local Helicone does not sort by beauty.",
                    "value": "beauty",
                }
            },
        ),
        (
            "/v1/request/query-clickhouse",
            {"filter": "all", "sort": {"cost": "up"}},
            {"requestBody.sort": {"message": "The order is 'asc' or 'desc'.", "value": "up"}},
        ),
    ],
)
def test_a_body_of_another_form_is_refused_with_its_place(
    empty: httpx2.Client, path: str, body: dict[str, Any], details: dict[str, Any]
) -> None:
    answer = empty.post(path, json=body)
    assert answer.status_code == 422
    assert answer.json() == {"message": "Validation Failed", "details": details}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/session/query"),
        ("GET", "/v1/session/s/tag"),
        ("PUT", f"/v1/request/{REQUEST_ID.format(1)}/property"),
        ("GET", f"/v1/request/{REQUEST_ID.format(1)}"),
    ],
)
def test_calls_need_a_key(empty: httpx2.Client, method: str, path: str) -> None:
    url = str(empty.base_url).rstrip("/") + path
    none = httpx2.request(method, url)
    assert (none.status_code, none.json()["error"]) == (401, "No authorization header")
    headers = {"Authorization": "Bearer sk-1234"}
    bad = httpx2.request(method, url, headers=headers)
    assert (bad.status_code, bad.json()["error"]) == (401, "No API key found")
    asked = httpx2.request("OPTIONS", url)
    assert asked.status_code == 204
    assert "PUT" in asked.headers["access-control-allow-methods"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/user/query"),
        ("POST", "/v1/request/query"),
        ("GET", "/v1/session/query"),
        ("GET", "/v1/session/has-session"),
        ("POST", "/v1/dataset"),
        ("GET", "/v1/prompt-2025/id/x"),
        ("POST", "/v1/evals/query"),
    ],
)
def test_what_is_not_there_says_so(empty: httpx2.Client, method: str, path: str) -> None:
    answer = empty.request(method, path)
    assert answer.status_code == 404
    assert f"The local Helicone does not have {method} {path}." in answer.json()["error"]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/embeddings", "/v1/evals", "/v1/prompts"])
def test_calls_of_a_provider_go_to_the_gateway(http: httpx2.Client, path: str) -> None:
    answer = http.post(path, json={"model": "m", "input": "x"})
    assert "helicone-id" in answer.headers


@pytest.mark.parametrize("body", ["{", "5", "[1]", '"all"', "null"])
def test_a_body_that_is_no_object_is_refused(empty: httpx2.Client, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = empty.post("/v1/session/query", content=body, headers=headers)
    assert answer.status_code == (422 if body == "[1]" else 500)
    assert "stack" not in answer.json()


def test_lone_surrogates_are_no_error(empty: httpx2.Client) -> None:
    lone = json.dumps({**QUESTION, "search": "\ud800", "nameEquals": "\udfff"})
    headers = {"Content-Type": "application/json"}
    answer = empty.post("/v1/session/query", content=lone, headers=headers)
    assert answer.json() == {"data": [], "error": None}


def test_a_question_that_is_too_much_is_answered_all_the_same(
    helicone: LocalHelicone, client: openai.OpenAI, http: httpx2.Client
) -> None:
    call(client, "s")
    helicone.settle()
    long = {"request_response_rmt": {"model": {"contains": "x" * 60_000}}}
    assert session_ids(http, filter=long) == []
    many: object = {"request_response_rmt": {"model": {"equals": "m"}}}
    for _ in range(17):
        many = {"left": many, "operator": "or", "right": many}
    answer = http.post("/v1/session/query", json={**QUESTION, "filter": many})
    assert answer.status_code == 500
    assert answer.json()["message"] == "Internal Server Error"


def test_a_call_that_has_to_wait_keeps_nobody_else_waiting(
    helicone: LocalHelicone, client: openai.OpenAI, http: httpx2.Client
) -> None:
    answers: list[httpx2.Response] = []

    def tag() -> None:
        answers.append(http.post("/v1/session/s/tag", json={"tag": "t"}))

    asking = threading.Thread(target=tag)
    with closing(sqlite3.connect(helicone.store.path, isolation_level=None)) as other:
        # Another process writes to the store, and takes its time.
        other.execute("BEGIN IMMEDIATE")
        asking.start()
        call(client, "meanwhile")
        assert not answers
        other.execute("ROLLBACK")
    asking.join()
    assert answers[0].status_code == 200
    assert helicone.store.tag("s") == "t"


def problems(fields: Fields) -> list[str]:
    try:
        fields.check()
    except InvalidBody as error:
        return list(error.details)
    return []


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@given(VALUES | st.lists(VALUES) | st.dictionaries(st.text(), VALUES))
def test_any_value_is_read_as_what_it_is_or_refused(value: object) -> None:
    body = {"field": value}
    number, text, truth = Fields(body), Fields(body), Fields(body)
    read = number.number("field")
    assert problems(number) == ["requestBody.field"] or math.isfinite(read)
    text.text("field")
    assert problems(text) == ([] if isinstance(value, str) else ["requestBody.field"])
    asked = truth.truth("field")
    assert problems(truth) == ["requestBody.field"] or asked is (str(value).lower() == "true")
