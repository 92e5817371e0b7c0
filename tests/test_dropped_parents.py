"""Spans whose parents never come: a filter or tail sampling dropped them, or they went elsewhere.

What the span processor has stamped on a span is enough for its place.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Tracer

from otel_helicone import HeliconeSpanExporter, HeliconeSpanProcessor, session
from otel_helicone.local.server import LocalHelicone
from otel_helicone.logs.placing import Placer
from otel_helicone.logs.translating import Translator
from tests.conftest import Tracing

CALL: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.input.messages": json.dumps(
        [{"role": "user", "parts": [{"type": "text", "content": "Hello"}]}]
    ),
}
TOOL: dict[str, Any] = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "weather"}


def work(tracer: Tracer) -> None:
    """Make a session with calls and a tool at several depths."""

    def call(name: str) -> None:
        tracer.start_span(name, kind=SpanKind.CLIENT, attributes=CALL).end()

    with tracer.start_as_current_span("GET") as root:
        root.update_name("Trip")  # as web frameworks do, before the first call
        with tracer.start_as_current_span("plan/draft"):
            call("chat 1")
            with tracer.start_as_current_span("execute_tool weather", attributes=TOOL):
                call("chat 2")
        with tracer.start_as_current_span("chat 3", kind=SpanKind.CLIENT) as late:
            late.set_attributes(CALL)  # what it is, is said only after its start
        call("chat 4")


PLACES = {
    "chat 1": "/Trip/plan%2Fdraft",
    "execute_tool weather": "/Trip/plan%2Fdraft/weather",
    "chat 2": "/Trip/plan%2Fdraft/weather",
    "chat 3": "/Trip",
    "chat 4": "/Trip",
}


def is_logged(span: ReadableSpan) -> bool:
    return "gen_ai.operation.name" in (span.attributes or {})


# --- the processor alone --------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["exporter", "bridge"])
def make_translator(request: pytest.FixtureRequest) -> Callable[[], Translator]:
    """Return what makes a translator, such as the exporter of another process has, or a bridge."""
    return lambda: Translator(placer=Placer(whole_traces=request.param))


def places(translator: Translator, *batches: list[ReadableSpan]) -> list[tuple[str, str | None]]:
    return [
        (record.context.path, record.context.name)
        for batch in batches
        for record in translator.records(batch)
    ]


def test_the_stamps_place_a_span_without_its_parents(
    tracing: Tracing, make_translator: Callable[[], Translator]
) -> None:
    work(tracing.tracer)
    spans = [span for span in tracing.exporter.get_finished_spans() if is_logged(span)]
    assert {span.name for span in spans} == set(PLACES)
    for span in spans:
        assert places(make_translator(), [span]) == [(PLACES[span.name], "Trip")]


def test_the_stamps_place_spans_that_come_one_by_one(
    tracing: Tracing, make_translator: Callable[[], Translator]
) -> None:
    work(tracing.tracer)
    spans = [span for span in tracing.exporter.get_finished_spans() if is_logged(span)]
    expected = [(PLACES[span.name], "Trip") for span in spans]
    assert places(make_translator(), *([span] for span in spans)) == expected
    assert places(make_translator(), *([span] for span in spans[::-1])) == expected[::-1]


def test_the_stamps_tell_the_session_without_its_block(
    tracing: Tracing, make_translator: Callable[[], Translator]
) -> None:
    with tracing.tracer.start_as_current_span("root"), session("conversation-1", name="Chat"):
        with tracing.tracer.start_as_current_span("step"):
            tracing.tracer.start_span("chat", kind=SpanKind.CLIENT, attributes=CALL).end()
    call = next(span for span in tracing.exporter.get_finished_spans() if is_logged(span))
    (record,) = make_translator().records([call])
    assert record.context.id == "conversation-1"
    assert (record.context.path, record.context.name) == ("/root/step", "Chat")


# --- something before the exporter that drops parents ---------------------------------------------


class CallsOnly(SpanExporter):
    """A filter: hands calls and tools on, and drops what is around them."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([span for span in spans if is_logged(span)])

    def shutdown(self) -> None:
        self._exporter.shutdown()


class TailSampling(SpanProcessor):
    """Keeps the spans of a trace until its root has ended, and then hands the calls on."""

    def __init__(self, processor: SpanProcessor) -> None:
        self._processor = processor
        self._traces: defaultdict[int, list[ReadableSpan]] = defaultdict(list)

    def on_end(self, span: ReadableSpan) -> None:
        trace_id = span.context.trace_id
        self._traces[trace_id].append(span)
        if span.parent is None:
            for kept in filter(is_logged, self._traces.pop(trace_id)):
                self._processor.on_end(kept)

    def shutdown(self) -> None:
        self._processor.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._processor.force_flush(timeout_millis)


def filtering(exporter: SpanExporter) -> SpanProcessor:
    return BatchSpanProcessor(CallsOnly(exporter))


def filtering_one_by_one(exporter: SpanExporter) -> SpanProcessor:
    return BatchSpanProcessor(CallsOnly(exporter), max_export_batch_size=1)


def tail_sampling(exporter: SpanExporter) -> SpanProcessor:
    return TailSampling(BatchSpanProcessor(exporter, max_export_batch_size=1))


@pytest.fixture
def helicone(tmp_path: Path) -> Iterator[LocalHelicone]:
    with LocalHelicone(tmp_path / "requests.db", latency=0) as server:
        yield server


@pytest.mark.parametrize("stamp", [True, False], ids=["stamps", "no stamps"])
@pytest.mark.parametrize("before", [filtering, filtering_one_by_one, tail_sampling])
def test_what_drops_parents_before_the_exporter_moves_nothing(
    helicone: LocalHelicone, before: Callable[[SpanExporter], SpanProcessor], stamp: bool
) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(HeliconeSpanProcessor(inject=False, stamp=stamp))
    provider.add_span_processor(before(HeliconeSpanExporter(endpoint=helicone.url)))
    work(provider.get_tracer("app"))
    provider.shutdown()
    helicone.settle()
    rows = helicone.store.requests()
    assert sorted(row.session_path or "" for row in rows) == sorted(PLACES.values())
    assert {row.session_name for row in rows} == {"Trip"}
    assert len({row.session_id for row in rows}) == 1
