"""Spans of OTLP: what of them is stored, and the finished spans of the SDK that they become."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OTLPSpan
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from otel_helicone.bridge.keys import DEFAULT_KEY_NAME
from otel_helicone.bridge.weight import TooMuch
from otel_helicone.dialects.describe import speaks_any
from otel_helicone.primitives.attribute_names import (
    ASGI_EVENT_TYPE,
    HELICONE_API_KEY_NAME,
    HELICONE_REQUEST_ID,
    HELICONE_SESSION_ID,
    HELICONE_SESSION_NAME,
    HELICONE_SESSION_PARENT,
    HELICONE_SESSION_PATH,
)

__all__ = ["Arrival", "Origin", "Traits", "arrivals_of", "origin_of", "readable", "skeleton"]

_CLIENT: Final = OTLPSpan.SPAN_KIND_CLIENT
_ENTRIES: Final = (OTLPSpan.SPAN_KIND_SERVER, OTLPSpan.SPAN_KIND_CONSUMER)
# SpanFlags of the OTLP specification: whether it is known if the parent is remote, and if it is.
_REMOTE_IS_KNOWN: Final = 0x100
_IS_REMOTE: Final = 0x200
# What the rules for paths, gateways and statuses look at on spans that are not logged themselves.
_STRUCTURAL: Final = frozenset(
    {
        ASGI_EVENT_TYPE,
        HELICONE_REQUEST_ID,
        HELICONE_SESSION_ID,
        HELICONE_SESSION_NAME,
        HELICONE_SESSION_PARENT,
        HELICONE_SESSION_PATH,
        "http.response.status_code",
        "http.status_code",
    }
)
# Of a span that was logged, what tells which call it was; what takes more bytes is its content.
_MAX_KEPT_BYTES: Final = 256
_MAX_KEPT: Final = 64
_MAX_NAME: Final = 1024
_MAX_KEY_NAME: Final = 256
# Each scope is stored with its resource. What a request has of them is some kB as a rule.
_MAX_ORIGIN_BYTES: Final = 64 * 1024 * 1024


class Traits(IntFlag):
    """What can be told of a span without reading it again."""

    ROOT = 1
    """It has no parent."""
    REMOTE = 2
    """Its parent is in another process."""
    STAMPED = 4
    """The span processor has written its session and its path on it."""
    WANTED = 8
    """It may be logged."""
    CLIENT = 16
    """It is a request to somebody else."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A span that came in, as it is stored.

    Attributes:
        trace_id: the trace's id, 16 bytes.
        span_id: the span's, 8 bytes.
        parent_id: its parent's, None at a root.
        traits: what can be told of it.
        origin: its resource and scope, as a ``ResourceSpans`` without spans.
        content: the ``Span`` itself; for one that is not wanted, its skeleton.
    """

    trace_id: bytes
    span_id: bytes
    parent_id: bytes | None
    traits: int
    origin: bytes = field(repr=False)
    content: bytes = field(repr=False)


def arrivals_of(request: ExportTraceServiceRequest, *, want_all: bool) -> Iterator[Arrival | None]:
    """Yield the spans of a request, and None for each that has no valid ids.

    Args:
        request: the request.
        want_all: whether spans that no dialect of GenAI has a word for may be logged too.

    Raises:
        TooMuch: where a large resource would be stored with very many scopes.
    """
    size = 0
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            if not scope_spans.spans:
                continue
            size += resource_spans.resource.ByteSize() + scope_spans.scope.ByteSize()
            if size > _MAX_ORIGIN_BYTES:
                raise TooMuch("the resource and the scopes of a request are too large together")
            origin = ResourceSpans(
                resource=resource_spans.resource, schema_url=resource_spans.schema_url
            )
            origin.scope_spans.add(scope=scope_spans.scope, schema_url=scope_spans.schema_url)
            written = origin.SerializeToString()
            scope = scope_spans.scope.name
            for span in scope_spans.spans:
                yield _arrival(span, scope, written, want_all)


def _arrival(span: OTLPSpan, scope: str, origin: bytes, want_all: bool) -> Arrival | None:
    trace_id, span_id = span.trace_id, span.span_id
    parent_id: bytes | None = span.parent_span_id
    if len(trace_id) != 16 or len(span_id) != 8 or not any(trace_id) or not any(span_id):
        return None
    names = [attribute.key for attribute in span.attributes]
    traits = 0
    if parent_id is None or len(parent_id) != 8 or not any(parent_id):
        parent_id = None
        traits |= Traits.ROOT
    elif span.flags & _IS_REMOTE if span.flags & _REMOTE_IS_KNOWN else span.kind in _ENTRIES:
        traits |= Traits.REMOTE
    if HELICONE_SESSION_ID in names and HELICONE_SESSION_PATH in names:
        traits |= Traits.STAMPED
    if span.kind == _CLIENT:
        traits |= Traits.CLIENT
    if want_all or speaks_any(names) or _says_more(span, scope):
        return Arrival(
            trace_id, span_id, parent_id, traits | Traits.WANTED, origin, span.SerializeToString()
        )
    return Arrival(trace_id, span_id, parent_id, traits, origin, skeleton(span, structural=True))


def _says_more(span: OTLPSpan, scope: str) -> bool:
    # litellm writes spans with nothing but a name.
    return scope == "litellm" or speaks_any(event.name for event in span.events)


def skeleton(span: OTLPSpan, *, structural: bool) -> bytes:
    """Write what of a span has to be remembered once it needs no log any more.

    Args:
        span: the span.
        structural: whether it never needed one, so that its place in the tree is all of it.
    """
    kept = OTLPSpan(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        flags=span.flags,
        name=span.name[:_MAX_NAME],
        kind=span.kind,
    )
    if structural:
        kept.attributes.extend(
            attribute for attribute in span.attributes if attribute.key in _STRUCTURAL
        )
    else:
        kept.start_time_unix_nano = span.start_time_unix_nano
        kept.end_time_unix_nano = span.end_time_unix_nano
        kept.status.code = span.status.code
        short = [item for item in span.attributes if item.ByteSize() <= _MAX_KEPT_BYTES]
        kept.attributes.extend(short[:_MAX_KEPT])
    return kept.SerializeToString()


@dataclass(frozen=True, slots=True)
class Origin:
    """What a span came from.

    Attributes:
        resource: the service.
        scope: the instrumentation.
        key_name: the name of the Helicone key that its logs are sent with; empty for the one
            without a name.
    """

    resource: Resource
    scope: InstrumentationScope
    key_name: str


def origin_of(written: bytes) -> Origin:
    """Read what :attr:`Arrival.origin` holds."""
    read = ResourceSpans.FromString(written)
    scope = read.scope_spans[0].scope if read.scope_spans else None
    attributes = _attributes(read.resource.attributes)
    name = str(attributes.get(HELICONE_API_KEY_NAME, ""))[:_MAX_KEY_NAME]
    return Origin(
        Resource(attributes),
        InstrumentationScope(scope.name if scope else "", scope.version if scope else None),
        "" if name == DEFAULT_KEY_NAME else name,
    )


_KINDS: Final = {
    OTLPSpan.SPAN_KIND_SERVER: SpanKind.SERVER,
    OTLPSpan.SPAN_KIND_CLIENT: SpanKind.CLIENT,
    OTLPSpan.SPAN_KIND_PRODUCER: SpanKind.PRODUCER,
    OTLPSpan.SPAN_KIND_CONSUMER: SpanKind.CONSUMER,
}
_STATUSES: Final = {1: StatusCode.OK, 2: StatusCode.ERROR}
_UNSET: Final = Status()


def readable(span: OTLPSpan, traits: int, origin: Origin) -> ReadableSpan:
    """Make a finished span of the SDK of a stored one.

    Args:
        span: what :attr:`Arrival.content` holds.
        traits: what :attr:`Arrival.traits` holds.
        origin: what it came from.
    """
    trace_id = int.from_bytes(span.trace_id, "big")
    flags = TraceFlags(span.flags & 0xFF)
    parent = None
    if not traits & Traits.ROOT:
        parent = SpanContext(
            trace_id,
            int.from_bytes(span.parent_span_id, "big"),
            bool(traits & Traits.REMOTE),
            flags,
        )
    status = _UNSET
    if (code := _STATUSES.get(span.status.code)) is not None:
        # The SDK warns of a description beside any other status than an error.
        described = code is StatusCode.ERROR and span.status.message
        status = Status(code, span.status.message if described else None)
    return _ReceivedSpan(
        span.dropped_attributes_count,
        span.dropped_events_count,
        name=span.name,
        context=SpanContext(trace_id, int.from_bytes(span.span_id, "big"), False, flags),
        parent=parent,
        resource=origin.resource,
        attributes=_attributes(span.attributes),
        events=[
            Event(event.name, _attributes(event.attributes), event.time_unix_nano)
            for event in span.events
        ],
        kind=_KINDS.get(span.kind, SpanKind.INTERNAL),
        instrumentation_scope=origin.scope,
        status=status,
        start_time=span.start_time_unix_nano,
        end_time=span.end_time_unix_nano,
    )


class _ReceivedSpan(ReadableSpan):
    """A span as it was received, which tells what the SDK that made it has dropped."""

    def __init__(self, dropped_attributes: int, dropped_events: int, **told: Any) -> None:
        super().__init__(**told)
        self._dropped_attributes = dropped_attributes
        self._dropped_events = dropped_events

    @property
    def dropped_attributes(self) -> int:
        return self._dropped_attributes

    @property
    def dropped_events(self) -> int:
        return self._dropped_events


def _attributes(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {attribute.key: _value(attribute.value) for attribute in attributes}


def _value(value: AnyValue) -> Any:
    """Return a value as the SDK has it: maps, which it has no place for, as JSON."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    read = _READERS.get(kind)
    if read is not None:
        return read(value)
    if kind == "array_value":
        items = [_plain(item) for item in value.array_value.values]
        if all(isinstance(item, (str, bool, int, float)) for item in items):
            return tuple(items)
        return json.dumps(items, ensure_ascii=False)
    return json.dumps(_plain(value), ensure_ascii=False)


_READERS: Final[dict[str, Callable[[AnyValue], Any]]] = {
    "string_value": lambda value: value.string_value,
    "bool_value": lambda value: value.bool_value,
    "int_value": lambda value: value.int_value,
    "double_value": lambda value: value.double_value,
    "bytes_value": lambda value: base64.b64encode(value.bytes_value).decode("ascii"),
}


def _plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {item.key: _plain(item.value) for item in value.kvlist_value.values}
    return None if kind is None else _READERS[kind](value) if kind in _READERS else None
