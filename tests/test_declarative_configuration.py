"""OpenTelemetry's declarative configuration file names the exporter and the instrumentor."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import TracerProvider

from otel_helicone import HeliconeInstrumentor, HeliconeSpanExporter, SettingError
from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.records import RequestRecord

# The SDK has the file's reader in a package of its own, for its newest versions.
configuration = pytest.importorskip("opentelemetry.configuration")

ROOT = Path(__file__).parents[1]
KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"

Configure = Callable[[str], TracerProvider]


@pytest.fixture
def helicone(tmp_path: Path) -> Iterator[LocalHelicone]:
    with LocalHelicone(tmp_path / "requests.db", latency=0, api_keys=[KEY]) as helicone:
        yield helicone


@pytest.fixture
def configure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, helicone: LocalHelicone
) -> Iterator[Configure]:
    """Configure the SDK from the text of a file, as a fresh process does."""
    # A file without propagators sets one that gives no context.
    monkeypatch.setattr(propagate, "_HTTP_TEXT_FORMAT", propagate.get_global_textmap())
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", type(trace._TRACER_PROVIDER_SET_ONCE)())
    monkeypatch.setenv("KEY_OF_HELICONE", KEY)
    monkeypatch.setenv("ENDPOINT_OF_HELICONE", helicone.url)
    for name in os.environ:
        if name.startswith("HELICONE_"):
            monkeypatch.delenv(name)

    def configure(text: str) -> TracerProvider:
        file = tmp_path / "otel.yaml"
        file.write_text('file_format: "1.0"\n' + textwrap.dedent(text), "utf-8")
        configuration.configure_sdk(configuration.load_config_file(str(file)))
        provider = trace.get_tracer_provider()
        assert isinstance(provider, TracerProvider)
        return provider

    yield configure
    if HeliconeInstrumentor().is_instrumented_by_opentelemetry:
        HeliconeInstrumentor().uninstrument()
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.shutdown()


def log_a_call(provider: TracerProvider, helicone: LocalHelicone) -> RequestRecord:
    tracer = provider.get_tracer("app")
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.provider.name": "openai",
        "session.id": "conversation-17",
        "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"Hello"}]}]',
    }
    with tracer.start_as_current_span("parent"):
        with tracer.start_as_current_span(
            "chat gpt-4o-mini", kind=trace.SpanKind.CLIENT, attributes=attributes
        ):
            pass
    provider.force_flush()
    helicone.settle()
    (row,) = helicone.store.requests()
    return row


def test_the_exporter_is_found_by_its_entry_point() -> None:
    (found,) = entry_points(group="opentelemetry_traces_exporter", name="helicone")
    assert found.load() is HeliconeSpanExporter


def test_the_exporter_takes_every_setting_from_the_file(
    configure: Configure, helicone: LocalHelicone
) -> None:
    provider = configure(
        """
        tracer_provider:
          processors:
            - batch:
                exporter:
                  helicone:
                    api_key: ${KEY_OF_HELICONE}
                    endpoint: ${ENDPOINT_OF_HELICONE}
                    include: calls
                    capture_content: false
                    timeout: 5
                    max_in_flight: 2
                    max_body_bytes: 100000
                    properties:
                      env: test
        """
    )
    row = log_a_call(provider, helicone)
    assert row.session_path == "/parent"
    assert row.properties["env"] == "test"
    assert "Hello" not in str(row.request_body)


def test_the_file_of_the_documents_is_right(
    configure: Configure, helicone: LocalHelicone, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / "zero-code.md").read_text("utf-8")
    (file,) = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    monkeypatch.setenv("HELICONE_API_KEY", KEY)
    monkeypatch.setenv("HELICONE_ENDPOINT", helicone.url)
    row = log_a_call(configure(file.replace('file_format: "1.0"\n', "")), helicone)
    assert (row.session_path, row.properties) == ("/parent", {"env": "production"})
    assert HeliconeInstrumentor().is_instrumented_by_opentelemetry


def test_the_instrumentor_takes_the_processors_settings_from_the_file(
    configure: Configure, helicone: LocalHelicone
) -> None:
    provider = configure(
        """
        tracer_provider:
          processors:
            - batch:
                exporter:
                  helicone:
                    api_key: ${KEY_OF_HELICONE}
                    endpoint: ${ENDPOINT_OF_HELICONE}
        instrumentation/development:
          python:
            helicone:
              session_id_attributes: [session.id]
              stamp: false
              gateway_hosts:
                - localhost:8787
        """
    )
    assert HeliconeInstrumentor().is_instrumented_by_opentelemetry
    assert log_a_call(provider, helicone).session_id == "conversation-17"


def test_a_simple_processor_logs_a_call_at_its_place_too(
    configure: Configure, helicone: LocalHelicone
) -> None:
    provider = configure(
        """
        tracer_provider:
          processors:
            - simple:
                exporter:
                  helicone:
                    api_key: ${KEY_OF_HELICONE}
                    endpoint: ${ENDPOINT_OF_HELICONE}
        instrumentation/development:
          python:
            helicone: {}
        """
    )
    row = log_a_call(provider, helicone)
    assert (row.session_path, row.session_name) == ("/parent", "parent")


def test_a_key_that_is_not_set_is_one_line_in_the_log(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("KEY_OF_HELICONE")
    configure(
        """
        tracer_provider:
          processors:
            - batch:
                exporter:
                  helicone:
                    api_key: ${KEY_OF_HELICONE}
        """
    )
    (record,) = [one for one in caplog.records if one.name == "otel_helicone"]
    assert "is missing" in record.getMessage()


@pytest.mark.parametrize(
    ("setting", "remedy"),
    [
        ("timeout: soon", "seconds"),
        ("capture_content: 'yes'", "true or false"),
        ("properties: {build: 7}", "has to be a str"),
    ],
)
def test_a_wrong_value_in_the_file_is_a_setting_error(
    configure: Configure, setting: str, remedy: str
) -> None:
    with pytest.raises(SettingError, match=remedy):
        configure(
            f"""
            tracer_provider:
              processors:
                - batch:
                    exporter:
                      helicone:
                        {setting}
            """
        )


def test_a_wrong_value_for_the_instrumentor_is_one_line_in_the_log(
    configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    configure(
        """
        tracer_provider:
          processors: [{simple: {exporter: {console: {}}}}]
        instrumentation/development:
          python:
            helicone:
              stamp: perhaps
        """
    )
    (record,) = [one for one in caplog.records if "helicone" in one.getMessage()]
    assert record.getMessage().startswith("otel-helicone is off: stamp='perhaps' can't be used")


def test_the_file_may_turn_the_instrumentor_off(configure: Configure) -> None:
    configure(
        """
        tracer_provider:
          processors: [{simple: {exporter: {console: {}}}}]
        instrumentation/development:
          python:
            helicone:
              enabled: false
        """
    )
    assert not HeliconeInstrumentor().is_instrumented_by_opentelemetry


def test_an_application_may_read_the_types_that_the_file_hands_over(configure: Configure) -> None:
    """Numbers, truth values, lists and mappings arrive as such; a quoted one is a text."""
    given: dict[str, Any] = {}

    def keep(_self: HeliconeInstrumentor, **settings: Any) -> None:
        given.update(settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HeliconeInstrumentor, "_instrument", keep)
        configure(
            """
            tracer_provider:
              processors: [{simple: {exporter: {console: {}}}}]
            instrumentation/development:
              python:
                helicone:
                  stamp: true
                  gateway_hosts: [a.example]
                  properties: {build: "7"}
            """
        )
    assert given == {"stamp": True, "gateway_hosts": ["a.example"], "properties": {"build": "7"}}
