"""Requests that Helicone's worker once answered, sent to the local one: it stores the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from otel_helicone.local.server import LocalHelicone

RECORDED = Path(__file__).parents[1] / "data" / "recorded"
CASES: list[dict[str, Any]] = json.loads((RECORDED / "gateway_headers.json").read_text())

DIFFERENT_ON_PURPOSE = {
    "a1-crlf": "a folded header's line break and blanks are one blank: the HTTP parser's rule",
    "a1-group-6": "blanks at the end of a value are not part of it, RFC 9110 says",
    "a3-ows": "the same: without the blanks around it the id is a good one, and is used",
    "a4-uniname": "a header's name outside ASCII is refused with 400, not stored damaged",
}

RawRequest = Callable[[LocalHelicone, bytes], tuple[int, dict[str, str], bytes]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHelicone]:
    with LocalHelicone(tmp_path_factory.mktemp("recorded") / "requests.db", latency=0) as server:
        yield server


def written_out(value: str | dict[str, Any]) -> bytes:
    """Give the bytes that a recorded value stands for."""
    if isinstance(value, str):
        return value.encode("utf-8")
    if "hex" in value:
        return bytes.fromhex(value["hex"])
    return (str(value["repeat"]) * int(value["times"])).encode("utf-8")


def request_bytes(case: dict[str, Any]) -> bytes:
    body = json.dumps(case["body"]).encode()
    lines = [
        b"POST /v1/chat/completions HTTP/1.1",
        b"Host: localhost",
        b"Connection: close",
        b"Content-Type: application/json",
        b"Authorization: Bearer provider-key",
        b"Helicone-Auth: Bearer helicone-key",
        b"Content-Length: %d" % len(body),
    ]
    lines += [written_out(name) + b": " + written_out(value) for name, value in case["headers"]]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def expected_text(case: dict[str, Any], stored: str | dict[str, Any]) -> str:
    """Give what a recorded row says; a long value is named by the header that held it."""
    if isinstance(stored, str):
        return stored
    sent = {name: value for name, value in case["headers"] if isinstance(name, str)}
    text = written_out(sent[stored["equals_sent"]]).decode("utf-8")
    assert len(text) == stored["chars"]
    return text


def sent_id(case: dict[str, Any]) -> str | None:
    ids = [value for name, value in case["headers"] if name == "Helicone-Request-Id"]
    return ids[0] if len(ids) == 1 and ids[0] == case.get("helicone_id") else None


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case["id"] not in DIFFERENT_ON_PURPOSE],
    ids=lambda case: str(case["id"]),
)
def test_the_local_one_stores_what_the_real_one_stored(
    server: LocalHelicone, raw_request: RawRequest, case: dict[str, Any]
) -> None:
    status, headers, _ = raw_request(server, request_bytes(case))
    assert status == case["status"]
    if "stored" not in case:
        return
    assert server.settle()
    answered_id = headers["helicone-id"]
    (request,) = [r for r in server.store.requests() if r.request_id == answered_id.lower()]

    kept_id = sent_id(case)
    if kept_id is not None:
        assert answered_id == kept_id
        assert request.request_id == case["stored"]["request_id"]
    for name, value in case["headers"]:
        if name == "Helicone-Request-Id" and kept_id is None:
            assert answered_id != value

    properties = {
        name: expected_text(case, value) for name, value in case["stored"]["properties"].items()
    }
    assert request.session_id == properties.pop("Helicone-Session-Id", None)
    assert request.session_path == properties.pop("Helicone-Session-Path", None)
    assert request.session_name == properties.pop("Helicone-Session-Name", None)
    assert request.properties == properties
    assert (request.user_id or "") == case["stored"]["user_id"]
    assert request.model == case["stored"]["model"]
    assert request.status == case["stored"]["status"]
    assert case["stored"]["target_url"].endswith(request.target_path)


def one(case_id: str) -> dict[str, Any]:
    (case,) = [case for case in CASES if case["id"] == case_id]
    return case


def test_what_differs_on_purpose_does(server: LocalHelicone, raw_request: RawRequest) -> None:
    def stored(case_id: str) -> Any:
        _, headers, _ = raw_request(server, request_bytes(one(case_id)))
        server.settle()
        (request,) = [r for r in server.store.requests() if r.request_id == headers["helicone-id"]]
        return request

    assert stored("a1-crlf").session_name == "a b"
    assert stored("a1-group-6").session_id == "a1-case"
    assert stored("a3-ows").request_id == "8f2b8c1e-5d4a-4e6f-8a7b-1c2d3e4f5a6b"
    assert raw_request(server, request_bytes(one("a4-uniname")))[0] == 400


def test_no_secret_is_in_the_store(server: LocalHelicone, raw_request: RawRequest) -> None:
    raw_request(server, request_bytes(one("a1-all")))
    server.settle()
    folder = server.store.path.parent
    stored = b"".join(file.read_bytes() for file in folder.iterdir())
    assert b"a1-all" in stored
    assert b"provider-key" not in stored
    assert b"helicone-key" not in stored


def test_one_id_with_two_names_is_two_sessions(tmp_path: Path, raw_request: RawRequest) -> None:
    with LocalHelicone(tmp_path / "requests.db", latency=0) as helicone:
        for number in range(4):
            raw_request(helicone, request_bytes(one(f"a1-group-{number}")))
        helicone.settle()
        sessions = helicone.store.sessions()
    assert [(session.session_name, session.requests) for session in sessions] == [
        ("", 1),
        ("Beta", 2),
        ("Alpha", 1),
    ]
    assert {session.session_id for session in sessions} == {"a1-two"}


def test_the_space_course_is_stored_path_by_path(
    helicone: LocalHelicone, client: openai.OpenAI
) -> None:
    paths: list[str] = json.loads((RECORDED / "space_course_paths.json").read_text())
    for path in paths:
        client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": path}],
            extra_headers={
                "Helicone-Session-Id": "course",
                "Helicone-Session-Name": "Space Course",
                "Helicone-Session-Path": path,
            },
        )
    helicone.settle()
    (session,) = helicone.store.sessions()
    assert session.requests == len(paths) == 39
    assert [request.session_path for request in helicone.store.requests("course")] == paths
