"""WebSocket connections to a gateway carry the session, OpenAI's Realtime API for one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import openai
import pytest
import websockets.asyncio.client
import websockets.client
import websockets.sync.client
from opentelemetry.trace import Tracer
from websockets.sync.server import Server, ServerConnection, serve

from otel_helicone import HeliconeSpanProcessor, session
from tests.conftest import HELICONE_AUTH, MakeTracing

EVENT = '{"type": "session.created", "event_id": "e1", "session": {}}'


@dataclass
class Gateway:
    """A WebSocket server that keeps the Helicone headers of the connections made to it."""

    port: int = 0
    seen: list[dict[str, str]] = field(default_factory=list)
    redirects: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1"

    def headers(self, index: int = -1) -> dict[str, str]:
        return self.seen[index]

    def answer(self, connection: ServerConnection, request: Any) -> Any:
        pairs = [
            (name.lower(), text)
            for name, text in request.headers.raw_items()
            if name.lower().startswith("helicone-")
        ]
        assert len(dict(pairs)) == len(pairs), pairs
        self.seen.append(dict(pairs))
        if self.redirects:
            response = connection.respond(HTTPStatus.TEMPORARY_REDIRECT, "")
            response.headers["Location"] = self.redirects.pop(0)
            return response
        return None


def serving(gateway: Gateway) -> Server:
    def talk(connection: ServerConnection) -> None:
        connection.send(EVENT)

    server = serve(talk, "127.0.0.1", 0, process_request=gateway.answer)
    gateway.port = server.socket.getsockname()[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    gateway = Gateway()
    with serving(gateway):
        yield gateway


@pytest.fixture
def elsewhere() -> Iterator[Gateway]:
    """Another server, that is not Helicone's."""
    gateway = Gateway()
    with serving(gateway):
        yield gateway


@pytest.fixture
def tracer(make_tracing: MakeTracing, gateway: Gateway) -> Tracer:
    return make_tracing(gateway_hosts=[f"127.0.0.1:{gateway.port}"]).tracer


def realtime(client: Any) -> Any:
    """Give the Realtime API of a client, whose place has changed."""
    return client.realtime if hasattr(client, "realtime") else client.beta.realtime


def options(gateway: Gateway) -> dict[str, Any]:
    return {
        "api_key": "none",
        "base_url": "http://127.0.0.1:1/v1",
        "websocket_base_url": gateway.url,
    }


# About how the openai client closes a connection, with websockets 17.
its_own_warning = pytest.mark.filterwarnings(
    r"ignore:connect\(\) must be used as a context manager:DeprecationWarning"
)


@its_own_warning
def test_openais_realtime_api_carries_the_session(tracer: Tracer, gateway: Gateway) -> None:
    with openai.OpenAI(**options(gateway)) as client:
        with tracer.start_as_current_span("call") as span:
            with tracer.start_as_current_span("talk"):
                with realtime(client).connect(model="gpt-realtime") as connection:
                    assert connection.recv().type == "session.created"
    assert gateway.headers() == {
        "helicone-session-id": f"{span.get_span_context().trace_id:032x}",
        "helicone-session-path": "/call/talk",
        "helicone-session-name": "call",
    }


async def test_the_async_client_does_too(tracer: Tracer, gateway: Gateway) -> None:
    async with openai.AsyncOpenAI(**options(gateway)) as client:
        with tracer.start_as_current_span("call"):
            with tracer.start_as_current_span("talk"):
                async with realtime(client).connect(
                    model="gpt-realtime", extra_headers={"Helicone-Auth": HELICONE_AUTH}
                ) as connection:
                    assert (await connection.recv()).type == "session.created"
    assert gateway.headers()["helicone-session-path"] == "/call/talk"
    assert gateway.headers()["helicone-auth"] == HELICONE_AUTH


@its_own_warning
def test_a_header_of_the_caller_stays(tracer: Tracer, gateway: Gateway) -> None:
    with openai.OpenAI(**options(gateway)) as client:
        with tracer.start_as_current_span("call"):
            with realtime(client).connect(
                model="m", extra_headers={"HELICONE-session-path": "/mine"}
            ):
                pass
    assert gateway.headers()["helicone-session-path"] == "/mine"
    assert gateway.headers()["helicone-session-name"] == "call"


def test_other_hosts_get_nothing(tracer: Tracer, elsewhere: Gateway) -> None:
    with tracer.start_as_current_span("call"):
        with websockets.sync.client.connect(elsewhere.url):
            pass
    assert elsewhere.headers() == {}


def test_connections_at_the_same_time_carry_their_own(tracer: Tracer, gateway: Gateway) -> None:
    async def connect(number: int) -> None:
        with session(f"s{number}"):
            async with websockets.asyncio.client.connect(gateway.url) as connection:
                await connection.recv()

    async def all_together() -> None:
        await asyncio.gather(*(connect(number) for number in range(20)))

    asyncio.run(all_together())
    ids = {headers["helicone-session-id"] for headers in gateway.seen}
    assert ids == {f"s{number}" for number in range(20)}


needs_redirects = pytest.mark.skipif(
    not hasattr(websockets.asyncio.client.connect, "process_redirect"),
    reason="this version of websockets follows no redirects",
)


@needs_redirects
def test_a_redirect_to_another_host_loses_the_headers(
    tracer: Tracer, gateway: Gateway, elsewhere: Gateway
) -> None:
    gateway.redirects = [elsewhere.url]
    own = {"Helicone-Auth": HELICONE_AUTH, "X-Mine": "1"}

    async def connect() -> Any:
        connecting = websockets.asyncio.client.connect(gateway.url, additional_headers=own)
        async with connecting as connection:
            return connection.request

    with tracer.start_as_current_span("call"):
        request = asyncio.run(connect())
    assert gateway.headers()["helicone-session-path"] == "/call"
    assert elsewhere.headers() == {}
    assert request.headers["X-Mine"] == "1"
    assert own == {"Helicone-Auth": HELICONE_AUTH, "X-Mine": "1"}


@needs_redirects
def test_a_redirect_within_helicone_keeps_them(tracer: Tracer, gateway: Gateway) -> None:
    gateway.redirects = ["/v2"]

    async def connect() -> None:
        auth = {"Helicone-Auth": HELICONE_AUTH}
        async with websockets.asyncio.client.connect(gateway.url, additional_headers=auth):
            pass

    with tracer.start_as_current_span("call"):
        asyncio.run(connect())
    assert gateway.headers(0) == gateway.headers(1)
    assert gateway.headers(1)["helicone-auth"] == HELICONE_AUTH


def methods() -> list[dict[str, Any]]:
    protocol, connect = websockets.client.ClientProtocol, websockets.asyncio.client.connect
    return [dict(vars(protocol)), dict(vars(connect))]


def test_the_last_shutdown_leaves_the_classes_exactly_as_they_were(gateway: Gateway) -> None:
    before = methods()
    processor = HeliconeSpanProcessor(gateway_hosts=[f"127.0.0.1:{gateway.port}"])
    other = HeliconeSpanProcessor(gateway_hosts=[f"127.0.0.1:{gateway.port}"])
    assert methods() != before
    processor.shutdown()
    assert methods() != before
    other.shutdown()
    assert methods() == before
    with session("s1"), websockets.sync.client.connect(gateway.url):
        pass
    assert gateway.headers() == {}


def test_with_injection_off_nothing_is_touched(make_tracing: MakeTracing) -> None:
    before = methods()
    make_tracing(inject=False)
    assert methods() == before


def test_a_wrapper_that_came_later_is_kept_and_ours_below_it_goes_quiet(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol = websockets.client.ClientProtocol
    processor = HeliconeSpanProcessor(gateway_hosts=[f"127.0.0.1:{gateway.port}"])
    ours = protocol.send_request

    def theirs(self: Any, request: Any) -> None:
        ours(self, request)

    monkeypatch.setattr(protocol, "send_request", theirs)
    processor.shutdown()
    assert protocol.send_request is theirs
    with session("s1"), websockets.sync.client.connect(gateway.url):
        pass
    assert gateway.headers() == {}
    again = HeliconeSpanProcessor(gateway_hosts=[f"127.0.0.1:{gateway.port}"])
    with session("s1"), websockets.sync.client.connect(gateway.url):
        pass
    assert gateway.headers()["helicone-session-id"] == "s1"
    protocol.send_request = ours  # type: ignore[method-assign]
    again.shutdown()
    assert protocol.send_request is not ours


def test_it_is_not_imported_for_its_sake_and_covered_when_it_is_imported_later() -> None:
    program = """
import sys
from otel_helicone import HeliconeSpanProcessor
processor = HeliconeSpanProcessor()
assert not any(name.split(".")[0] == "websockets" for name in sys.modules)
import websockets.asyncio.client, websockets.client
assert hasattr(websockets.client.ClientProtocol.send_request, "__wrapped__")
processor.shutdown()
assert not hasattr(websockets.client.ClientProtocol.send_request, "__wrapped__")
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)


def test_a_request_of_an_unknown_shape_is_sent_as_it_is(
    tracer: Tracer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.failures_are_expected = True  # type: ignore[attr-defined]
    from websockets.datastructures import Headers
    from websockets.http11 import Request
    from websockets.uri import parse_uri

    protocol = websockets.client.ClientProtocol(parse_uri("ws://127.0.0.1/"))
    protocol.uri = None  # type: ignore[assignment]
    protocol.send_request(Request("/", Headers()))
    assert protocol.data_to_send()[0].startswith(b"GET / HTTP/1.1")
    assert "adding session headers to a handshake" in caplog.text
