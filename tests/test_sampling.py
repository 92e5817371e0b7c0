"""Spans that a sampler drops are recorded for the paths, and exported no more than before."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    StaticSampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes

from otel_helicone import AlwaysRecordSampler, SettingError, session_headers
from otel_helicone.sampling import sampler_from_environment
from tests.conftest import GATEWAY, HELICONE_AUTH, MakeTracing, Recorder

TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C
THE_DEFAULT: Sampler = DEFAULT_ON


class Deciding(Sampler):
    """A sampler that gives the same result for every span, and keeps what it was asked."""

    def __init__(self, decision: Decision, attributes: Attributes = None) -> None:
        self.result = SamplingResult(decision, attributes, TraceState([("vendor", "said")]))
        self.asked: list[Any] = []

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        self.asked.append((parent_context, trace_id, name, kind, attributes, links, trace_state))
        return self.result

    def get_description(self) -> str:
        return "Deciding"


def remote_parent(flags: int) -> Context:
    """Give the context of a request from another service."""
    parent = SpanContext(TRACE_ID, 0x1234, is_remote=True, trace_flags=TraceFlags(flags))
    return trace.set_span_in_context(trace.NonRecordingSpan(parent), Context())


def test_a_dropped_span_becomes_record_only() -> None:
    inside = Deciding(Decision.DROP, {"sampler.rate": 0.1})
    result = AlwaysRecordSampler(inside).should_sample(None, TRACE_ID, "ask")
    assert result.decision is Decision.RECORD_ONLY
    assert result.attributes == {"sampler.rate": 0.1}
    assert result.trace_state == TraceState([("vendor", "said")])


@pytest.mark.parametrize("decision", [Decision.RECORD_AND_SAMPLE, Decision.RECORD_ONLY])
def test_any_other_decision_is_handed_on_untouched(decision: Decision) -> None:
    inside = Deciding(decision, {"sampler.rate": 0.1})
    result = AlwaysRecordSampler(inside).should_sample(None, TRACE_ID, "ask", attributes={"a": 1})
    assert result is inside.result


def test_the_sampler_inside_is_asked_with_everything() -> None:
    inside = Deciding(Decision.DROP)
    state, context = TraceState([("a", "b")]), Context()
    links = [Link(trace.INVALID_SPAN_CONTEXT)]
    asked = (context, TRACE_ID, "ask", SpanKind.CLIENT, {"a": 1}, links, state)
    AlwaysRecordSampler(inside).should_sample(*asked)
    assert inside.asked == [asked]


def test_a_recorded_span_has_the_attributes_that_it_was_started_with() -> None:
    given = {"helicone.session.id": "s1", "both": "caller"}
    plain = AlwaysRecordSampler(ALWAYS_OFF).should_sample(None, TRACE_ID, "a", attributes=given)
    assert dict(plain.attributes) == given
    inside = Deciding(Decision.DROP, {"both": "sampler"})
    result = AlwaysRecordSampler(inside).should_sample(None, TRACE_ID, "a", attributes=given)
    assert dict(result.attributes) == {"helicone.session.id": "s1", "both": "sampler"}
    assert given["both"] == "caller"


def test_its_description_names_the_sampler_inside() -> None:
    assert AlwaysRecordSampler(ALWAYS_OFF).get_description() == (
        "AlwaysRecordSampler{AlwaysOffSampler}"
    )


def test_requests_in_an_unsampled_trace_carry_the_whole_path(
    make_tracing: MakeTracing, recorder: Recorder
) -> None:
    tracing = make_tracing(sampler=AlwaysRecordSampler(ParentBased(ALWAYS_OFF)))
    with tracing.tracer.start_as_current_span("parent") as parent:
        with tracing.tracer.start_as_current_span("child", attributes={"user.id": "u1"}):
            recorder.client(headers={"Helicone-Auth": HELICONE_AUTH}).get(GATEWAY)
    assert recorder.helicone_headers() == {
        "helicone-auth": HELICONE_AUTH,
        "helicone-session-id": f"{parent.get_span_context().trace_id:032x}",
        "helicone-session-path": "/parent/child",
        "helicone-session-name": "parent",
        "helicone-user-id": "u1",
    }
    assert tracing.exported() == {}


def test_batch_and_simple_processors_export_exactly_what_they_did_before() -> None:
    exported = []
    for sampler in (TraceIdRatioBased(0.5), AlwaysRecordSampler(TraceIdRatioBased(0.5))):
        exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        tracer = provider.get_tracer("app")
        for number in range(200):
            # Trace ids over the whole range that the ratio looks at.
            parent = SpanContext(
                (1 << 64) + (2 * number + 1) * ((1 << 64) // 400), 0x1234, is_remote=True
            )
            within = trace.set_span_in_context(trace.NonRecordingSpan(parent), Context())
            tracer.start_span(str(number), within).end()
        provider.shutdown()
        exported.append([span.name for span in exporter.get_finished_spans()])
    assert exported[0] == exported[1]
    assert len(exported[0]) == 100


def test_below_a_remote_parent_that_is_not_sampled_the_path_is_whole(
    make_tracing: MakeTracing,
) -> None:
    tracing = make_tracing(sampler=AlwaysRecordSampler(DEFAULT_ON))
    with tracing.tracer.start_as_current_span("GET /ask", remote_parent(0)) as server:
        with tracing.tracer.start_as_current_span("plan"):
            assert session_headers() == {
                "Helicone-Session-Id": f"{TRACE_ID:032x}",
                "Helicone-Session-Path": "/GET %2Fask/plan",
                "Helicone-Session-Name": "GET /ask",
            }
        assert not server.get_span_context().trace_flags.sampled
    assert tracing.exported() == {}


def test_inside_of_parent_based_it_would_not_be_asked_there(make_tracing: MakeTracing) -> None:
    tracing = make_tracing(sampler=ParentBased(AlwaysRecordSampler(ALWAYS_ON)))
    with tracing.tracer.start_as_current_span("GET /ask", remote_parent(0)):
        assert session_headers()["Helicone-Session-Path"] == "/"


@pytest.mark.parametrize("flags", [0, 1])
def test_the_next_service_is_told_the_decision_as_it_was(
    make_tracing: MakeTracing, flags: int
) -> None:
    tracing = make_tracing(sampler=AlwaysRecordSampler(DEFAULT_ON))
    carrier: dict[str, str] = {}
    with tracing.tracer.start_as_current_span("GET /ask", remote_parent(flags)):
        with tracing.tracer.start_as_current_span("plan"):
            TraceContextTextMapPropagator().inject(carrier)
    assert carrier["traceparent"].endswith(f"-0{flags}")


# --- by the environment -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "description"),
    [
        (None, THE_DEFAULT.get_description()),
        ("", THE_DEFAULT.get_description()),
        (" always_off ", "AlwaysOffSampler"),
        ("Always_On", "AlwaysOnSampler"),
        ("traceidratio=0.25", "TraceIdRatioBased{0.25}"),
        ("traceidratio = 1", "TraceIdRatioBased{1.0}"),
        ("traceidratio", "TraceIdRatioBased{1.0}"),
    ],
)
def test_the_argument_names_the_sampler_inside(argument: str | None, description: str) -> None:
    sampler = sampler_from_environment(argument)
    assert sampler.get_description() == f"AlwaysRecordSampler{{{description}}}"


@pytest.mark.parametrize(
    ("argument", "remedy"),
    [
        ("nonesuch", "give the name of a sampler (always_on, always_off, "),
        ("0.1", "give the name of a sampler"),
        ("helicone", "it can't be put around itself"),
        ("always_on=1", "'always_on' takes no argument"),
        ("traceidratio=a few", "give a ratio from 0 to 1, such as 'traceidratio=0.1'"),
        ("parentbased_traceidratio=2", "such as 'parentbased_traceidratio=0.1'"),
        ("traceidratio=nan", "give a ratio from 0 to 1"),
    ],
)
def test_a_wrong_argument_is_told_with_what_would_be_right(argument: str, remedy: str) -> None:
    with pytest.raises(SettingError) as caught:
        sampler_from_environment(argument)
    assert str(caught.value).startswith(f"OTEL_TRACES_SAMPLER_ARG='{argument}' can't be used: ")
    assert remedy in str(caught.value)


class FakeEntryPoint:
    """What another package would register."""

    def __init__(self, makes: object) -> None:
        self.makes = makes
        self.arguments: list[str | None] = []

    def load(self) -> Any:
        def make(argument: str | None) -> object:
            self.arguments.append(argument)
            if isinstance(self.makes, Exception):
                raise self.makes
            return self.makes

        return make


def test_a_sampler_of_another_package_gets_its_own_argument(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs = FakeEntryPoint(StaticSampler(Decision.DROP))
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: [theirs])
    sampler = sampler_from_environment("their_Sampler=url=http://x")
    assert sampler.get_description() == "AlwaysRecordSampler{AlwaysOffSampler}"
    sampler_from_environment("their_Sampler")
    assert theirs.arguments == ["url=http://x", None]


@pytest.mark.parametrize(
    ("makes", "remedy"),
    [
        (RuntimeError("no server"), "could not be made (no server)"),
        ("a text", "which is no sampler"),
    ],
)
def test_a_sampler_of_another_package_that_fails_is_told(
    monkeypatch: pytest.MonkeyPatch, makes: object, remedy: str
) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: [FakeEntryPoint(makes)])
    with pytest.raises(SettingError) as caught:
        sampler_from_environment("theirs")
    assert remedy in str(caught.value)


PROGRAM = """
import logging
logging.basicConfig(format="%(message)s")
from opentelemetry import trace
from opentelemetry.sdk._configuration import _OTelSDKConfigurator
_OTelSDKConfigurator().configure(auto_instrumentation_version="test")
print(trace.get_tracer_provider().sampler.get_description())
"""


def configured(**variables: str) -> subprocess.CompletedProcess[str]:
    """Run the SDK's own configuration, as zero-code instrumentation does, in a new process."""
    environment = {name: text for name, text in os.environ.items() if "OTEL_" not in name}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**environment, "OTEL_TRACES_EXPORTER": "none", **variables},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_sdk_finds_it_by_its_name() -> None:
    assert entry_points(group="opentelemetry_traces_sampler", name="helicone")
    done = configured(
        OTEL_TRACES_SAMPLER="helicone", OTEL_TRACES_SAMPLER_ARG="parentbased_traceidratio=0.1"
    )
    assert done.stdout.startswith(
        "AlwaysRecordSampler{ParentBased{root:TraceIdRatioBased{0.1},remoteParentSampled:"
    )


def test_the_sdk_logs_what_is_wrong_and_uses_its_default() -> None:
    done = configured(OTEL_TRACES_SAMPLER="helicone", OTEL_TRACES_SAMPLER_ARG="traceidratio=most")
    assert "OTEL_TRACES_SAMPLER_ARG='traceidratio=most' can't be used" in done.stderr
    assert done.stdout.startswith("ParentBased{root:AlwaysOnSampler")
