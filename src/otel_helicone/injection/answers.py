"""What Helicone answered, noted on the span that made the call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.trace import Span

from otel_helicone.injection import gateway_calls
from otel_helicone.injection.raw_headers import raw_headers
from otel_helicone.primitives.attribute_names import HELICONE_CACHE, HELICONE_REQUEST_ID
from otel_helicone.primitives.log_once import log_failure_once
from otel_helicone.primitives.span_attributes import set_absent_attribute
from otel_helicone.session_context.local_trace import node_of

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
        if not span.is_recording():
            return
        for _, lower, value in raw_headers(response.headers):
            if lower == b"helicone-id":
                _set_request_id(span, value.decode("ascii", "replace")[:_MAX_ID_LENGTH])
            elif lower == b"helicone-cache" and value.upper() == b"HIT":
                _set_absent(span, HELICONE_CACHE, "HIT")
    except Exception:
        log_failure_once("noting Helicone's answer on a span")


def _set_request_id(span: Span, request_id: str) -> None:
    node = node_of(span)
    if node is None or node.context[1] != span.get_span_context().span_id:
        _set_absent(span, HELICONE_REQUEST_ID, request_id)
        return
    if node.segment is not None:
        # A step of the application: the span of the call, if there is one, is another.
        gateway_calls.note(node.context[0])
    sdk_span = node()
    before: str | None = getattr(node, "request_id", None)
    if sdk_span is not None and set_absent_attribute(
        sdk_span, HELICONE_REQUEST_ID, request_id, before
    ):
        node.request_id = request_id


def _set_absent(span: Span, name: str, text: str) -> None:
    if isinstance(span, SdkSpan):
        set_absent_attribute(span, name, text)
        return
    attributes = getattr(span, "attributes", None)
    if not attributes or attributes.get(name) is None:
        span.set_attribute(name, text)
