"""What Helicone answered, noted on the span that made the call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.trace import Span

from otel_helicone.attribute_names import HELICONE_CACHE, HELICONE_REQUEST_ID
from otel_helicone.injection import gateway_calls
from otel_helicone.log_once import log_failure_once
from otel_helicone.session_context.ancestry import node_of, texts_of

if TYPE_CHECKING:
    from otel_helicone.injection.http_types import Response

__all__ = ["note_answer"]

_LONGEST_ANSWER: Final = 128


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
        for name, value in response.headers.raw:
            lower = name.lower()
            if lower == b"helicone-id":
                _set_request_id(span, value.decode("ascii", "replace")[:_LONGEST_ANSWER])
            elif lower == b"helicone-cache" and value.upper() == b"HIT":
                _set_unless_there(span, HELICONE_CACHE, "HIT")
    except Exception:
        log_failure_once("noting Helicone's answer on a span")


def _set_request_id(span: Span, request_id: str) -> None:
    node = node_of(span.get_span_context())
    if node is None:
        _set_unless_there(span, HELICONE_REQUEST_ID, request_id)
        return
    texts = texts_of(node)
    if texts.segment is not None:
        # A step of the application: the span of the call, if there is one, is another.
        gateway_calls.note(node.context[0])
    attributes = texts.view
    if attributes is None:
        sdk_span = node()
        attributes = None if sdk_span is None else sdk_span.attributes
    found = attributes.get(HELICONE_REQUEST_ID) if attributes else None
    if found is None or found == texts.request_id:
        span.set_attribute(HELICONE_REQUEST_ID, request_id)
        texts.request_id = request_id


def _set_unless_there(span: Span, name: str, text: str) -> None:
    attributes = getattr(span, "attributes", None)
    if not attributes or attributes.get(name) is None:
        span.set_attribute(name, text)
