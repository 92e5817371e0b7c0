"""Finished spans of chat calls, as an instrumentation of the openai client writes them."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

__all__ = ["ANSWER", "ATTRIBUTES", "QUESTION", "chat_spans"]

QUESTION: Final = "What is the weather in Paris, and what should I take along? " * 4
ANSWER: Final = "It is 18 degrees and cloudy; take a light coat and an umbrella along. " * 6
ATTRIBUTES: Final[dict[str, Any]] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.request.temperature": 0.2,
    "server.address": "api.openai.com",
    "gen_ai.response.finish_reasons": ("stop",),
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.usage.input_tokens": 71,
    "gen_ai.usage.output_tokens": 120,
    "gen_ai.input.messages": json.dumps(
        [
            {"role": "system", "parts": [{"type": "text", "content": "You are a guide."}]},
            {"role": "user", "parts": [{"type": "text", "content": QUESTION}]},
        ]
    ),
    "gen_ai.output.messages": json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": ANSWER}]}]
    ),
    "helicone.session.id": "0af7651916cd43dd8448eb211c80319c",
    "helicone.session.path": "/trip/weather",
    "helicone.session.name": "trip",
}


def chat_spans(count: int) -> list[ReadableSpan]:
    """Make finished spans, each of a call of its own."""
    now = time.time_ns()
    resource, scope = Resource({}), InstrumentationScope("bench")
    spans = []
    for index in range(count):
        trace_id = secrets.randbits(128) | 1
        parent = SpanContext(trace_id, secrets.randbits(64) | 1, False, TraceFlags(1))
        spans.append(
            ReadableSpan(
                "chat gpt-4o-mini",
                context=SpanContext(trace_id, secrets.randbits(64) | 1, False, TraceFlags(1)),
                parent=parent,
                resource=resource,
                attributes={**ATTRIBUTES, "gen_ai.response.id": f"chatcmpl-{index}"},
                kind=SpanKind.CLIENT,
                start_time=now + index * 1000,
                end_time=now + index * 1000 + 700_000_000,
                instrumentation_scope=scope,
            )
        )
    return spans
