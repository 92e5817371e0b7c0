"""Logs that Helicone once answered, sent to the local one: same answer, same row."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.records import RequestRecord

RECORDED = Path(__file__).parents[1] / "data" / "recorded"
CASES: list[dict[str, Any]] = json.loads((RECORDED / "logs.json").read_text())
MERGED: dict[str, int] = json.loads((RECORDED / "merged_logs.json").read_text())
KEY = "sk-helicone-1234567-abcdefg-7654321-gfedcba"

DIFFERENT_ON_PURPOSE = {
    "b5-auth-space-wo": "blanks at the end of a header are not part of it: the key is a good one",
    "b5-path-/": "the local one's own page",
    "b5-size-req-50mb-wo": "an error of the runtime's; the same as above 10 MiB here",
}
BODY_DIFFERS = {
    "b3-chat-prov-bad-j3": "the text is the validator's internals",
    "b5-ct-text-j3": "a body of another type is not taken apart to be named in the answer",
    "b5-ct-form-j3": "the same",
}
STORED_DIFFERS = {
    "b3-textbody-sse-wo": "streams are kept as the gateway keeps them",
    "b3-textbody-sse-j3": "the same",
    "b3-streamed-data-wc": "the error text of a parser that is not here",
    "b3-streamed-data-wo": "the same",
    "b4-t-old-5y-wo": "bodies do not expire three months after the start",
    "b4-t-old-5y-j1": "the same",
    "b4-t-1969-j1": "the same",
}

COST_DIFFERS = {
    "b3-ant45-wa": "Helicone has no price for claude-sonnet-4-5 without its date",
    "b3-ant45-j3": "the same",
    "b6-ma-claude-opus-4-1-wa": "nor for claude-opus-4-1",
    "b6-m-gpt-3.5-turbo-wo": "Helicone's price is an older one",
    "b6-prov-MISTRAL-j3": "a wrong entry in Helicone's list: 5 dollars",
    "b6-prov-DEEPSEEK-j3": "another price list",
    "b6-prov-OPENROUTER-j3": "Helicone adds OpenRouter's fee",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHelicone]:
    path = tmp_path_factory.mktemp("recorded") / "requests.db"
    with LocalHelicone(path, latency=0, api_keys=[KEY]) as server:
        yield server


def written_out(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) >= {"repeat", "times"}:
            return value["repeat"] * value["times"]
        if set(value) >= {"head", "chars"}:
            return (value["head"][:2] * value["chars"])[: value["chars"]]
        return {written_out(key): written_out(each) for key, each in value.items()}
    if isinstance(value, list):
        return [written_out(each) for each in value]
    return value


def is_described(case: dict[str, Any]) -> bool:
    return isinstance(case["body"], dict) and set(case["body"]) == {"note"}


def send(helicone: LocalHelicone, case: dict[str, Any]) -> tuple[int, dict[str, str], str]:
    body = case["body"]
    data = body if isinstance(body, str) else json.dumps(written_out(body))
    if case["id"].startswith(("b5-jnull", "b5-jstr")):
        data = json.dumps(body)
    payload = data.replace("\\\\ud83d", "\\ud83d").encode()
    lines = [f"{case['method']} {case['path']} HTTP/1.1", "Host: localhost", "Connection: close"]
    for name, value in case["headers"]:
        lines.append(f"{name}: {written_out(value).replace('{{HELICONE_KEY}}', KEY)}")
    lines.append(f"Content-Length: {len(payload)}")
    host, _, port = helicone.host.partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + payload)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, rest = answer.partition(b"\r\n\r\n")
    status, *fields = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in fields)}
    return int(status.split()[1]), headers, rest.decode()


def as_row(record: RequestRecord) -> dict[str, Any]:
    session = {
        "Helicone-Session-Id": record.session_id,
        "Helicone-Session-Path": record.session_path,
        "Helicone-Session-Name": record.session_name,
    }
    return {
        "request_created_at": record.started_at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3],
        "latency": record.latency_ms,
        "status": record.status,
        "model": record.model or "",
        "provider": record.provider,
        "user_id": record.user_id or "",
        "target_url": record.target_url,
        "time_to_first_token": record.time_to_first_token_ms or 0,
        "prompt_tokens": record.prompt_tokens,
        "completion_tokens": record.completion_tokens,
        "reasoning_tokens": record.reasoning_tokens,
        "prompt_cache_read_tokens": record.prompt_cache_read_tokens,
        "prompt_cache_write_tokens": record.prompt_cache_write_tokens,
        "properties": {
            **record.properties,
            **{name: value for name, value in session.items() if value is not None},
        },
        "request_body": record.request_body,
        "response_body": record.response_body,
        "scores": record.scores,
        "cost_usd": pytest.approx(record.cost_usd or 0, rel=1e-6),
    }


def sent_session(case: dict[str, Any]) -> str | None:
    for name, value in case["headers"]:
        if name.lower() == "helicone-session-id":
            return str(value)
    body = case["body"] if isinstance(case["body"], dict) else {}
    meta = body.get("providerRequest", {}).get("meta")
    values = {n.lower(): v for n, v in meta.items()} if isinstance(meta, dict) else {}
    return values.get("helicone-session-id")


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case["id"] not in DIFFERENT_ON_PURPOSE and not is_described(case)],
    ids=lambda case: str(case["id"]),
)
def test_the_local_one_answers_and_stores_what_the_real_one_did(
    server: LocalHelicone, case: dict[str, Any]
) -> None:
    assert server.settle()
    before = len(server.store.requests())
    status, headers, body = send(server, case)
    answer = case["answer"]
    assert status == answer["status"], body
    for name, value in answer["headers"].items():
        if name != "helicone-id" or str(value).startswith("dddddddd"):
            assert headers.get(name, "").lower() == value.lower(), name
    assert ("helicone-id" in headers) == ("helicone-id" in answer["headers"])
    if case["id"] not in BODY_DIFFERS:
        if isinstance(answer["body"], str):
            assert body == answer["body"]
        else:
            assert json.loads(body) == answer["body"]
    if case["rows"] is None or case["id"].startswith("b5-path"):
        return
    assert server.settle()
    rows = server.store.requests()
    session = sent_session(case)
    if not case["rows"]:
        assert session is None or len(rows) == before
        return
    (expected,) = case["rows"]
    found = [row for row in rows if row.session_id == session]
    row = as_row(found[-1])
    compared = {name: value for name, value in expected.items() if name in row}
    if case["id"] in STORED_DIFFERS:
        compared.pop("response_body", None)
        compared.pop("request_body", None)
    if case["id"] in COST_DIFFERS:
        assert found[-1].cost_usd != pytest.approx(compared.pop("cost_usd"), rel=1e-6)
    timing = case["body"].get("timing")
    if not timing:
        compared.pop("request_created_at")
    assert {name: row[name] for name in compared} == {
        name: _long(value, case, name) for name, value in compared.items()
    }


def _long(value: Any, case: dict[str, Any], name: str) -> Any:
    """Give a long stored text as it was sent, where the recording says only how long it is."""
    if name != "properties":
        return value
    sent = {name.lower(): each for name, each in case["body"]["providerRequest"]["meta"].items()}
    sent |= {name.lower(): each for name, each in case["headers"]}
    return {
        key: written_out(sent.get(key.lower()) or sent[f"helicone-property-{key}"])
        if isinstance(each, dict)
        else each
        for key, each in value.items()
    }


@pytest.mark.parametrize(("pair", "rows"), MERGED.items())
def test_a_repeated_log_is_merged_where_the_real_one_merges_it(
    tmp_path: Path, pair: str, rows: int
) -> None:
    cases = {case["id"]: case for case in CASES}
    with LocalHelicone(tmp_path / "requests.db", latency=0, api_keys=[KEY]) as helicone:
        for number in (1, 2):
            assert send(helicone, cases[f"b2-{pair}-{number}"])[0] == 200
            # Without a timing, a log starts when it comes.
            time.sleep(0.005)
    assert len(helicone.store.requests()) == rows
