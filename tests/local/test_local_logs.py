"""The log endpoints and scores of the local Helicone: sizes, encodings, repeats, keys, trees."""

from __future__ import annotations

import gzip
import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from otel_helicone.local.analysis.tree import build_tree, tree_lines
from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage import schema
from otel_helicone.local.storage.store import Store

RECORDED = Path(__file__).parents[1] / "data" / "recorded"
SCORES: list[dict[str, Any]] = json.loads((RECORDED / "scores.json").read_text())
KEY = "sk-helicone-1234567-abcdefg-7654321-gfedcba"
AUTHORIZATION = {"Authorization": f"Bearer {KEY}"}
REQUEST_ID = "dddddddd-0000-4000-8000-000000007002"
MIB = 1024 * 1024
WORKER, API, TYPED = "/oai/v1/log", "/v1/trace/custom/log", "/v1/trace/custom/log/typed"


@pytest.fixture
def http(helicone: LocalHelicone) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=helicone.url, headers=AUTHORIZATION) as client:
        yield client


def log(
    text: str = "Hi", path: str = "/p", seconds: int = 1795300000, **meta: str
) -> dict[str, Any]:
    return {
        "providerRequest": {
            "url": "custom-model-nopath",
            "json": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]},
            "meta": {
                "Helicone-Session-Id": "s",
                "Helicone-Session-Name": "n",
                "Helicone-Session-Path": path,
                **{name.replace("_", "-"): value for name, value in meta.items()},
            },
        },
        "providerResponse": {
            "json": {"model": "gpt-4o-mini", "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
            "status": 200,
            "headers": {},
        },
        "timing": {
            "startTime": {"seconds": seconds, "milliseconds": 250},
            "endTime": {"seconds": seconds + 1, "milliseconds": 0},
        },
    }


def typed(body: dict[str, Any]) -> dict[str, Any]:
    return body | {"timing": {"startTime": "1795300000250", "endTime": "1795300001750"}}


def test_logs_below_ten_mebibytes_are_taken(helicone: LocalHelicone, http: httpx2.Client) -> None:
    assert http.post(WORKER, json=log("x" * 9 * MIB)).text == "ok"
    assert http.post(API, json=log("x" * 9 * MIB)).status_code == 200
    # The worker counts characters.
    body = json.dumps(log("é" * 6 * MIB), ensure_ascii=False).encode()
    assert http.post(WORKER, content=body).text == "ok"
    assert (
        http.post(API, content=body, headers={"Content-Type": "application/json"}).status_code
        == 500
    )
    helicone.settle()
    assert len(helicone.store.requests()) == 3


def test_larger_logs_are_refused_as_recorded(helicone: LocalHelicone, http: httpx2.Client) -> None:
    body = log("x" * 10 * MIB)
    worker = http.post(WORKER, json=body)
    assert (worker.status_code, worker.text) == (400, "Payload too large")
    for path in (API, TYPED):
        answer = http.post(path, json=body)
        assert answer.status_code == 500
        assert answer.json() == {
            "message": "Internal Server Error",
            "details": "request entity too large",
        }
    helicone.settle()
    assert helicone.store.requests() == []


def test_only_the_api_server_takes_compressed_logs(
    helicone: LocalHelicone, http: httpx2.Client
) -> None:
    body = json.dumps(typed(log())).encode()
    for encoding, data in (("gzip", gzip.compress(body)), ("deflate", zlib.compress(body))):
        headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
        assert http.post(TYPED, content=data, headers=headers).status_code == 200
        refused = http.post(WORKER, content=data, headers=headers)
        assert refused.status_code == 400
        assert refused.json()["error"].startswith("One of the required fields is missing")
    bom = b"\xef\xbb\xbf" + body
    json_type = {"Content-Type": "application/json"}
    assert http.post(TYPED, content=bom, headers=json_type).status_code == 200
    assert http.post(TYPED, content=gzip.compress(body), headers=json_type).status_code == 500
    assert (
        http.post(TYPED, content=body.decode().encode("utf-16"), headers=json_type).status_code
        == 500
    )
    helicone.settle()
    assert len(helicone.store.requests()) == 3


def test_the_same_log_twice_is_one_row_and_another_time_makes_two(
    helicone: LocalHelicone, http: httpx2.Client
) -> None:
    same = log(Helicone_Request_Id=REQUEST_ID)
    for body in (
        same,
        same,
        same | {"providerResponse": same["providerResponse"] | {"status": 500}},
    ):
        assert http.post(WORKER, json=body).headers["helicone-id"] == REQUEST_ID
    helicone.settle()
    assert [request.status for request in helicone.store.requests()] == [500]
    http.post(WORKER, json=log(seconds=1795300001, Helicone_Request_Id=REQUEST_ID))
    helicone.settle()
    assert len(helicone.store.requests()) == 2


def test_every_well_formed_key_is_taken_unless_some_are_named(
    helicone: LocalHelicone, tmp_path: Path
) -> None:
    other = {"Authorization": "Bearer sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"}
    assert httpx2.post(helicone.url + WORKER, json=log(), headers=other).text == "ok"
    with LocalHelicone(tmp_path / "strict.db", latency=0, api_keys=[KEY]) as strict:
        refused = httpx2.post(strict.url + WORKER, json=log(), headers=other)
        assert refused.status_code == 200
        assert refused.json()["error"].startswith("Auth failed!")
        assert "helicone-id" not in refused.headers
        assert httpx2.post(strict.url + API, json=log(), headers=other).status_code == 401
        assert httpx2.post(strict.url + WORKER, json=log(), headers=AUTHORIZATION).text == "ok"


@pytest.mark.parametrize("path", ["/v1/trace/log", "/v1/trace/log-python"])
def test_otlp_is_refused_with_a_sentence(http: httpx2.Client, path: str) -> None:
    answer = http.post(path, json={})
    assert answer.status_code == 404
    assert "no OTLP endpoints" in answer.text


def test_scores_are_answered_and_stored_as_recorded(
    helicone: LocalHelicone, http: httpx2.Client
) -> None:
    http.post(WORKER, json=log(Helicone_Request_Id=REQUEST_ID))
    for case in SCORES:
        answer = http.post(case["path"], json=case["body"])
        assert answer.status_code == case["answer"]["status"]
        assert answer.json() == case["answer"]["body"]
    assert http.post(SCORES[0]["path"], json={"scores": {"text": "7"}}).status_code == 201
    helicone.settle()
    (request,) = helicone.store.requests()
    assert request.scores == {
        "quality": 7,
        "ok-hcone-bool": 0,
        "neg": -3,
        "big": 9007199254740992,
        "text": 7,
    }
    refused = httpx2.post(helicone.url + SCORES[0]["path"], json={"scores": {}})
    assert (refused.status_code, refused.json()["error"]) == (401, "No authorization header")


def test_a_logged_session_prints_the_tree_of_the_same_calls_through_the_gateway(
    helicone: LocalHelicone, http: httpx2.Client
) -> None:
    paths: list[str] = json.loads((RECORDED / "space_course_paths.json").read_text())
    for number, path in enumerate(paths):
        logged = log(path=path, seconds=1795300000 + 2 * number)
        for url in (WORKER, API):
            logged["providerRequest"]["meta"]["Helicone-Session-Id"] = url
            assert http.post(url, json=logged).status_code == 200
        headers = {
            "Helicone-Session-Id": "gateway",
            "Helicone-Session-Name": "n",
            "Helicone-Session-Path": path,
        }
        body = logged["providerRequest"]["json"]
        assert http.post("/v1/chat/completions", json=body, headers=headers).status_code == 200
    helicone.settle()

    def drawn(session_id: str) -> list[tuple[str, str, str | None]]:
        lines = tree_lines(build_tree(helicone.store.requests(session_id)))
        return [(x.guides, x.label, x.call.model if x.call else None) for x in lines]

    assert drawn(WORKER) == drawn(API) == drawn("gateway")
    assert len(helicone.store.requests("gateway")) == 39


def test_a_store_of_the_first_version_is_brought_up(tmp_path: Path) -> None:
    path = tmp_path / "requests.db"
    with closing(sqlite3.connect(path)) as connection:
        for statement in schema._MIGRATIONS[0]:
            connection.execute(statement)
        connection.execute(
            "INSERT INTO request VALUES (1, 'id', NULL, NULL, NULL, NULL, '{}', 'OPENAI', NULL,"
            " 'POST', '/v1/x', 200, 1, 2, 3, 0, 5, NULL, '', '', '[]')"
        )
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    (request,) = Store(path).requests()
    assert (request.kind, request.scores, request.reasoning_tokens) == ("llm", {}, 0)


@pytest.mark.parametrize("number", ["1e999", "9e18", "1" + "0" * 30])
def test_a_number_that_no_column_holds_loses_its_log_and_no_other(
    helicone: LocalHelicone, http: httpx2.Client, number: str
) -> None:
    http.post(WORKER, json=log())
    text = json.dumps(log())
    for bad in (
        text.replace('"status": 200', f'"status": {number}'),
        text.replace('"timing": {', f'"timing": {{"timeToFirstToken": {number}, '),
        text.replace('"prompt_tokens": 3', f'"prompt_tokens": {number}'),
    ):
        assert bad != text
        assert http.post(WORKER, content=bad.encode()).status_code == 200
    assert http.post(SCORES[0]["path"], json={"scores": {"a": 10**400}}).status_code == 500
    helicone.settle()
    assert len(helicone.store.requests()) == 1


def test_a_stream_that_is_logged_as_lines_of_json_is_put_together(
    helicone: LocalHelicone, http: httpx2.Client
) -> None:
    """Helicone's logger for Node sends streams so."""
    body = log()
    body["providerRequest"]["json"]["stream"] = True
    chunks: list[dict[str, Any]] = [
        {"model": "gpt-4o-mini", "choices": [{"delta": {"content": "To "}}]},
        {"choices": [{"delta": {"content": "Rome."}}]},
        {"choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 500}},
    ]
    body["providerResponse"] |= {"json": {}, "textBody": "\n".join(map(json.dumps, chunks))}
    assert http.post(WORKER, json=body).text == "ok"
    assert helicone.settle()
    (request,) = helicone.store.requests()
    assert json.loads(request.response_body)["text"] == "To Rome."
    assert (request.model, request.total_tokens) == ("gpt-4o-mini", 1500)
    assert request.cost_usd == pytest.approx(0.00045)


def test_a_log_of_googles_tells_its_usage_in_googles_words(
    helicone: LocalHelicone, http: httpx2.Client
) -> None:
    body = log()
    body["providerRequest"]["url"] = "https://example.com/v1beta/models/gemini-2.0-flash:generate"
    usage = {
        "promptTokenCount": 1000,
        "cachedContentTokenCount": 400,
        "candidatesTokenCount": 500,
        "thoughtsTokenCount": 100,
        "totalTokenCount": 1600,
    }
    body["providerResponse"]["json"] = {"usageMetadata": usage}
    assert http.post("/googleapis/v1/log", json=body).text == "ok"
    assert helicone.settle()
    (request,) = helicone.store.requests()
    assert (request.provider, request.model) == ("GOOGLE", "gemini-2.0-flash")
    assert (request.prompt_tokens, request.prompt_cache_read_tokens) == (600, 400)
    assert (request.completion_tokens, request.reasoning_tokens) == (500, 100)
    assert request.total_tokens == 1600
    assert request.cost_usd is not None
