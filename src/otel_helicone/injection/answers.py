"""What Helicone answered, noted on the span that made the call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.trace import Span

from otel_helicone.injection import gateway_calls
from otel_helicone.injection.raw_headers import raw_headers
from otel_helicone.primitives.attribute_names import HELICONE_CACHE, HELICONE_REQUEST_ID
from otel_helicone.primitives.known_spans import Part, part_of
from otel_helicone.primitives.log_once import log_failure_once
from otel_helicone.primitives.span_attributes import set_absent_attribute
from otel_helicone.session_context.linking import deepest
from otel_helicone.session_context.local_trace import SpanNode

if TYPE_CHECKING:
    from otel_helicone.injection.http_types import Response

__all__ = ["note_answer"]

_MAX_ID_LENGTH: Final = 128


def note_answer(response: Response, span: Span) -> None:
    """Set ``helicone.request.id``, and ``helicone.cache`` on a cache hit, on a span.

    The last call of a span wins, so that after a retry the id is that of the answer that was used.
    What the application set itself stays.

    Args:
        response: Helicone's response.
        span: the span that was current when the request was sent.
    """
    try:
        request_id, is_hit = None, False
        for _, lower, value in raw_headers(response.headers):
            if lower == b"helicone-id":
                request_id = value.decode("ascii", "replace")[:_MAX_ID_LENGTH]
            elif lower == b"helicone-cache" and value.upper() == b"HIT":
                is_hit = True
        node, place = deepest(span)
        if request_id is not None and not place.is_valid:
            gateway_calls.note(gateway_calls.NO_TRACE)
        if node is not None and node.context[1] == place.span_id:
            _note_on_node(node, request_id, is_hit=is_hit)
        elif span.is_recording():
            if request_id is not None:
                _set_absent(span, HELICONE_REQUEST_ID, request_id)
            if is_hit:
                _set_absent(span, HELICONE_CACHE, "HIT")
    except Exception:
        log_failure_once("noting Helicone's answer on a span")


def _note_on_node(node: SpanNode, request_id: str | None, *, is_hit: bool) -> None:
    span = node()
    if request_id is not None:
        if node.segment is not None or (span is not None and _is_wrapper(span)):
            # A step of the application: the span of the call, if there is one, is another.
            gateway_calls.note(node.context[0])
        before: str | None = getattr(node, "request_id", None)
        if span is not None and set_absent_attribute(span, HELICONE_REQUEST_ID, request_id, before):
            node.request_id = request_id
    if is_hit and span is not None:
        set_absent_attribute(span, HELICONE_CACHE, "HIT")


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
