"""The FastAPI example: each request to the service is one session in the local Helicone."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import uvicorn

from examples.fastapi_chat.app import make_app
from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.records import RequestRecord


@pytest.fixture
def helicone(tmp_path: Path) -> Iterator[LocalHelicone]:
    with LocalHelicone(tmp_path / "requests.db", latency=0) as helicone:
        yield helicone


@pytest.fixture
def service(helicone: LocalHelicone) -> Iterator[str]:
    """Run the service as a user would, in a server of its own; give its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = make_app(helicone.base_url, api_key="none")
    # No WebSockets: old versions of uvicorn import what new ones of websockets warn about.
    config = uvicorn.Config(app, log_config=None, access_log=False, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.005)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


def rows(helicone: LocalHelicone) -> list[RequestRecord]:
    helicone.settle()
    return list(helicone.store.requests())


def test_a_plain_answer(service: str, helicone: LocalHelicone) -> None:
    answer = httpx2.post(f"{service}/summaries", json={"text": "a long text", "user": "u1"})
    assert answer.json()["summary"]
    found = rows(helicone)
    assert [row.session_path for row in found] == [
        "/POST %2Fsummaries/summarise",
        "/POST %2Fsummaries/polish",
    ]
    assert {(row.session_name, row.user_id) for row in found} == {("POST /summaries", "u1")}
    assert len({row.session_id for row in found}) == 1


def test_a_streamed_answer(service: str, helicone: LocalHelicone) -> None:
    with httpx2.stream("POST", f"{service}/chat", json={"text": "hello"}) as answer:
        chunks = list(answer.iter_text())
    assert "".join(chunks)
    (row,) = rows(helicone)
    assert row.session_path == "/POST %2Fchat/answer"
    assert row.session_name == "POST /chat"
    assert row.time_to_first_token_ms is not None
    assert row.completion_tokens > 0


def test_two_requests_are_two_sessions(service: str, helicone: LocalHelicone) -> None:
    for _ in range(2):
        httpx2.post(f"{service}/chat", json={"text": "hello"})
    assert len({row.session_id for row in rows(helicone)}) == 2
