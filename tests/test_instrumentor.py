"""The instrumentor: a processor for applications that register none, from the environment."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib.metadata import entry_points

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import set_tracer_provider

from otel_helicone import HeliconeInstrumentor, HeliconeSpanProcessor
from tests.conftest import GATEWAY, HELICONE_AUTH, Recorder


@pytest.fixture
def no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without a global tracer provider, as a fresh process does."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", type(trace._TRACER_PROVIDER_SET_ONCE)())


@pytest.fixture
def provider(no_provider: None) -> Iterator[TracerProvider]:
    provider = TracerProvider(shutdown_on_exit=False)
    yield provider
    provider.shutdown()
    assert not hasattr(httpx2.Client._send_single_request, "__wrapped__")


@pytest.fixture
def instrumentor() -> Iterator[HeliconeInstrumentor]:
    instrumentor = HeliconeInstrumentor()
    yield instrumentor
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()


def send(provider: TracerProvider, recorder: Recorder) -> dict[str, str]:
    """Send a request to Helicone inside of two spans; give its session headers."""
    tracer = provider.get_tracer("app")
    with recorder.client(headers={"Helicone-Auth": HELICONE_AUTH}) as client:
        with tracer.start_as_current_span("parent"), tracer.start_as_current_span("child"):
            client.get(GATEWAY)
    headers = recorder.helicone_headers()
    del headers["helicone-auth"]
    return headers


def test_it_is_found_by_its_entry_point() -> None:
    (found,) = entry_points(group="opentelemetry_instrumentor", name="helicone")
    assert found.load() is HeliconeInstrumentor
    assert HeliconeInstrumentor().instrumentation_dependencies() == ()


def test_requests_carry_the_session_of_a_provider_that_was_set_before(
    provider: TracerProvider, instrumentor: HeliconeInstrumentor, recorder: Recorder
) -> None:
    trace.set_tracer_provider(provider)
    instrumentor.instrument()
    headers = send(provider, recorder)
    assert headers["helicone-session-path"] == "/parent/child"
    assert headers["helicone-session-name"] == "parent"


def test_it_learns_of_a_provider_from_code_that_has_imported_the_function_before(
    provider: TracerProvider, instrumentor: HeliconeInstrumentor, recorder: Recorder
) -> None:
    instrumentor.instrument()
    set_tracer_provider(provider)
    assert send(provider, recorder)["helicone-session-name"] == "parent"


def test_requests_carry_the_session_of_a_provider_that_is_set_later(
    provider: TracerProvider, instrumentor: HeliconeInstrumentor, recorder: Recorder
) -> None:
    original = trace._set_tracer_provider
    instrumentor.instrument()
    trace.set_tracer_provider(provider)
    assert trace.get_tracer_provider() is provider
    assert send(provider, recorder)["helicone-session-path"] == "/parent/child"
    instrumentor.uninstrument()
    assert trace._set_tracer_provider is original


def test_a_provider_may_be_given(
    provider: TracerProvider, instrumentor: HeliconeInstrumentor, recorder: Recorder
) -> None:
    instrumentor.instrument(tracer_provider=provider)
    assert send(provider, recorder)["helicone-session-path"] == "/parent/child"


def test_the_provider_that_a_variable_names_counts(
    no_provider: None,
    instrumentor: HeliconeInstrumentor,
    monkeypatch: pytest.MonkeyPatch,
    recorder: Recorder,
) -> None:
    monkeypatch.setenv("OTEL_PYTHON_TRACER_PROVIDER", "sdk_tracer_provider")
    instrumentor.instrument()
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    assert send(provider, recorder)["helicone-session-path"] == "/parent/child"
    provider.shutdown()


def test_settings_come_from_the_environment(
    provider: TracerProvider,
    instrumentor: HeliconeInstrumentor,
    monkeypatch: pytest.MonkeyPatch,
    recorder: Recorder,
) -> None:
    monkeypatch.setenv("HELICONE_SESSION_ID_FORMAT", "uuid")
    instrumentor.instrument(tracer_provider=provider)
    assert send(provider, recorder)["helicone-session-id"].count("-") == 4


def test_settings_may_be_given_as_arguments(
    provider: TracerProvider, instrumentor: HeliconeInstrumentor, recorder: Recorder
) -> None:
    instrumentor.instrument(tracer_provider=provider, properties={"env": "test"})
    assert send(provider, recorder)["helicone-property-env"] == "test"


@pytest.mark.parametrize("order", ["before", "after"])
def test_the_settings_of_the_applications_own_processor_win(
    provider: TracerProvider, instrumentor: HeliconeInstrumentor, recorder: Recorder, order: str
) -> None:
    if order == "after":
        instrumentor.instrument(tracer_provider=provider, properties={"from": "environment"})
    provider.add_span_processor(
        HeliconeSpanProcessor(session_id_format="uuid", properties={"from": "application"})
    )
    if order == "before":
        instrumentor.instrument(tracer_provider=provider, properties={"from": "environment"})
    for _ in range(2):
        headers = send(provider, recorder)
        assert headers["helicone-session-id"].count("-") == 4
        assert headers["helicone-property-from"] == "application"


@pytest.mark.parametrize("order", ["before", "after"])
def test_an_application_that_turns_injection_off_gets_none(
    provider: TracerProvider, instrumentor: HeliconeInstrumentor, recorder: Recorder, order: str
) -> None:
    if order == "after":
        instrumentor.instrument(tracer_provider=provider)
    provider.add_span_processor(HeliconeSpanProcessor(inject=False))
    if order == "before":
        instrumentor.instrument(tracer_provider=provider)
    assert send(provider, recorder) == {}


def test_a_span_that_was_open_when_the_application_registered_its_own_keeps_its_path(
    provider: TracerProvider, instrumentor: HeliconeInstrumentor, recorder: Recorder
) -> None:
    instrumentor.instrument(tracer_provider=provider)
    with provider.get_tracer("app").start_as_current_span("start-up"):
        provider.add_span_processor(HeliconeSpanProcessor())
        assert send(provider, recorder)["helicone-session-path"] == "/start-up/parent/child"


def test_spans_are_stamped_once(
    provider: TracerProvider,
    instrumentor: HeliconeInstrumentor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    exporter = InMemorySpanExporter()
    instrumentor.instrument(tracer_provider=provider)
    provider.add_span_processor(HeliconeSpanProcessor(session_id_format="uuid"))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("app").start_as_current_span("ask"):
        pass
    (span,) = exporter.get_finished_spans()
    assert str((span.attributes or {})["helicone.session.id"]).count("-") == 4
    assert caplog.records == []


def test_the_settings_of_the_first_call_hold(
    provider: TracerProvider,
    instrumentor: HeliconeInstrumentor,
    recorder: Recorder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The configuration file may call it before ``opentelemetry-instrument`` does."""
    instrumentor.instrument(tracer_provider=provider, properties={"from": "file"})
    instrumentor.instrument(skip_dep_check=True)
    assert caplog.records == []
    assert send(provider, recorder)["helicone-property-from"] == "file"


def test_uninstrumenting_takes_injection_off(
    provider: TracerProvider,
    instrumentor: HeliconeInstrumentor,
    recorder: Recorder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    instrumentor.instrument(tracer_provider=provider)
    instrumentor.uninstrument()
    assert not hasattr(httpx2.Client._send_single_request, "__wrapped__")
    assert send(provider, recorder) == {}
    assert "add_span_processor" not in vars(provider)
    instrumentor.instrument(tracer_provider=provider)
    assert send(provider, recorder)["helicone-session-path"] == "/parent/child"
    assert caplog.records == []


def test_uninstrumenting_before_a_provider_is_set_calls_it_off(
    provider: TracerProvider, instrumentor: HeliconeInstrumentor, recorder: Recorder
) -> None:
    original = trace._set_tracer_provider
    instrumentor.instrument()
    instrumentor.uninstrument()
    assert trace._set_tracer_provider is original
    trace.set_tracer_provider(provider)
    assert send(provider, recorder) == {}


def test_a_hook_that_somebody_else_wrapped_does_nothing_once_it_is_called_off(
    provider: TracerProvider,
    instrumentor: HeliconeInstrumentor,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trace, "_set_tracer_provider", trace._set_tracer_provider)
    instrumentor.instrument()
    ours = trace._set_tracer_provider
    trace._set_tracer_provider = functools.partial(ours)
    instrumentor.uninstrument()
    trace.set_tracer_provider(provider)
    assert trace.get_tracer_provider() is provider
    assert send(provider, recorder) == {}


def test_a_wrong_setting_is_one_line_in_the_log_and_everything_stays_off(
    provider: TracerProvider,
    instrumentor: HeliconeInstrumentor,
    monkeypatch: pytest.MonkeyPatch,
    recorder: Recorder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("HELICONE_STAMP", "perhaps")
    instrumentor.instrument(tracer_provider=provider)
    (record,) = caplog.records
    assert record.getMessage() == (
        "otel-helicone is off: HELICONE_STAMP='perhaps' can't be used: give true or false"
    )
    assert not record.exc_info
    assert send(provider, recorder) == {}


def test_an_unknown_setting_is_one_line_too(
    provider: TracerProvider,
    instrumentor: HeliconeInstrumentor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    instrumentor.instrument(tracer_provider=provider, gateways=["localhost"])
    (record,) = caplog.records
    assert "otel-helicone is off" in record.getMessage()
    assert "'gateways'" in record.getMessage()


def test_a_provider_that_takes_no_processors_is_one_line_in_the_log(
    no_provider: None, instrumentor: HeliconeInstrumentor, caplog: pytest.LogCaptureFixture
) -> None:
    trace.set_tracer_provider(trace.NoOpTracerProvider())
    instrumentor.instrument()
    (record,) = caplog.records
    assert "NoOpTracerProvider" in record.getMessage()
