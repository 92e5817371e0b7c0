"""What urllib3 sends, and what sends through it: proxies, retries, kinds of headers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any

import pytest
import requests
import urllib3
from multidict import CIMultiDict
from opentelemetry.trace import Tracer
from requests.structures import CaseInsensitiveDict
from urllib3._collections import HTTPHeaderDict

from tests.conftest import HELICONE_AUTH, MakeTracing, Tracing
from tests.http_places import MakePlace, Place, serving_places

awsrequest: Any = importlib.import_module("botocore.awsrequest")  # has no types

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


@pytest.mark.parametrize(
    "make",
    [
        dict,
        HTTPHeaderDict,
        CaseInsensitiveDict,
        CIMultiDict,
        awsrequest.HeadersDict,
        lambda given: MappingProxyType(dict(given)),
    ],
)
def test_headers_of_any_kind_are_left_as_they_were_given(
    make: Callable[[Any], Any], tracer: Tracer, gateway: Place
) -> None:
    given = make({**AUTH, "X-Mine": "1"})
    before = list(given.items())
    with tracer.start_as_current_span("parent"), urllib3.PoolManager() as pool:
        pool.urlopen("POST", gateway.url, headers=given)
    assert gateway.path() == "/parent"
    assert gateway.seen[0]["x-mine"] == "1"
    assert list(given.items()) == before


def test_the_headers_of_a_pool_are_sent_and_left_too(tracer: Tracer, gateway: Place) -> None:
    pool = urllib3.connection_from_url(gateway.url, headers={"X-Mine": "1"})
    with tracer.start_as_current_span("parent"), pool:
        pool.urlopen("POST", "/v1")
        pool.request("POST", "/v1", headers={"Helicone-Session-Path": "/mine"})
    assert [gateway.path(0), gateway.path(1)] == ["/parent", "/mine"]
    assert gateway.seen[0]["x-mine"] == "1"
    assert pool.headers == {"X-Mine": "1"}


@pytest.mark.parametrize("by_pool", [False, True])
def test_each_attempt_carries_the_headers_once(
    by_pool: bool, tracing: Tracing, gateway: Place
) -> None:
    gateway.statuses = [503, 503, 200]
    gateway.answer = {"helicone-id": "r1"}
    retries = urllib3.Retry(5, status_forcelist=[503], allowed_methods=None)
    opened = urllib3.connection_from_url(gateway.url) if by_pool else urllib3.PoolManager()
    with tracing.tracer.start_as_current_span("parent"), opened as client:
        answer = client.request("POST", "/v1" if by_pool else gateway.url, retries=retries)
    assert answer.status == 200
    assert [gateway.path(index) for index in range(3)] == ["/parent"] * 3
    assert tracing.exported()["parent"]["helicone.request.id"] == "r1"


def test_retries_of_an_adapter_of_requests_carry_them_too(tracer: Tracer, gateway: Place) -> None:
    gateway.statuses = [503, 200]
    adapter = requests.adapters.HTTPAdapter(
        max_retries=urllib3.Retry(5, status_forcelist=[503], allowed_methods=None)
    )
    with tracer.start_as_current_span("parent"), requests.Session() as http:
        http.mount("http://", adapter)
        assert http.post(gateway.url).status_code == 200
    assert [gateway.path(0), gateway.path(1)] == ["/parent"] * 2


def test_a_redirect_inside_a_pool_keeps_them(tracer: Tracer, gateway: Place) -> None:
    gateway.redirects = ["/v2"]
    pool = urllib3.connection_from_url(gateway.url)
    with tracer.start_as_current_span("parent"), pool:
        assert pool.urlopen("POST", "/v1", headers=AUTH).status == 200
    assert gateway.helicone(0) == gateway.helicone(1)
    assert gateway.helicone(1)["helicone-auth"] == HELICONE_AUTH


def test_a_stream_is_not_read_ahead(tracer: Tracer, gateway: Place) -> None:
    gateway.body = b"data: 1\n\ndata: 2\n\n"
    with tracer.start_as_current_span("parent"), requests.Session() as http:
        with http.post(gateway.url, stream=True) as response:
            assert not response._content_consumed  # type: ignore[attr-defined]  # only to see it
            assert list(response.iter_lines()) == [b"data: 1", b"", b"data: 2", b""]
    assert gateway.path() == "/parent"


def proxied_by_requests(proxy: Place, url: str) -> None:
    with requests.Session() as http:
        http.post(url, proxies={"http": proxy.url, "https": proxy.url}, headers=AUTH)


def proxied_by_urllib3(proxy: Place, url: str) -> None:
    with urllib3.ProxyManager(proxy.url, retries=False) as http:
        http.request("POST", url, headers=AUTH)


PROXIED = pytest.mark.parametrize("send", [proxied_by_requests, proxied_by_urllib3])
Proxied = Callable[[Place, str], None]


@PROXIED
def test_through_a_proxy_the_host_that_is_asked_for_counts(
    send: Proxied, tracer: Tracer, elsewhere: Place
) -> None:
    with tracer.start_as_current_span("parent"):
        send(elsewhere, "http://gateway.test/v1")
        send(elsewhere, "http://other.test/v1")
    assert elsewhere.targets == ["http://gateway.test/v1", "http://other.test/v1"]
    assert elsewhere.path(0) == "/parent"
    assert elsewhere.helicone(1) == {"helicone-auth": HELICONE_AUTH}


@PROXIED
def test_a_proxy_on_the_host_of_a_gateway_does_not_make_everything_helicones(
    send: Proxied, tracer: Tracer, gateway: Place
) -> None:
    with tracer.start_as_current_span("parent"):
        send(gateway, "http://other.test/v1")
    assert gateway.helicone() == {"helicone-auth": HELICONE_AUTH}


@PROXIED
def test_a_proxy_that_tunnels_sees_none_of_them(
    send: Proxied, tracer: Tracer, elsewhere: Place
) -> None:
    with tracer.start_as_current_span("parent"):
        with pytest.raises((requests.RequestException, urllib3.exceptions.HTTPError)):
            send(elsewhere, "https://secure.test/v1")
    assert elsewhere.targets == ["secure.test:443"]
    assert elsewhere.helicone() == {}


def test_a_redirect_inside_a_pool_of_a_proxy_loses_them(tracer: Tracer, elsewhere: Place) -> None:
    elsewhere.redirects = ["http://other.test/v1"]
    with urllib3.ProxyManager(elsewhere.url) as http, tracer.start_as_current_span("parent"):
        pool = http.connection_from_url("http://gateway.test/v1")
        pool.urlopen("POST", "http://gateway.test/v1", headers=AUTH, assert_same_host=False)
    assert elsewhere.path(0) == "/parent"
    assert elsewhere.targets[1] == "http://other.test/v1"
    assert elsewhere.helicone(1) == {}


def test_a_session_with_rules_of_its_own_for_authorization_loses_them_too(
    tracer: Tracer, gateway: Place, elsewhere: Place
) -> None:
    class Keeping(requests.Session):
        def rebuild_auth(self, *_: Any) -> None:
            pass

    gateway.redirects = [elsewhere.url]
    with tracer.start_as_current_span("parent"), Keeping() as http:
        http.post(gateway.url, headers={**AUTH, "Authorization": "Bearer 1"})
    assert elsewhere.seen[0]["authorization"] == "Bearer 1"
    assert elsewhere.helicone() == {}


def test_what_a_signature_covers_is_not_changed(tracer: Tracer, gateway: Place) -> None:
    session: Any = importlib.import_module("botocore.session")
    client = session.get_session().create_client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=gateway.url,
        aws_access_key_id="none",
        aws_secret_access_key="none",
    )
    with tracer.start_as_current_span("parent"):
        client.converse(modelId="m", messages=[{"role": "user", "content": [{"text": "Hello!"}]}])
    client.close()
    assert gateway.path() == "/parent"
    signed = gateway.seen[0]["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    assert "host" in signed
    assert not [name for name in signed if name.startswith("helicone-")]
