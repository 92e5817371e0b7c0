"""Answers of upstreams that Helicone's worker once passed on: the local one stores the same."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.records import RequestRecord

RECORDED = Path(__file__).parents[1] / "data" / "recorded" / "gateway_answers.json"
CASES: list[dict[str, Any]] = json.loads(RECORDED.read_text())

DIFFERENT_ON_PURPOSE = {
    "a5-down": "the answer tells which upstream could not be reached, and why",
}
COST_DIFFERS = {
    "a8-gw-anthropic": "Helicone has no price for claude-sonnet-4-5 without its date",
}

StartUpstream = Callable[[Callable[[socket.socket], None]], str]
ReadRequest = Callable[[socket.socket], bytes]


def sent_body(case: dict[str, Any]) -> bytes:
    body = case["body"]
    if body is None:
        return b""
    return (body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))).encode()


def upstream_answer(case: dict[str, Any]) -> bytes:
    answer = case["answer"]
    body = answer["body"]
    data = (body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))).encode()
    lines = [
        f"HTTP/1.1 {answer['status']} Recorded",
        f"Content-Type: {answer['content_type']}",
        f"Content-Length: {len(data)}",
        "Connection: close",
    ]
    if answer["retry_after"]:
        lines.append(f"Retry-After: {answer['retry_after']}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def as_row(request: RequestRecord) -> dict[str, Any]:
    session = {
        "Helicone-Session-Id": request.session_id,
        "Helicone-Session-Path": request.session_path,
        "Helicone-Session-Name": request.session_name,
    }
    return {
        "status": request.status,
        "model": request.model or "",
        "provider": request.provider,
        "user_id": request.user_id or "",
        "prompt_tokens": request.prompt_tokens,
        "completion_tokens": request.completion_tokens,
        "reasoning_tokens": request.reasoning_tokens,
        "prompt_cache_read_tokens": request.prompt_cache_read_tokens,
        "prompt_cache_write_tokens": request.prompt_cache_write_tokens,
        "cost_usd": pytest.approx(request.cost_usd or 0, rel=1e-6),
        "properties": {
            **request.properties,
            **{name: value for name, value in session.items() if value is not None},
        },
        "request_body": request.request_body,
        "response_body": request.response_body,
    }


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case["id"] not in DIFFERENT_ON_PURPOSE],
    ids=lambda case: str(case["id"]),
)
def test_the_caller_and_the_store_get_what_they_got_from_the_real_one(
    tmp_path: Path,
    scripted_upstream: StartUpstream,
    request_reader: ReadRequest,
    case: dict[str, Any],
) -> None:
    def answer(connection: socket.socket) -> None:
        request_reader(connection)
        connection.sendall(upstream_answer(case))

    with LocalHelicone(tmp_path / "requests.db", upstream=scripted_upstream(answer)) as helicone:
        got = httpx2.request(
            case["method"],
            f"{helicone.url}{case['path']}",
            content=sent_body(case),
            headers={"Content-Type": "application/json", **dict(case["headers"])},
            trust_env=False,
        )
    assert got.status_code == case["answer"]["status"]
    body = case["answer"]["body"]
    assert (got.text if isinstance(body, str) else got.json()) == body
    assert got.headers.get("retry-after") == case["answer"]["retry_after"]
    rows = [as_row(request) for request in helicone.store.requests()]
    if case["stored"] is None:
        assert got.headers["helicone-error"] == "true"
        assert "helicone-id" not in got.headers
        assert rows == []
        return
    expected = dict(case["stored"])
    if case["id"] in COST_DIFFERS:
        (row,) = rows
        assert row.pop("cost_usd") != expected.pop("cost_usd")
    assert rows == [expected]
