"""What open spans cost in bytes, and what is left of a million spans that are gone."""

from __future__ import annotations

import gc
import time
import tracemalloc

from opentelemetry.context import Context
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import Tracer, set_span_in_context

from benchmarks.measuring import Goal
from otel_helicone import HeliconeSpanProcessor

OPEN = 10_000
MANY = 1_000_000
WINDOW = 20_000


def run(_rounds: int) -> list[Goal]:
    """Measure what open spans hold, what a million that are gone hold, and their cost."""
    print("Memory")
    bare = _bytes_for_each_open_span([])
    goals = []
    for name, stamp in (("stamp=False", False), ("stamping", True)):
        held = _bytes_for_each_open_span([HeliconeSpanProcessor(stamp=stamp, inject=False)])
        print(f"  an open span: {bare:.0f} bytes without, {held - bare:+.0f} with, {name}")
        goals += _million(stamp)
    return goals


def _tracer(processors: list[SpanProcessor]) -> Tracer:
    provider = TracerProvider(shutdown_on_exit=False)
    for processor in processors:
        provider.add_span_processor(processor)
    return provider.get_tracer("bench")


def _bytes_for_each_open_span(processors: list[SpanProcessor]) -> float:
    tracer = _tracer(processors)
    root = set_span_in_context(tracer.start_span("root"), Context())
    gc.collect()
    tracemalloc.start()
    spans = [tracer.start_span("step", root) for _ in range(OPEN)]
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(spans) == OPEN
    return held / OPEN


def _million(stamp: bool) -> list[Goal]:
    """Start and end a million spans below one that stays open, each with a name of its own."""
    tracer = _tracer([HeliconeSpanProcessor(stamp=stamp, inject=False)])
    root = set_span_in_context(tracer.start_span("root"), Context())
    windows = [_window(tracer, root, start) for start in range(0, MANY, WINDOW)]
    # The bytes are taken over one more window, since to trace them slows down what is timed.
    gc.collect()
    tracemalloc.start()
    _window(tracer, root, MANY)
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    early, late = min(windows[:5]), min(windows[-5:])
    print(f"  a span early in a million: {early:.2f} µs, late: {late:.2f} µs")
    print(f"  held of {WINDOW} spans that are gone, after the million: {held} bytes")
    return [
        Goal.at_most("a span late in a million against an early one", late / early, 1.15),
        Goal.at_most("held after spans are gone, in bytes for each", held / WINDOW, 5),
    ]


def _window(tracer: Tracer, root: Context, start: int) -> float:
    started = time.perf_counter()
    for number in range(start, start + WINDOW):
        tracer.start_span(f"step {number}", root).end()
    return (time.perf_counter() - started) / WINDOW * 1e6
