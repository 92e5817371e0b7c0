"""Clients that are not on httpx2 or httpx carry the session with one line for each."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import aiohttp
import pytest
import requests
import urllib3
from opentelemetry.trace import Tracer

from otel_helicone import HeliconeSpanProcessor, session
from otel_helicone.clients import for_aiohttp, for_botocore, for_requests, for_urllib3
from tests.conftest import HELICONE_AUTH, MakeTracing

# botocore has no types.
botocore_session: Any = importlib.import_module("botocore.session")
botocore_config: Any = importlib.import_module("botocore.config")

AUTH = {"Helicone-Auth": HELICONE_AUTH}


@dataclass
class Place:
    """An HTTP server that keeps the headers of the requests it got, in lower case."""

    url: str = ""
    host: str = ""
    seen: list[dict[str, str]] = field(default_factory=list)
    redirects: list[str] = field(default_factory=list)

    def helicone(self, index: int = -1) -> dict[str, str]:
        return {name: text for name, text in self.seen[index].items() if "helicone" in name}

    def path(self, index: int = -1) -> str | None:
        return self.helicone(index).get("helicone-session-path")


class Server(ThreadingHTTPServer):
    """A server that says nothing of clients that leave."""

    def handle_error(self, *_: Any) -> None:
        pass


@pytest.fixture
def make_place() -> Iterator[Callable[[], Place]]:
    servers: list[ThreadingHTTPServer] = []

    def make() -> Place:
        place = Place()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                pairs = [(name.lower(), text) for name, text in self.headers.items()]
                assert len(dict(pairs)) == len(pairs), pairs
                place.seen.append(dict(pairs))
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(307 if place.redirects else 200)
                if place.redirects:
                    self.send_header("Location", place.redirects.pop(0))
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                pass

        server = Server(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        place.host = f"127.0.0.1:{server.server_address[1]}"
        place.url = f"http://{place.host}/v1"
        return place

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def gateway(make_place: Callable[[], Place]) -> Place:
    return make_place()


@pytest.fixture
def elsewhere(make_place: Callable[[], Place]) -> Place:
    return make_place()


@pytest.fixture
def tracer(make_tracing: MakeTracing, gateway: Place) -> Tracer:
    return make_tracing(gateway_hosts=[gateway.host]).tracer


# --- the four, each sending one POST ------------------------------------------------------------

Send = Callable[[str, dict[str, str]], int]


def by_requests(url: str, headers: dict[str, str]) -> int:
    with for_requests(requests.Session()) as http:
        return http.post(url, json={}, headers=headers).status_code


def by_urllib3(url: str, headers: dict[str, str]) -> int:
    with for_urllib3(urllib3.PoolManager()) as http:
        return http.request("POST", url, json={}, headers=headers).status


def by_aiohttp(url: str, headers: dict[str, str]) -> int:
    async def send() -> int:
        async with aiohttp.ClientSession(trace_configs=[for_aiohttp()]) as http:
            async with http.post(url, json={}, headers=headers) as response:
                return response.status

    return asyncio.run(send())


def by_botocore(url: str, headers: dict[str, str]) -> int:
    client = botocore_session.get_session().create_client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=botocore_config.Config(retries={"max_attempts": 0}),
    )
    client.meta.events.register("before-send", lambda request, **_: request.headers.update(headers))
    try:
        answer = for_botocore(client).converse(
            modelId="m", messages=[{"role": "user", "content": [{"text": "Hello!"}]}]
        )
    finally:
        client.close()
    return int(answer["ResponseMetadata"]["HTTPStatusCode"])


ALL = pytest.mark.parametrize("send", [by_requests, by_urllib3, by_aiohttp, by_botocore])
# botocore follows no redirects.
REDIRECTED = pytest.mark.parametrize("send", [by_requests, by_urllib3, by_aiohttp])


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


@pytest.mark.parametrize("send", [by_requests, by_urllib3, by_aiohttp])
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


def test_the_headers_and_retries_of_a_pool_manager_stay(tracer: Tracer, gateway: Place) -> None:
    pool = urllib3.PoolManager(headers={"X-Mine": "1"}, retries=urllib3.Retry(0, redirect=0))
    gateway.redirects = ["/v2"]
    with tracer.start_as_current_span("parent"), for_urllib3(pool) as http:
        with pytest.raises(urllib3.exceptions.MaxRetryError):
            http.request("POST", gateway.url)
        assert gateway.seen[0]["x-mine"] == "1"
        gateway.redirects = ["/v2"]
        assert http.request("POST", gateway.url, redirect=False).status == 307
        gateway.redirects = ["/v2"]
        assert http.request("POST", gateway.url, retries=False).status == 307
        gateway.redirects = ["/v2"]
        assert http.request("POST", gateway.url, retries=1).status == 200
    assert pool.headers == {"X-Mine": "1"}
    assert [headers.get("helicone-session-path") for headers in gateway.seen] == ["/parent"] * 5


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
