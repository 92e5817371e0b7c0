"""What aiohttp's client sends carries the session: proxies, retries, WebSockets, its own hooks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import openai
import pytest
from aiohttp import web
from opentelemetry.trace import Tracer

from otel_helicone import session
from tests.conftest import HELICONE_AUTH, MakeTracing, Tracing
from tests.http_places import MakePlace, Place, serving_places

AUTH = {"Helicone-Auth": HELICONE_AUTH}


@pytest.fixture
def make_place() -> Iterator[MakePlace]:
    with serving_places() as make:
        yield make


@pytest.fixture
def gateway(make_place: MakePlace) -> Place:
    return make_place()


@pytest.fixture
def elsewhere(make_place: MakePlace) -> Place:
    return make_place()


@pytest.fixture
def tracing(make_tracing: MakeTracing, gateway: Place) -> Tracing:
    return make_tracing(gateway_hosts=[gateway.host, "gateway.test", "secure.test"])


@pytest.fixture
def tracer(tracing: Tracing) -> Tracer:
    return tracing.tracer


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


async def test_tasks_at_the_same_time_carry_their_own(
    tracer: Tracer, gateway: Place, http: aiohttp.ClientSession
) -> None:
    async def send(number: int) -> None:
        with session(f"s{number}"):
            async with http.post(gateway.url, headers={"X-Number": str(number)}):
                pass

    await asyncio.gather(*(send(number) for number in range(30)))
    assert len(gateway.seen) == 30
    for headers in gateway.seen:
        assert headers["helicone-session-id"] == f"s{headers['x-number']}"


async def test_calls_that_are_made_before_they_are_awaited_know_their_own_hops(
    tracer: Tracer, gateway: Place, elsewhere: Place, http: aiohttp.ClientSession
) -> None:
    gateway.redirects = [elsewhere.url]
    with tracer.start_as_current_span("parent"):
        responses = await asyncio.gather(
            http.post(gateway.url, headers=AUTH), http.post(elsewhere.url, headers=AUTH)
        )
    for response in responses:
        response.close()
    # The one was sent there, the other was redirected.
    assert sorted(map(len, map(elsewhere.helicone, range(2)))) == [0, 1]


async def test_the_headers_of_a_session_and_of_a_call_are_left_as_they_were_given(
    tracer: Tracer, gateway: Place
) -> None:
    given = dict(AUTH)
    async with aiohttp.ClientSession(headers={"X-Mine": "1"}) as http:
        with tracer.start_as_current_span("parent"):
            async with http.post(gateway.url, headers=given) as response:
                assert "Helicone-Session-Path" in response.request_info.headers
        assert dict(http.headers) == {"X-Mine": "1"}
    assert given == AUTH
    assert gateway.seen[0]["x-mine"] == "1"
    assert gateway.path() == "/parent"


async def test_a_retry_on_a_new_connection_carries_the_headers_once(tracer: Tracer) -> None:
    seen: list[list[str]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append([name.lower() for name in request.headers if "helicone" in name.lower()])
        if len(seen) == 2:
            assert request.transport is not None
            request.transport.close()
        return web.Response()

    application = web.Application()
    application.router.add_get("/", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    from otel_helicone import HeliconeSpanProcessor

    processor = HeliconeSpanProcessor(gateway_hosts=[f"{host}:{port}"])
    try:
        async with aiohttp.ClientSession() as http:
            with session("s1"):
                for _ in range(2):
                    async with http.get(f"http://{host}:{port}/") as response:
                        await response.read()
    finally:
        processor.shutdown()
        await runner.cleanup()
    assert seen == [["helicone-session-id", "helicone-session-path"]] * 3


async def test_the_answer_is_noted_where_raise_for_status_raises(
    tracing: Tracing, gateway: Place
) -> None:
    gateway.answer = {"helicone-id": "r1"}
    gateway.statuses = [500]
    async with aiohttp.ClientSession(raise_for_status=True) as http:
        with tracing.tracer.start_as_current_span("parent"):
            with pytest.raises(aiohttp.ClientResponseError):
                await http.post(gateway.url)
    assert tracing.exported()["parent"]["helicone.request.id"] == "r1"


async def test_through_a_proxy_the_host_that_is_asked_for_counts(
    tracer: Tracer, elsewhere: Place, http: aiohttp.ClientSession
) -> None:
    with tracer.start_as_current_span("parent"):
        for url in ("http://gateway.test/v1", "http://other.test/v1"):
            async with http.post(url, proxy=elsewhere.url):
                pass
    assert elsewhere.targets == ["http://gateway.test/v1", "http://other.test/v1"]
    assert elsewhere.path(0) == "/parent"
    assert elsewhere.helicone(1) == {}


async def test_a_proxy_that_tunnels_sees_none_of_them(
    tracer: Tracer, elsewhere: Place, http: aiohttp.ClientSession
) -> None:
    with tracer.start_as_current_span("parent"):
        with pytest.raises(aiohttp.ClientError):
            await http.post("https://secure.test/v1", proxy=elsewhere.url, headers=AUTH)
    assert elsewhere.targets == ["secure.test:443"]
    assert elsewhere.helicone() == {}


async def test_a_handshake_of_a_websocket_carries_them(
    tracer: Tracer, gateway: Place, http: aiohttp.ClientSession
) -> None:
    with tracer.start_as_current_span("parent"):
        with pytest.raises(aiohttp.WSServerHandshakeError):  # it is no WebSocket server
            await http.ws_connect(gateway.url.replace("http", "ws"))
    assert gateway.path() == "/parent"


async def test_a_stream_is_not_read_ahead(
    tracer: Tracer, gateway: Place, http: aiohttp.ClientSession
) -> None:
    gateway.body = b"data: 1\n\ndata: 2\n\n"
    with tracer.start_as_current_span("parent"):
        async with http.post(gateway.url) as response:
            assert not response.content.at_eof()
            assert [line async for line in response.content] == [
                b"data: 1\n",
                b"\n",
                b"data: 2\n",
                b"\n",
            ]
    assert gateway.path() == "/parent"


async def test_what_a_middleware_sends_by_itself_is_a_call_of_its_own(
    tracer: Tracer, gateway: Place, elsewhere: Place
) -> None:
    async def asking(request: Any, handler: Any) -> Any:
        async with request.session.post(gateway.url, middlewares=()):  # for a token, say
            pass
        return await handler(request)

    async with aiohttp.ClientSession() as http:
        with tracer.start_as_current_span("parent"):
            async with http.post(elsewhere.url, headers=AUTH, middlewares=[asking]):
                pass
    assert gateway.path() == "/parent"
    # To go elsewhere in between is no redirect.
    assert elsewhere.helicone() == {"helicone-auth": HELICONE_AUTH}


@pytest.mark.skipif(
    not hasattr(openai, "DefaultAioHttpClient"), reason="this openai has no aiohttp extra"
)
async def test_an_httpx_client_over_aiohttp_carries_them_once(
    tracing: Tracing, gateway: Place
) -> None:
    try:
        http_client: Any = openai.DefaultAioHttpClient()
    except RuntimeError:
        pytest.skip("the extra is not installed")
    gateway.answer = {"helicone-id": "r1"}
    gateway.body = b'{"object": "list", "data": []}'
    async with openai.AsyncOpenAI(
        base_url=gateway.url, api_key="none", http_client=http_client
    ) as client:
        with tracing.tracer.start_as_current_span("parent"):
            await client.models.list()
    # A server fails the test for names that are there twice.
    assert gateway.path() == "/parent"
    assert tracing.exported()["parent"]["helicone.request.id"] == "r1"
