"""The edges of the local Helicone: limits, other paths, bodies that are no JSON."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from otel_helicone.local.gateway.helicone_headers import read_helicone_headers
from otel_helicone.local.gateway.provider import provider_of
from otel_helicone.local.gateway.stream_usage import asking_for_usage
from otel_helicone.local.server import LocalHelicone, PortTaken

StartUpstream = Callable[[Callable[[socket.socket], None]], str]
ReadRequest = Callable[[socket.socket], bytes]
RawRequest = Callable[[LocalHelicone, bytes], tuple[int, dict[str, str], bytes]]


@pytest.fixture
def http(helicone: LocalHelicone) -> httpx2.Client:
    return httpx2.Client(base_url=f"http://{helicone.host}", trust_env=False)


def test_the_pages_that_are_there(http: httpx2.Client) -> None:
    with http:
        assert http.get("/healthz").json()["status"] == "ok"
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
        assert answer.result(timeout=120).status_code == 503
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


def test_cached_and_reasoning_tokens_are_in_columns_of_their_own_and_priced(
    tmp_path: Path, scripted_upstream: StartUpstream, request_reader: ReadRequest
) -> None:
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 500,
        "total_tokens": 1500,
        "prompt_tokens_details": {"cached_tokens": 400},
        "completion_tokens_details": {"reasoning_tokens": 100},
    }
    body = json.dumps({"model": "gpt-4o-mini", "usage": usage}).encode()

    def answer(connection: socket.socket) -> None:
        request_reader(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with LocalHelicone(tmp_path / "r.db", upstream=scripted_upstream(answer)) as helicone:
        httpx2.post(f"{helicone.base_url}/chat/completions", json={}, trust_env=False)
    (request,) = helicone.store.requests()
    assert (request.prompt_tokens, request.prompt_cache_read_tokens) == (600, 400)
    assert (request.completion_tokens, request.reasoning_tokens) == (400, 100)
    assert request.total_tokens == 1500
    assert request.cost_usd == pytest.approx(0.00042)


def test_a_cost_that_the_answer_tells_itself_is_stored(
    tmp_path: Path, scripted_upstream: StartUpstream, request_reader: ReadRequest
) -> None:
    body = b'{"model": "gpt-4o-mini", "usage": {"prompt_tokens": 1000, "cost": 0.25}}'

    def answer(connection: socket.socket) -> None:
        request_reader(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with LocalHelicone(tmp_path / "r.db", upstream=scripted_upstream(answer)) as helicone:
        httpx2.post(f"{helicone.base_url}/chat/completions", json={}, trust_env=False)
    (request,) = helicone.store.requests()
    assert request.cost_usd == 0.25


def test_a_stream_tells_its_usage_where_the_header_asks_for_it(
    helicone: LocalHelicone, http: httpx2.Client
) -> None:
    body = {"model": "gpt-4o-mini", "stream": True, "messages": [{"role": "user", "content": "é"}]}
    with http:
        for headers in ({}, {"Helicone-Stream-Usage": "true"}):
            http.post("/v1/chat/completions", json=body, headers=headers)
    helicone.settle()
    without, told = helicone.store.requests()
    assert (without.total_tokens, without.cost_usd) == (0, None)
    assert told.total_tokens > 0
    assert told.cost_usd is not None
    assert json.loads(told.request_body) == body | {"stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    ("path", "body", "asking"),
    [
        (
            b"/v1/chat/completions",
            b'{"stream": true, "stream_options": {"a": 1}}',
            b'{"stream":true,"stream_options":{"a":1,"include_usage":true}}',
        ),
        (b"/v1/chat/completions", b'{"stream": false}', b'{"stream": false}'),
        (b"/v1/chat/completions", b'{"stream": true', b'{"stream": true'),
        (b"/v1/chat/completions", b"[1]", b"[1]"),
        (b"/v1/responses", b'{"stream": true}', b'{"stream": true}'),
    ],
    ids=["stream", "no stream", "no JSON", "no object", "Responses"],
)
def test_usage_is_asked_for_in_streamed_chats_only(path: bytes, body: bytes, asking: bytes) -> None:
    assert asking_for_usage(path, body) == asking


@pytest.mark.parametrize(
    ("host", "path", "provider"),
    [
        ("", "/v1/chat/completions", "OPENAI"),
        ("127.0.0.1", "/v1/chat/completions", "OPENAI"),
        ("localhost", "/v1/messages", "ANTHROPIC"),
        ("[::1]", "/v1/responses", "OPENAI"),
        ("api.openai.com", "/v1/responses", "OPENAI"),
        ("API.Anthropic.com", "/v1/messages", "ANTHROPIC"),
        ("mine.openai.azure.com", "/v1/chat/completions", "AZURE"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "/v1/chat/completions", "BEDROCK"),
        ("generativelanguage.googleapis.com", "/v1/models", "GOOGLE"),
        ("openrouter.ai", "/v1/chat/completions", "OPENROUTER"),
        ("notopenrouter.ai", "/v1/chat/completions", "CUSTOM"),
        ("llm.example.com", "/v1/messages", "CUSTOM"),
    ],
)
def test_the_provider_is_the_one_whose_host_it_is(host: str, path: str, provider: str) -> None:
    assert provider_of(host, path) == provider


def test_some_headers_are_properties_without_saying_so() -> None:
    headers = read_helicone_headers(
        [
            (b"Helicone-Prompt-Id", b"p1"),
            (b"Helicone-Cache-Enabled", b"true"),
            (b"Helicone-Cache-Seed", b"7th"),
            (b"Helicone-Cache-Bucket-Max-Size", b"3"),
            (b"X-Stripe-Customer-Id", b"cus_1"),
        ]
    )
    assert headers.properties == {
        "Helicone-Prompt-Id": "p1",
        "Helicone-Cache-Enabled": "true",
        "Helicone-Cache-Seed": "7",
        "Helicone-Cache-Bucket-Max-Size": "3",
        "stripe_customer_id": "cus_1",
    }
    off = [(b"Helicone-Cache-Enabled", b"false"), (b"Helicone-Cache-Seed", b"ann")]
    assert read_helicone_headers(off).properties == {}


def test_a_post_without_a_body_is_refused_as_the_real_one_does(
    helicone: LocalHelicone, http: httpx2.Client
) -> None:
    with http:
        answer = http.post("/v1/chat/completions")
    assert answer.status_code == 500
    assert answer.headers["helicone-error"] == "true"
    assert "Body has already been used" in answer.json()["helicone-message"]
    helicone.settle()
    assert helicone.store.requests() == []
