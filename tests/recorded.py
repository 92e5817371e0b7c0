"""Recorded spans of real instrumentations, read back from OTLP, and the facts about them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

__all__ = ["CASES", "facts", "spans"]

_FOLDER = Path(__file__).parent / "data" / "spans"
_KINDS = (
    SpanKind.INTERNAL,
    SpanKind.INTERNAL,
    SpanKind.SERVER,
    SpanKind.CLIENT,
    SpanKind.PRODUCER,
    SpanKind.CONSUMER,
)

CASES = sorted(
    path.name.removesuffix(".json")
    for path in _FOLDER.glob("*.json")
    if not path.name.endswith(".expect.json")
)
"""``<instrumentation>--<case>``, each a file of OTLP/JSON."""


@cache
def facts(case: str) -> dict[str, Any]:
    """Give what is known of a case from the wire, never from the spans."""
    found: dict[str, Any] = json.loads((_FOLDER / f"{case}.expect.json").read_text("utf-8"))
    return found


@cache
def spans(case: str) -> tuple[ReadableSpan, ...]:
    """Give the spans of a case, in the order in which they ended."""
    request = json.loads((_FOLDER / f"{case}.json").read_text("utf-8"))
    return tuple(
        _span(span, scope, Resource(_attributes(resource.get("resource", {}))))
        for resource in request["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    )


def _value(value: dict[str, Any]) -> Any:
    if not value:
        return None
    ((kind, found),) = value.items()
    if kind == "arrayValue":
        return tuple(_value(item) for item in found.get("values", []))
    return int(found) if kind == "intValue" else found


def _attributes(item: dict[str, Any]) -> dict[str, Any]:
    return {pair["key"]: _value(pair.get("value", {})) for pair in item.get("attributes", [])}


def _context(trace_id: str, span_id: str, *, remote: bool = False) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), remote, TraceFlags(1))


def _span(span: dict[str, Any], scope: dict[str, Any], resource: Resource) -> ReadableSpan:
    parent, status = span.get("parentSpanId"), span.get("status", {})
    code = StatusCode(status.get("code", 0))
    named = scope.get("scope", {})
    return ReadableSpan(
        name=span["name"],
        context=_context(span["traceId"], span["spanId"]),
        parent=_context(span["traceId"], parent, remote=bool(span.get("flags", 0) & 0x200))
        if parent
        else None,
        resource=resource,
        attributes=_attributes(span),
        events=[
            Event(event.get("name", ""), _attributes(event), int(event["timeUnixNano"]))
            for event in span.get("events", [])
        ],
        links=[
            Link(_context(link["traceId"], link["spanId"]), _attributes(link))
            for link in span.get("links", [])
        ],
        kind=_KINDS[span.get("kind", 1)],
        status=Status(code, status.get("message") if code is StatusCode.ERROR else None),
        start_time=int(span["startTimeUnixNano"]),
        end_time=int(span["endTimeUnixNano"]),
        instrumentation_scope=InstrumentationScope(named.get("name", ""), named.get("version")),
    )
