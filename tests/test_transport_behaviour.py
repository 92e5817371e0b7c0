"""The openai client behaves the same with the processor as without: retries, faults, streams.

Each scenario runs twice against a real server, sync and async; what came of it, and what was sent
save for the session headers, must be the same.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import openai
import pytest
from opentelemetry.sdk.trace import TracerProvider

from otel_helicone import HeliconeSpanProcessor

QUESTION: list[Any] = [{"role": "user", "content": "Hello?"}]
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi."}}
    ],
}
CHUNKS = [
    {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": word}}],
    }
    for word in ("one", "two", "three")
]

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers each attempt as the scenario says, and keeps what was sent."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        headers = [(name.lower(), text) for name, text in self.headers.items()]
        server = self.server
        assert isinstance(server, FaultyServer)
        server.sent.append((self.path, headers, body))
        server.answers[min(len(server.sent), len(server.answers)) - 1](self)

    def answer(self, status: int, content: object, **headers: str) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def chunk(self, content: object) -> None:
        line = f"data: {content if isinstance(content, str) else json.dumps(content)}\n\n".encode()
        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        self.wfile.flush()

    def start_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing on the terminal."""


class FaultyServer(ThreadingHTTPServer):
    daemon_threads = True
    answers: list[Answer]
    sent: list[tuple[str, list[tuple[str, str]], bytes]]

    def handle_error(self, *_arguments: object) -> None:
        """A client that hangs up is part of some scenarios."""


def ok(handler: Handler) -> None:
    handler.answer(200, ANSWER, helicone_id="11111111-1111-4111-8111-111111111111")


def status(code: int, **headers: str) -> Answer:
    return lambda handler: handler.answer(
        code, {"error": {"message": "no", "code": "x"}}, **headers
    )


def hang(_handler: Handler) -> None:
    threading.Event().wait(60)


def after(seconds: float) -> openai.Timeout:
    """Return a timeout for an answer that does not come."""
    return openai.Timeout(60, read=seconds)


def reset(handler: Handler) -> None:
    handler.connection.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
    )
    handler.connection.close()
    handler.close_connection = True


def stream(handler: Handler) -> None:
    handler.start_stream()
    for content in (*CHUNKS, "[DONE]"):
        handler.chunk(content)
    handler.wfile.write(b"0\r\n\r\n")


def dies_in_mid_stream(handler: Handler) -> None:
    handler.start_stream()
    handler.chunk(CHUNKS[0])
    handler.chunk(CHUNKS[1])
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


@dataclass(frozen=True)
class Scenario:
    """What the server does at each attempt, and how the client calls."""

    name: str
    answers: list[Answer]
    attempts: int = 1
    call: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    raw: bool = False
    url: str = ""


SCENARIOS = [
    Scenario("an answer", [ok]),
    Scenario("a raw answer", [ok], raw=True),
    Scenario("a retry after 500", [status(500), ok], attempts=2),
    Scenario("a retry after 429 with Retry-After", [status(429, retry_after="0"), ok], attempts=2),
    Scenario("a retry after 429 in ms", [status(429, retry_after_ms="1"), ok], attempts=2),
    Scenario("a retry after a reset", [reset, ok], attempts=2),
    Scenario("retries that run out", [status(503)], attempts=3),
    Scenario("no retries", [status(500)], options={"max_retries": 0}),
    Scenario("a wrong key", [status(401)]),
    Scenario("a bad request", [status(400)]),
    Scenario("nothing there", [status(404)]),
    Scenario("a timeout", [hang], options={"timeout": after(0.15), "max_retries": 0}),
    Scenario("a timeout, then an answer", [hang, ok], attempts=2, options={"timeout": after(2)}),
    Scenario("a stream", [stream], call={"stream": True}),
    Scenario("a stream that breaks off", [dies_in_mid_stream], call={"stream": True}),
    Scenario("a stream that is refused", [status(400)], call={"stream": True}),
    Scenario("a redirect", [status(307, location="/elsewhere"), ok], attempts=2),
    Scenario("nobody listens", [ok], attempts=0, url="http://127.0.0.1:9/v1"),
    Scenario("extra headers", [ok], call={"extra_headers": {"X-Mine": "1"}}),
    Scenario("a caller's idempotency key", [status(500), ok], 2, {"extra_headers": {"I-K": "k"}}),
]


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@dataclass
class Outcome:
    """What a call came to, in a form that can be compared."""

    result: Any
    exception: str | None
    chunks: list[str]


def call_sync(url: str, scenario: Scenario) -> Outcome:
    chunks: list[str] = []
    with openai.OpenAI(base_url=url, api_key="none") as base:
        client = base.with_options(**scenario.options) if scenario.options else base
        ask = client.chat.completions
        create: Any = ask.with_raw_response.create if scenario.raw else ask.create
        try:
            result = create(model="m", messages=QUESTION, **scenario.call)
            if "stream" in scenario.call:
                for chunk in result:
                    chunks.append(chunk.choices[0].delta.content)  # noqa: PERF401 - kept if it breaks off
                return Outcome(None, None, chunks)
        except Exception as error:
            return Outcome(None, _described(error), chunks)
        return Outcome(_plain(result), None, chunks)


async def call_async(url: str, scenario: Scenario) -> Outcome:
    chunks: list[str] = []
    async with openai.AsyncOpenAI(base_url=url, api_key="none") as base:
        client = base.with_options(**scenario.options) if scenario.options else base
        ask = client.chat.completions
        create: Any = ask.with_raw_response.create if scenario.raw else ask.create
        try:
            result = await create(model="m", messages=QUESTION, **scenario.call)
            if "stream" in scenario.call:
                async for chunk in result:
                    chunks.append(chunk.choices[0].delta.content)  # noqa: PERF401 - kept if it breaks off
                return Outcome(None, None, chunks)
        except Exception as error:
            return Outcome(None, _described(error), chunks)
        return Outcome(_plain(result), None, chunks)


def _plain(result: Any) -> Any:
    parsed = result.parse() if hasattr(result, "parse") else result
    return parsed.model_dump()


def _described(error: Exception) -> str:
    causes = []
    cause: BaseException | None = error
    while cause is not None:
        causes.append(f"{type(cause).__module__}.{type(cause).__qualname__}")
        cause = cause.__cause__
    return " <- ".join(causes)


def run(
    server: FaultyServer, scenario: Scenario, asynchronous: bool, span: AbstractContextManager[Any]
) -> tuple[Outcome, list[tuple[str, list[tuple[str, str]], bytes]]]:
    server.sent = []
    server.answers = scenario.answers
    url = scenario.url or f"http://127.0.0.1:{server.server_port}/v1"
    with span:
        if asynchronous:
            outcome = asyncio.run(call_async(url, scenario))
        else:
            outcome = call_sync(url, scenario)
    return outcome, list(server.sent)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_with_and_without(server: FaultyServer, scenario: Scenario, asynchronous: bool) -> None:
    without, plain = run(server, scenario, asynchronous, nullcontext())

    provider = TracerProvider(shutdown_on_exit=False)
    host = f"127.0.0.1:{server.server_port}"
    provider.add_span_processor(HeliconeSpanProcessor(gateway_hosts=[host, "127.0.0.1:9"]))
    tracer = provider.get_tracer("app")
    span = tracer.start_as_current_span("call", record_exception=False)
    try:
        within, sent = run(server, scenario, asynchronous, span)
    finally:
        provider.shutdown()

    assert within == without
    assert len(sent) == len(plain) == scenario.attempts
    session_ids = set()
    for (path, headers, body), (plain_path, plain_headers, plain_body) in zip(
        sent, plain, strict=True
    ):
        ours = [header for header in headers if header[0].startswith("helicone-")]
        assert [header for header in headers if header not in ours] == plain_headers
        assert (path, body) == (plain_path, plain_body)
        # Each attempt and each hop carries the session.
        assert [name for name, _ in ours] == [
            "helicone-session-id",
            "helicone-session-path",
            "helicone-session-name",
        ]
        session_ids.add(ours[0][1])
    assert len(session_ids) <= 1


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_redirect_to_another_host_in_the_real_client(
    server: FaultyServer, asynchronous: bool
) -> None:
    # The same server by another name, which is not set up as a gateway.
    elsewhere = f"http://localhost:{server.server_port}/elsewhere"
    scenario = Scenario("", [status(307, location=elsewhere), ok])
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(
        HeliconeSpanProcessor(gateway_hosts=[f"127.0.0.1:{server.server_port}"])
    )
    span = provider.get_tracer("app").start_as_current_span("call")
    keyed = Scenario("", scenario.answers, call={"extra_headers": {"Helicone-Auth": "Bearer k"}})
    outcome, sent = run(server, keyed, asynchronous, span)
    provider.shutdown()
    assert outcome.exception is None
    first, second = (
        {name for name, _ in headers if name.startswith("helicone-")} for _, headers, _ in sent
    )
    assert first == {
        "helicone-auth",
        "helicone-session-id",
        "helicone-session-path",
        "helicone-session-name",
    }
    assert second == set()


def test_a_stream_is_passed_on_chunk_by_chunk(server: FaultyServer) -> None:
    seen = threading.Event()

    def one_by_one(handler: Handler) -> None:
        handler.start_stream()
        for content in (*CHUNKS, "[DONE]"):
            handler.chunk(content)
            # The next one is sent only when the client has this one.
            assert content == "[DONE]" or seen.wait(5)
            seen.clear()
        handler.wfile.write(b"0\r\n\r\n")

    server.sent, server.answers = [], [one_by_one]
    host = f"127.0.0.1:{server.server_port}"
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(HeliconeSpanProcessor(gateway_hosts=[host]))
    words = []
    with provider.get_tracer("app").start_as_current_span("call"):
        with openai.OpenAI(base_url=f"http://{host}/v1", api_key="none", timeout=10) as client:
            for chunk in client.chat.completions.create(model="m", messages=QUESTION, stream=True):
                words.append(chunk.choices[0].delta.content)
                seen.set()
    provider.shutdown()
    assert words == ["one", "two", "three"]
    assert "helicone-session-id" in dict(server.sent[0][1])


def test_a_closed_client_raises_what_it_always_raises(server: FaultyServer) -> None:
    host = f"127.0.0.1:{server.server_port}"
    raised = []
    for processors in (0, 1):
        provider = TracerProvider(shutdown_on_exit=False)
        if processors:
            provider.add_span_processor(HeliconeSpanProcessor(gateway_hosts=[host]))
        client = openai.OpenAI(base_url=f"http://{host}/v1", api_key="none", max_retries=0)
        client.close()
        with provider.get_tracer("app").start_as_current_span("call"):
            try:
                client.chat.completions.create(model="m", messages=QUESTION)
            except Exception as error:
                raised.append(_described(error))
        provider.shutdown()
    assert len(raised) == 2
    assert raised[0] == raised[1]
