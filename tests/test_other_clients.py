"""Clients that are not on httpx2 or httpx carry the session with one line for each."""

from __future__ import annotations

import asyncio
import functools
import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import Any

import aiohttp
import pytest
import requests
import urllib3
from opentelemetry.trace import SpanKind, Tracer

from otel_helicone import HeliconeSpanProcessor, session
from otel_helicone.clients import for_aiohttp, for_botocore, for_requests, for_urllib3
from tests.conftest import HELICONE_AUTH, MakeTracing, Tracing
from tests.http_places import MakePlace, Place, serving_places

# botocore has no types.
botocore_session: Any = importlib.import_module("botocore.session")
botocore_config: Any = importlib.import_module("botocore.config")

AUTH = {"Helicone-Auth": HELICONE_AUTH}


class Way(Enum):
    """How a client comes to its headers."""

    ALL_CLIENTS = "all clients get them"
    TWICE = "all clients get them, and this one is named too"
    NAMED = "inject=False, and this one is named"


@pytest.fixture
def make_place() -> Iterator[MakePlace]:
    with serving_places() as make:
        yield make


@pytest.fixture(params=Way, ids=lambda way: way.name.lower())
def way(request: pytest.FixtureRequest) -> Way:
    way: Way = request.param
    return way


@pytest.fixture
def gateway(make_place: MakePlace) -> Place:
    return make_place()


@pytest.fixture
def elsewhere(make_place: MakePlace) -> Place:
    return make_place()


@pytest.fixture
def tracing(make_tracing: MakeTracing, gateway: Place, way: Way) -> Tracing:
    return make_tracing(gateway_hosts=[gateway.host], inject=way is not Way.NAMED)


@pytest.fixture
def tracer(tracing: Tracing) -> Tracer:
    return tracing.tracer


# --- the four, each sending one POST ------------------------------------------------------------

Send = Callable[[str, dict[str, str]], int]


def by_requests(is_named: bool, url: str, headers: dict[str, str]) -> int:
    with requests.Session() as http:
        if is_named:
            assert for_requests(http) is http
        return http.post(url, json={}, headers=headers).status_code


def by_urllib3(is_named: bool, url: str, headers: dict[str, str]) -> int:
    with urllib3.PoolManager() as http:
        if is_named:
            assert for_urllib3(http) is http
        return http.request("POST", url, body=b"{}", headers=headers).status


def by_aiohttp(is_named: bool, url: str, headers: dict[str, str]) -> int:
    async def send() -> int:
        async with aiohttp.ClientSession(
            trace_configs=[for_aiohttp()] if is_named else None
        ) as http:
            async with http.post(url, json={}, headers=headers) as response:
                return response.status

    return asyncio.run(send())


def by_botocore(is_named: bool, url: str, headers: dict[str, str]) -> int:
    client = botocore_session.get_session().create_client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=botocore_config.Config(retries={"max_attempts": 0}),
    )
    client.meta.events.register("before-send", lambda request, **_: request.headers.update(headers))
    if is_named:
        assert for_botocore(client) is client
    try:
        answer = client.converse(
            modelId="m", messages=[{"role": "user", "content": [{"text": "Hello!"}]}]
        )
    finally:
        client.close()
    return int(answer["ResponseMetadata"]["HTTPStatusCode"])


@pytest.fixture
def send(request: pytest.FixtureRequest, way: Way) -> Send:
    return functools.partial(request.param, way is not Way.ALL_CLIENTS)


FOLLOWING = [by_requests, by_urllib3, by_aiohttp]
ALL = pytest.mark.parametrize("send", [*FOLLOWING, by_botocore], indirect=True)
# botocore follows no redirects.
REDIRECTED = pytest.mark.parametrize("send", FOLLOWING, indirect=True)


@ALL
def test_a_request_carries_the_session(send: Send, tracer: Tracer, gateway: Place) -> None:
    with tracer.start_as_current_span("parent") as parent:
        with tracer.start_as_current_span("child"):
            assert send(gateway.url, {}) == 200
    assert gateway.helicone() == {
        "helicone-session-id": f"{parent.get_span_context().trace_id:032x}",
        "helicone-session-path": "/parent/child",
        "helicone-session-name": "parent",
    }


@ALL
def test_a_header_of_the_caller_stays(send: Send, tracer: Tracer, gateway: Place) -> None:
    given = {"HELICONE-session-path": "/mine", **AUTH}
    with tracer.start_as_current_span("parent"):
        send(gateway.url, given)
    assert gateway.path() == "/mine"
    assert gateway.helicone()["helicone-session-name"] == "parent"
    assert given == {"HELICONE-session-path": "/mine", **AUTH}


@ALL
def test_other_hosts_get_nothing(send: Send, tracer: Tracer, elsewhere: Place) -> None:
    with tracer.start_as_current_span("parent"):
        send(elsewhere.url, {})
    assert elsewhere.helicone() == {}


@ALL
def test_without_a_processor_in_use_nothing_is_added(send: Send, gateway: Place) -> None:
    HeliconeSpanProcessor(gateway_hosts=[gateway.host]).shutdown()
    with session("s1"):
        send(gateway.url, {})
    assert gateway.helicone() == {}


@REDIRECTED
def test_a_redirect_to_another_host_loses_every_helicone_header(
    send: Send, tracer: Tracer, gateway: Place, elsewhere: Place
) -> None:
    gateway.redirects = [elsewhere.url]
    with tracer.start_as_current_span("parent"):
        send(gateway.url, {**AUTH, "HELICONE-cache-enabled": "true", "X-Mine": "1"})
    assert gateway.path() == "/parent"
    assert elsewhere.helicone() == {}
    assert elsewhere.seen[0]["x-mine"] == "1"


@REDIRECTED
def test_a_redirect_is_judged_by_the_host_that_is_connected_to(
    send: Send, tracer: Tracer, gateway: Place, elsewhere: Place
) -> None:
    # One parser of URLs takes what is before the "@" for a user, another one for the host.
    for location in (
        f"http://{elsewhere.host}\\@{gateway.host}/",
        f"http://{gateway.host}@{elsewhere.host}/",
        f"//{elsewhere.host}/",
        f" http://{elsewhere.host}/",
    ):
        gateway.redirects = [location]
        with tracer.start_as_current_span("parent"):
            try:
                send(gateway.url, {**AUTH, "HELICONE-cache-enabled": "true"})
            except Exception:
                pass  # a location that the client itself refuses
    assert not any(name.startswith("helicone-") for seen in elsewhere.seen for name in seen)


@REDIRECTED
def test_a_redirect_within_a_gateway_keeps_them(send: Send, tracer: Tracer, gateway: Place) -> None:
    gateway.redirects = ["/v2"]
    with tracer.start_as_current_span("parent"):
        send(gateway.url, AUTH)
    assert gateway.helicone(1) == gateway.helicone(0)
    assert gateway.helicone(1)["helicone-auth"] == HELICONE_AUTH


@REDIRECTED
def test_a_redirect_into_helicone_gets_them(
    send: Send, tracer: Tracer, gateway: Place, elsewhere: Place
) -> None:
    elsewhere.redirects = [gateway.url]
    with tracer.start_as_current_span("parent"):
        send(elsewhere.url, {})
    assert elsewhere.helicone() == {}
    assert gateway.path() == "/parent"


@REDIRECTED
def test_a_redirect_within_a_host_that_is_not_helicones_is_left_alone(
    send: Send, tracer: Tracer, elsewhere: Place
) -> None:
    elsewhere.redirects = ["/v2"]
    with tracer.start_as_current_span("parent"):
        send(elsewhere.url, AUTH)
    assert elsewhere.helicone(1) == {"helicone-auth": HELICONE_AUTH}


@REDIRECTED
def test_what_a_redirect_has_lost_does_not_come_back_with_the_next(
    send: Send, tracer: Tracer, gateway: Place, elsewhere: Place
) -> None:
    gateway.redirects = [elsewhere.url]
    elsewhere.redirects = ["/v2"]
    with tracer.start_as_current_span("parent"):
        send(gateway.url, AUTH)
    assert elsewhere.targets == ["/v1", "/v2"]
    assert elsewhere.helicone(0) == elsewhere.helicone(1) == {}
    gateway.redirects = [elsewhere.url]
    elsewhere.redirects = [gateway.url]
    with tracer.start_as_current_span("parent"):
        send(gateway.url, AUTH)
    assert elsewhere.helicone() == {}
    assert gateway.path() == "/parent"
    assert "helicone-auth" not in gateway.helicone()


@REDIRECTED
def test_a_redirect_to_another_gateway_gets_the_session_but_not_the_key(
    send: Send, make_tracing: MakeTracing, gateway: Place, elsewhere: Place, way: Way
) -> None:
    tracer = make_tracing(
        gateway_hosts=[gateway.host, elsewhere.host], inject=way is not Way.NAMED
    ).tracer
    gateway.redirects = [elsewhere.url]
    with tracer.start_as_current_span("parent"):
        send(gateway.url, {**AUTH, "Helicone-Session-Path": "/mine"})
    assert gateway.path() == "/mine"
    assert elsewhere.path() == "/parent"
    assert "helicone-auth" not in elsewhere.helicone()


@ALL
def test_threads_at_the_same_time_carry_their_own(
    send: Send, tracer: Tracer, gateway: Place
) -> None:
    def call(number: int) -> None:
        with session(f"s{number}"):
            send(gateway.url, {"X-Number": str(number)})

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(call, range(16)))
    assert len(gateway.seen) == 16
    for headers in gateway.seen:
        assert headers["helicone-session-id"] == f"s{headers['x-number']}"


# --- what Helicone answers, without code --------------------------------------------------------


@pytest.mark.parametrize("way", [Way.ALL_CLIENTS, Way.TWICE], indirect=True)
@ALL
def test_the_answer_is_noted_on_the_span_of_the_call(
    send: Send, tracing: Tracing, gateway: Place
) -> None:
    gateway.answer = {"helicone-id": "r1", "Helicone-Cache": "HIT"}
    with tracing.tracer.start_as_current_span("parent"):
        send(gateway.url, {})
    attributes = tracing.exported()["parent"]
    assert attributes["helicone.request.id"] == "r1"
    assert attributes["helicone.cache"] == "HIT"


@pytest.mark.parametrize("way", [Way.ALL_CLIENTS], indirect=True)
@ALL
def test_the_answer_of_another_host_is_not(send: Send, tracing: Tracing, elsewhere: Place) -> None:
    elsewhere.answer = {"helicone-id": "r1"}
    with tracing.tracer.start_as_current_span("parent"):
        send(elsewhere.url, {})
    assert "helicone.request.id" not in tracing.exported()["parent"]


@pytest.mark.parametrize("way", [Way.ALL_CLIENTS], indirect=True)
@ALL
def test_a_span_for_the_http_request_alone_passes_the_answer_on_to_the_one_around_it(
    send: Send, tracing: Tracing, gateway: Place
) -> None:
    tracer = tracing.tracer
    gateway.answer = {"helicone-id": "r1"}
    with tracer.start_as_current_span("step"):
        with tracer.start_as_current_span(
            "chat", kind=SpanKind.CLIENT, attributes={"gen_ai.operation.name": "chat"}
        ):
            with tracer.start_as_current_span(
                "POST", kind=SpanKind.CLIENT, attributes={"http.request.method": "POST"}
            ):
                send(gateway.url, {})
    assert gateway.path() == "/step"
    noted = {name: found.get("helicone.request.id") for name, found in tracing.exported().items()}
    assert noted == {"step": None, "chat": "r1", "POST": None}


# --- each by itself -----------------------------------------------------------------------------


def test_a_prepared_request_sent_again_carries_the_session_of_the_moment(
    tracer: Tracer, gateway: Place
) -> None:
    prepared = requests.Request("POST", gateway.url).prepare()
    with for_requests(requests.Session()) as http:
        for name in ("first", "second"):
            with tracer.start_as_current_span(name):
                http.send(prepared)
            assert gateway.path() == f"/{name}"
    assert "Helicone-Session-Path" not in prepared.headers


def test_a_redirect_that_the_caller_follows_by_hand_loses_them_too(
    tracer: Tracer, gateway: Place, elsewhere: Place
) -> None:
    gateway.redirects = [elsewhere.url]
    with tracer.start_as_current_span("parent"), for_requests(requests.Session()) as http:
        response = http.post(gateway.url, headers=AUTH, allow_redirects=False)
        assert response.next is not None
        http.send(response.next)
    assert elsewhere.helicone() == {}


def test_the_headers_and_retries_of_a_pool_manager_stay(
    tracer: Tracer, gateway: Place, elsewhere: Place
) -> None:
    pool = urllib3.PoolManager(headers={"X-Mine": "1"}, retries=urllib3.Retry(0, redirect=0))

    def outcomes(http: urllib3.PoolManager, place: Place) -> Iterator[int | str]:
        given: list[dict[str, Any]] = [{}, {"redirect": False}, {"retries": False}, {"retries": 1}]
        for options in given:
            place.redirects = ["/v2"]
            try:
                yield http.request("POST", place.url, **options).status
            except urllib3.exceptions.MaxRetryError:
                yield "too many"

    # What becomes of the retries of a pool manager differs between releases.
    expected = [*outcomes(pool, elsewhere)]
    with tracer.start_as_current_span("parent"), for_urllib3(pool) as http:
        assert [*outcomes(http, gateway)] == expected
    assert pool.headers == {"X-Mine": "1"}
    assert gateway.targets == elsewhere.targets
    for headers in gateway.seen:
        assert headers["helicone-session-path"] == "/parent"
        assert headers["x-mine"] == "1"


def test_requests_at_the_same_time_on_one_aiohttp_session_carry_their_own(
    tracer: Tracer, gateway: Place
) -> None:
    async def send(http: aiohttp.ClientSession, number: int) -> None:
        with session(f"s{number}"):
            async with http.post(gateway.url, headers={"X-Number": str(number)}):
                pass

    async def send_all() -> None:
        async with aiohttp.ClientSession(trace_configs=[for_aiohttp()]) as http:
            await asyncio.gather(*(send(http, number) for number in range(30)))

    asyncio.run(send_all())
    assert len(gateway.seen) == 30
    for headers in gateway.seen:
        assert headers["helicone-session-id"] == f"s{headers['x-number']}"


def test_a_url_that_cant_be_parsed_is_the_clients_trouble(tracer: Tracer) -> None:
    with for_urllib3(urllib3.PoolManager()) as http:
        with pytest.raises(urllib3.exceptions.LocationParseError):
            http.request("GET", "http://[::1/v1")


def test_none_of_the_libraries_is_imported() -> None:
    program = """
import sys
import otel_helicone.clients
found = {name.split(".")[0] for name in sys.modules}
assert not found & {"requests", "urllib3", "aiohttp", "botocore", "httpx", "httpx2"}, found
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)
