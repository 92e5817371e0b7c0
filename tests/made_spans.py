"""Spans as instrumentations write them, made in short."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from otel_helicone.dialects.description import Description

__all__ = [
    "ANY_JSON",
    "CHAT",
    "OF_LANGFUSE",
    "OF_OPENINFERENCE",
    "OF_VERCEL",
    "RESOURCE",
    "SECOND",
    "TOLD",
    "WORDS",
    "span",
    "text_of",
]


# One for all: the SDK asks the machine for each one that it makes itself.
RESOURCE = Resource({})
SECOND = 1_000_000_000


def span(
    attributes: dict[str, Any],
    name: str = "span",
    *,
    scope: str = "instrumentation",
    events: tuple[Event, ...] = (),
    status: Status | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
) -> ReadableSpan:
    return ReadableSpan(
        name,
        context=SpanContext(1, 2, False, TraceFlags(1)),
        attributes=attributes,
        events=events,
        status=status or Status(StatusCode.UNSET),
        kind=kind,
        start_time=1000 * SECOND,
        end_time=1002 * SECOND,
        resource=RESOURCE,
        instrumentation_scope=InstrumentationScope(scope),
    )


def text_of(description: Description) -> list[tuple[str, str | None]]:
    """Give the messages in and out as pairs of role and text."""
    return [
        (message.role, message.parts[0].text if message.parts else None)
        for message in (*(description.input or ()), *(description.output or ()))
    ]


CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini"}
OF_OPENINFERENCE = {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o-mini"}
OF_VERCEL = {"ai.operationId": "ai.generateText.doGenerate", "ai.model.id": "gpt-4o-mini"}
OF_LANGFUSE = {"langfuse.observation.type": "generation"}
TOLD = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 500}
WORDS = st.sampled_from(
    [
        "chat",
        "embeddings",
        "execute_tool",
        "retrieval",
        "LLM",
        "generation",
        '"CHAT_MODEL"',
        "tool",
        "tools/call",
        "ai.generateText.doGenerate",
        "type",
        "role",
        "content",
        "parts",
        "messages",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "message",
        "kwargs",
        "data",
        "choices",
        "usage",
        "generations",
        "image_url",
        "tool_result",
        "args",
        "inputs",
        "metadata",
        "output",
        "raw_input",
        "raw_output",
        "tool_name",
        "query",
        "documents",
    ]
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)
