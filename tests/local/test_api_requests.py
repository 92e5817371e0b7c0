"""Requests through the local Helicone's API: lists, properties, feedback and tags."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx2
import openai
import pytest

from otel_helicone.local.server import LocalHelicone

KEY = "sk-helicone-1234567-abcdefg-7654321-gfedcba"
REQUEST_ID = "aaaaaaaa-0000-4000-8000-00000000000{}"


@pytest.fixture
def http(helicone: LocalHelicone) -> Iterator[httpx2.Client]:
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx2.Client(base_url=helicone.url, headers=headers) as client:
        yield client


def call(client: openai.OpenAI, session_id: str, *, number: int = 1, **headers: str) -> None:
    client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Hi"}],
        extra_headers={
            "Helicone-Session-Id": session_id,
            "Helicone-Request-Id": REQUEST_ID.format(number),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
    )


def session_ids(http: httpx2.Client) -> list[str]:
    question = {
        "search": "",
        "timeFilter": {"startTimeUnixMs": 0, "endTimeUnixMs": 4102444800000},
        "timezoneDifference": 0,
        "filter": "all",
    }
    answer = http.post("/v1/session/query", json=question)
    assert answer.status_code == 200, answer.text
    return [session["session_id"] for session in answer.json()["data"]]


@pytest.mark.parametrize("session_id", ["s", "a/b", "a/tag", "%2F", "Ö 🎉", "a?b#c", "'\""])
def test_a_tag_is_for_a_session_of_any_id(http: httpx2.Client, session_id: str) -> None:
    path = f"/v1/session/{quote(session_id, safe='')}/tag"
    assert http.get(path).json() == {"data": None, "error": None}
    for tag in ("good", "better", ""):
        assert http.post(path, json={"tag": tag}).status_code == 200
        assert http.get(path).json() == {"data": tag, "error": None}


def test_a_property_moves_a_request_and_is_there_at_once(
    helicone: LocalHelicone, client: openai.OpenAI, http: httpx2.Client
) -> None:
    call(client, "before")
    where = f"/v1/request/{REQUEST_ID.format(1).upper()}/property"
    moved = http.put(where, json={"key": "Helicone-Session-Id", "value": "after"})
    assert moved.status_code == 201
    assert session_ids(http) == ["after"]
    for number in ("1", 1):
        answer = http.put(where, json={"key": "Grade", "value": number})
        assert answer.status_code == (201 if number == "1" else 422)
    (request,) = helicone.store.requests("after")
    assert request.properties["Grade"] == "1"
    read = http.get(f"/v1/request/{REQUEST_ID.format(1)}").json()["data"]
    assert read["properties"]["Helicone-Session-Id"] == "after"


def test_feedback_is_a_score(
    helicone: LocalHelicone, client: openai.OpenAI, http: httpx2.Client
) -> None:
    call(client, "s")
    where = f"/v1/request/{REQUEST_ID.format(1)}/feedback"
    for rating, score in ((True, 1), ("false", 0)):
        answer = http.post(where, json={"rating": rating})
        assert (answer.status_code, answer.json()) == (201, {"data": None, "error": None})
        assert helicone.store.requests()[0].scores == {"helicone-score-feedback": score}
    listed = {"filter": "all", "isScored": True}
    assert len(http.post("/v1/request/query-clickhouse", json=listed).json()["data"]) == 1
    listed["isScored"] = False
    assert http.post("/v1/request/query-clickhouse", json=listed).json()["data"] == []


@pytest.mark.parametrize(
    ("sort", "numbers"),
    [
        ({"created_at": "asc"}, "123"),
        ({"created_at": "desc"}, "321"),
        ({"user_id": "desc"}, "213"),
        ({"properties": {"env": "asc"}}, "312"),
        ({"properties": {"Helicone-Session-Id": "desc"}}, "321"),
        (None, "321"),
    ],
)
def test_requests_are_sorted_and_paged(
    helicone: LocalHelicone,
    client: openai.OpenAI,
    http: httpx2.Client,
    sort: dict[str, object] | None,
    numbers: str,
) -> None:
    for number, user, env in ((1, "b", "y"), (2, "c", "z"), (3, "a", "x")):
        headers = {"Helicone_User_Id": user, "Helicone_Property_env": env}
        call(client, f"s-{number}", number=number, **headers)
    helicone.settle()
    asked = {"filter": "all", **({"sort": sort} if sort else {})}

    def listed(**more: int) -> str:
        answer = http.post("/v1/request/query-clickhouse", json={**asked, **more})
        assert answer.status_code == 201, answer.text
        return "".join(request["request_id"][-1] for request in answer.json()["data"])

    assert listed() == numbers
    assert listed(offset=1, limit=1) == numbers[1]


def test_of_several_rows_with_one_id_the_last_is_given(
    helicone: LocalHelicone, client: openai.OpenAI, http: httpx2.Client
) -> None:
    for session_id in ("first", "last"):
        call(client, session_id)
    helicone.settle()
    assert len(helicone.store.requests()) == 2
    for direction in ("asc", "desc"):
        asked = {"filter": "all", "sort": {"created_at": direction}}
        (request,) = http.post("/v1/request/query-clickhouse", json=asked).json()["data"]
        assert request["properties"]["Helicone-Session-Id"] == "last"
    assert session_ids(http) == ["last", "first"]


def test_requests_without_bodies_say_so(tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    with LocalHelicone(tmp_path / "requests.db", latency=0, bodies=False) as helicone:
        with openai.OpenAI(base_url=helicone.base_url, api_key="none") as client:
            call(client, "s")
        helicone.settle()
        url = f"{helicone.url}/v1/request/{REQUEST_ID.format(1)}"
        read = httpx2.get(url, headers=headers).json()["data"]
    assert "keep no bodies" in read["request_body"]["helicone_message"]


def test_a_request_of_the_far_future_is_in_its_session_only(
    http: httpx2.Client, helicone: LocalHelicone
) -> None:
    second = int(time.time()) + 3600
    log = {
        "providerRequest": {
            "url": "x",
            "json": {"model": "m"},
            "meta": {"Helicone-Session-Id": "soon"},
        },
        "providerResponse": {"json": {"model": "m"}, "status": 200, "headers": {}},
        "timing": {
            "startTime": {"seconds": second, "milliseconds": 0},
            "endTime": {"seconds": second, "milliseconds": 1},
        },
    }
    assert http.post("/oai/v1/log", json=log).text == "ok"
    helicone.settle()
    assert session_ids(http) == ["soon"]
    listed = http.post("/v1/request/query-clickhouse", json={"filter": "all"})
    assert listed.json()["data"] == []
