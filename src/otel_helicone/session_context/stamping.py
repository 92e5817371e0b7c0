"""The session context as span attributes, so that every tracing backend can link to Helicone.

Attributes can be set while a span is open only. So they are written at its start, and written anew
on the spans of the trace that are still open when a name or an id above them has changed.
"""

from __future__ import annotations

from opentelemetry.sdk.trace import Span

from otel_helicone.primitives.attribute_names import HELICONE_SESSION_ID
from otel_helicone.primitives.span_attributes import attributes_of, stamp_new_span
from otel_helicone.session_context.local_trace import (
    NOT_WORKED_OUT,
    LocalTrace,
    SpanNode,
    open_spans,
)
from otel_helicone.session_context.texts import bring_up_to_date, refresh, work_out_plainly

__all__ = ["stamp_at_start"]


def stamp_at_start(node: SpanNode, span: Span) -> None:
    """Work out the texts of a span that starts just now, and write them on it.

    Args:
        node: the span's node, linked to its parent.
        span: the span itself.
    """
    # Written flat, as it runs for every span of the application.
    trace = node.trace
    above = node.parent
    # First of all, so that whoever notices a change from now on works out this span too.
    open_ids = trace.open_ids
    if open_ids is None:
        trace.open_ids = {node.context[1]}
    else:
        open_ids.add(node.context[1])
    attributes = attributes_of(span)
    if above is not None:
        # The parent and the root are where frameworks rename and applications set ids; a change in
        # between shows when a request is sent. To look at every ancestor would make the cost of a
        # span depend on its depth.
        if _has_changed(above) or (above.parent is not None and _has_root_changed(trace)):
            refresh(trace)
        revision = trace.revision
        if above.revision != revision:
            bring_up_to_date(above)
    else:
        revision = trace.revision
    if not work_out_plainly(node, span, node.name, attributes):
        bring_up_to_date(node)
    node.revision = revision
    session = node.session
    node.stamps = stamps = stamp_new_span(span, session.id, node.path.text, session.name)
    node.seen_id = stamps[0] or attributes.get(HELICONE_SESSION_ID)
    if trace.revision != revision:
        # A name or an id has changed since: in another thread, or in a signal handler.
        bring_up_to_date(node)


def _has_root_changed(trace: LocalTrace) -> bool:
    root = open_spans.get(trace.root_id)
    return root is not None and root.trace is trace and _has_changed(root)


def _has_changed(node: SpanNode) -> bool:
    """Return whether a span's name, or the session id on it, is another than it was."""
    span = node()
    if span is None or node.revision == NOT_WORKED_OUT:
        return False
    if node.attributes.get(HELICONE_SESSION_ID) is not node.seen_id:
        return True
    name = span.name
    return name is not node.name and name != node.name and not node.is_frozen
