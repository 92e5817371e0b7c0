"""The edges of the local Helicone: limits, other paths, bodies that are no JSON."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from otel_helicone.local.server import LocalHelicone, PortTaken

RawRequest = Callable[[LocalHelicone, bytes], tuple[int, dict[str, str], bytes]]


@pytest.fixture
def http(helicone: LocalHelicone) -> httpx2.Client:
    return httpx2.Client(base_url=f"http://{helicone.host}", trust_env=False)


def test_the_pages_that_are_there(http: httpx2.Client) -> None:
    with http:
        assert http.get("/healthz").json() == {"status": "ok"}
        assert "<h1>Sessions</h1>" in http.get("/").text
        assert http.get("/nothing").status_code == 404
        assert "/nothing" in http.get("/nothing").text
        assert http.get("/v1").status_code == 404


def test_a_body_that_is_no_json_is_a_400_and_recorded(
    helicone: LocalHelicone, http: httpx2.Client
) -> None:
    with http:
        answer = http.post("/v1/chat/completions", content=b'{"model": "gpt-4o-mini", ')
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    helicone.settle()
    (request,) = helicone.store.requests()
    assert (request.status, request.model) == (400, None)


def test_a_body_that_is_too_large_is_a_413(tmp_path: Path) -> None:
    def in_pieces() -> list[bytes]:
        return [b"x" * 600, b"x" * 600]

    with (
        LocalHelicone(tmp_path / "requests.db", latency=0, max_body_bytes=1000) as helicone,
        httpx2.Client(base_url=helicone.base_url, trust_env=False) as http,
    ):
        assert http.post("/chat/completions", content=b"x" * 1001).status_code == 413
        assert http.post("/chat/completions", content=iter(in_pieces())).status_code == 413
        assert http.post("/chat/completions", content=b"x" * 1000).status_code == 400
        helicone.settle()
        assert len(helicone.store.requests()) == 1


def test_bodies_that_are_long_or_no_text_are_kept_short(
    helicone: LocalHelicone, http: httpx2.Client
) -> None:
    with http:
        http.post("/v1/files", content=b"y" * (1024 * 1024 + 5))
        http.post("/v1/files", content=bytes(range(256)) * 9, headers={"Content-Type": "image/x"})
    helicone.settle()
    long, image = (request.request_body for request in helicone.store.requests())
    assert long.endswith("y [... 5 more bytes ...]")
    assert len(long) < 1024 * 1024 + 40
    assert image == "[2304 bytes of image/x]"


def test_a_caller_can_keep_its_bodies_out(helicone: LocalHelicone, http: httpx2.Client) -> None:
    with http:
        http.post(
            "/v1/chat/completions",
            json={"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "private"}]},
            headers={"Helicone-Omit-Request": "true", "Helicone-Omit-Response": "true"},
        )
    helicone.settle()
    (request,) = helicone.store.requests()
    assert request.request_body == request.response_body == '{"model": "gpt-4o-mini"}'
    assert request.total_tokens > 0


def test_headers_with_keys_of_other_services_are_not_kept(
    helicone: LocalHelicone, http: httpx2.Client
) -> None:
    with http:
        http.get(
            "/v1/models",
            headers={
                "Helicone-OpenAI-Api-Key": "sk-1",
                "Helicone-Fallbacks": '[{"key": "sk-2"}]',
                "Helicone-Property-Auth": "kept",
                "Helicone-Session-Id": "s",
            },
        )
    helicone.settle()
    (request,) = helicone.store.requests()
    assert dict(request.helicone_headers) == {
        "helicone-property-auth": "kept",
        "helicone-session-id": "s",
    }


def test_a_port_that_is_taken_is_named(helicone: LocalHelicone, tmp_path: Path) -> None:
    port = int(helicone.host.rpartition(":")[2])
    second = LocalHelicone(tmp_path / "second.db", port)
    with pytest.raises(PortTaken, match=f"port {port} on 127.0.0.1"):
        second.__enter__()
    assert not second.store.path.exists()


def test_everything_is_stored_once_the_server_has_stopped(tmp_path: Path) -> None:
    with (
        LocalHelicone(tmp_path / "requests.db", latency=0) as helicone,
        httpx2.Client(base_url=helicone.base_url, trust_env=False) as http,
    ):
        for _ in range(50):
            http.get("/models")
    assert len(helicone.store.requests()) == 50


@pytest.mark.parametrize("stream", [True, False])
def test_a_request_in_progress_does_not_hold_up_the_stop(tmp_path: Path, stream: bool) -> None:
    helicone = LocalHelicone(tmp_path / "requests.db", latency=600_000)
    body = {"model": "m", "stream": stream, "messages": []}

    def ask() -> httpx2.Response:
        return httpx2.post(f"{helicone.base_url}/chat/completions", json=body, trust_env=False)

    with ThreadPoolExecutor() as pool:
        with helicone:
            answer = pool.submit(ask)
            time.sleep(0.3)
        assert answer.result(timeout=10).status_code == 503
    (request,) = helicone.store.requests()
    assert request.status == -3
    assert request.latency_ms < 10_000


def test_names_in_no_script_and_lone_surrogates_are_stored(
    helicone: LocalHelicone, raw_request: RawRequest
) -> None:
    body = b'{"model": "m\\ud800", "messages": [], "user": "\\u65e5\\udfff"}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    raw_request(helicone, head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    helicone.settle()
    (request,) = helicone.store.requests()
    assert request.model == "m\ufffd"
    assert request.user_id == "\u65e5\ufffd"
