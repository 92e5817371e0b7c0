"""Calls that Helicone's API once answered, sent to the local one: the same answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from otel_helicone.local.server import LocalHelicone

ROOT = Path(__file__).parents[2]
CASES: list[dict[str, Any]] = json.loads(
    (ROOT / "tests" / "data" / "recorded_api" / "calls.json").read_text("utf-8")
)
KEY = "sk-helicone-1234567-abcdefg-7654321-gfedcba"
REQUEST_ID = "dddddddd-0000-4000-8000-00000000{:04}"
BEGIN = 1795370436_100

# Sent between the recorded calls, which have their effects and not them.
UNRECORDED: Final[dict[str, list[tuple[str, int, str, dict[str, Any]]]]] = {
    "prop-name-sess": [
        ("PUT", 7002, "property", {"key": "Grade", "value": "B"}),
        ("PUT", 7003, "property", {"key": "Helicone-Session-Name", "value": "Renamed"}),
    ],
    "req-get": [("POST", 7002, "feedback", {"rating": True})],
}
MERGED_AT_ONCE = {
    "created_at": "2026-11-22 18:00:36.100",
    "latest_request_created_at": "2026-11-22 18:00:48.000",
    "session_id": "c-1",
    "session_name": "Trip",
    "avg_latency": 1350,
    "total_cost": 0.0075495,
    "total_requests": 5,
    "prompt_tokens": 1110,
    "completion_tokens": 555,
    "total_tokens": 1665,
    "user_ids": ["", "alice", "bob"],
}
RENAMED = next(case for case in CASES if case["id"] == "prop-merged")["answer"]["body"]["data"]
ALL_SCORES = {
    "quality": 7,
    "ok-hcone-bool": 0,
    "neg": -3,
    "big": 9007199254740992,
    "helicone-score-feedback": 1,
}
# What is answered instead, with the reason; docs/local-api.md has the same list.
DIFFERENT_ON_PURPOSE: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "prop-sess": ("a changed request is not counted twice", {"data": [MERGED_AT_ONCE]}),
    "prop-name-sess": ("a changed request is not counted twice", {"data": RENAMED}),
    "prop-worker": (
        "there is one server, which does not forward the call",
        {"data": None, "error": "Request not found"},
    ),
    "req-q": ("scores of the same second are all kept", {"1": {"scores": ALL_SCORES}}),
    "req-get": ("made up, a runtime's, or the time of this run", {}),
    "req-get-body": ("made up, a runtime's, or the time of this run", {}),
}
OWN_FIELDS = ("response_id", "country_code", "updated_at")


def log(
    session_id: str,
    start: int,
    *,
    path: str = "/",
    name: str | None = None,
    user: str | None = None,
    request: int | None = None,
    model: str = "gpt-4o-mini",
    tokens: tuple[int, int] | None = (1, 1),
    took: int = 1000,
    status: int = 200,
) -> dict[str, Any]:
    meta = {
        "Helicone-Session-Id": session_id,
        "Helicone-Session-Path": path,
        "Helicone-Request-Id": request and REQUEST_ID.format(request),
        "Helicone-Session-Name": name,
        "Helicone-User-Id": user,
    }
    answer: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": model,
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "4"},
            }
        ],
    }
    if tokens:
        prompt, completion = tokens
        answer["usage"] = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
    return {
        "providerRequest": {
            "url": "custom-model-nopath",
            "json": {"model": model, "messages": [{"role": "user", "content": path}]},
            "meta": {key: value for key, value in meta.items() if value},
        },
        "providerResponse": {"json": answer, "status": status, "headers": {}},
        "timing": {"startTime": moment(start), "endTime": moment(start + took)},
    }


def moment(milliseconds: int) -> dict[str, int]:
    return {"seconds": milliseconds // 1000, "milliseconds": milliseconds % 1000}


def trip(request: int, start: int, path: str, **more: Any) -> dict[str, Any]:
    return log("c-1", BEGIN + start, request=request, path=path, name="Trip", **more)


LOGS = [
    trip(7001, 0, "/plan", user="alice", tokens=(100, 50)),
    trip(
        7002,
        2100,
        "/plan/flight",
        user="alice",
        model="gpt-4o",
        tokens=(1000, 500),
        took=3000,
    ),
    trip(7003, 2100, "/plan/hotel", user="bob", tokens=(10, 5), took=2000),
    trip(7004, 9800, "/plan", tokens=None, took=500, status=500),
    trip(7005, 11900, "/plan/tool", user="alice", tokens=None, took=250),
    log("c-2", BEGIN + 19900, name="Trip", user="carol"),
    log("c-3", BEGIN + 29900, name="Other trip"),
    log("c-4", BEGIN + 39900),
    log("c-5'q\"%_", BEGIN + 49900, name='Quote\'s "n"'),
    *(log(f"c-many-{at:02}", BEGIN + 59900 + at * 100, name="Many") for at in range(60)),
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, httpx2.Response]]:
    path = tmp_path_factory.mktemp("recorded") / "requests.db"
    authorization = {"Authorization": f"Bearer {KEY}"}
    with LocalHelicone(path, latency=0, api_keys=[KEY]) as server:
        with httpx2.Client(base_url=server.url, headers=authorization) as http:
            for each in LOGS:
                assert http.post("/oai/v1/log", json=each).text == "ok"
            assert server.settle()
            given = {}
            for case in CASES:
                for method, number, what, body in UNRECORDED.get(case["id"], ()):
                    where = f"/v1/request/{REQUEST_ID.format(number)}/{what}"
                    assert http.request(method, where, json=body).status_code == 201
                given[case["id"]] = send(http, case)
        yield given


def send(http: httpx2.Client, case: dict[str, Any]) -> httpx2.Response:
    request = case["request"]
    body = request["body"]
    sent = http.build_request(request["method"], request["path"], json=body)
    if body is None:
        sent = http.build_request(request["method"], request["path"])
    if case["id"] == "sq-noauth":
        del sent.headers["authorization"]
    return http.send(sent)


def as_recorded(body: Any, recorded: Any) -> Any:
    """Give as much of an answer as the recording has kept of it, in its form."""
    rows = body.get("data") if isinstance(body, dict) else None
    if isinstance(recorded, list) and isinstance(recorded[0], list):
        return [[row["request_id"], row["delay_ms"]] for row in rows or ()]
    if isinstance(recorded, list):
        return [{name: row[name] for name in recorded[0]} for row in rows or ()]
    if isinstance(recorded, dict) and "n" in recorded:
        summary: dict[str, Any] = {"n": len(rows or ()), "error": body["error"]}
        if rows:
            summary["first"] = rows[:3]
            summary["ids"] = [row.get("session_id") for row in rows]
            summary |= {name: rows[0].get(name) for name in ("properties", "cost")}
            summary["latency"] = rows[0].get("delay_ms")
            summary["request_referrer"] = rows[0].get("request_referrer")
        return {name: summary[name] for name in recorded}
    return body


def comparable(value: Any) -> Any:
    """Sort users, which come in no order, and leave the last digits of fractions out."""
    if isinstance(value, dict):
        return {
            name: sorted(each) if name == "user_ids" else comparable(each)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [comparable(each) for each in value]
    return float(f"{value:.12g}") if isinstance(value, float) else value


def without_own_fields(body: dict[str, Any]) -> dict[str, Any]:
    data = {name: each for name, each in body["data"].items() if name not in OWN_FIELDS}
    return {**body, "data": data}


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["id"]))
def test_the_local_one_answers_what_the_real_one_did(
    answers: dict[str, httpx2.Response], case: dict[str, Any]
) -> None:
    answer, recorded = answers[case["id"]], case["answer"]["body"]
    assert answer.status_code == case["answer"]["status"], answer.text
    body = comparable(as_recorded(answer.json(), recorded))
    if case["id"] not in DIFFERENT_ON_PURPOSE:
        assert body == comparable(recorded)
        return
    assert body != comparable(recorded), "it is not different any more"
    _, instead = DIFFERENT_ON_PURPOSE[case["id"]]
    if case["id"].startswith("req-get"):
        assert without_own_fields(body) == comparable(without_own_fields(recorded))
    elif isinstance(recorded, list):
        changed = [{**row, **instead.get(str(at), {})} for at, row in enumerate(recorded)]
        assert body == comparable(changed)
    else:
        assert body == comparable({"error": None, **instead})


def test_the_documents_list_what_is_different() -> None:
    text = (ROOT / "docs" / "local-api.md").read_text("utf-8")
    table = text.partition("| recorded call |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`([a-z0-9-]+)`", table)) == set(DIFFERENT_ON_PURPOSE)
    assert all(reason in table for reason, _ in DIFFERENT_ON_PURPOSE.values())
