"""The classes of other packages are instrumented while injection is on, and left as they were."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import aiohttp
import httpx2
import pytest
import requests
import urllib3
from opentelemetry.instrumentation.utils import unwrap
from wrapt import wrap_function_wrapper

from otel_helicone import HeliconeSpanProcessor
from tests.conftest import MakeTracing
from tests.http_places import MakePlace, serving_places


@pytest.fixture
def make_place() -> Iterator[MakePlace]:
    with serving_places() as make:
        yield make


METHODS: Any = [
    (urllib3.HTTPConnectionPool, "urlopen"),
    (requests.sessions.SessionRedirectMixin, "rebuild_auth"),
    (requests.sessions.SessionRedirectMixin, "rebuild_method"),
    (aiohttp.ClientSession, "_request"),
    (aiohttp.ClientRequest, "send"),
    (httpx2.Client, "_send_single_request"),
]


def methods() -> list[Any]:
    """Give the methods as they stand in their classes."""
    return [vars(owner).get(name) for owner, name in METHODS]


def test_the_classes_are_as_they_were_after_the_last_processor() -> None:
    before = methods()
    one, other = HeliconeSpanProcessor(), HeliconeSpanProcessor()
    during = methods()
    assert all(found is not method for found, method in zip(during, before, strict=True))
    one.shutdown()
    assert methods() == during
    other.shutdown()
    assert methods() == before


def test_with_injection_off_the_classes_are_not_touched() -> None:
    before = methods()
    processor = HeliconeSpanProcessor(inject=False)
    assert methods() == before
    processor.shutdown()


def their_wrapper(wrapped: Any, _: Any, arguments: Any, options: Any) -> Any:
    """Call what is wrapped, as the wrapper of an instrumentation does."""
    return wrapped(*arguments, **options)


@pytest.mark.parametrize(("owner", "name"), METHODS)
@pytest.mark.parametrize("order", [("ours", "theirs"), ("theirs", "ours")])
@pytest.mark.parametrize("first_off", ["ours", "theirs"])
def test_instrumentations_of_others_come_and_go_in_any_order(
    owner: type, name: str, order: tuple[str, ...], first_off: str
) -> None:
    before = methods()
    processor = None
    for one in order:
        if one == "ours":
            processor = HeliconeSpanProcessor()
        else:
            wrap_function_wrapper(owner, name, their_wrapper)
    assert processor is not None
    for one in [first_off, *({"ours", "theirs"} - {first_off})]:
        if one == "ours":
            processor.shutdown()
        else:
            unwrap(owner, name)
    assert methods() == before


def test_a_wrapper_that_does_not_tell_what_is_below_it_is_kept() -> None:
    found = urllib3.HTTPConnectionPool.urlopen
    processor = HeliconeSpanProcessor()
    ours: Any = urllib3.HTTPConnectionPool.urlopen

    def theirs(self: Any, *arguments: Any, **options: Any) -> Any:
        return ours(self, *arguments, **options)

    pool: Any = urllib3.HTTPConnectionPool
    pool.urlopen = theirs
    try:
        processor.shutdown()
        assert pool.urlopen is theirs
        again = HeliconeSpanProcessor()
        assert pool.urlopen is not theirs
        again.shutdown()
        assert pool.urlopen is theirs
    finally:
        pool.urlopen = ours
    HeliconeSpanProcessor().shutdown()
    assert pool.urlopen is found


def test_clients_that_were_made_before_are_covered(
    make_place: MakePlace, make_tracing: MakeTracing
) -> None:
    gateway = make_place()

    async def post(http: aiohttp.ClientSession) -> None:
        async with http.post(gateway.url):
            pass

    async def send_all() -> None:
        async with aiohttp.ClientSession() as http:
            with requests.Session() as session, urllib3.PoolManager() as pool:
                session.post(gateway.url)
                pool.request("POST", gateway.url)
                await post(http)
                tracer = make_tracing(gateway_hosts=[gateway.host]).tracer
                with tracer.start_as_current_span("parent"):
                    session.post(gateway.url)
                    pool.request("POST", gateway.url)
                    await post(http)

    asyncio.run(send_all())
    assert [gateway.path(index) for index in range(6)] == [*[None] * 3, *["/parent"] * 3]


def test_none_of_the_libraries_is_imported_and_each_is_covered_when_it_is() -> None:
    program = """
import sys
from otel_helicone import HeliconeSpanProcessor
processor = HeliconeSpanProcessor()
names = {"requests", "urllib3", "aiohttp", "botocore", "lm15", "dspy"}
found = {name.split(".")[0] for name in sys.modules}
assert not found & names, found
import aiohttp, requests, urllib3
methods = [
    (urllib3.HTTPConnectionPool, "urlopen"),
    (requests.sessions.SessionRedirectMixin, "rebuild_auth"),
    (aiohttp.ClientSession, "_request"),
    (aiohttp.ClientRequest, "send"),
]
assert all(hasattr(vars(owner)[name], "__wrapped__") for owner, name in methods)
processor.shutdown()
assert not any(hasattr(vars(owner)[name], "__wrapped__") for owner, name in methods)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)
