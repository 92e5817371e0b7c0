"""The cost of a span: start and end, below a parent that is current."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from opentelemetry import baggage, context, trace
from opentelemetry.context import Context
from opentelemetry.processor.baggage import ALLOW_ALL_BAGGAGE_KEYS, BaggageSpanProcessor
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Sampler

from benchmarks.measuring import Goal, best_of, print_table
from otel_helicone import AlwaysRecordSampler, HeliconeSpanProcessor

SPANS = 10_000


def _spans_below(
    processors: Sequence[SpanProcessor],
    within: Context | None = None,
    depth: int = 1,
    sampler: Sampler | None = None,
) -> Callable[[], None]:
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    for processor in processors:
        provider.add_span_processor(processor)
    tracer = provider.get_tracer("bench")
    within = within or Context()
    for level in range(depth):
        within = trace.set_span_in_context(tracer.start_span(f"level {level}", within), within)

    def work() -> None:
        token = context.attach(within)
        for _ in range(SPANS):
            tracer.start_span("step").end()
        context.detach(token)

    return work


def run(rounds: int) -> list[Goal]:
    """Time spans without a processor, with this library's, and with the SDK's one for baggage."""
    three_keys: Context = Context()
    for number in range(3):
        three_keys = baggage.set_baggage(f"app.key{number}", "some value", three_keys)
    works = {
        "no processor": _spans_below([]),
        "a processor that does nothing": _spans_below([SpanProcessor()]),
        "BaggageSpanProcessor, three keys": _spans_below(
            [BaggageSpanProcessor(ALLOW_ALL_BAGGAGE_KEYS)], three_keys
        ),
        "HeliconeSpanProcessor, stamp=False": _spans_below(
            [HeliconeSpanProcessor(stamp=False, inject=False)]
        ),
        "HeliconeSpanProcessor": _spans_below([HeliconeSpanProcessor(inject=False)]),
        "HeliconeSpanProcessor, stamp=False, 100 deep": _spans_below(
            [HeliconeSpanProcessor(stamp=False, inject=False)], depth=100
        ),
        "HeliconeSpanProcessor, 100 deep": _spans_below(
            [HeliconeSpanProcessor(inject=False)], depth=100
        ),
    }
    figures = best_of(rounds, works, SPANS)
    print_table("One span, start and end", figures, "no processor")
    print()
    print_table("One span that is not sampled", _unsampled(rounds), "dropped")
    bare = figures["no processor"]
    plain = figures["HeliconeSpanProcessor, stamp=False"] - bare
    stamping = figures["HeliconeSpanProcessor"] - bare
    copying = figures["BaggageSpanProcessor, three keys"] - bare
    return [
        Goal.at_most("bookkeeping without stamps, in µs", plain, bare / 10),
        Goal.at_most("with stamps, against BaggageSpanProcessor, in µs", stamping, copying),
    ]


def _unsampled(rounds: int) -> dict[str, float]:
    """Time spans that are not sampled, dropped and recorded for the paths."""
    recording = AlwaysRecordSampler(ALWAYS_OFF)
    works = {
        "dropped": _spans_below([HeliconeSpanProcessor(inject=False)], sampler=ALWAYS_OFF),
        "recorded, no processor": _spans_below([], sampler=recording),
        "recorded, stamp=False": _spans_below(
            [HeliconeSpanProcessor(stamp=False, inject=False)], sampler=recording
        ),
        "recorded": _spans_below([HeliconeSpanProcessor(inject=False)], sampler=recording),
    }
    return best_of(rounds, works, SPANS)
