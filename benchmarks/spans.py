"""The cost of a span: start and end, in traces of five shapes, beside other span processors.

The processors run in one process and take turns, round after round, in an environment that has the
others too. What is timed is the CPU of the thread, and the best round counts.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from opentelemetry import baggage, context
from opentelemetry.context import Context
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Tracer

from benchmarks.measuring import Goal
from benchmarks.shapes import SHAPES, Shape

SPANS_A_ROUND: Final = 400
BAGGAGE: Final = "BaggageSpanProcessor, three keys"
OURS: Final = "HeliconeSpanProcessor"
PLAIN: Final = "HeliconeSpanProcessor, stamp=False"
BARE: Final = "no processor"
PEERS: Final = ("traceloop", "Braintrust", "Langfuse")

Made = tuple[Tracer, Context]


class _Nowhere(SpanExporter):
    def export(self, spans: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def _tracer(*processors: SpanProcessor) -> Tracer:
    provider = TracerProvider(shutdown_on_exit=False)
    for processor in processors:
        provider.add_span_processor(processor)
    return provider.get_tracer("bench")


def _bare() -> Made:
    return _tracer(), Context()


def _baggage() -> Made:
    from opentelemetry.processor.baggage import ALLOW_ALL_BAGGAGE_KEYS, BaggageSpanProcessor

    three = Context()
    for number in range(3):
        three = baggage.set_baggage(f"app.key{number}", "some value", three)
    return _tracer(BaggageSpanProcessor(ALLOW_ALL_BAGGAGE_KEYS)), three


def _ours() -> Made:
    from otel_helicone import HeliconeSpanProcessor

    return _tracer(HeliconeSpanProcessor(inject=False)), Context()


def _plain() -> Made:
    from otel_helicone import HeliconeSpanProcessor

    return _tracer(HeliconeSpanProcessor(inject=False, stamp=False)), Context()


def _traceloop() -> Made:
    from opentelemetry.context import set_value
    from traceloop.sdk.tracing.tracing import (  # type: ignore[import-not-found]
        get_default_span_processor,
    )

    processor = get_default_span_processor(
        exporter=_Nowhere(), api_endpoint="http://127.0.0.1:9", headers={"a": "b"}
    )
    within = Context()
    for key, value in (
        ("workflow_name", "w"),
        ("entity_path", "a.b"),
        ("association_properties", {"session_id": "s-1"}),
    ):
        within = set_value(key, value, within)
    return _tracer(processor), within


def _braintrust() -> Made:
    from braintrust.otel import BraintrustSpanProcessor  # type: ignore[import-not-found]
    from opentelemetry.context import set_value

    class Nothing(SpanProcessor):
        def __init__(self, exporter: object) -> None: ...

    processor = BraintrustSpanProcessor(
        api_key="k",
        parent="project_name:x",
        api_url="http://127.0.0.1:9",
        SpanProcessor=Nothing,
    )
    return _tracer(processor), set_value("braintrust.parent", "project_name:x", Context())


def _langfuse() -> Made:
    from langfuse import propagate_attributes  # type: ignore[import-not-found]
    from langfuse._client.span_processor import (  # type: ignore[import-not-found]
        LangfuseSpanProcessor,
    )

    processor = LangfuseSpanProcessor(
        public_key="pk",
        secret_key="sk",
        base_url="http://127.0.0.1:9",
        span_exporter=_Nowhere(),
        should_export_span=lambda _span: True,
        flush_at=500,
        flush_interval=600,
    )
    token = context.attach(Context())
    try:
        with propagate_attributes(session_id="s-1", user_id="u-1", trace_name="n"):
            within = context.get_current()
    finally:
        context.detach(token)
    return _tracer(processor), within


MAKERS: Final[dict[str, Callable[[], Made]]] = {
    BARE: _bare,
    "a processor that does nothing": lambda: (_tracer(SpanProcessor()), Context()),
    BAGGAGE: _baggage,
    PLAIN: _plain,
    OURS: _ours,
    "traceloop": _traceloop,
    "Braintrust": _braintrust,
    "Langfuse": _langfuse,
}


def _timed(shape: Shape, tracer: Tracer, within: Context) -> float:
    """Return the microseconds of CPU that a span takes."""
    token = context.attach(within)
    try:
        count = shape(tracer)
        times = max(1, SPANS_A_ROUND // count)
        gc.collect(0)
        started = time.thread_time_ns()
        for _ in range(times):
            shape(tracer)
        return (time.thread_time_ns() - started) / times / count / 1000
    finally:
        context.detach(token)


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Return the best round of each processor in each shape."""
    made = {name: make() for name, make in MAKERS.items()}
    figures: dict[str, dict[str, float]] = {}
    for shape_name, shape in SHAPES.items():
        best = figures[shape_name] = dict.fromkeys(made, float("inf"))
        for _ in range(rounds):
            for name, (tracer, within) in made.items():
                best[name] = min(best[name], _timed(shape, tracer, within))
    return figures


def run(rounds: int) -> list[Goal]:
    """Time spans without a processor, with this library's, and with others."""
    done = subprocess.run(
        [os.environ["BENCH_PROCESSORS_PYTHON"], "-m", "benchmarks.spans", str(rounds * 6)],
        capture_output=True,
        text=True,
        check=True,
    )
    figures: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    added = {
        shape: {name: figure - best[BARE] for name, figure in best.items()}
        for shape, best in figures.items()
    }
    print("A span, start and end, in µs of CPU; what each processor adds to it")
    width = max(len(name) for name in MAKERS)
    print(f"  {'':{width}}  " + "  ".join(f"{shape:>21}" for shape in figures))
    for name in MAKERS:
        row = (figures[shape][name] if name == BARE else added[shape][name] for shape in figures)
        sign = "" if name == BARE else "+"
        print(f"  {name:{width}}  " + "  ".join(f"{figure:{sign}21.2f}" for figure in row))
    goals = []
    for shape, of_shape in added.items():
        tenth = figures[shape][BARE] / 10
        goals.append(Goal.at_most(f"{shape}: without stamps, in µs", of_shape[PLAIN], tenth))
        goals.append(
            Goal.at_most(f"{shape}: with stamps, in µs", of_shape[OURS], of_shape[BAGGAGE])
        )
        cheapest = min(of_shape[peer] for peer in PEERS)
        goals.append(Goal.at_most(f"{shape}: against the cheapest peer", of_shape[OURS], cheapest))
    return goals


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
