"""Beside OpenTelemetry's instrumentations of requests, urllib3, aiohttp's client and botocore."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import pytest
import requests
import urllib3

from otel_helicone import HeliconeSpanProcessor
from tests.conftest import MakeTracing
from tests.http_places import MakePlace, Place, serving_places
from tests.integration.conftest import require

INSTRUMENTORS = {
    "requests": "RequestsInstrumentor",
    "urllib3": "URLLib3Instrumentor",
    "aiohttp_client": "AioHttpClientInstrumentor",
    "botocore": "BotocoreInstrumentor",
}


def by_requests(url: str) -> None:
    with requests.Session() as http:
        http.post(url)


def by_urllib3(url: str) -> None:
    with urllib3.PoolManager() as http:
        http.request("POST", url)


def by_aiohttp(url: str) -> None:
    async def send() -> None:
        async with aiohttp.ClientSession() as http:
            async with http.post(url):
                pass

    asyncio.run(send())


def by_botocore(url: str) -> None:
    sessions: Any = importlib.import_module("botocore.session")  # has no types
    client = sessions.get_session().create_client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="none",
        aws_secret_access_key="none",
    )
    client.converse(modelId="m", messages=[{"role": "user", "content": [{"text": "Hello!"}]}])
    client.close()


@pytest.fixture
def make_place() -> Iterator[MakePlace]:
    with serving_places() as make:
        yield make


@pytest.fixture
def gateway(make_place: MakePlace) -> Place:
    return make_place()


@pytest.mark.parametrize("ours_first", [True, False])
@pytest.mark.parametrize("ours_off_first", [True, False])
@pytest.mark.parametrize(
    ("send", "names"),
    [
        (by_requests, ["requests"]),
        (by_urllib3, ["urllib3"]),
        (by_requests, ["requests", "urllib3"]),
        (by_aiohttp, ["aiohttp_client"]),
        (by_botocore, ["botocore"]),
        (by_botocore, ["urllib3", "botocore"]),
    ],
)
def test_both_work_and_are_taken_out_in_any_order(
    send: Callable[[str], None],
    names: list[str],
    ours_first: bool,
    ours_off_first: bool,
    make_tracing: MakeTracing,
    gateway: Place,
) -> None:
    instrumentors: list[Any] = [
        getattr(require(f"opentelemetry.instrumentation.{name}"), INSTRUMENTORS[name])()
        for name in names
    ]
    gateway.answer = {"helicone-id": "r1"}
    gateway.body = json.dumps(
        {"output": {"message": {"role": "assistant", "content": []}}, "stopReason": "end_turn"}
    ).encode()
    urlopen = urllib3.HTTPConnectionPool.urlopen
    tracing = make_tracing(inject=False)
    ours = HeliconeSpanProcessor(gateway_hosts=[gateway.host]) if ours_first else None
    for instrumentor in instrumentors:
        instrumentor.instrument(tracer_provider=tracing.provider)
    if ours is None:
        ours = HeliconeSpanProcessor(gateway_hosts=[gateway.host])
    try:
        with tracing.tracer.start_as_current_span("parent"):
            send(gateway.url)
    finally:
        if ours_off_first:
            ours.shutdown()
        for instrumentor in instrumentors:
            instrumentor.uninstrument()
        ours.shutdown()
    assert gateway.path() == "/parent"
    spans = tracing.exported()
    # One of them: where two instrumentations are around the same request, the inner one is quiet.
    (other,) = spans.keys() - {"parent"}
    # What is no more than an HTTP request leaves the answer to the span around it.
    noted = [name for name, found in spans.items() if "helicone.request.id" in found]
    assert noted == [other if "botocore" in names else "parent"]
    assert urllib3.HTTPConnectionPool.urlopen is urlopen
    with tracing.tracer.start_as_current_span("later"):
        send(gateway.url)
    assert gateway.helicone() == {}
    assert len(tracing.exported()) == len(spans) + 1
