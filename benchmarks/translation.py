"""What export costs besides the network: translation, the application's thread, and memory."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from benchmarks.chat_spans import ATTRIBUTES, chat_spans
from benchmarks.measuring import Goal
from otel_helicone import HeliconeSpanExporter, HeliconeSpanProcessor
from otel_helicone.logs.translating import Translator

SPANS = 2000
QUEUE = 2048
CALL: dict[str, Any] = {
    name: value for name, value in ATTRIBUTES.items() if not name.startswith("helicone.")
}


class Nothing(SpanExporter):
    """Takes spans and does nothing with them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Do nothing."""
        return SpanExportResult.SUCCESS


def run(rounds: int) -> list[Goal]:
    """Measure translation, the application's thread, and a full queue."""
    _translation(rounds)
    _application_thread(rounds)
    _full_queue()
    return []


def _translation(rounds: int) -> None:
    spans = chat_spans(SPANS)
    best = float("inf")
    for _ in range(rounds):
        translator = Translator()
        started = time.perf_counter()
        for record in translator.records(spans):
            record.to_bytes(5_000_000)
        best = min(best, time.perf_counter() - started)
    print(f"Translation: {SPANS / best:.0f} spans of calls a second become bytes of logs")


def _application_thread(rounds: int) -> None:
    """Time spans of calls in the thread that makes them; what other threads do is not counted."""
    processors: dict[str, list[SpanProcessor]] = {
        "batch processor, exporter of nothing": [_batch(Nothing())],
        "with HeliconeSpanProcessor": [HeliconeSpanProcessor(inject=False), _batch(Nothing())],
        "and HeliconeSpanExporter": [
            HeliconeSpanProcessor(inject=False),
            _batch(HeliconeSpanExporter(endpoint="http://127.0.0.1:9", api_key="k", timeout=1)),
        ],
    }
    best = dict.fromkeys(processors, float("inf"))
    providers = {}
    for name, used in processors.items():
        providers[name] = TracerProvider(shutdown_on_exit=False)
        for processor in used:
            providers[name].add_span_processor(processor)
    for _ in range(min(rounds, 10)):
        for name, provider in providers.items():
            tracer = provider.get_tracer("bench")
            gc.collect()
            started = time.thread_time()
            for _ in range(SPANS // 2):
                with tracer.start_as_current_span("chat gpt-4o-mini", attributes=CALL):
                    pass
            best[name] = min(best[name], time.thread_time() - started)
    print("A span of a call, CPU time of the application's thread")
    for name, seconds in best.items():
        print(f"  {name:38} {seconds / (SPANS // 2) * 1e6:6.1f} µs")
    for provider in providers.values():
        for processor in provider._active_span_processor._span_processors:
            if isinstance(processor, HeliconeSpanProcessor):
                processor.shutdown()


def _batch(exporter: SpanExporter) -> BatchSpanProcessor:
    # A queue that never fills up in the time of the measurement, so that all spans cost the same.
    return BatchSpanProcessor(exporter, max_queue_size=10**6, schedule_delay_millis=3_600_000)


def _full_queue() -> None:
    print(f"Memory of {QUEUE} spans of calls that wait, beyond the application's own")
    bare = _held([_waiting(Nothing())])
    exporter = HeliconeSpanExporter(endpoint="http://127.0.0.1:9", api_key="k")
    full = _held([HeliconeSpanProcessor(inject=False), _waiting(exporter)])
    print(f"  batch processor alone {bare / 1e6:6.2f} MB")
    print(f"  with this library     {full / 1e6:6.2f} MB, {(full - bare) / QUEUE:.0f} bytes a span")


def _waiting(exporter: SpanExporter) -> BatchSpanProcessor:
    return BatchSpanProcessor(
        exporter,
        max_queue_size=QUEUE,
        max_export_batch_size=QUEUE,
        schedule_delay_millis=3_600_000,
    )


def _held(processors: list[SpanProcessor]) -> int:
    provider = TracerProvider(shutdown_on_exit=False)
    for processor in processors:
        provider.add_span_processor(processor)
    tracer = provider.get_tracer("bench")
    gc.collect()
    tracemalloc.start()
    for _ in range(QUEUE - 1):
        with tracer.start_as_current_span("chat gpt-4o-mini", attributes=CALL):
            pass
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held
