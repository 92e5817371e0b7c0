"""Applications that call an LLM server directly, each logged by the exporter: one row for one call.

The instrumentations and frameworks are real, released ones, and so is the server. What they say is
read back from a local Helicone: how many rows, and what is in them.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import openai
import pytest
from openai.resources.chat.completions import AsyncCompletions, Completions
from openai.resources.embeddings import AsyncEmbeddings, Embeddings
from openai.resources.responses import AsyncResponses, Responses
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.trace import Tracer

from otel_helicone import HeliconeSpanExporter, HeliconeSpanProcessor
from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.records import RequestRecord
from tests.integration.conftest import HERE, missing, require
from tests.ports import free_port

HELICONE_KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
MODEL = "gpt-4o-mini"
ANSWERING_MODEL = "gpt-4o-mini-2024-07-18"
EMBEDDING_MODEL = "text-embedding-3-small"
CAPITAL: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER: list[Any] = [{"role": "user", "content": "How is the weather in Paris?"}]
PARIS = "The capital of France is Paris."
SUNNY = "It is sunny in Paris."
WEATHER_TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


# --- the server, and what it answers --------------------------------------------------------------


def _answer(tokens_in: int, tokens_out: int, **answer: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out}
    return {**answer, "model": ANSWERING_MODEL, "usage": usage}


def _fails(status: int, kind: str) -> dict[str, Any]:
    return {"status": status, "error": {"message": f"This is a {status}.", "type": kind}}


TOOL_CALL = {"id": "call_paris", "name": "get_weather", "arguments": '{"city": "Paris"}'}
FIXTURES: dict[str, Any] = {
    "fixtures": [
        {"match": {"endpoint": "embedding"}, "response": {"embedding": [0.1, 0.2]}},
        {"match": {"userMessage": "too often"}, "response": _fails(429, "rate_limit_error")},
        {"match": {"userMessage": "break"}, "response": _fails(500, "server_error")},
        {
            "match": {"userMessage": "weather", "hasToolResult": False},
            "response": _answer(31, 9, toolCalls=[TOOL_CALL]),
        },
        {
            "match": {"userMessage": "weather", "hasToolResult": True},
            "response": _answer(47, 6, content=SUNNY),
        },
        {"match": {}, "response": _answer(14, 7, content=PARIS)},
    ]
}


@pytest.fixture(scope="module")
def llm_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a server that knows of tools, of failures, and of its own tokens."""
    program = HERE / "node_modules" / ".bin" / "llmock"
    if not program.exists() or shutil.which("node") is None:
        missing("aimock (npm install --prefix tests/integration)")
    fixtures = tmp_path_factory.mktemp("aimock") / "fixtures.json"
    fixtures.write_text(json.dumps(FIXTURES), "utf-8")
    port = free_port()
    host = f"127.0.0.1:{port}"
    command = [str(program), "-p", str(port), "-h", "127.0.0.1", "-f", str(fixtures)]
    process = subprocess.Popen([*command, "--log-level", "silent"])
    try:
        for _ in range(2400):
            try:
                httpx2.get(f"http://{host}/__aimock/journal")
                break
            except httpx2.TransportError:
                assert process.poll() is None, "aimock ended by itself"
                time.sleep(0.05)
        yield host
    finally:
        process.terminate()
        process.wait(timeout=60)


# --- an application, and the rows that it leaves --------------------------------------------------


class Row(NamedTuple):
    """What counts of a stored row: what it is, where in the session, and what it cost."""

    kind: str
    path: str
    model: str | None
    status: int
    tokens_in: int
    tokens_out: int


def llm(path: str, tokens_in: int, tokens_out: int) -> Row:
    return Row("llm", path, ANSWERING_MODEL, 200, tokens_in, tokens_out)


def capital(path: str) -> Row:
    return llm(path, 14, 7)


def asks_tool(path: str) -> Row:
    return llm(path, 31, 9)


def uses_tool(path: str) -> Row:
    return llm(path, 47, 6)


def tool(path: str) -> Row:
    return Row("tool", path, "tool:get_weather", 200, 0, 0)


@dataclass
class App:
    """An application with the processor and the exporter, which sends its calls to a server.

    Attributes:
        base_url: what its LLM clients are given.
        provider: its tracer provider.
        helicone: where its logs go.
        tells_model_of_streams: whether its instrumentation tells which model a stream came from,
            as the server names it; else the one that was asked for is stored.
    """

    base_url: str
    provider: TracerProvider
    helicone: LocalHelicone
    tells_model_of_streams: bool = True

    @property
    def tracer(self) -> Tracer:
        return self.provider.get_tracer("app")

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.base_url, api_key="none", max_retries=0)

    def async_client(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=self.base_url, api_key="none", max_retries=0)

    def records(self) -> list[RequestRecord]:
        """Give what Helicone has stored, all of it; each belongs to one session."""
        assert self.provider.force_flush()
        assert self.helicone.settle()
        return self.helicone.store.requests()

    def rows(self, session: Any = None) -> list[Row]:
        """Give the stored rows in the order in which they began.

        Args:
            session: the root span of the session that all of them are of.
        """
        records = self.records()
        if session is not None:
            expected = f"{session.get_span_context().trace_id:032x}"
            assert {record.session_id for record in records} == {expected}
        return [
            Row(
                record.kind,
                record.session_path or "",
                record.model,
                record.status,
                record.prompt_tokens,
                record.completion_tokens,
            )
            for record in records
        ]

    def bodies(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Give request and response of each row."""
        bodies = []
        for record in self.records():
            posted = json.loads(record.request_body)
            request = posted["providerRequest"]["json"] if "providerRequest" in posted else posted
            bodies.append((request, json.loads(record.response_body)))
        return bodies


@contextmanager
def exporting(
    helicone: LocalHelicone,
    base_url: str,
    *,
    gateway_hosts: Iterable[str] = (),
    in_batches: bool = True,
) -> Iterator[App]:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(HeliconeSpanProcessor(gateway_hosts=gateway_hosts))
    exporter = HeliconeSpanExporter(endpoint=helicone.url, api_key=HELICONE_KEY)
    processor = BatchSpanProcessor if in_batches else SimpleSpanProcessor
    provider.add_span_processor(processor(exporter))
    try:
        yield App(base_url, provider, helicone)
    finally:
        provider.shutdown()


@pytest.fixture
def app(llm_host: str, tmp_path: Path) -> Iterator[App]:
    """An application that calls the server directly."""
    with LocalHelicone(tmp_path / "requests.db") as helicone:
        with exporting(helicone, f"http://{llm_host}/v1") as app:
            yield app


@pytest.fixture
def app_behind_gateway(llm_host: str, tmp_path: Path) -> Iterator[App]:
    """An application that calls the server through Helicone, with the exporter on as well."""
    upstream = f"http://{llm_host}"
    with LocalHelicone(tmp_path / "requests.db", upstream=upstream) as helicone:
        with exporting(helicone, helicone.base_url, gateway_hosts=[helicone.host]) as app:
            yield app


@pytest.fixture(autouse=True)
def _content_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenTelemetry's own instrumentations write messages only where they are asked to."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "gen_ai_latest_experimental")


PATCHED: list[type] = [
    openai.OpenAI,
    openai.AsyncOpenAI,
    Completions,
    AsyncCompletions,
    Embeddings,
    AsyncEmbeddings,
    Responses,
    AsyncResponses,
]
Instrumentation = Callable[[App], AbstractContextManager[None]]


@contextmanager
def _instrumented(app: App, module: str, name: str, **options: Any) -> Iterator[None]:
    instrumentor = getattr(require(module), name)()
    before = [(patched, dict(vars(patched))) for patched in PATCHED]
    with warnings.catch_warnings():
        # What an instrumentation says of its own dependencies is none of our business.
        warnings.simplefilter("ignore")
        instrumentor.instrument(tracer_provider=app.provider, skip_dep_check=True, **options)
    try:
        yield
    finally:
        instrumentor.uninstrument()
        # Not all of them take back everything, and what is left would see the next test's calls.
        for patched, methods in before:
            for method, function in methods.items():
                if vars(patched)[method] is not function and callable(function):
                    setattr(patched, method, function)


def genai_openai(app: App) -> AbstractContextManager[None]:
    return _instrumented(app, "opentelemetry.instrumentation.genai.openai", "OpenAIInstrumentor")


def openinference_openai(app: App) -> AbstractContextManager[None]:
    return _instrumented(app, "openinference.instrumentation.openai", "OpenAIInstrumentor")


def openllmetry_openai(app: App) -> AbstractContextManager[None]:
    return _instrumented(app, "opentelemetry.instrumentation.openai", "OpenAIInstrumentor")


def otel_httpx2(app: App) -> AbstractContextManager[None]:
    return _instrumented(app, "opentelemetry.instrumentation.httpx", "HTTPX2ClientInstrumentor")


def openinference_langchain(app: App) -> AbstractContextManager[None]:
    return _instrumented(app, "openinference.instrumentation.langchain", "LangChainInstrumentor")


@contextmanager
def logfire_openai(app: App) -> Iterator[None]:
    logfire = require("logfire")
    exporter = HeliconeSpanExporter(endpoint=app.helicone.url, api_key=HELICONE_KEY)
    instance = logfire.configure(
        local=True,
        send_to_logfire=False,
        console=False,
        metrics=False,
        additional_span_processors=[HeliconeSpanProcessor(), BatchSpanProcessor(exporter)],
    )
    # Logfire makes a provider of its own, with what it is given.
    app.provider = instance.config.get_tracer_provider()
    app.tells_model_of_streams = False
    try:
        with instance.instrument_openai():
            yield
    finally:
        app.provider.shutdown()


OF_OPENAI: list[Instrumentation] = [
    genai_openai,
    openinference_openai,
    openllmetry_openai,
    logfire_openai,
]


@pytest.fixture(params=OF_OPENAI, ids=lambda instrumentation: instrumentation.__name__)
def observed(request: pytest.FixtureRequest, app: App) -> Iterator[App]:
    with request.param(app):
        yield app


# --- calls of the openai client, seen by each instrumentation -------------------------------------


def test_chat(observed: App) -> None:
    with observed.client() as client, observed.tracer.start_as_current_span("trip") as root:
        with observed.tracer.start_as_current_span("look up"):
            client.chat.completions.create(model=MODEL, messages=CAPITAL)
    assert observed.rows(root) == [capital("/trip/look up")]
    ((request, response),) = observed.bodies()
    assert request["model"] == MODEL
    assert request["messages"] == CAPITAL
    assert response["choices"][0]["message"]["content"] == PARIS
    assert response["choices"][0]["finish_reason"] == "stop"
    assert response["usage"]["total_tokens"] == 21


def test_tool_calls(observed: App) -> None:
    with observed.client() as client, observed.tracer.start_as_current_span("trip") as root:
        asked = client.chat.completions.create(model=MODEL, messages=WEATHER, tools=[WEATHER_TOOL])
        message = asked.choices[0].message.model_dump(exclude_none=True)
        result = {"role": "tool", "tool_call_id": "call_paris", "content": "sunny"}
        messages = [*WEATHER, message, result]
        client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER_TOOL])
    assert observed.rows(root) == [asks_tool("/trip"), uses_tool("/trip")]
    first, second = observed.bodies()
    call = {
        "id": "call_paris",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
    }
    assert _calls(first[1]["choices"][0]["message"]) == [call]
    assert first[1]["choices"][0]["finish_reason"] == "tool_calls"
    assert _calls(second[0]["messages"][1]) == [call]
    assert second[0]["messages"][2]["role"] == "tool"
    assert second[0]["messages"][2]["tool_call_id"] == "call_paris"
    assert second[0]["messages"][2]["content"] == "sunny"
    assert second[1]["choices"][0]["message"]["content"] == SUNNY


def _calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the tool calls of a message, with their arguments written in one way."""
    for call in message["tool_calls"]:
        call["function"]["arguments"] = json.dumps(json.loads(call["function"]["arguments"]))
    calls: list[dict[str, Any]] = message["tool_calls"]
    return calls


def test_stream(observed: App) -> None:
    with observed.client() as client, observed.tracer.start_as_current_span("trip") as root:
        for _ in client.chat.completions.create(
            model=MODEL, messages=CAPITAL, stream=True, stream_options={"include_usage": True}
        ):
            pass
    row = capital("/trip")
    if not observed.tells_model_of_streams:
        row = row._replace(model=MODEL)
    assert observed.rows(root) == [row]
    ((request, response),) = observed.bodies()
    assert request["messages"] == CAPITAL
    assert response["choices"][0]["message"]["content"] == PARIS


@pytest.mark.parametrize(
    ("question", "status"), [("Do I ask too often?", 429), ("Please break.", 500)]
)
def test_failures(observed: App, question: str, status: int) -> None:
    with observed.client() as client, observed.tracer.start_as_current_span("trip") as root:
        with pytest.raises(openai.APIStatusError):
            client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": question}]
            )
    assert observed.rows(root) == [Row("llm", "/trip", MODEL, status, 0, 0)]
    ((_, response),) = observed.bodies()
    assert f"This is a {status}." in response["error"]["message"]


def test_embeddings(observed: App) -> None:
    with observed.client() as client, observed.tracer.start_as_current_span("trip") as root:
        client.embeddings.create(model=EMBEDDING_MODEL, input="Paris")
    assert observed.rows(root) == [Row("llm", "/trip", EMBEDDING_MODEL, 200, 0, 0)]


def test_responses(observed: App) -> None:
    with observed.client() as client, observed.tracer.start_as_current_span("trip") as root:
        client.responses.create(model=MODEL, input="What is the capital of France?")
    assert observed.rows(root) == [capital("/trip")]
    ((request, response),) = observed.bodies()
    assert request["messages"][-1] == CAPITAL[0]
    assert response["choices"][0]["message"]["content"] == PARIS


async def test_calls_at_the_same_time(observed: App) -> None:
    async def ask(client: openai.AsyncOpenAI, number: int) -> None:
        with observed.tracer.start_as_current_span(f"step {number}"):
            await client.chat.completions.create(model=MODEL, messages=CAPITAL)
            await client.chat.completions.create(model=MODEL, messages=CAPITAL)

    async with observed.async_client() as client:
        with observed.tracer.start_as_current_span("trip") as root:
            await asyncio.gather(*(ask(client, number) for number in range(4)))
    assert sorted(observed.rows(root)) == [
        capital(f"/trip/step {number}") for number in range(4) for _ in range(2)
    ]


async def test_calls_at_the_same_time_below_one_span(observed: App) -> None:
    async with observed.async_client() as client:
        with observed.tracer.start_as_current_span("trip") as root:
            await asyncio.gather(
                *(client.chat.completions.create(model=MODEL, messages=CAPITAL) for _ in range(5))
            )
    assert observed.rows(root) == [capital("/trip")] * 5


@pytest.mark.parametrize("instrumentation", OF_OPENAI[:3], ids=lambda each: each.__name__)
def test_a_gateway_on_another_port_of_the_same_host(
    llm_host: str, tmp_path: Path, instrumentation: Instrumentation
) -> None:
    with (
        LocalHelicone(tmp_path / "requests.db") as helicone,
        exporting(helicone, f"http://{llm_host}/v1", gateway_hosts=[helicone.host]) as app,
        instrumentation(app),
        app.client() as client,
    ):
        with app.tracer.start_as_current_span("trip") as root:
            client.chat.completions.create(model=MODEL, messages=CAPITAL)
        assert app.rows(root) == [capital("/trip")]


# --- several instrumentations at once: still one row for each call --------------------------------

TOGETHER: list[list[Instrumentation]] = [
    [genai_openai, openinference_openai],
    [openinference_openai, openllmetry_openai],
    [openllmetry_openai, genai_openai],
    [otel_httpx2, genai_openai],
    [genai_openai, openllmetry_openai, openinference_openai],
    [otel_httpx2, openinference_openai, openllmetry_openai, genai_openai],
]


@pytest.fixture(params=TOGETHER, ids=lambda them: "+".join(each.__name__ for each in them))
def observed_together(request: pytest.FixtureRequest, app: App) -> Iterator[App]:
    with ExitStack() as stack:
        for instrumentation in request.param:
            stack.enter_context(instrumentation(app))
        yield app


def test_several_instrumentations(observed_together: App) -> None:
    app = observed_together
    with app.client() as client, app.tracer.start_as_current_span("trip") as root:
        with app.tracer.start_as_current_span("look up"):
            client.chat.completions.create(model=MODEL, messages=CAPITAL)
        client.chat.completions.create(model=MODEL, messages=WEATHER, tools=[WEATHER_TOOL])
        for _ in client.chat.completions.create(
            model=MODEL, messages=CAPITAL, stream=True, stream_options={"include_usage": True}
        ):
            pass
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": "Do I ask too often?"}]
            )
        client.embeddings.create(model=EMBEDDING_MODEL, input="Paris")
    assert app.rows(root) == [
        capital("/trip/look up"),
        asks_tool("/trip"),
        capital("/trip"),
        Row("llm", "/trip", MODEL, 429, 0, 0),
        Row("llm", "/trip", EMBEDDING_MODEL, 200, 0, 0),
    ]


@pytest.mark.parametrize(
    "together", TOGETHER, ids=lambda them: "+".join(each.__name__ for each in them)
)
def test_several_instrumentations_whose_spans_are_exported_one_by_one(
    llm_host: str, tmp_path: Path, together: list[Instrumentation]
) -> None:
    with ExitStack() as stack:
        helicone = stack.enter_context(LocalHelicone(tmp_path / "requests.db"))
        app = stack.enter_context(exporting(helicone, f"http://{llm_host}/v1", in_batches=False))
        for instrumentation in together:
            stack.enter_context(instrumentation(app))
        client = stack.enter_context(app.client())
        with app.tracer.start_as_current_span("trip") as root:
            client.chat.completions.create(model=MODEL, messages=CAPITAL)
            client.chat.completions.create(model=MODEL, messages=WEATHER, tools=[WEATHER_TOOL])
        assert app.rows(root) == [capital("/trip"), asks_tool("/trip")]


async def test_several_instrumentations_and_calls_at_the_same_time(observed_together: App) -> None:
    app = observed_together
    async with app.async_client() as client:
        with app.tracer.start_as_current_span("trip") as root:
            await asyncio.gather(
                *(client.chat.completions.create(model=MODEL, messages=CAPITAL) for _ in range(5))
            )
    assert app.rows(root) == [capital("/trip")] * 5


# --- frameworks -----------------------------------------------------------------------------------


def get_weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


def _langchain_model(app: App) -> Any:
    return require("langchain_openai").ChatOpenAI(
        model=MODEL, base_url=app.base_url, api_key="none", stream_usage=True
    )


def _langchain_agent(app: App) -> None:
    agent = require("langchain.agents").create_agent(
        _langchain_model(app), tools=[get_weather], name="helper"
    )
    answer = agent.invoke({"messages": WEATHER})
    assert answer["messages"][-1].content == SUNNY


def test_langchain_agent(app: App) -> None:
    with openinference_langchain(app):
        with app.tracer.start_as_current_span("trip") as root:
            _langchain_agent(app)
    assert app.rows(root) == [
        asks_tool("/trip/helper/model"),
        tool("/trip/helper/tools/get_weather"),
        uses_tool("/trip/helper/model"),
    ]
    _assert_agent_bodies(app)


def _assert_agent_bodies(app: App) -> None:
    first, of_tool, second = app.bodies()
    assert first[0]["messages"][-1] == WEATHER[0]
    (call,) = _calls(first[1]["choices"][0]["message"])
    assert call["id"] == "call_paris"
    assert call["function"] == {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    assert "Paris" in json.dumps(of_tool[0]["input"])
    assert "sunny in Paris" in json.dumps(of_tool[1]["output"])
    assert second[0]["messages"][-1]["role"] == "tool"
    assert second[0]["messages"][-1]["tool_call_id"] == "call_paris"
    assert second[0]["messages"][-1]["content"] == "sunny in Paris"
    assert second[1]["choices"][0]["message"]["content"] == SUNNY


def test_langchain_stream(app: App) -> None:
    with openinference_langchain(app):
        with app.tracer.start_as_current_span("trip") as root:
            assert list(_langchain_model(app).stream(CAPITAL))
    assert app.rows(root) == [capital("/trip")]


def test_langchain_retriever(app: App) -> None:
    documents, retrievers = (
        require(f"langchain_core.{name}") for name in ("documents", "retrievers")
    )

    class Guide(retrievers.BaseRetriever):  # type: ignore[misc, name-defined]
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Any]:
            return [documents.Document("Paris is a city.", metadata={"page": 7})]

    with openinference_langchain(app):
        with app.tracer.start_as_current_span("trip") as root:
            Guide().invoke("cities")
    (row,) = app.rows(root)
    assert (row.kind, row.path, row.status) == ("vector_db", "/trip/Guide", 200)
    ((request, response),) = app.bodies()
    assert request["text"] == "cities"
    assert "Paris is a city." in json.dumps(response["results"])


@pytest.mark.parametrize("beside", OF_OPENAI[:3], ids=lambda each: each.__name__)
def test_langchain_beside_the_openai_client(app: App, beside: Instrumentation) -> None:
    with openinference_langchain(app), beside(app):
        with app.tracer.start_as_current_span("trip") as root:
            _langchain_agent(app)
            assert list(_langchain_model(app).stream(CAPITAL))
    rows = app.rows(root)
    assert [(row.kind, row.tokens_in, row.tokens_out) for row in rows] == [
        ("llm", 31, 9),
        ("tool", 0, 0),
        ("llm", 47, 6),
        ("llm", 14, 7),
    ]


AGENTS_SDK = {
    "openinference": ("openinference.instrumentation.openai_agents", openinference_openai),
    "genai": ("opentelemetry.instrumentation.genai.openai_agents", genai_openai),
}


@pytest.mark.parametrize("family", AGENTS_SDK)
async def test_openai_agents(app: App, family: str) -> None:
    agents = require("agents")
    module, client_instrumentation = AGENTS_SDK[family]
    with _instrumented(app, module, "OpenAIAgentsInstrumentor"), client_instrumentation(app):
        async with app.async_client() as client:
            helper = agents.Agent(
                name="helper",
                tools=[agents.function_tool(get_weather)],
                model=agents.OpenAIChatCompletionsModel(MODEL, openai_client=client),
            )
            with app.tracer.start_as_current_span("trip") as root:
                answer = await agents.Runner.run(helper, "How is the weather in Paris?")
    assert answer.final_output == SUNNY
    rows = app.rows(root)
    assert [(row.kind, row.tokens_in, row.tokens_out) for row in rows] == [
        ("llm", 31, 9),
        ("tool", 0, 0),
        ("llm", 47, 6),
    ]
    assert all(row.path.startswith("/trip/") for row in rows)
    _assert_agent_bodies(app)


def _pydantic_ai_agent(app: App, client: openai.AsyncOpenAI) -> Any:
    ai = require("pydantic_ai")
    openai_of_ai = require("pydantic_ai.providers.openai").OpenAIProvider(openai_client=client)
    model = require("pydantic_ai.models.openai").OpenAIChatModel(MODEL, provider=openai_of_ai)
    agent = ai.Agent(model, name="helper", tools=[get_weather])
    agent.instrument = ai.InstrumentationSettings(tracer_provider=app.provider)
    return agent


AGENT_OF_PYDANTIC_AI = [
    asks_tool("/trip/invoke_agent helper"),
    tool("/trip/invoke_agent helper/get_weather"),
    uses_tool("/trip/invoke_agent helper"),
]


async def test_pydantic_ai(app: App) -> None:
    async with app.async_client() as client:
        with app.tracer.start_as_current_span("trip") as root:
            answer = await _pydantic_ai_agent(app, client).run("How is the weather in Paris?")
    assert answer.output == SUNNY
    assert app.rows(root) == AGENT_OF_PYDANTIC_AI
    _assert_agent_bodies(app)


async def test_pydantic_ai_stream(app: App) -> None:
    async with app.async_client() as client:
        agent = _pydantic_ai_agent(app, client)
        with app.tracer.start_as_current_span("trip") as root:
            async with agent.run_stream("What is the capital of France?") as stream:
                assert [text async for text in stream.stream_text()][-1] == PARIS
    assert app.rows(root) == [capital("/trip/invoke_agent helper")]
    ((_, response),) = app.bodies()
    assert response["choices"][0]["message"]["content"] == PARIS


@pytest.mark.parametrize("beside", OF_OPENAI[:3], ids=lambda each: each.__name__)
async def test_pydantic_ai_beside_the_openai_client(app: App, beside: Instrumentation) -> None:
    with beside(app):
        async with app.async_client() as client:
            with app.tracer.start_as_current_span("trip") as root:
                await _pydantic_ai_agent(app, client).run("How is the weather in Paris?")
    assert app.rows(root) == AGENT_OF_PYDANTIC_AI


# --- through the gateway, with the exporter on as well: the gateway's rows, and no second ones ----


@pytest.mark.parametrize("instrumentation", OF_OPENAI[:3], ids=lambda each: each.__name__)
def test_openai_through_the_gateway(
    app_behind_gateway: App, instrumentation: Instrumentation
) -> None:
    app = app_behind_gateway
    with instrumentation(app):
        with app.client() as client, app.tracer.start_as_current_span("trip") as root:
            with app.tracer.start_as_current_span("look up"):
                client.chat.completions.create(model=MODEL, messages=CAPITAL)
            for _ in client.chat.completions.create(
                model=MODEL, messages=CAPITAL, stream=True, stream_options={"include_usage": True}
            ):
                pass
            with pytest.raises(openai.RateLimitError):
                client.chat.completions.create(
                    model=MODEL, messages=[{"role": "user", "content": "Do I ask too often?"}]
                )
            client.embeddings.create(model=EMBEDDING_MODEL, input="Paris")
    records = app.records()
    assert app.rows(root) == [
        capital("/trip/look up"),
        capital("/trip"),
        Row("llm", "/trip", MODEL, 429, 0, 0),
        Row("llm", "/trip", EMBEDDING_MODEL, 200, 0, 0),
    ]
    assert {record.target_path.rpartition("/")[2] for record in records} == {
        "completions",
        "embeddings",
    }


@pytest.mark.parametrize("beside", OF_OPENAI[:3], ids=lambda each: each.__name__)
def test_langchain_beside_the_openai_client_through_the_gateway(
    app_behind_gateway: App, beside: Instrumentation
) -> None:
    app = app_behind_gateway
    with openinference_langchain(app), beside(app):
        with app.tracer.start_as_current_span("trip") as root:
            _langchain_agent(app)
    assert sorted((row.kind, row.tokens_in, row.tokens_out) for row in app.rows(root)) == [
        ("llm", 31, 9),
        ("llm", 47, 6),
        ("tool", 0, 0),
    ]


def test_langchain_through_the_gateway(app_behind_gateway: App) -> None:
    app = app_behind_gateway
    with openinference_langchain(app):
        with app.tracer.start_as_current_span("trip") as root:
            _langchain_agent(app)
            _langchain_model(app).invoke(CAPITAL)
            _langchain_model(app).batch([CAPITAL, CAPITAL, CAPITAL])
            assert list(_langchain_model(app).stream(CAPITAL))
    # LangChain's spans are not current while its requests are sent, so the gateway's paths end
    # with the application's span; the tool, which no gateway sees, has its own.
    rows = app.rows(root)
    calls = [row for row in rows if row.kind == "llm"]
    assert [row for row in rows if row.kind == "tool"] == [tool("/trip/helper/tools/get_weather")]
    assert sorted((row.tokens_in, row.tokens_out) for row in calls) == [
        *[(14, 7)] * 5,
        (31, 9),
        (47, 6),
    ]
    paths = {record.target_path for record in app.records() if record.kind == "llm"}
    assert paths == {"/v1/chat/completions"}


async def test_openai_agents_through_the_gateway(app_behind_gateway: App) -> None:
    app = app_behind_gateway
    agents = require("agents")
    with (
        _instrumented(app, AGENTS_SDK["openinference"][0], "OpenAIAgentsInstrumentor"),
        openinference_openai(app),
    ):
        async with app.async_client() as client:
            helper = agents.Agent(
                name="helper",
                tools=[agents.function_tool(get_weather)],
                model=agents.OpenAIChatCompletionsModel(MODEL, openai_client=client),
            )
            with app.tracer.start_as_current_span("trip") as root:
                await agents.Runner.run(helper, "How is the weather in Paris?")
    assert [(row.kind, row.tokens_in, row.tokens_out) for row in app.rows(root)] == [
        ("llm", 31, 9),
        ("tool", 0, 0),
        ("llm", 47, 6),
    ]


def test_logfire_through_the_gateway(app_behind_gateway: App) -> None:
    app = app_behind_gateway
    with logfire_openai(app), app.client() as client:
        with app.tracer.start_as_current_span("trip") as root:
            client.chat.completions.create(model=MODEL, messages=CAPITAL)
            for _ in client.chat.completions.create(
                model=MODEL, messages=CAPITAL, stream=True, stream_options={"include_usage": True}
            ):
                pass
        assert app.rows(root) == [capital("/trip"), capital("/trip")]


async def test_pydantic_ai_through_the_gateway(app_behind_gateway: App) -> None:
    app = app_behind_gateway
    async with app.async_client() as client:
        with app.tracer.start_as_current_span("trip") as root:
            await _pydantic_ai_agent(app, client).run("How is the weather in Paris?")
    assert app.rows(root) == AGENT_OF_PYDANTIC_AI
