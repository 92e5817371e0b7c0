"""Rows that Helicone once stored, put into the local store: its API gives them as it did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.records import RequestRecord
from otel_helicone.local.storage.writer import StoreWriter

DATA = Path(__file__).parents[1] / "data" / "recorded_api" / "stored.json"
GROUPS: dict[str, dict[str, Any]] = {
    group["group"]: group for group in json.loads(DATA.read_text("utf-8"))
}
KEY = "sk-helicone-1234567-abcdefg-7654321-gfedcba"
# Made up, a runtime's, the time of the recording, or (of a proxied request) a millisecond off.
OWN_FIELDS = ("response_id", "country_code", "updated_at", "response_created_at")
QUESTION = {
    "search": "",
    "timeFilter": {"startTimeUnixMs": 0, "endTimeUnixMs": 4102444800000},
    "timezoneDifference": 0,
    "filter": "all",
    "limit": 1000,
}


def record(row: dict[str, Any]) -> RequestRecord:
    properties = dict(row["properties"])
    started_at = datetime.fromisoformat(row["request_created_at"]).replace(tzinfo=UTC)
    return RequestRecord(
        request_id=row["request_id"],
        session_id=properties.pop("Helicone-Session-Id", None),
        session_path=properties.pop("Helicone-Session-Path", None),
        session_name=properties.pop("Helicone-Session-Name", None),
        user_id=row["user_id"] or None,
        properties=properties,
        provider=row["provider"],
        model=row["model"] or None,
        method="POST",
        target_path="/",
        status=row["status"],
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        total_tokens=row["prompt_tokens"] + row["completion_tokens"],
        started_at=started_at,
        latency_ms=row["latency"],
        time_to_first_token_ms=row["time_to_first_token"],
        request_body=row.get("request_body", "{}"),
        response_body=row.get("response_body", "{}"),
        prompt_cache_read_tokens=row["prompt_cache_read_tokens"],
        reasoning_tokens=row["reasoning_tokens"],
        target_url=row["target_url"],
        scores=row["scores"],
        cost_usd=row["cost_usd"],
    )


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, httpx2.Client]]:
    clients: dict[str, httpx2.Client] = {}
    with ExitStack() as running:
        for name, group in GROUPS.items():
            path = tmp_path_factory.mktemp(name) / "requests.db"
            writer = StoreWriter(path)
            for row in group["rows"]:
                writer.put(record(row))
            writer.close()
            server = running.enter_context(LocalHelicone(path, latency=0))
            client = httpx2.Client(base_url=server.url, headers={"Authorization": f"Bearer {KEY}"})
            clients[name] = running.enter_context(client)
        yield clients


def cases(kind: str) -> list[Any]:
    return [
        pytest.param(name, query, id=query["id"])
        for name, group in GROUPS.items()
        for query in group["queries"]
        if kind in query
    ]


@pytest.mark.parametrize(("group", "query"), cases("session"))
def test_a_session_is_summed_as_the_real_one_summed_it(
    servers: dict[str, httpx2.Client], group: str, query: dict[str, Any]
) -> None:
    wanted = {
        "request_response_rmt": {
            "properties": {"Helicone-Session-Id": {"equals": query["session"]}}
        }
    }
    answer = servers[group].post("/v1/session/query", json={**QUESTION, "filter": wanted})
    assert answer.json() == {"data": query["answer"], "error": None}


@pytest.mark.parametrize(("group", "query"), cases("search"))
def test_a_search_finds_what_the_real_one_found(
    servers: dict[str, httpx2.Client], group: str, query: dict[str, Any]
) -> None:
    asked = {**QUESTION, "search": query["search"]}
    sessions = servers[group].post("/v1/session/query", json=asked).json()["data"]
    pairs = [
        [each["session_id"], each["session_name"], each["total_requests"]] for each in sessions
    ]
    # Of many only the first were recorded.
    recorded = query["answer"]["pairs"]
    assert pairs[: len(recorded)] == recorded
    assert (len(pairs) == len(recorded)) == (query["answer"]["n"] == len(recorded))


@pytest.mark.parametrize(("group", "query"), cases("requests"))
def test_a_request_is_given_as_the_real_one_gave_it(
    servers: dict[str, httpx2.Client], group: str, query: dict[str, Any]
) -> None:
    (request_id,) = query["requests"]
    wanted = {"request_response_rmt": {"request_id": {"equals": request_id}}}
    answer = servers[group].post("/v1/request/query-clickhouse", json={"filter": wanted})
    (request,) = answer.json()["data"]
    (recorded,) = query["answer"]
    assert request.keys() == recorded.keys()
    for name in OWN_FIELDS:
        del request[name], recorded[name]
    assert request == recorded
