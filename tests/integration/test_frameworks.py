"""Instrumentations of others, each active together with the processor: same session, same path.

Whether an instrumentation makes a span of its own for the LLM call or not, the request carries the
path of the application's steps. The server is not ours; it shows the headers that arrived.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import openai
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Tracer

from otel_helicone import HeliconeSpanProcessor
from tests.integration.conftest import LLMServer, require

QUESTION: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]
MODEL = "gpt-4o-mini"

MakeProcessor = Callable[[], HeliconeSpanProcessor]
Framework = Callable[[MakeProcessor], AbstractContextManager[Tracer]]


@contextmanager
def _provider(make: MakeProcessor) -> Iterator[TracerProvider]:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(make())
    yield provider
    provider.shutdown()


@contextmanager
def _instrumented(make: MakeProcessor, module: str, name: str) -> Iterator[Tracer]:
    instrumentor = getattr(require(module), name)()
    with _provider(make) as provider:
        with warnings.catch_warnings():
            # What an instrumentation says of its own dependencies is none of our business.
            warnings.simplefilter("ignore")
            instrumentor.instrument(tracer_provider=provider, skip_dep_check=True)
        try:
            yield provider.get_tracer("app")
        finally:
            instrumentor.uninstrument()


@contextmanager
def nothing_else(make: MakeProcessor) -> Iterator[Tracer]:
    with _provider(make) as provider:
        yield provider.get_tracer("app")


def otel_httpx2(make: MakeProcessor) -> AbstractContextManager[Tracer]:
    return _instrumented(make, "opentelemetry.instrumentation.httpx", "HTTPX2ClientInstrumentor")


def otel_httpx(make: MakeProcessor) -> AbstractContextManager[Tracer]:
    return _instrumented(make, "opentelemetry.instrumentation.httpx", "HTTPXClientInstrumentor")


def genai_openai(make: MakeProcessor) -> AbstractContextManager[Tracer]:
    return _instrumented(make, "opentelemetry.instrumentation.genai.openai", "OpenAIInstrumentor")


def openinference(make: MakeProcessor) -> AbstractContextManager[Tracer]:
    return _instrumented(make, "openinference.instrumentation.openai", "OpenAIInstrumentor")


def openllmetry(make: MakeProcessor) -> AbstractContextManager[Tracer]:
    return _instrumented(make, "opentelemetry.instrumentation.openai", "OpenAIInstrumentor")


@contextmanager
def logfire(make: MakeProcessor) -> Iterator[Tracer]:
    module = require("logfire")
    processor = make()
    instance = module.configure(
        local=True,
        send_to_logfire=False,
        console=False,
        metrics=False,
        additional_span_processors=[processor],
    )
    with instance.instrument_openai():
        yield instance.config.get_tracer_provider().get_tracer("app")
    processor.shutdown()


FRAMEWORKS: list[Framework] = [
    nothing_else,
    otel_httpx2,
    otel_httpx,
    genai_openai,
    openinference,
    openllmetry,
    logfire,
]


@pytest.fixture
def make(server: LLMServer) -> MakeProcessor:
    return lambda: HeliconeSpanProcessor(gateway_hosts=[server.host])


@pytest.fixture(params=FRAMEWORKS, ids=lambda framework: framework.__name__)
def tracer(request: pytest.FixtureRequest, make: MakeProcessor) -> Iterator[Tracer]:
    with request.param(make) as tracer:
        yield tracer


def expected(span: Any, path: str) -> dict[str, str]:
    return {
        "helicone-session-id": f"{span.get_span_context().trace_id:032x}",
        "helicone-session-path": path,
        "helicone-session-name": "trip planner",
    }


def test_sync_calls(tracer: Tracer, server: LLMServer) -> None:
    with openai.OpenAI(base_url=server.base_url, api_key="none") as client:
        with tracer.start_as_current_span("trip planner") as root:
            with tracer.start_as_current_span("look up capital"):
                answer = client.chat.completions.create(model=MODEL, messages=QUESTION)
            with tracer.start_as_current_span("embed"):
                client.embeddings.create(model="text-embedding-3-small", input="Paris")
            with tracer.start_as_current_span("respond"):
                client.responses.create(model=MODEL, input="What is the capital of France?")
    assert answer.choices[0].message.content == "The capital of France is Paris."
    assert server.session_headers() == [
        expected(root, "/trip planner/look up capital"),
        expected(root, "/trip planner/embed"),
        expected(root, "/trip planner/respond"),
    ]


def test_streams(tracer: Tracer, server: LLMServer) -> None:
    with openai.OpenAI(base_url=server.base_url, api_key="none") as client:
        with tracer.start_as_current_span("trip planner") as root:
            with tracer.start_as_current_span("look up capital"):
                stream = client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True)
                text = "".join(
                    chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices
                )
    assert text == "The capital of France is Paris."
    assert server.session_headers() == [expected(root, "/trip planner/look up capital")]


async def test_async_calls(tracer: Tracer, server: LLMServer) -> None:
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key="none") as client:
        with tracer.start_as_current_span("trip planner") as root:
            with tracer.start_as_current_span("look up capital"):
                await client.chat.completions.create(model=MODEL, messages=QUESTION)
                stream = await client.chat.completions.create(
                    model=MODEL, messages=QUESTION, stream=True
                )
                assert [chunk async for chunk in stream]
    assert server.session_headers() == [expected(root, "/trip planner/look up capital")] * 2


def test_all_of_them_at_once(server: LLMServer, make: MakeProcessor) -> None:
    with otel_httpx2(make), openinference(make), openllmetry(make), genai_openai(make) as tracer:
        with openai.OpenAI(base_url=server.base_url, api_key="none") as client:
            with tracer.start_as_current_span("trip planner") as root:
                with tracer.start_as_current_span("look up capital"):
                    client.chat.completions.create(model=MODEL, messages=QUESTION)
    assert server.session_headers() == [expected(root, "/trip planner/look up capital")]


def test_anthropics_sdk(server: LLMServer, make: MakeProcessor) -> None:
    anthropic = require("anthropic")
    with nothing_else(make) as tracer:
        with anthropic.Anthropic(base_url=f"http://{server.host}", api_key="none") as client:
            with tracer.start_as_current_span("trip planner") as root:
                with tracer.start_as_current_span("look up capital"):
                    client.messages.create(model="claude", max_tokens=9, messages=QUESTION)
    assert server.session_headers() == [expected(root, "/trip planner/look up capital")]


async def test_openais_aiohttp_extra(server: LLMServer, make: MakeProcessor) -> None:
    require("aiohttp")
    with nothing_else(make) as tracer:
        async with openai.AsyncOpenAI(
            base_url=server.base_url, api_key="none", http_client=openai.DefaultAioHttpClient()
        ) as client:
            with tracer.start_as_current_span("trip planner") as root:
                await client.chat.completions.create(model=MODEL, messages=QUESTION)
    assert server.session_headers() == [expected(root, "/trip planner")]


def test_azure(server: LLMServer, make: MakeProcessor) -> None:
    with nothing_else(make) as tracer:
        with openai.AzureOpenAI(
            azure_endpoint=f"http://{server.host}", api_key="none", api_version="2024-10-21"
        ) as client:
            with tracer.start_as_current_span("trip planner") as root:
                client.chat.completions.create(model=MODEL, messages=QUESTION)
    assert server.session_headers() == [expected(root, "/trip planner")]


# --- together with OpenTelemetry's HTTP instrumentations ------------------------------------------


def _clients() -> list[dict[str, Any]]:
    modules = [require("httpx2"), require("httpx")]
    return [dict(vars(c)) for m in modules for c in (m.Client, m.AsyncClient, m.HTTPTransport)]


@pytest.mark.parametrize("instrumented_first", [True, False])
@pytest.mark.parametrize("removed_first", [True, False])
def test_any_order_of_installation_and_removal(
    server: LLMServer, make: MakeProcessor, instrumented_first: bool, removed_first: bool
) -> None:
    instrumentor = require("opentelemetry.instrumentation.httpx").HTTPX2ClientInstrumentor()
    before = _clients()
    provider = TracerProvider(shutdown_on_exit=False)
    if instrumented_first:
        instrumentor.instrument(tracer_provider=provider)
    processor = make()
    provider.add_span_processor(processor)
    if not instrumented_first:
        instrumentor.instrument(tracer_provider=provider)
    tracer = provider.get_tracer("app")
    with openai.OpenAI(base_url=server.base_url, api_key="none") as client:
        with tracer.start_as_current_span("trip planner") as root:
            client.chat.completions.create(model=MODEL, messages=QUESTION)
        (request,) = server.requests()
        for name, text in expected(root, "/trip planner").items():
            assert request["headers"][name] == text
        # The instrumentation's own header arrives as well, from its own span below.
        assert expected(root, "")["helicone-session-id"] in request["headers"]["traceparent"]

        (instrumentor.uninstrument if removed_first else processor.shutdown)()
        with tracer.start_as_current_span("trip planner"):
            client.chat.completions.create(model=MODEL, messages=QUESTION)
        (request,) = server.requests()
        assert ("helicone-session-id" in request["headers"]) is removed_first
        (processor.shutdown if removed_first else instrumentor.uninstrument)()
    assert _clients() == before
