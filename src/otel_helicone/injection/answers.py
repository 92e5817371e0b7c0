"""What Helicone answered, noted on the span that made the call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.trace import Span, SpanKind

from otel_helicone.injection import gateway_calls
from otel_helicone.injection.raw_headers import raw_headers
from otel_helicone.primitives.attribute_names import HELICONE_CACHE, HELICONE_REQUEST_ID
from otel_helicone.primitives.known_spans import Part, part_of
from otel_helicone.primitives.log_once import log_failure_once
from otel_helicone.primitives.segments import TELLING_ATTRIBUTES
from otel_helicone.primitives.span_attributes import attributes_of, set_absent_attribute
from otel_helicone.session_context.linking import deepest
from otel_helicone.session_context.local_trace import SpanNode

if TYPE_CHECKING:
    from otel_helicone.injection.http_types import Response

__all__ = ["note_answer", "note_answer_headers"]

_MAX_ID_LENGTH: Final = 128
_ID: Final = b"helicone-id"
_CACHE: Final = b"helicone-cache"
# What instrumentations of HTTP clients set when they start a span, by the names of today and those
# of before. (GenAI instrumentations set other attributes, and their spans are the call itself.)
_HTTP_METHODS: Final = frozenset({"http.request.method", "http.method"})


def note_answer(response: Response, span: Span) -> None:
    """Set ``helicone.request.id``, and ``helicone.cache`` on a cache hit, on a span.

    The last call of a span wins, so that after a retry the id is that of the answer that was used.
    What the application set itself stays. A span of an HTTP instrumentation, which is current where
    such a one is around the place that sees the answer, passes it on to the span that it is in.

    Args:
        response: Helicone's response, of ``httpx2`` or ``httpx``.
        span: the span that was current when the request was sent.
    """
    try:
        request_id, is_hit = None, False
        for _, lower, value in raw_headers(response.headers):
            if lower == _ID:
                request_id = value.decode("ascii", "replace")
            elif lower == _CACHE:
                is_hit = value.upper() == b"HIT"
        _note(span, request_id, is_hit=is_hit)
    except Exception:
        log_failure_once("noting Helicone's answer on a span")


def note_answer_headers(answer: Any, span: Span) -> None:
    """Do what :func:`note_answer` does, for the response of another HTTP stack.

    Args:
        answer: what has the response's ``headers``: a mapping, pairs, or None.
        span: the span that was current when the request was sent.
    """
    try:
        headers = getattr(answer, "headers", None)
        if not headers:
            return
        request_id, is_hit = None, False
        for name, value in headers.items() if hasattr(headers, "items") else headers:
            lower = name.lower().encode("latin-1", "replace")
            if lower == _ID:
                request_id = value
            elif lower == _CACHE:
                is_hit = value.upper() == "HIT"
        _note(span, request_id, is_hit=is_hit)
    except Exception:
        log_failure_once("noting Helicone's answer on a span")


def _note(span: Span, request_id: str | None, *, is_hit: bool) -> None:
    if request_id is None and not is_hit:
        return
    request_id = None if request_id is None else request_id[:_MAX_ID_LENGTH]
    node, place = deepest(span)
    if node is not None and node.context[1] == place.span_id:
        _note_on_node(_caller_of(node), request_id, is_hit=is_hit)
        return
    if request_id is not None and not place.is_valid:
        gateway_calls.note(gateway_calls.NO_TRACE, request_id)
    if span.is_recording():
        if request_id is not None:
            _set_absent(span, HELICONE_REQUEST_ID, request_id)
        if is_hit:
            _set_absent(span, HELICONE_CACHE, "HIT")


def _note_on_node(node: SpanNode, request_id: str | None, *, is_hit: bool) -> None:
    span = node()
    if is_hit and span is not None:
        set_absent_attribute(span, HELICONE_CACHE, "HIT")
    before: str | None = getattr(node, "request_id", None)
    if request_id is None or before == request_id:
        return  # one HTTP stack may be the transport of another
    # A segment is worked out by then, if it is in the path.
    if getattr(node, "segment", None) is not None or (span is not None and _is_wrapper(span)):
        # A step of the application: the span of the call, if there is one, is another.
        gateway_calls.note(node.context[0], request_id)
    if span is not None and set_absent_attribute(span, HELICONE_REQUEST_ID, request_id, before):
        node.request_id = request_id


def _caller_of(node: SpanNode) -> SpanNode:
    """Return the node of a span, or of the span around it if it only stands for the request."""
    while node.parent is not None and node.parent() is not None and _is_http(node()):
        node = node.parent
    return node


def _is_http(span: ReadableSpan | None) -> bool:
    if span is None or span.kind is not SpanKind.CLIENT:
        return False
    attributes = attributes_of(span)
    return not _HTTP_METHODS.isdisjoint(attributes) and TELLING_ATTRIBUTES.isdisjoint(attributes)


def _is_wrapper(span: SdkSpan) -> bool:
    scope = span.instrumentation_scope
    return scope is not None and part_of(scope.name, span.name) is Part.WRAPPER


def _set_absent(span: Span, name: str, text: str) -> None:
    if isinstance(span, SdkSpan):
        set_absent_attribute(span, name, text)
        return
    attributes = getattr(span, "attributes", None)
    if not attributes or attributes.get(name) is None:
        span.set_attribute(name, text)
