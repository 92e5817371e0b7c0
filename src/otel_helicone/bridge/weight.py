"""What a request would become in memory, found before it is built.

A message of protobuf takes two bytes on the wire and some seventy in memory, and packed a few
thousand of them take one. So the fields of a request are counted first, by walking over its bytes.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_helicone.bridge.otlp import JSON

__all__ = ["TooMuch", "check_spans", "check_weight", "is_heavy"]

# A batch of 8192 spans, the Collector's default, may have 60 attributes on each.
_MAX_FIELDS: Final = 2_000_000
# The SDKs allow 128 by default.
_MAX_ATTRIBUTES: Final = 20_000
# What is no longer can't become much, whatever it is: some 40 MB for protobuf.
_MAX_UNWEIGHED: Final = 1024 * 1024
# What is longer may take seconds to read, and must not keep others waiting. JSON takes longer.
_MAX_LIGHT: Final = _MAX_UNWEIGHED
_MAX_LIGHT_JSON: Final = 128 * 1024
# Each takes some microseconds, however little is in it. With 300 bytes for a span, what a request
# may have by default holds as many.
_MAX_SPANS: Final = 100_000


class TooMuch(ValueError):
    """The request has too much in it; the message says of what."""


def is_heavy(body: bytes, content_type: str) -> bool:
    """Return whether a request may take seconds to read.

    Args:
        body: the body, decompressed.
        content_type: its content type.
    """
    return len(body) > (_MAX_LIGHT_JSON if content_type == JSON else _MAX_LIGHT)


def check_weight(body: bytes, content_type: str) -> None:
    """Check what a request would become, before it is built.

    Args:
        body: the body, decompressed.
        content_type: its content type.

    Raises:
        TooMuch: where it would take too much memory.
    """
    if len(body) <= _MAX_UNWEIGHED:
        return
    count = _fields_of_json if content_type == JSON else _fields_of_protobuf
    if count(body) > _MAX_FIELDS:
        raise TooMuch(f"a request may have {_MAX_FIELDS} fields: send smaller batches")


def check_spans(request: ExportTraceServiceRequest) -> None:
    """Check the spans of a request, before anything is made of them.

    Raises:
        TooMuch: where there are too many, or one has too many attributes.
    """
    groups = len(request.resource_spans)
    spans = 0
    _check_count(groups, "resources and scopes")
    for resource_spans in request.resource_spans:
        groups += len(resource_spans.scope_spans)
        _check_count(groups, "resources and scopes")
        for scope_spans in resource_spans.scope_spans:
            spans += len(scope_spans.spans)
            _check_count(spans, "spans")
            for span in scope_spans.spans:
                count = len(span.attributes) + len(span.links)
                for event in span.events:
                    count += 1 + len(event.attributes)
                if count > _MAX_ATTRIBUTES:
                    raise TooMuch(
                        f"a span may have {_MAX_ATTRIBUTES} attributes, events and links together"
                    )


def _check_count(count: int, what: str) -> None:
    if count > _MAX_SPANS:
        raise TooMuch(f"a request may have {_MAX_SPANS} {what}: send smaller batches")


_PIECE: Final = 1024 * 1024


def _marks_in(text: bytes) -> int:
    return text.count(b",") + text.count(b"{") + text.count(b"[")


def _fields_of_json(body: bytes) -> int:
    """Return how many values a JSON document has, or some more."""
    marks = _marks_in(body)
    if marks <= _MAX_FIELDS:
        return marks
    # What users say to a model is full of these; so texts are left out, piece by piece, because
    # nothing else runs while bytes are split.
    body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = is_text = 0
    for start in range(0, len(body), _PIECE):
        parts = body[start : start + _PIECE].split(b'"')
        marks += _marks_in(b"".join(parts[is_text::2]))
        is_text ^= (len(parts) - 1) & 1
    return marks


# The messages inside of each message, by the tag that they have there: field number and wire type.
_Message: TypeAlias = "dict[int, _Message]"
_VALUE: Final[_Message] = {}
_KEY_VALUE: Final[_Message] = {2 << 3 | 2: _VALUE}
_VALUE[5 << 3 | 2] = {1 << 3 | 2: _VALUE}
_VALUE[6 << 3 | 2] = {1 << 3 | 2: _KEY_VALUE}
_EVENT: Final[_Message] = {3 << 3 | 2: _KEY_VALUE}
_LINK: Final[_Message] = {4 << 3 | 2: _KEY_VALUE}
_SPAN: Final[_Message] = {9 << 3 | 2: _KEY_VALUE, 11 << 3 | 2: _EVENT, 13 << 3 | 2: _LINK}
_SCOPE: Final[_Message] = {3 << 3 | 2: _KEY_VALUE}
_SCOPE_SPANS: Final[_Message] = {1 << 3 | 2: _SCOPE, 2 << 3 | 2: _SPAN}
# Its entities, too, are messages of strings.
_RESOURCE: Final[_Message] = {1 << 3 | 2: _KEY_VALUE, 3 << 3 | 2: {}}
_RESOURCE_SPANS: Final[_Message] = {1 << 3 | 2: _RESOURCE, 2 << 3 | 2: _SCOPE_SPANS}
_REQUEST: Final[_Message] = {1 << 3 | 2: _RESOURCE_SPANS}


def _fields_of_protobuf(body: bytes) -> int:
    """Return how many fields a request has, in all its messages; no more than one past the limit.

    What is no such request is left to the parser to refuse.
    """
    fields = at = 0
    end = len(body)
    known = _REQUEST
    outer: list[tuple[int, _Message]] = []
    try:
        while True:
            while at >= end:
                if not outer:
                    return fields
                # Past the end is only what is no message, such as bytes in an unknown group.
                at = end
                end, known = outer.pop()
            fields += 1
            if fields > _MAX_FIELDS:
                return fields
            tag = body[at]
            at += 1
            if tag > 127:
                tag, at = _varint(body, at - 1)
            wire = tag & 7
            if wire == 2:
                length = body[at]
                at += 1
                if length > 127:
                    length, at = _varint(body, at - 1)
                inner = known.get(tag)
                if inner is None:
                    at += length
                else:
                    outer.append((end, known))
                    end, known = at + length, inner
            elif wire == 0:
                while body[at] > 127:
                    at += 1
                at += 1
            elif wire == 1:
                at += 8
            elif wire == 5:
                at += 4
    except IndexError:
        return fields


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """Return the number at a place, and where it ends."""
    number = shift = 0
    while body[at] > 127:
        number |= (body[at] & 127) << shift
        shift = min(shift + 7, 70)  # ten bytes at most; what is longer is not valid
        at += 1
    return number | body[at] << shift, at + 1
