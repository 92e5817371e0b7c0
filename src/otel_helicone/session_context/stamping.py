"""The session context as span attributes, so that every tracing backend can link to Helicone.

Attributes can be set while a span is open only. So they are written at its start, and written anew
on the spans of the trace that are still open when a name or an id above them has changed.
"""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.sdk.trace import Span
from opentelemetry.trace import SpanKind

from otel_helicone.ambient_spans import adapter
from otel_helicone.primitives import span_attributes
from otel_helicone.primitives.attribute_names import (
    HELICONE_SESSION_ID,
    HELICONE_SESSION_NAME,
    HELICONE_SESSION_PARENT,
    HELICONE_SESSION_PATH,
)
from otel_helicone.primitives.escaping import escape_segment, known_segments
from otel_helicone.primitives.known_spans import KNOWN_SCOPES
from otel_helicone.primitives.path import Path
from otel_helicone.primitives.segments import (
    TELLING_ATTRIBUTES,
    default_segment,
    name_of_segment,
)
from otel_helicone.primitives.span_attributes import (
    NO_STAMPS,
    attributes_of,
    set_absent_attribute,
    stamp_new_span,
)
from otel_helicone.session_context import blocks
from otel_helicone.session_context.local_trace import SpanNode, open_spans
from otel_helicone.session_context.texts import bring_up_to_date, refresh, work_out_plainly

# ruff: noqa: SLF001 - the form of a span's attributes, as span_attributes.py has it

__all__ = ["stamp_at_start"]

# A look-up in a set would call the hash of an enum, which is written in Python.
_CLIENT: Final = SpanKind.CLIENT
_PRODUCER: Final = SpanKind.PRODUCER


def stamp_at_start(node: SpanNode, span: Span) -> None:
    """Work out the texts of a span that starts just now, and write them on it.

    Args:
        node: the span's node, linked to its parent.
        span: the span itself.
    """
    trace, above = node.trace, node.parent
    # First of all, so that whoever notices a change from now on works out this span too.
    if trace.open_ids is None:
        trace.open_ids = set()
    trace.open_ids.add(node.context[1])
    if above is not None:
        if above.revision != trace.revision:
            bring_up_to_date(above)
        # The parent and the root are where frameworks rename and applications set ids; a change in
        # between shows when a request is sent. To look at every ancestor would make the cost of a
        # span depend on its depth.
        if _has_changed(above) or (
            above.parent is not None
            and (root := open_spans.get(trace.root_id)) is not None
            and root.trace is trace
            and _has_changed(root)
        ):
            refresh(trace)
    revision = trace.revision
    settings = trace.settings
    if (
        above is None
        or blocks.in_use
        or adapter.in_use
        or settings.segment is not default_segment
        or not span_attributes.IS_KNOWN_FORM
    ):
        _stamp(node, span, revision)
        return
    # What follows is _stamp() for by far the most spans, those that say nothing of the session
    # themselves: written flat, since each call costs a thirtieth of what a span does.
    bounded: Any = span._attributes
    attributes: dict[str, object] = bounded._dict
    limit: int | None = bounded.maxlen
    if attributes and not attributes.keys().isdisjoint(settings.statements_and_stamps):
        _stamp(node, span, revision)
        return
    if bounded.max_value_len is not None or (limit is not None and len(attributes) + 3 > limit):
        _stamp(node, span, revision)
        return
    name: str | None = node.name
    kind, scope = span.kind, span.instrumentation_scope
    scope_name = "" if scope is None else scope.name
    if scope_name in KNOWN_SCOPES or (
        attributes and not attributes.keys().isdisjoint(TELLING_ATTRIBUTES)
    ):
        name = name_of_segment(node.name, kind, attributes, scope_name)
    elif kind is _CLIENT or kind is _PRODUCER:
        name = None
    if name is None:
        node.segment = None
        node.path = path = above.path
    else:
        known = known_segments.get(name) if type(name) is str else None
        node.segment = segment = known or escape_segment(name)
        node.path = path = Path(above.path, segment)
    node.attributes = attributes
    node.said = None
    node.session = session = above.session
    node.seen_id = session_id = session.id
    text = path.prefix if path.head is None and path.prefix else path.text
    lock = bounded._lock
    lock.acquire()  # nobody below in the stack can hold it: the span is new
    try:
        attributes[HELICONE_SESSION_ID] = session_id
        attributes[HELICONE_SESSION_PATH] = text
        attributes[HELICONE_SESSION_NAME] = session.name
    finally:
        lock.release()
    # Set last: with the stamps set before the attributes, a refresh in between would take them for
    # values that the application replaced.
    node.stamps = (session_id, text, session.name)
    node.revision = revision
    if trace.revision != revision:
        # A name or an id has changed since: in another thread, or in a signal handler.
        bring_up_to_date(node)


def _stamp(node: SpanNode, span: Span, revision: int) -> None:
    attributes = attributes_of(span)
    if not work_out_plainly(node, span, node.name, attributes):
        bring_up_to_date(node)
    node.revision = revision
    session = node.session
    node.stamps = stamps = stamp_new_span(span, session.id, node.path.text, session.name)
    node.seen_id = stamps[0] or attributes.get(HELICONE_SESSION_ID)
    above, parent = node.parent, span.parent
    if adapter.in_use and above is not None and stamps is not NO_STAMPS:
        trace_id, span_id = above.context[:2]
        if parent is None or (trace_id, span_id) != parent[:2]:
            set_absent_attribute(span, HELICONE_SESSION_PARENT, f"{trace_id:032x}-{span_id:016x}")
    if node.trace.revision != revision:
        bring_up_to_date(node)


def _has_changed(node: SpanNode) -> bool:
    """Return whether a span's name, or the session id on it, is another than it was."""
    span = node()
    if span is None:
        return False
    if node.attributes.get(HELICONE_SESSION_ID) is not node.seen_id:
        return True
    name = span.name
    return name is not node.name and name != node.name and not node.is_frozen
