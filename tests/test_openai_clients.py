"""The real openai clients, every way to call them: the session arrives at the gateway."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from opentelemetry.trace import Tracer

from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.records import RequestRecord
from tests.conftest import MakeTracing, Tracing

QUESTION: list[Any] = [{"role": "user", "content": "Hello?"}]
MODEL = "gpt-4o-mini"


@pytest.fixture
def helicone(tmp_path: Path) -> Iterator[LocalHelicone]:
    with LocalHelicone(tmp_path / "requests.db", latency=0) as helicone:
        yield helicone


@pytest.fixture
def tracing(make_tracing: MakeTracing, helicone: LocalHelicone) -> Tracing:
    return make_tracing(gateway_hosts=[helicone.host])


@pytest.fixture
def client(helicone: LocalHelicone) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=helicone.base_url, api_key="none") as client:
        yield client


def rows(helicone: LocalHelicone) -> list[RequestRecord]:
    assert helicone.settle()
    return list(helicone.store.requests())


def paths(helicone: LocalHelicone) -> list[str | None]:
    return [row.session_path for row in rows(helicone)]


def test_every_endpoint_and_way_to_call(
    tracer: Tracer, helicone: LocalHelicone, client: openai.OpenAI
) -> None:
    ask = client.chat.completions
    with tracer.start_as_current_span("app") as root:
        with tracer.start_as_current_span("chat"):
            ask.create(model=MODEL, messages=QUESTION)
        with tracer.start_as_current_span("stream"):
            assert list(ask.create(model=MODEL, messages=QUESTION, stream=True))
        with tracer.start_as_current_span("raw"):
            raw = ask.with_raw_response.create(model=MODEL, messages=QUESTION)
            assert raw.parse().choices
        with tracer.start_as_current_span("streaming response"):
            with ask.with_streaming_response.create(model=MODEL, messages=QUESTION) as streamed:
                assert streamed.read()
        with tracer.start_as_current_span("options"):
            client.with_options(timeout=10, max_retries=0).models.list()
        with tracer.start_as_current_span("embeddings"):
            client.embeddings.create(model="text-embedding-3-small", input="x")
        with tracer.start_as_current_span("responses"):
            client.responses.create(model=MODEL, input="Hello?")
        with tracer.start_as_current_span("responses stream"):
            assert list(client.responses.create(model=MODEL, input="Hello?", stream=True))
    found = rows(helicone)
    assert [row.session_path for row in found] == [
        "/app/chat",
        "/app/stream",
        "/app/raw",
        "/app/streaming response",
        "/app/options",
        "/app/embeddings",
        "/app/responses",
        "/app/responses stream",
    ]
    assert {row.session_id for row in found} == {f"{root.get_span_context().trace_id:032x}"}
    assert {row.session_name for row in found} == {"app"}


async def test_the_async_client(tracer: Tracer, helicone: LocalHelicone) -> None:
    async with openai.AsyncOpenAI(base_url=helicone.base_url, api_key="none") as client:
        with tracer.start_as_current_span("app"):
            with tracer.start_as_current_span("chat"):
                await client.chat.completions.create(model=MODEL, messages=QUESTION)
            with tracer.start_as_current_span("stream"):
                stream = await client.chat.completions.create(
                    model=MODEL, messages=QUESTION, stream=True
                )
                assert [chunk async for chunk in stream]
    assert paths(helicone) == ["/app/chat", "/app/stream"]


def test_an_http_client_of_the_applications_own(
    tracer: Tracer, helicone: LocalHelicone, stack: Any
) -> None:
    # openai 3 takes a client of httpx too; openai 1 and 2 take no other.
    if stack.__name__ == "httpx2" and int(openai.__version__.partition(".")[0]) < 3:
        pytest.skip("this openai knows the clients of httpx alone")
    with stack.Client() as http_client:
        client = openai.OpenAI(base_url=helicone.base_url, api_key="none", http_client=http_client)
        with tracer.start_as_current_span("own client"):
            client.chat.completions.create(model=MODEL, messages=QUESTION)
    assert paths(helicone) == ["/own client"]


async def test_the_aiohttp_extra(tracer: Tracer, helicone: LocalHelicone) -> None:
    if not hasattr(openai, "DefaultAioHttpClient"):
        pytest.skip("this openai has no aiohttp extra")
    try:
        http_client = openai.DefaultAioHttpClient()
    except RuntimeError:
        pytest.skip("the aiohttp extra is not installed")
    async with openai.AsyncOpenAI(
        base_url=helicone.base_url, api_key="none", http_client=http_client
    ) as client:
        with tracer.start_as_current_span("aiohttp"):
            await client.chat.completions.create(model=MODEL, messages=QUESTION)
    assert paths(helicone) == ["/aiohttp"]


def test_the_azure_client(tracer: Tracer, helicone: LocalHelicone) -> None:
    with openai.AzureOpenAI(
        base_url=helicone.base_url, api_key="none", api_version="2024-10-21"
    ) as client:
        # Azure's paths name a deployment, which the local Helicone has no answer for; what was
        # asked is recorded all the same.
        with tracer.start_as_current_span("azure"), pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model=MODEL, messages=QUESTION)
    assert paths(helicone) == ["/azure"]


@pytest.mark.skipif(not importlib.util.find_spec("anthropic"), reason="anthropic is not installed")
def test_another_sdk_on_the_same_stacks(tracer: Tracer, helicone: LocalHelicone) -> None:
    import anthropic

    client = anthropic.Anthropic(
        base_url=helicone.base_url.removesuffix("/v1"), api_key="none", max_retries=0
    )
    with client, tracer.start_as_current_span("claude"):
        # No answer for this one either.
        with pytest.raises(anthropic.NotFoundError):
            client.messages.create(model="claude", max_tokens=9, messages=QUESTION)
    assert paths(helicone) == ["/claude"]


def test_headers_of_the_caller_win_in_any_letter_case(
    tracer: Tracer, helicone: LocalHelicone
) -> None:
    with openai.OpenAI(
        base_url=helicone.base_url,
        api_key="none",
        default_headers={"HELICONE-SESSION-ID": "mine", "Helicone-Property-Env": "mine"},
    ) as client:
        with tracer.start_as_current_span("app"):
            extra = {"helicone-session-path": "/by hand"}
            client.chat.completions.create(model=MODEL, messages=QUESTION, extra_headers=extra)
    (row,) = rows(helicone)
    assert (row.session_id, row.session_path, row.session_name) == ("mine", "/by hand", "app")
    assert row.properties == {"env": "mine"}
    assert extra == {"helicone-session-path": "/by hand"}


def test_headers_by_hand_for_what_is_not_instrumented(
    make_tracing: MakeTracing, helicone: LocalHelicone, client: openai.OpenAI
) -> None:
    from otel_helicone import session_headers

    tracer = make_tracing(inject=False).tracer
    with tracer.start_as_current_span("by hand"):
        client.chat.completions.create(
            model=MODEL, messages=QUESTION, extra_headers=session_headers()
        )
    assert paths(helicone) == ["/by hand"]


def test_the_answers_id_is_on_the_span_and_is_the_rows_id(
    tracing: Tracing, helicone: LocalHelicone, client: openai.OpenAI
) -> None:
    with tracing.tracer.start_as_current_span("call"):
        client.chat.completions.create(model=MODEL, messages=QUESTION)
    (row,) = rows(helicone)
    assert tracing.exported()["call"]["helicone.request.id"] == row.request_id


HOSTILE = [
    "",
    "/",
    "%2F",
    "a\r\nX-Evil: 1",
    "nul\0nul",
    "\ud800 lone",
    "🚀 東京",
    "\u202eright to left",
    "x" * 100_000,
    " outer ",
    7,
    None,
]


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: repr(name)[:20])
def test_no_name_breaks_a_call_and_what_is_sent_is_stored_unchanged(
    tracing: Tracing, helicone: LocalHelicone, client: openai.OpenAI, name: Any
) -> None:
    from otel_helicone import session

    tracer = tracing.tracer
    with tracer.start_as_current_span(name), tracer.start_as_current_span("leaf"):
        client.chat.completions.create(model=MODEL, messages=QUESTION)
        with session(name, name=name, user_id=name, path=name, properties={name: name}):
            client.chat.completions.create(model=MODEL, messages=QUESTION)
    found = rows(helicone)
    assert [row.status for row in found] == [200, 200]
    assert (found[0].session_path or "").endswith("/leaf")
    leaf = tracing.exported()["leaf"]
    assert found[0].session_path == leaf["helicone.session.path"]
    assert found[0].session_name == leaf.get("helicone.session.name")
    assert all((row.session_path or "").startswith("/") for row in found)
