"""Set-ups that can't work are said in one sentence, once; those that are meant make no noise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import set_tracer_provider

import otel_helicone
from otel_helicone import (
    HeliconeInstrumentor,
    HeliconeScoreExporter,
    HeliconeSpanExporter,
    HeliconeSpanProcessor,
)
from otel_helicone.cli import main
from otel_helicone.local.server import LocalHelicone
from otel_helicone.set_up_faults import key_use
from otel_helicone.set_up_faults.sentences import (
    LATE_PROCESSOR,
    OTHER_PROVIDER,
    SECOND_PROVIDER,
    SET_UP_FAULTS,
    UNNAMED_GATEWAY,
    UNUSED_KEY,
    SetUpFault,
)
from otel_helicone.set_up_faults.unseen_spans import processors_of
from tests.conftest import GATEWAY, HELICONE_AUTH, MakeTracing, Recorder, Tracing

KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
PROVIDER = "https://api.openai.com/v1/models"


@pytest.fixture(autouse=True)
def _no_global_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", type(trace._TRACER_PROVIDER_SET_ONCE)())
    monkeypatch.delenv("HELICONE_API_KEY", raising=False)


@pytest.fixture(autouse=True)
def _no_key_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    from otel_helicone.injection import headers

    monkeypatch.setattr(headers, "_well_formed", set())
    monkeypatch.setattr(key_use, "_is_noted", False)


@pytest.fixture
def other() -> Iterator[TracerProvider]:
    """A tracer provider without a processor of this library."""
    provider = TracerProvider(shutdown_on_exit=False)
    yield provider
    provider.shutdown()


class Log:
    """What the library has logged."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def says(self, fault: SetUpFault, *values: object) -> bool:
        """Return whether this was said, and nothing else, and only once."""
        said = [r.getMessage() for r in self._caplog.records if r.name == "otel_helicone"]
        wanted = f"{fault.sentence}: {fault.remedy}" % (*values, *values)
        assert said == [wanted]
        return True

    @property
    def is_empty(self) -> bool:
        return not [r for r in self._caplog.records if r.name == "otel_helicone"]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    return Log(caplog)


def call(recorder: Recorder, provider: TracerProvider, url: str = GATEWAY, times: int = 2) -> None:
    with recorder.client(headers={"Helicone-Auth": HELICONE_AUTH}) as client:
        with provider.get_tracer("app").start_as_current_span("parent"):
            for _ in range(times):
                client.get(url)


def test_a_call_in_a_span_of_a_provider_without_the_processor_is_said(
    recorder: Recorder, tracing: Tracing, other: TracerProvider, log: Log
) -> None:
    call(recorder, other)
    assert log.says(OTHER_PROVIDER)


def test_a_provider_without_the_processor_below_one_that_has_it_is_meant(
    recorder: Recorder, tracing: Tracing, other: TracerProvider, log: Log
) -> None:
    with tracing.tracer.start_as_current_span("order"):
        with other.get_tracer("http").start_as_current_span("GET"):
            call(recorder, other)
    assert log.is_empty


def test_unsampled_spans_are_meant(recorder: Recorder, make_tracing: MakeTracing, log: Log) -> None:
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    call(recorder, make_tracing(sampler=ALWAYS_OFF).provider)
    assert log.is_empty


def test_an_exporter_without_the_processor_is_meant(
    recorder: Recorder, other: TracerProvider, monkeypatch: pytest.MonkeyPatch, log: Log
) -> None:
    monkeypatch.setenv("HELICONE_API_KEY", KEY)
    exporter = HeliconeSpanExporter(endpoint="http://127.0.0.1:9")
    other.add_span_processor(SimpleSpanProcessor(exporter))
    call(recorder, other, PROVIDER)
    assert log.is_empty


def test_a_processor_that_came_after_the_span_is_said(
    recorder: Recorder, other: TracerProvider, log: Log
) -> None:
    with recorder.client(headers={"Helicone-Auth": HELICONE_AUTH}) as client:
        with other.get_tracer("app").start_as_current_span("main"):
            other.add_span_processor(HeliconeSpanProcessor())
            client.get(GATEWAY)
            client.get(GATEWAY)
            assert log.says(LATE_PROCESSOR)
            # What starts from now on is known.
            with other.get_tracer("app").start_as_current_span("later"):
                client.get(GATEWAY)
    assert recorder.path() == "/later"
    assert log.says(LATE_PROCESSOR)


def test_the_processors_of_spans_and_providers_are_found(tracing: Tracing) -> None:
    assert tracing.processor in (processors_of(tracing.provider) or ())
    with tracing.tracer.start_as_current_span("parent") as span:
        assert tracing.processor in (processors_of(span) or ())
    assert processors_of(object()) is None


@pytest.mark.parametrize("processor_comes", ["before", "after"])
def test_a_cell_that_is_run_again_is_said(
    processor_comes: str, other: TracerProvider, log: Log
) -> None:
    first = TracerProvider(shutdown_on_exit=False)
    first.add_span_processor(HeliconeSpanProcessor())
    set_tracer_provider(first)
    assert log.is_empty
    processor = HeliconeSpanProcessor(properties={"env": "other"})
    if processor_comes == "before":
        other.add_span_processor(processor)
    set_tracer_provider(other)
    if processor_comes == "after":
        other.add_span_processor(processor)
    assert log.says(SECOND_PROVIDER)
    first.shutdown()


def test_an_own_set_up_under_opentelemetry_instrument_is_said(
    other: TracerProvider, log: Log
) -> None:
    first = TracerProvider(shutdown_on_exit=False)
    set_tracer_provider(first)
    instrumentor = HeliconeInstrumentor()
    instrumentor.instrument()
    other.add_span_processor(HeliconeSpanProcessor(properties={"env": "mine"}))
    set_tracer_provider(other)
    assert log.says(SECOND_PROVIDER)
    instrumentor.uninstrument()
    first.shutdown()


def test_several_providers_of_which_one_is_set_are_meant(
    make_tracing: MakeTracing, log: Log
) -> None:
    make_tracing()
    set_tracer_provider(make_tracing().provider)
    assert log.is_empty


def test_a_second_provider_without_the_processor_is_none_of_our_business(
    tracing: Tracing, other: TracerProvider, log: Log
) -> None:
    set_tracer_provider(tracing.provider)
    set_tracer_provider(other)
    assert log.is_empty


def test_opentelemetrys_function_is_left_as_it_was_found() -> None:
    before = trace._set_tracer_provider
    one, another = HeliconeSpanProcessor(), HeliconeSpanProcessor()
    assert trace._set_tracer_provider is not before
    one.shutdown()
    another.shutdown()
    assert trace._set_tracer_provider is before


def test_a_key_that_nothing_uses_is_said_at_a_call_to_a_provider(
    recorder: Recorder, tracing: Tracing, monkeypatch: pytest.MonkeyPatch, log: Log
) -> None:
    call(recorder, tracing.provider, PROVIDER)
    assert log.is_empty
    monkeypatch.setenv("HELICONE_API_KEY", KEY)
    call(recorder, tracing.provider, "https://example.com/")
    assert log.is_empty
    call(recorder, tracing.provider, PROVIDER)
    assert log.says(UNUSED_KEY)


def test_a_key_that_the_application_sends_itself_is_used(
    recorder: Recorder, tracing: Tracing, monkeypatch: pytest.MonkeyPatch, log: Log
) -> None:
    monkeypatch.setenv("HELICONE_API_KEY", KEY)
    call(recorder, tracing.provider, GATEWAY)
    call(recorder, tracing.provider, PROVIDER)
    assert log.is_empty


def test_a_key_that_an_exporter_uses_is_used(
    recorder: Recorder, tracing: Tracing, monkeypatch: pytest.MonkeyPatch, log: Log
) -> None:
    monkeypatch.setenv("HELICONE_API_KEY", KEY)
    exporter = HeliconeSpanExporter(endpoint="http://127.0.0.1:9")
    call(recorder, tracing.provider, PROVIDER)
    exporter.shutdown()
    assert log.is_empty


def test_a_key_that_the_exporter_of_scores_uses_is_used(
    recorder: Recorder, tracing: Tracing, monkeypatch: pytest.MonkeyPatch, log: Log
) -> None:
    monkeypatch.setenv("HELICONE_API_KEY", KEY)
    HeliconeScoreExporter(endpoint="http://127.0.0.1:9").shutdown()
    call(recorder, tracing.provider, PROVIDER)
    assert log.is_empty


def test_a_key_is_used_that_calls_take_through_the_gateway(
    recorder: Recorder, make_tracing: MakeTracing, log: Log
) -> None:
    call(recorder, make_tracing(gateway=True, api_key=KEY).provider, PROVIDER)
    assert log.is_empty


@pytest.mark.parametrize(
    ("options", "is_said"),
    [
        ({"api_key": KEY}, True),
        ({"api_key": KEY, "export": True, "endpoint": "http://127.0.0.1:9"}, False),
        ({"api_key": KEY, "gateway": True}, False),
        ({}, False),
    ],
)
def test_a_key_given_to_setup_without_anything_that_uses_it_is_said(
    options: dict[str, Any], is_said: bool, other: TracerProvider, log: Log
) -> None:
    otel_helicone.setup(tracer_provider=other, **options).shutdown()
    assert log.says(UNUSED_KEY) if is_said else log.is_empty


def answer_as_helicone(recorder: Recorder) -> None:
    headers = {"helicone-id": "00000000-0000-4000-8000-000000000000"}
    recorder.answers = [recorder.stack.Response(200, headers=headers) for _ in range(2)]


def test_a_local_helicone_that_is_not_named_is_said(
    recorder: Recorder, tracing: Tracing, log: Log
) -> None:
    answer_as_helicone(recorder)
    call(recorder, tracing.provider, "http://127.0.0.1:8787/v1/models")
    assert log.says(UNNAMED_GATEWAY, "127.0.0.1:8787")


async def test_a_local_helicone_that_is_not_named_is_said_to_async_clients(
    recorder: Recorder, tracing: Tracing, log: Log
) -> None:
    answer_as_helicone(recorder)
    with tracing.tracer.start_as_current_span("parent"):
        async with recorder.async_client() as client:
            await client.get("http://localhost:8787/v1/models")
    assert log.says(UNNAMED_GATEWAY, "localhost:8787")


def test_a_local_helicone_that_is_named_is_meant(
    recorder: Recorder, make_tracing: MakeTracing, log: Log
) -> None:
    answer_as_helicone(recorder)
    tracing = make_tracing(gateway_hosts=["127.0.0.1:8787"])
    call(recorder, tracing.provider, "http://127.0.0.1:8787/v1/models")
    assert log.is_empty


def test_other_servers_and_calls_outside_of_spans_are_meant(
    recorder: Recorder, tracing: Tracing, log: Log
) -> None:
    call(recorder, tracing.provider, "http://127.0.0.1:8787/v1/models")
    answer_as_helicone(recorder)
    with recorder.client() as client:
        client.get("http://127.0.0.1:8787/v1/models")
    assert log.is_empty


def test_the_doctor_finds_a_local_helicone_that_is_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with LocalHelicone(tmp_path / "requests.db", latency=0) as helicone:
        monkeypatch.setenv("OPENAI_BASE_URL", helicone.base_url)
        assert main(["doctor"]) == 1
        assert UNNAMED_GATEWAY.remedy % helicone.host in capsys.readouterr().out
        monkeypatch.setenv("HELICONE_GATEWAY_HOSTS", helicone.host)
        main(["doctor"])
        assert UNNAMED_GATEWAY.remedy % helicone.host not in capsys.readouterr().out


def test_the_doctor_notes_a_key_that_nothing_uses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HELICONE_API_KEY", KEY)
    main(["doctor"])
    assert UNUSED_KEY.remedy in capsys.readouterr().out
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp,helicone")
    main(["doctor"])
    assert UNUSED_KEY.remedy not in capsys.readouterr().out


def test_the_doctor_explains_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--explain"]) == 0
    said = capsys.readouterr().out
    for fault in SET_UP_FAULTS:
        assert fault.symptom in said
        assert fault.remedy.partition("%s")[0] in said
