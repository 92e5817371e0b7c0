"""Spans that have lost something to the limits of the SDK: what they are, and a word about it.

The SDK keeps 128 attributes of a span, and as many events, and drops the oldest of them. Where each
message takes two attributes, a conversation of sixty messages pushes out the kind, the provider and
the model, which were there first. What is left still tells a call: nothing else has an answer.
"""

from __future__ import annotations

from typing import Final

from otel_helicone.dialects.description import Kind
from otel_helicone.dialects.reading import FinishedSpan
from otel_helicone.primitives.log_once import warn_once

__all__ = ["kind_of_rest", "tell_of_limits"]

# What only the span of a call has, apart from those of agents that sum up its usage: these tell
# their kind last, so that they keep it.
_OF_CALLS: Final = (
    *("gen_ai.completion.", "gen_ai.output.messages", "gen_ai.response.model"),
    *("llm.output_messages.", "llm.response.model", "llm.completions.", "llm.usage."),
    *("llm.token_count.completion", "gen_ai.usage.completion_tokens"),
)
_OF_EMBEDDINGS: Final = ("embedding.embeddings.", "embedding.model_name")
# A call of which not even that is left can't be logged with a right figure.
_OF_EITHER: Final = (
    "llm.input_messages.",
    "llm.request.functions.",
    "gen_ai.prompt.",
    "llm.tools.",
)


def kind_of_rest(span: FinishedSpan) -> Kind:
    """Return what a span is that has lost what tells its kind, as far as the rest tells it.

    Args:
        span: the span, of which no dialect knows the kind.
    """
    if span.span.dropped_attributes:
        if _has_any(span, _OF_EMBEDDINGS):
            return Kind.EMBEDDING
        if _has_any(span, _OF_CALLS):
            return Kind.LLM
    return Kind.OTHER


def tell_of_limits(span: FinishedSpan) -> None:
    """Log a warning, once for each instrumentation, where a span of a call has lost anything."""
    dropped = span.span.dropped_attributes
    if dropped and _has_any(span, (*_OF_CALLS, *_OF_EMBEDDINGS, *_OF_EITHER)):
        warn_once(
            f"attributes-dropped:{span.scope}",
            "A span of %s had %d attributes more than its limit, and the oldest were dropped:"
            " messages are missing in its log, maybe the model too. Set"
            " OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=4096 for long conversations and many tools.",
            span.scope or "an unnamed instrumentation",
            dropped,
        )
    if span.span.dropped_events and any(
        event.name.startswith("gen_ai.") for event in span.span.events
    ):
        warn_once(
            f"events-dropped:{span.scope}",
            "A span of %s had %d events more than its limit, and the oldest were dropped: messages"
            " are missing in its log. Set OTEL_SPAN_EVENT_COUNT_LIMIT=4096 for long conversations.",
            span.scope or "an unnamed instrumentation",
            span.span.dropped_events,
        )
    if span.has_cut_values:
        warn_once(
            f"values-cut:{span.scope}",
            "A span of %s has values that the limit on their length cut off: its log has them as"
            " far as they go. Set OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT higher, or to nothing for"
            " no limit.",
            span.scope or "an unnamed instrumentation",
        )


def _has_any(span: FinishedSpan, starts: tuple[str, ...]) -> bool:
    return any(name.startswith(starts) for name in span.attributes)
