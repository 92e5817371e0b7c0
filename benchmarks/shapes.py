"""Traces of the shapes that applications have, replayed through a tracer.

None of them is childless spans below one parent: spans are nested, have attributes at their start
and get more before their end, and a server span is renamed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

from opentelemetry import context
from opentelemetry.trace import SpanKind, Tracer, set_span_in_context

__all__ = ["SHAPES", "Shape"]

Shape: TypeAlias = Callable[[Tracer], int]
"""Makes a trace, and returns how many spans it has."""

_RECORDED: Final = Path(__file__).parents[1] / "tests" / "data" / "spans"
_KINDS: Final = (
    SpanKind.INTERNAL,
    SpanKind.INTERNAL,
    SpanKind.SERVER,
    SpanKind.CLIENT,
    SpanKind.PRODUCER,
    SpanKind.CONSUMER,
)


def nested(tracer: Tracer) -> int:
    """Four steps, one inside the other."""
    with tracer.start_as_current_span("handle"):
        with tracer.start_as_current_span("plan a trip"):
            with tracer.start_as_current_span("find hotels"):
                with tracer.start_as_current_span("ask"):
                    pass
    return 4


def course(tracer: Tracer) -> int:
    """The course of the demo: an abstract, an outline, six chapters of five sections each."""
    with tracer.start_as_current_span("Space Course"):
        with tracer.start_as_current_span("abstract"):
            pass
        with tracer.start_as_current_span("outline"):
            for chapter in range(6):
                with tracer.start_as_current_span(f"Chapter {chapter}"):
                    for section in range(5):
                        with tracer.start_as_current_span(f"Section {section}"):
                            pass
    return 39


class Recorded:
    """A recorded run of a framework, with the attributes that were there at each span's start."""

    def __init__(self, name: str) -> None:
        data = json.loads((_RECORDED / f"{name}.json").read_text("utf-8"))
        expected = json.loads((_RECORDED / f"{name}.expect.json").read_text("utf-8"))
        at_start = {span["span_id"]: span.get("at_start") or [] for span in expected["spans"]}
        spans = [
            span
            for resource in data["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]
        ids = {span["spanId"] for span in spans}
        events: list[tuple[int, int, int, Any]] = []
        for index, span in enumerate(spans):
            attributes = {
                one["key"]: _value(one["value"])
                for one in span.get("attributes", [])
                if one.get("value")
            }
            first = at_start[span["spanId"]]
            early = {key: value for key, value in attributes.items() if key in first}
            late = [(key, value) for key, value in attributes.items() if key not in first]
            parent = span.get("parentSpanId")
            start = (
                span["spanId"],
                parent if parent in ids else None,
                span["name"],
                _KINDS[span.get("kind", 1)],
                early or None,
            )
            events.append((int(span["startTimeUnixNano"]), 0, index, start))
            events.append((int(span["endTimeUnixNano"]), 1, -index, (span["spanId"], late)))
        self._events = [(event[1], event[3]) for event in sorted(events, key=lambda one: one[:3])]
        self._count = len(spans)

    def __call__(self, tracer: Tracer) -> int:
        base = context.get_current()
        spans: dict[str, Any] = {}
        for is_end, event in self._events:
            if is_end:
                span = spans.pop(event[0])[0] if event[0] in spans else None
                assert span is not None
                for key, value in event[1]:
                    span.set_attribute(key, value)
                span.end()
            else:
                span_id, parent, name, kind, attributes = event
                within = spans[parent][1] if parent in spans else base
                span = tracer.start_span(name, within, kind=kind, attributes=attributes)
                spans[span_id] = (span, set_span_in_context(span, within))
        return self._count


def _value(value: dict[str, Any]) -> Any:
    kind, found = next(iter(value.items()))
    if kind == "intValue":
        return int(found)
    if kind == "arrayValue":
        return tuple(_value(one) for one in found.get("values", []))
    return found


_HTTP: Final[dict[str, Any]] = {
    "http.request.method": "GET",
    "url.scheme": "http",
    "network.protocol.version": "1.1",
    "url.path": "/chat/17",
    "server.address": "127.0.0.1",
    "server.port": 8000,
    "client.address": "127.0.0.1",
    "client.port": 5000,
    "user_agent.original": "curl/8",
}
_DATABASE: Final[dict[str, Any]] = {
    "db.system.name": "postgresql",
    "db.namespace": "app",
    "db.query.text": "SELECT * FROM messages WHERE chat_id = $1",
    "server.address": "db",
    "server.port": 5432,
}
_CALL: Final[dict[str, Any]] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "server.address": "api.openai.com",
    "server.port": 443,
}
_ANSWER: Final[dict[str, Any]] = {
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.usage.input_tokens": 71,
    "gen_ai.usage.output_tokens": 120,
    "gen_ai.response.finish_reasons": ("stop",),
}


def fastapi_request(tracer: Tracer) -> int:
    """A request of FastAPI: renamed once its route is known, with a database and two calls."""
    span = tracer.start_as_current_span
    with span("GET", kind=SpanKind.SERVER, attributes=_HTTP) as server:
        with span("GET http receive", attributes={"asgi.event.type": "http.request"}):
            pass
        server.update_name("GET /chat/{chat_id}")
        server.set_attribute("http.route", "/chat/{chat_id}")
        for _ in range(5):
            with span("SELECT app", kind=SpanKind.CLIENT, attributes=_DATABASE):
                pass
        with span("answer"):
            for _ in range(2):
                with span("chat gpt-4o-mini", kind=SpanKind.CLIENT, attributes=_CALL) as call:
                    for key, value in _ANSWER.items():
                        call.set_attribute(key, value)
        for _ in range(5):
            with span("INSERT app", kind=SpanKind.CLIENT, attributes=_DATABASE):
                pass
        for _ in range(2):
            with span("GET http send", attributes={"asgi.event.type": "http.response.start"}):
                pass
        server.set_attribute("http.response.status_code", 200)
    return 17


SHAPES: Final[dict[str, Shape]] = {
    "four nested": nested,
    "the course, 39": course,
    "a LangChain run, 10": Recorded("langchain-openinference--agent-with-tools"),
    "an agents run, 5": Recorded("openai-agents-genai--agent-with-tools"),
    "a FastAPI request, 17": fastapi_request,
}
