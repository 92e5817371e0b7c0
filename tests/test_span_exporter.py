"""The span exporter, against a local Helicone that takes its logs."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExportResult,
)
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, use_span

from otel_helicone import (
    HeliconeSpanExporter,
    HeliconeSpanProcessor,
    SettingError,
    session,
    session_headers,
)
from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.records import RequestRecord
from tests.recorded import spans

KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
CHAT: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.usage.input_tokens": 24,
    "gen_ai.usage.output_tokens": 8,
    "gen_ai.input.messages": json.dumps(
        [{"role": "user", "parts": [{"type": "text", "content": "Is this secret?"}]}]
    ),
    "gen_ai.output.messages": json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": "It is."}]}]
    ),
}


@pytest.fixture
def helicone(tmp_path: Path) -> Iterator[LocalHelicone]:
    with LocalHelicone(tmp_path / "requests.db", latency=0) as server:
        yield server


class Application:
    """A traced application whose spans are exported when it is asked for its rows."""

    def __init__(
        self, helicone: LocalHelicone, processor: dict[str, Any] | None, **settings: Any
    ) -> None:
        self.helicone = helicone
        self.provider = TracerProvider(
            resource=Resource({"service.name": "planner"}), shutdown_on_exit=False
        )
        if processor is not None:
            self.provider.add_span_processor(HeliconeSpanProcessor(**processor))
        self.exporter = HeliconeSpanExporter(endpoint=helicone.url, api_key=KEY, **settings)
        self.provider.add_span_processor(BatchSpanProcessor(self.exporter))
        self.tracer: Tracer = self.provider.get_tracer("app")

    def call(self, name: str = "chat gpt-4o-mini", **attributes: Any) -> None:
        given = {key.replace("__", "."): value for key, value in attributes.items()}
        with self.tracer.start_as_current_span(
            name, kind=SpanKind.CLIENT, attributes={**CHAT, **given}
        ):
            pass

    def rows(self) -> list[RequestRecord]:
        self.provider.force_flush()
        self.helicone.settle()
        return list(self.helicone.store.requests())


MakeApplication = Callable[..., Application]


@pytest.fixture
def make_application(helicone: LocalHelicone) -> Iterator[MakeApplication]:
    made: list[Application] = []

    def make(processor: dict[str, Any] | None = None, **settings: Any) -> Application:
        made.append(Application(helicone, processor, **settings))
        return made[-1]

    yield make
    for application in made:
        application.provider.shutdown()


def test_a_call_is_logged_with_the_session_of_its_trace(
    make_application: MakeApplication,
) -> None:
    app = make_application({})
    with app.tracer.start_as_current_span("Trip") as root:
        with app.tracer.start_as_current_span("search"):
            app.call()
    (row,) = app.rows()
    assert row.session_id == f"{root.get_span_context().trace_id:032x}"
    assert (row.session_path, row.session_name) == ("/Trip/search", "Trip")
    assert (row.provider, row.model, row.status) == ("OPENAI", "gpt-4o-mini-2024-07-18", 200)
    assert (row.prompt_tokens, row.completion_tokens) == (24, 8)
    assert json.loads(row.response_body)["choices"][0]["message"]["content"] == "It is."


def test_tools_and_retrievals_have_a_place_of_their_own(make_application: MakeApplication) -> None:
    app = make_application({})
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "weather"}
    retrieval = {"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.query.text": "Oslo"}
    with app.tracer.start_as_current_span("Trip"):
        with app.tracer.start_as_current_span("execute_tool weather", attributes=tool):
            app.call()
        with app.tracer.start_as_current_span("look up", attributes=retrieval):
            pass
    assert {(row.model, row.session_path) for row in app.rows()} == {
        ("tool:weather", "/Trip/weather"),
        ("gpt-4o-mini-2024-07-18", "/Trip/weather"),
        ("vector_db", "/Trip/look up"),
    }


def test_without_the_processor_children_that_come_first_are_told_of_once(
    make_application: MakeApplication, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_application()
    with app.tracer.start_as_current_span("job"):
        for _ in range(2):
            app.call()
            app.provider.force_flush()
    assert {row.session_path for row in app.rows()} == {"/"}
    (said,) = [one for one in caplog.records if one.name.startswith("otel_helicone")]
    assert "Add HeliconeSpanProcessor() to the tracer provider" in said.getMessage()


def test_without_the_processor_traces_that_come_whole_need_no_word(
    make_application: MakeApplication, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_application()
    with app.tracer.start_as_current_span("job"):
        app.call()
    assert [row.session_path for row in app.rows()] == ["/job"]
    assert not [one for one in caplog.records if one.name.startswith("otel_helicone")]


def test_the_log_is_where_the_gateway_would_have_it(make_application: MakeApplication) -> None:
    """Also for a span of which only its end tells that it is the call."""
    app = make_application({})
    with (
        app.tracer.start_as_current_span("Trip"),
        session(user_id="ann", properties={"env": "test"}),
        app.tracer.start_as_current_span("plan"),
    ):
        headers = session_headers()
        with app.tracer.start_as_current_span("ChatOpenAI") as call:
            call.set_attribute("openinference.span.kind", "LLM")
            call.set_attribute("llm.model_name", "gpt-4o-mini")
    (row,) = app.rows()
    assert row.session_path == headers["Helicone-Session-Path"] == "/Trip/plan"
    assert row.session_id == headers["Helicone-Session-Id"]
    assert row.session_name == headers["Helicone-Session-Name"]
    assert (row.user_id, row.properties) == ("ann", {"env": "test"})


@pytest.mark.parametrize("processor", [{"stamp": False}, {"segment": lambda span: span.name[:1]}])
def test_the_processors_settings_hold(
    make_application: MakeApplication, processor: dict[str, Any]
) -> None:
    app = make_application(processor)
    with app.tracer.start_as_current_span("Trip"):
        headers = session_headers()
        app.call()
    (row,) = app.rows()
    assert row.session_path == headers["Helicone-Session-Path"]


def test_stamps_alone_are_enough(make_application: MakeApplication) -> None:
    """As with an exporter in another process, behind a collector."""
    app = make_application(None)
    stamps = {
        "helicone.session.id": "trip-1",
        "helicone.session.path": "/Trip/chat gpt-4o-mini",
        "helicone.session.name": "Trip",
    }
    app.call(**{key.replace(".", "__"): value for key, value in stamps.items()})
    (row,) = app.rows()
    assert (row.session_id, row.session_path, row.session_name) == ("trip-1", "/Trip", "Trip")


def test_without_the_processor_the_ancestors_that_are_exported_together_count(
    make_application: MakeApplication,
) -> None:
    app = make_application(None)
    with app.tracer.start_as_current_span("Trip"), app.tracer.start_as_current_span("search"):
        app.call()
    (row,) = app.rows()
    assert (row.session_path, row.session_name) == ("/Trip/search", "Trip")


def test_without_the_processor_a_session_keeps_the_name_that_was_used_first(
    make_application: MakeApplication,
) -> None:
    app = make_application(None)
    with app.tracer.start_as_current_span("Trip"):
        app.call()
        (first,) = app.rows()
        app.call()
    assert [row.session_name for row in app.rows()] == ["planner", "planner"]
    assert first.session_path == "/"


def test_include_all_adds_every_other_step_as_data(make_application: MakeApplication) -> None:
    app = make_application({}, include="all")
    agent: dict[str, Any] = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.usage.input_tokens": 24,
    }
    with app.tracer.start_as_current_span("Trip"):
        with app.tracer.start_as_current_span("invoke_agent guide", attributes=agent):
            app.call()
    assert {(row.model, row.prompt_tokens) for row in app.rows()} == {
        ("data:Trip", 0),
        ("data:invoke_agent guide", 0),
        ("gpt-4o-mini-2024-07-18", 24),
    }


def test_include_may_be_a_function_of_the_span(make_application: MakeApplication) -> None:
    app = make_application({}, include=lambda span: span.name == "wanted")
    app.call("wanted")
    app.call("unwanted")
    assert len(app.rows()) == 1


def test_a_call_through_the_gateway_is_not_logged_again(make_application: MakeApplication) -> None:
    app = make_application({})
    app.call(helicone__request__id="8d8e4bd9-6a8c-4a2d-a9fd-4c8a4a0f6c1e")
    app.call(server__address="oai.helicone.ai")
    assert app.rows() == []


def test_a_call_whose_span_was_not_current_in_the_gateway_call_is_not_logged_again(
    make_application: MakeApplication, stack: Any, helicone: LocalHelicone
) -> None:
    """LangChain's span of a call is not current while the request is sent."""
    app = make_application({"gateway_hosts": [helicone.host]})
    with app.tracer.start_as_current_span("Trip"), stack.Client() as client:
        for _ in range(2):
            outside = app.tracer.start_span("ChatOpenAI")
            client.post(f"{helicone.base_url}/chat/completions", json={"model": "gpt-4o-mini"})
            outside.set_attribute("openinference.span.kind", "LLM")
            outside.end()
            assert len(app.rows()) == _ + 1
    assert [row.target_path for row in app.rows()] == ["/v1/chat/completions"] * 2


def test_nor_where_machinery_of_the_framework_was_current(
    make_application: MakeApplication, stack: Any, helicone: LocalHelicone
) -> None:
    app = make_application({"gateway_hosts": [helicone.host]})
    langchain = app.provider.get_tracer("openinference.instrumentation.langchain")
    with langchain.start_as_current_span("with a fallback"), stack.Client() as client:
        call = langchain.start_span("ChatOpenAI")
        with langchain.start_as_current_span("RunnableWithFallbacks"):
            client.post(f"{helicone.base_url}/chat/completions", json={"model": "gpt-4o-mini"})
        call.set_attribute("openinference.span.kind", "LLM")
        call.end()
    (row,) = app.rows()
    assert (row.target_path, row.session_path) == ("/v1/chat/completions", "/with a fallback")


def test_a_tool_in_which_a_call_went_through_the_gateway_is_logged(
    make_application: MakeApplication, stack: Any, helicone: LocalHelicone
) -> None:
    app = make_application({"gateway_hosts": [helicone.host]})
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "look"}
    with app.tracer.start_as_current_span("Trip"), stack.Client() as client:
        with app.tracer.start_as_current_span("execute_tool look", attributes=tool):
            client.post(f"{helicone.base_url}/chat/completions", json={"model": "gpt-4o-mini"})
    rows = app.rows()
    assert sorted(row.kind for row in rows) == ["llm", "tool"]
    assert {row.session_path for row in rows} == {"/Trip/look"}


def test_nor_is_one_that_was_sent_inside_of_a_frameworks_machinery(
    make_application: MakeApplication, stack: Any, helicone: LocalHelicone
) -> None:
    app = make_application({"gateway_hosts": [helicone.host]})
    framework = app.provider.get_tracer("openinference.instrumentation.llama_index")
    with (
        app.tracer.start_as_current_span("Trip"),
        framework.start_as_current_span("CompactAndRefine.aget_response"),
        stack.Client() as client,
    ):
        outer = framework.start_span("OpenAI.astream")
        with use_span(outer):
            outside = framework.start_span("OpenAI.astream_chat")
        client.post(f"{helicone.base_url}/chat/completions", json={"model": "gpt-4o-mini"})
        for span in (outside, outer):
            span.set_attribute("openinference.span.kind", "LLM")
            span.end()
    (row,) = app.rows()
    assert (row.target_path, row.session_path) == ("/v1/chat/completions", "/Trip")


@pytest.mark.parametrize("processor", [{}, None], ids=["with the processor", "without"])
def test_a_call_that_litellm_has_written_on_a_step_is_logged_inside_of_it(
    make_application: MakeApplication, processor: dict[str, Any] | None
) -> None:
    app = make_application(processor)
    with app.tracer.start_as_current_span("agent") as step:
        step.set_attributes({**CHAT, "litellm.call_id": "1"})
    (row,) = app.rows()
    assert (row.session_name, row.session_path) == ("agent", "/agent")


def test_the_same_span_exported_twice_is_one_row(
    make_application: MakeApplication, helicone: LocalHelicone
) -> None:
    app = make_application({})
    for _ in range(2):
        assert app.exporter.export(spans("genai-openai--chat")) is SpanExportResult.SUCCESS
    assert len(app.rows()) == 1


def test_content_may_be_kept_at_home(make_application: MakeApplication) -> None:
    app = make_application({}, capture_content=False)
    app.call()
    app.exporter.export(spans("genai-openai--agent-with-tools"))
    rows = app.rows()
    assert len(rows) == 6
    for row in rows:
        for secret in ("secret", "Oslo", "Rome", "temperature", "Compare"):
            assert secret not in row.request_body + row.response_body
    assert rows[-1].prompt_tokens == 24


def test_redact_sees_each_body_before_it_leaves(make_application: MakeApplication) -> None:
    def redact(body: dict[str, Any]) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(json.dumps(body).replace("secret", "[redacted]"))
        return {**parsed, "usage": "nonsense", "model": 5}

    app = make_application({}, redact=redact)
    app.call()
    (row,) = app.rows()
    assert "Is this [redacted]?" in row.request_body
    assert (row.model, row.prompt_tokens) == ("gpt-4o-mini-2024-07-18", 24)


@pytest.mark.parametrize(
    "redact",
    [lambda body: 1 / 0, lambda body: None, lambda body: "text"],
    ids=["raises", "gives nothing", "gives text"],
)
def test_a_failing_redaction_costs_the_content_and_not_the_log(
    make_application: MakeApplication, redact: Any, caplog: Any
) -> None:
    caplog.failures_are_expected = True
    app = make_application({}, redact=redact)
    app.call()
    (row,) = app.rows()
    assert "secret" not in row.request_body + row.response_body
    assert row.prompt_tokens == 24


def test_what_the_application_asked_helicone_to_omit_stays_at_home(
    make_application: MakeApplication,
) -> None:
    app = make_application({})
    app.call(gen_ai__headers=json.dumps({"Helicone-Omit-Request": "true"}))
    (row,) = app.rows()
    assert "secret" not in row.request_body
    assert "It is." in row.response_body


def test_content_that_an_instrumentation_switched_off_is_not_sent(
    make_application: MakeApplication,
) -> None:
    app = make_application({})
    app.exporter.export(spans("openinference-openai--embeddings-content-off"))
    for row in app.rows():
        assert "Paris" not in row.request_body
        assert "Seine" not in row.request_body


def test_a_body_that_is_too_large_is_shortened_and_marked(
    make_application: MakeApplication,
) -> None:
    app = make_application({}, max_body_bytes=10_000)
    long = [{"role": "user", "parts": [{"type": "text", "content": "ä" * 50_000}]}]
    app.call(gen_ai__input__messages=json.dumps(long, ensure_ascii=False))
    (row,) = app.rows()
    assert "more characters ..." in row.request_body
    assert row.properties == {"content-shortened": "true"}
    assert (row.prompt_tokens, row.model) == (24, "gpt-4o-mini-2024-07-18")


def test_a_failed_call_has_its_status_and_message(make_application: MakeApplication) -> None:
    app = make_application({})
    failed = {key: value for key, value in CHAT.items() if "response" not in key}
    with app.tracer.start_as_current_span("chat", attributes=failed) as span:
        span.set_status(Status(StatusCode.ERROR, "Error code: 429 - slow down"))
    with app.tracer.start_as_current_span("chat", attributes=failed) as span:
        span.set_status(Status(StatusCode.ERROR, "out of luck"))
    told = {row.status: row for row in app.rows()}
    assert {status: row.model for status, row in told.items()} == {
        429: "gpt-4o-mini",
        500: "gpt-4o-mini",
    }
    assert "out of luck" in told[500].response_body


def test_properties_of_the_exporter_are_on_every_log(make_application: MakeApplication) -> None:
    app = make_application({}, properties={"env": "staging"})
    app.call()
    assert app.rows()[0].properties == {"env": "staging"}


def test_a_missing_key_is_one_line_and_then_silence(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HELICONE_API_KEY", raising=False)
    for _ in range(3):
        exporter = HeliconeSpanExporter()
        assert exporter.export(spans("genai-openai--chat")) is SpanExportResult.FAILURE
        exporter.shutdown()
    (line,) = [record.getMessage() for record in caplog.records]
    assert "HELICONE_API_KEY" in line


def test_a_key_with_a_line_break_is_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    exporter = HeliconeSpanExporter(api_key="sk-helicone\nsecret")
    assert exporter.export(spans("genai-openai--chat")) is SpanExportResult.FAILURE
    assert "secret" not in caplog.text + repr(exporter)
    assert "api_key" in caplog.text


def test_a_key_that_helicone_does_not_know_is_one_line_and_then_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "requests.db"
    with LocalHelicone(store, latency=0, api_keys=[KEY]) as helicone:
        exporter = HeliconeSpanExporter(endpoint=helicone.url, api_key=KEY[:-1] + "x")
        for _ in range(3):
            exporter.export(spans("genai-openai--agent-with-tools"))
        exporter.shutdown()
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert KEY[:-1] not in caplog.text


def test_after_shutdown_nothing_is_sent(
    make_application: MakeApplication, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_application({})
    app.exporter.shutdown()
    app.exporter.shutdown()
    assert app.exporter.export(spans("genai-openai--chat")) is SpanExportResult.FAILURE
    assert app.exporter.force_flush()
    assert app.rows() == []
    assert "shut down" in caplog.text


def test_it_works_with_a_simple_processor_inside_a_running_loop(helicone: LocalHelicone) -> None:
    import asyncio

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(HeliconeSpanProcessor())
    exporter = HeliconeSpanExporter(endpoint=helicone.url)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    async def work() -> None:
        with provider.get_tracer("app").start_as_current_span("chat", attributes=CHAT):
            await asyncio.sleep(0)

    asyncio.run(work())
    provider.shutdown()
    helicone.settle()
    assert len(list(helicone.store.requests())) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_it_works_after_a_fork(make_application: MakeApplication) -> None:
    app = make_application({})
    app.call("before")
    assert len(app.rows()) == 1
    child = os.fork()
    if child == 0:
        code = 1
        try:
            app.call("in the child")
            code = 0 if app.provider.force_flush(5000) else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    app.call("after")
    assert len(app.rows()) == 3


@pytest.mark.parametrize(
    ("setting", "value", "part"),
    [
        ("endpoint", "api.worker.helicone.ai", "scheme and host"),
        ("endpoint", "https://api.worker.helicone.ai/oai/v1/log", "paths"),
        ("endpoint", "https://me:pw@api.worker.helicone.ai", "user and password"),
        ("timeout", 0, "seconds"),
        ("max_in_flight", 0, "1 to 1000"),
        ("max_body_bytes", 20 * 1024 * 1024, "bytes"),
        ("include", "some", "'all'"),
        ("redact", "os:getcwd", "function"),
    ],
)
def test_a_wrong_setting_is_told_at_once(setting: str, value: Any, part: str) -> None:
    with pytest.raises(SettingError, match=setting) as caught:
        HeliconeSpanExporter(api_key=KEY, **{setting: value})
    assert part in str(caught.value)


def test_settings_may_stand_in_the_environment(
    helicone: LocalHelicone, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "API_KEY": KEY,
        "ENDPOINT": helicone.url,
        "INCLUDE": "all",
        "CAPTURE_CONTENT": "false",
        "REDACT": "json:loads",
        "TIMEOUT": "5",
        "MAX_IN_FLIGHT": "2",
        "MAX_BODY_BYTES": "100000",
        "PROPERTIES": "env=ci",
    }.items():
        monkeypatch.setenv(f"HELICONE_{name}", value)
    exporter = HeliconeSpanExporter()
    assert exporter.export(spans("genai-openai--chat")) is SpanExportResult.SUCCESS
    exporter.shutdown()
    helicone.settle()
    rows = list(helicone.store.requests())
    assert len(rows) == 3
    assert {tuple(row.properties.items()) for row in rows} == {(("env", "ci"),)}
