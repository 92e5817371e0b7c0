"""A local Helicone before another API: what is passed on, and what is stored when it fails."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import openai
import pytest

from otel_helicone.local.gateway.forwarding import parse_upstream_url
from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.records import RequestRecord

Script = Callable[[socket.socket], None]
StartUpstream = Callable[[Script], str]
ReadRequest = Callable[[socket.socket], bytes]
Before = Callable[[str], LocalHelicone]

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def before(tmp_path: Path) -> Iterator[Before]:
    """Give a function that puts a local Helicone before an upstream's URL."""
    with ExitStack() as servers:
        yield lambda url: servers.enter_context(
            LocalHelicone(tmp_path / "gateway.db", upstream=url)
        )


def chat(helicone: LocalHelicone, **headers: str) -> httpx2.Response:
    with httpx2.Client(trust_env=False) as client:
        url = f"{helicone.base_url}/chat/completions"
        return client.post(url, json=CHAT, headers=headers)


def only_request(helicone: LocalHelicone) -> RequestRecord:
    assert helicone.settle()
    (request,) = helicone.store.requests()
    return request


def answering(read: ReadRequest, *pieces: bytes, seen: list[bytes] | None = None) -> Script:
    def script(connection: socket.socket) -> None:
        request = read(connection)
        if seen is not None:
            seen.append(request)
        for piece in pieces:
            connection.sendall(piece)

    return script


def http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(content: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": {"content": content}}]}).encode() + b"\n\n"


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def test_another_local_helicone_answers_through_it(tmp_path: Path, before: Before) -> None:
    with LocalHelicone(tmp_path / "upstream.db", latency=0) as upstream:
        helicone = before(upstream.base_url)
        with openai.OpenAI(base_url=helicone.base_url, api_key="none") as client:
            stream = client.chat.completions.create(
                model="m",
                messages=[{"role": "user", "content": "hello"}],
                stream=True,
                stream_options={"include_usage": True},
                extra_headers={"Helicone-Session-Id": "trip"},
            )
            chunks = list(stream)
            vector = client.embeddings.create(model="e", input="x").data[0].embedding
        helicone.settle()
        upstream.settle()
        first, second = helicone.store.requests()
        behind = upstream.store.requests()
    assert chunks[-1].usage is not None
    assert first.total_tokens == chunks[-1].usage.total_tokens
    assert first.session_id == "trip"
    assert second.model == "e"
    assert len(vector) == 1536
    # Helicone's headers stay with the first one.
    assert [request.session_id for request in behind] == [None, None]
    assert behind[0].helicone_headers == ()


def test_helicone_headers_stay_and_all_others_pass(
    before: Before, scripted_upstream: StartUpstream, request_reader: ReadRequest
) -> None:
    seen: list[bytes] = []
    ok = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-Id: 7\r\n"
        b"Keep-Alive: timeout=5\r\n\r\n{}"
    )
    helicone = before(scripted_upstream(answering(request_reader, ok, seen=seen)) + "/proxy/v1")
    headers = {
        "Helicone-Auth": "Bearer secret",
        "Helicone-Session-Id": "trip",
        "HELICONE-anything": "x",
        "X-Helicone-Foo": "passes",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "baggage": "a=b",
        "User-Agent": "test",
        "Accept-Encoding": "br, gzip;q=0.5, zstd",
        "Connection": "close, X-Hop",
        "X-Hop": "1",
        "Authorization": "Bearer provider-key",
    }
    with httpx2.Client(trust_env=False) as client:
        answer = client.post(
            f"{helicone.base_url}/chat/completions?api-version=1", json=CHAT, headers=headers
        )
    head, _, body = seen[0].partition(b"\r\n\r\n")
    line, *lines = head.lower().split(b"\r\n")
    assert line == b"post /proxy/v1/chat/completions?api-version=1 http/1.1"
    assert json.loads(body) == CHAT
    names = {header.partition(b":")[0] for header in lines}
    assert not [name for name in names if name.startswith(b"helicone-")]
    assert names >= {b"x-helicone-foo", b"traceparent", b"baggage", b"authorization"}
    assert b"x-hop" not in names
    assert b"user-agent: test" in lines
    assert b"accept-encoding: gzip;q=0.5" in lines
    assert answer.headers["x-request-id"] == "7"
    assert "keep-alive" not in answer.headers
    assert only_request(helicone).target_path == "/v1/chat/completions"


def test_a_rate_limit_passes_with_its_retry_after(
    before: Before, scripted_upstream: StartUpstream, request_reader: ReadRequest
) -> None:
    body = b'{"error":{"message":"slow down"}}'
    refusal = (
        b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nx-ratelimit-limit-requests: 3\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    helicone = before(scripted_upstream(answering(request_reader, refusal)))
    with (
        openai.OpenAI(base_url=helicone.base_url, api_key="none", max_retries=0) as client,
        pytest.raises(openai.RateLimitError) as raised,
    ):
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
    assert raised.value.response.headers["retry-after"] == "7"
    assert raised.value.response.headers["x-ratelimit-limit-requests"] == "3"
    request = only_request(helicone)
    assert (request.status, request.model, request.total_tokens) == (429, "m", 0)
    assert request.response_body == body.decode()


def test_chunks_are_passed_on_as_they_come(
    before: Before, scripted_upstream: StartUpstream, request_reader: ReadRequest
) -> None:
    first_was_read = threading.Event()

    def script(connection: socket.socket) -> None:
        request_reader(connection)
        connection.sendall(STREAM_HEAD + http_chunk(event("one ")))
        assert first_was_read.wait(10)
        connection.sendall(
            http_chunk(event("two")) + http_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
        )

    helicone = before(scripted_upstream(script))
    with openai.OpenAI(base_url=helicone.base_url, api_key="none") as client:
        stream = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        pieces = []
        for chunk in stream:
            pieces.append(chunk.choices[0].delta.content)
            first_was_read.set()
    assert pieces == ["one ", "two"]
    request = only_request(helicone)
    assert request.status == 200
    assert '"text": "one two"' in request.response_body


@pytest.mark.parametrize("reset", [True, False])
def test_an_upstream_that_dies_in_a_stream_is_stored_as_minus_two(
    before: Before, scripted_upstream: StartUpstream, request_reader: ReadRequest, reset: bool
) -> None:
    caller_has_it = threading.Event()

    def script(connection: socket.socket) -> None:
        request_reader(connection)
        connection.sendall(STREAM_HEAD + http_chunk(event("half")))
        assert caller_has_it.wait(10)
        if reset:
            no_linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)

    helicone = before(scripted_upstream(script))
    received = b""
    with (
        httpx2.Client(trust_env=False) as client,
        client.stream("POST", f"{helicone.base_url}/chat/completions", json=CHAT) as answer,
    ):
        for data in answer.iter_raw():
            received += data
            caller_has_it.set()
    assert received == event("half")
    request = only_request(helicone)
    assert (request.status, request.is_error) == (-2, True)
    assert '"text": "half"' in request.response_body


@pytest.mark.parametrize("behaviour", ["closes", "resets"])
def test_an_upstream_that_is_gone_before_it_answers_is_a_502(
    before: Before, scripted_upstream: StartUpstream, request_reader: ReadRequest, behaviour: str
) -> None:
    def script(connection: socket.socket) -> None:
        request_reader(connection)
        if behaviour == "resets":
            no_linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)

    helicone = before(scripted_upstream(script))
    answer = chat(helicone)
    request = only_request(helicone)
    assert answer.status_code == request.status == 502
    assert answer.headers["helicone-id"] == request.request_id
    assert "Unable to connect to the provider" in answer.json()["error"]["message"]
    assert request.model == "gpt-4o-mini"


def test_an_upstream_that_refuses_is_a_502(before: Before) -> None:
    # Bound, so that nobody else gets the port, and not listened on.
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        helicone = before(f"http://127.0.0.1:{port}")
        answer = chat(helicone)
    assert answer.status_code == 502
    assert f"http://127.0.0.1:{port}" in answer.json()["error"]["message"]
    assert only_request(helicone).status == 502


def test_a_compressed_answer_passes_untouched_and_is_stored_readable(
    before: Before, scripted_upstream: StartUpstream, request_reader: ReadRequest
) -> None:
    plain = json.dumps({"model": "gpt-4o", "usage": {"prompt_tokens": 3, "completion_tokens": 4}})
    packed = gzip.compress(plain.encode())
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
        b"Content-Length: %d\r\n\r\n" % len(packed)
    )
    helicone = before(scripted_upstream(answering(request_reader, head, packed)))
    answer = chat(helicone)
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.text == plain
    request = only_request(helicone)
    assert request.response_body == plain
    assert (request.model, request.total_tokens) == ("gpt-4o", 7)


def test_an_encoding_that_is_not_read_is_said_in_the_record(
    before: Before, scripted_upstream: StartUpstream, request_reader: ReadRequest
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: unheard-of\r\nContent-Length: 2\r\n\r\n??"
    helicone = before(scripted_upstream(answering(request_reader, head)))
    assert chat(helicone).content == b"??"
    assert "unheard-of" in only_request(helicone).response_body


def test_the_answer_to_head_keeps_its_length(
    before: Before, scripted_upstream: StartUpstream, request_reader: ReadRequest
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"
    helicone = before(scripted_upstream(answering(request_reader, head)))
    with httpx2.Client(trust_env=False) as client:
        answer = client.head(f"{helicone.base_url}/files/1/content")
    assert answer.headers["content-length"] == "1234"
    assert only_request(helicone).method == "HEAD"


def test_a_redirect_is_the_callers_to_follow(
    before: Before, scripted_upstream: StartUpstream, request_reader: ReadRequest
) -> None:
    head = b"HTTP/1.1 307 Moved\r\nLocation: https://example.com/\r\nContent-Length: 0\r\n\r\n"
    helicone = before(scripted_upstream(answering(request_reader, head)))
    answer = chat(helicone)
    assert (answer.status_code, answer.headers["location"]) == (307, "https://example.com/")
    assert not only_request(helicone).is_error


@pytest.mark.parametrize(
    "given",
    ["https://api.openai.com", "https://api.openai.com/", " https://api.openai.com/v1/ "],
)
def test_an_upstream_may_be_given_with_its_version(given: str) -> None:
    assert parse_upstream_url(given) == "https://api.openai.com"


@pytest.mark.parametrize("given", ["api.openai.com", "ftp://x", "", "https://", "http://x/?a=b"])
def test_what_is_no_url_of_an_upstream_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match=r"such as https://api\.openai\.com"):
        parse_upstream_url(given)
