"""What DSPy sends by itself, through lm15, carries the session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from otel_helicone import HeliconeSpanProcessor
from tests.conftest import HELICONE_AUTH, MakeTracing, Tracing
from tests.http_places import MakePlace, Place, serving_places
from tests.integration.conftest import require

Send = Callable[[Any, Any], bytes]


@pytest.fixture
def transports() -> Any:
    """The package itself; DSPy has a copy of it, which its own program shows to be the same."""
    return require("lm15.transports")


def by_threads(transports: Any, request: Any) -> bytes:
    with transports.StdlibTransport() as transport, transport.stream(request) as response:
        return b"".join(response)


def by_asyncio(transports: Any, request: Any) -> bytes:
    async def send() -> bytes:
        async with transports.StdlibAsyncTransport() as transport:
            async with transport.stream(request) as response:
                return b"".join([chunk async for chunk in response])

    return asyncio.run(send())


BOTH = pytest.mark.parametrize("send", [by_threads, by_asyncio])


@pytest.fixture
def make_place() -> Iterator[MakePlace]:
    with serving_places() as make:
        yield make


@pytest.fixture
def gateway(make_place: MakePlace) -> Place:
    gateway = make_place()
    gateway.body = b"data: 1\n\n"
    gateway.answer = {"Helicone-Id": "r1"}
    return gateway


@pytest.fixture
def elsewhere(make_place: MakePlace) -> Place:
    return make_place()


@pytest.fixture
def tracing(make_tracing: MakeTracing, gateway: Place) -> Tracing:
    return make_tracing(gateway_hosts=[gateway.host])


def request_to(transports: Any, place: Place, **headers: str) -> Any:
    pairs = [(name.replace("_", "-"), text) for name, text in headers.items()]
    return transports.TransportRequest("POST", place.url, headers=pairs, body=b"{}")


@BOTH
def test_a_request_carries_the_session(
    send: Send, transports: Any, tracing: Tracing, gateway: Place
) -> None:
    given = request_to(transports, gateway, Helicone_Auth=HELICONE_AUTH)
    with tracing.tracer.start_as_current_span("parent"):
        assert send(transports, given) == b"data: 1\n\n"
    assert gateway.path() == "/parent"
    assert given.headers == [("Helicone-Auth", HELICONE_AUTH)]
    assert tracing.exported()["parent"]["helicone.request.id"] == "r1"


@BOTH
def test_a_header_of_the_caller_stays(
    send: Send, transports: Any, tracing: Tracing, gateway: Place
) -> None:
    with tracing.tracer.start_as_current_span("parent"):
        send(transports, request_to(transports, gateway, HELICONE_session_path="/mine"))
    assert gateway.path() == "/mine"
    assert gateway.helicone()["helicone-session-name"] == "parent"


@BOTH
def test_other_hosts_get_nothing(
    send: Send, transports: Any, tracing: Tracing, elsewhere: Place
) -> None:
    with tracing.tracer.start_as_current_span("parent"):
        send(transports, request_to(transports, elsewhere))
    assert elsewhere.helicone() == {}
    assert "helicone.request.id" not in tracing.exported()["parent"]


def test_the_classes_are_as_they_were_after_the_last_processor(transports: Any) -> None:
    def methods() -> list[Any]:
        return [
            transports.StdlibTransport.stream,
            transports.StdlibAsyncTransport._do_stream,
        ]

    before = methods()
    processor = HeliconeSpanProcessor()
    assert not any(found in before for found in methods())
    processor.shutdown()
    assert methods() == before
