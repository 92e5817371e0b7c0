"""``setup()``: everything in one call."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import otel_helicone
from otel_helicone import (
    HeliconeInstrumentor,
    HeliconeSpanExporter,
    HeliconeSpanProcessor,
    SettingError,
)
from otel_helicone.local.server import LocalHelicone
from otel_helicone.registration.set_up import Setup
from tests.conftest import Recorder
from tests.test_instrumentor import send

KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"


@pytest.fixture
def provider() -> Iterator[TracerProvider]:
    provider = TracerProvider(shutdown_on_exit=False)
    yield provider
    provider.shutdown()


@pytest.fixture
def no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", type(trace._TRACER_PROVIDER_SET_ONCE)())


@pytest.fixture
def helicone(tmp_path: Path) -> Iterator[LocalHelicone]:
    with LocalHelicone(tmp_path / "requests.db", latency=0, api_keys=[KEY]) as helicone:
        yield helicone


def log_a_call(provider: TracerProvider) -> None:
    tracer = provider.get_tracer("app")
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.provider.name": "openai",
    }
    with tracer.start_as_current_span("parent"):
        with tracer.start_as_current_span(
            "chat gpt-4o-mini", kind=trace.SpanKind.CLIENT, attributes=attributes
        ):
            pass


def test_without_a_provider_it_makes_one_and_sets_it(no_provider: None, recorder: Recorder) -> None:
    made = otel_helicone.setup()
    provider = trace.get_tracer_provider()
    assert made.tracer_provider is provider
    assert isinstance(provider, TracerProvider)
    assert send(provider, recorder)["helicone-session-path"] == "/parent/child"
    provider.shutdown()


def test_it_uses_the_global_provider_where_there_is_one(
    no_provider: None, provider: TracerProvider, recorder: Recorder
) -> None:
    trace.set_tracer_provider(provider)
    assert otel_helicone.setup().tracer_provider is provider
    assert send(provider, recorder)["helicone-session-path"] == "/parent/child"


def test_a_provider_that_is_given_does_not_become_the_global_one(
    no_provider: None, provider: TracerProvider, recorder: Recorder
) -> None:
    otel_helicone.setup(tracer_provider=provider, properties={"env": "test"})
    assert send(provider, recorder)["helicone-property-env"] == "test"
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def test_with_export_calls_are_logged_at_their_place(
    provider: TracerProvider, helicone: LocalHelicone
) -> None:
    made = otel_helicone.setup(
        tracer_provider=provider, export=True, api_key=KEY, endpoint=helicone.url
    )
    log_a_call(provider)
    made.shutdown()
    helicone.settle()
    (row,) = helicone.store.requests()
    assert (row.session_name, row.session_path) == ("parent", "/parent")


@pytest.mark.parametrize("flush", ["of what setup() made", "of the provider"])
def test_a_flush_sends_calls_that_wait_for_their_content(
    provider: TracerProvider, helicone: LocalHelicone, flush: str
) -> None:
    made = otel_helicone.setup(
        tracer_provider=provider, export=True, api_key=KEY, endpoint=helicone.url
    )
    tracer = provider.get_tracer("app")
    with tracer.start_as_current_span("request"):
        tracer.start_span("chat gpt-4o-mini", attributes={"gen_ai.operation.name": "chat"}).end()
        flushed = made if flush == "of what setup() made" else provider
        assert flushed.force_flush()
        helicone.settle()
        (row,) = helicone.store.requests()
        assert (row.session_name, row.session_path) == ("request", "/request")
    made.shutdown()


def test_a_flush_without_an_exporter_has_nothing_to_do(provider: TracerProvider) -> None:
    made = otel_helicone.setup(tracer_provider=provider)
    assert made.force_flush()
    made.shutdown()
    assert made.force_flush()


def test_a_second_call_adds_nothing(provider: TracerProvider, helicone: LocalHelicone) -> None:
    def call() -> Setup:
        return otel_helicone.setup(
            tracer_provider=provider,
            export=True,
            api_key=KEY,
            endpoint=helicone.url,
            session_id_attributes=iter(["session.id"]),
        )

    made = call()
    assert call() is made
    log_a_call(provider)
    made.shutdown()
    helicone.settle()
    assert len(list(helicone.store.requests())) == 1


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ({}, {"session_id_format": "uuid"}, "session_id_format='uuid'"),
        ({"properties": {"a": "b"}}, {}, "properties="),
        ({}, {"export": True, "endpoint": "http://127.0.0.1:1"}, "export=True"),
        (
            {"export": True, "endpoint": "http://127.0.0.1:1"},
            {"export": True, "endpoint": "http://127.0.0.1:1", "api_key": KEY[:-1] + "e"},
            "api_key='…'",
        ),
    ],
)
def test_a_second_call_with_other_settings_names_the_one_that_differs(
    provider: TracerProvider, first: dict[str, Any], second: dict[str, Any], named: str
) -> None:
    made = otel_helicone.setup(tracer_provider=provider, **first)
    with pytest.raises(SettingError) as raised:
        otel_helicone.setup(tracer_provider=provider, **second)
    assert str(raised.value).startswith(named)
    assert "called before" in str(raised.value)
    made.shutdown()


def test_after_a_shutdown_it_may_be_called_again_with_other_settings(
    provider: TracerProvider, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    made = otel_helicone.setup(tracer_provider=provider)
    made.shutdown()
    assert not hasattr(httpx2.Client._send_single_request, "__wrapped__")
    assert send(provider, recorder) == {}
    made.shutdown()
    otel_helicone.setup(tracer_provider=provider, session_id_format="uuid")
    assert send(provider, recorder)["helicone-session-id"].count("-") == 4
    assert caplog.records == []


@pytest.mark.parametrize("order", ["before", "after"])
def test_its_settings_win_over_those_of_the_instrumentor(
    provider: TracerProvider, recorder: Recorder, order: str
) -> None:
    if order == "after":
        HeliconeInstrumentor().instrument(tracer_provider=provider)
    otel_helicone.setup(tracer_provider=provider, session_id_format="uuid")
    if order == "before":
        HeliconeInstrumentor().instrument(tracer_provider=provider)
    try:
        assert send(provider, recorder)["helicone-session-id"].count("-") == 4
    finally:
        HeliconeInstrumentor().uninstrument()


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"stamp": "maybe"}, "true or false"),
        ({"export": "yes"}, "true or false"),
        ({"export": True, "timeout": -1}, "seconds"),
    ],
)
def test_a_wrong_setting_is_an_error_and_nothing_is_made(
    no_provider: None, settings: dict[str, Any], remedy: str
) -> None:
    with pytest.raises(SettingError, match=remedy):
        otel_helicone.setup(**settings)
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    assert not hasattr(httpx2.Client._send_single_request, "__wrapped__")


def test_a_provider_that_takes_no_processors_is_an_error() -> None:
    with pytest.raises(SettingError, match="tracer_provider"):
        otel_helicone.setup(tracer_provider=trace.NoOpTracerProvider())


def test_calls_to_providers_go_through_the_gateway_where_asked_for(
    provider: TracerProvider, recorder: Recorder
) -> None:
    otel_helicone.setup(tracer_provider=provider, gateway=True, api_key=KEY)
    with recorder.client() as client, provider.get_tracer("app").start_as_current_span("ask"):
        client.get("https://api.openai.com/v1/models")
    assert recorder.requests[0].url.host == "oai.helicone.ai"
    assert recorder.helicone_headers()["helicone-auth"] == f"Bearer {KEY}"


def test_it_has_every_argument_of_processor_and_exporter() -> None:
    arguments = set(inspect.signature(otel_helicone.setup).parameters)
    of_parts = set(inspect.signature(HeliconeSpanProcessor).parameters)
    of_parts |= set(inspect.signature(HeliconeSpanExporter).parameters)
    assert arguments == of_parts | {"tracer_provider", "export"}


def test_what_it_returns_shows_no_key(provider: TracerProvider) -> None:
    made = otel_helicone.setup(
        tracer_provider=provider, export=True, api_key=KEY, endpoint="http://127.0.0.1:1"
    )
    assert KEY not in repr(made)
    made.shutdown()


def test_a_provider_without_a_hash_will_do(recorder: Recorder) -> None:
    class Provider(TracerProvider):
        __hash__ = None  # type: ignore[assignment]  # as that of logfire, a dataclass

    provider = Provider(shutdown_on_exit=False)
    made = otel_helicone.setup(tracer_provider=provider)
    assert otel_helicone.setup(tracer_provider=provider) is made
    assert send(provider, recorder)["helicone-session-name"] == "parent"
    made.shutdown()
    provider.shutdown()
