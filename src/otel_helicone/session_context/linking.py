"""Where the code is: the parent of a span that starts, and the place of a request.

OpenTelemetry's context tells it, first of all. Where a library keeps its spans out of that context,
they are asked for as ambient spans, and count where they are deeper. Nobody's context is changed,
and nobody's parent: only paths, sessions and logs go by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry import trace as trace_api
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.trace import Span
from opentelemetry.trace import SpanContext

from otel_helicone.ambient_spans import adapter
from otel_helicone.ambient_spans.adapter import ambient_attributes, ambient_calls, ambient_spans
from otel_helicone.primitives.span_attributes import NO_STAMPS
from otel_helicone.session_context import blocks, remote
from otel_helicone.session_context.local_trace import (
    NOT_WORKED_OUT,
    LocalTrace,
    SpanNode,
    is_above,
    node_around,
    node_of,
    open_spans,
)
from otel_helicone.session_context.texts import know_as_call
from otel_helicone.settings.processor import ProcessorSettings

__all__ = ["current_place", "deepest", "link", "told_here"]

_NO_ATTRIBUTES: Final[Mapping[str, object]] = {}


def link(
    span: Span, parent_context: Context | None, settings: ProcessorSettings
) -> SpanNode | None:
    """Return the node of a span that starts just now, linked to its parent's.

    Args:
        span: the span.
        parent_context: the context that it started in, None for the current one.
        settings: the settings of the processor that sees it.

    Returns:
        The node, not worked out; None where another processor has seen the span already.
    """
    # Written flat, as it runs for every span of the application. A SpanContext is a tuple, whose
    # items cost a third of its properties.
    context = span.context
    span_id = context[1]
    if span_id in open_spans and open_spans[span_id]() is span:
        return None
    node = SpanNode(span, _release)
    node.context = context
    node.name = span.name
    node.revision = NOT_WORKED_OUT
    node.is_frozen = False
    node.stamps = NO_STAMPS
    node.block = None
    parent = span.parent
    above = None
    if parent is not None and not parent[2]:  # of this process
        above = open_spans.get(parent[1])
        if above is None or above.context[0] != context[0]:
            # Unsampled, let go of, or of another provider.
            above = node_around(trace_api.get_current_span(parent_context))
            if above is not None and above.context[0] != context[0]:
                above = None
    if adapter.in_use and (parent is None or not parent[2]):
        above = _nearest_above(span, parent_context, above)
        node.told = told_here(settings)
    node.parent = above
    if above is None:
        node.trace = trace = LocalTrace()
        trace.settings = settings
        trace.root_id = span_id
        if parent is not None:
            trace.is_continued = True
        if remote.in_use:
            trace.remote = remote.remote_in(parent_context)
    else:
        node.trace = above.trace
    open_spans[span_id] = node
    if blocks.in_use:
        # A span that starts inside a block belongs to it, also with an explicit parent from
        # outside: so do the requests that are sent below it.
        block = blocks.block_in(parent_context)
        if block is None and parent_context is not None:
            block = blocks.block_in(None)
        if block is None and above is not None:
            block = above.block
        node.block = block
    return node


def _release(node: SpanNode) -> None:
    """Forget a span that the application has let go of. Called by the weak reference."""
    span_id = node.context[1]
    # A generator of ids that repeats itself may have given the id to another span since.
    if open_spans.get(span_id) is node:
        del open_spans[span_id]
    open_ids = node.trace.open_ids
    if open_ids is not None:
        open_ids.discard(span_id)
    if node.revision != NOT_WORKED_OUT:
        node.attributes = _NO_ATTRIBUTES


def _nearest_above(
    span: Span, parent_context: Context | None, above: SpanNode | None
) -> SpanNode | None:
    """Return the node of what a span started in, where libraries know a deeper place.

    Args:
        span: the span, which is no service's first one.
        parent_context: the context that it started in, None for the current one.
        above: the node of its parent by OpenTelemetry, None where that is not known.
    """
    scope = span.instrumentation_scope
    scope_name = "" if scope is None else scope.name
    current = trace_api.get_current_span()
    parent = span.parent
    # The library whose ambient spans these are gives each its parent as an explicit one. Whoever
    # else starts a span with another parent than the current one means it.
    is_ambient = any(scope_name in known.scopes for known in adapter.in_use)
    if parent_context is not None and not (is_ambient and parent is not None):
        given = trace_api.get_current_span(parent_context)
        if given.get_span_context() != current.get_span_context():
            return above
        if not parent_context and parent_context is not get_current():
            return above  # an empty context: a new root is meant, also where nothing is current
    found, _ = deepest(current, besides=scope_name if is_ambient else None)
    if found is None:
        return above
    if above is None:
        return found if parent is None else None
    return found if is_above(above, found) else above


def deepest(
    span: trace_api.Span, besides: str | None = None
) -> tuple[SpanNode | None, SpanContext]:
    """Return the deepest place that is known around the code that is running.

    Args:
        span: the span that is current.
        besides: an instrumentation scope whose ambient spans are not asked for.

    Returns:
        The node of the span there, or of the one around it, None where none is known; and which
        span that is.
    """
    node, context = own, own_context = node_of(span), span.get_span_context()
    if not adapter.in_use:
        return node, context
    for ambient in ambient_spans(besides):
        found, found_context = node_of(ambient), ambient.get_span_context()
        if _is_deeper(found, found_context, node, context):
            node, context = found, found_context
    for call in ambient_calls(besides):
        found, found_context = node_of(call), call.get_span_context()
        if found is not None:
            if found.context[1] == found_context.span_id:
                know_as_call(found)
            if node is not None and is_above(found, node):
                continue
        # LangChain starts a model's run beside that of the wrapper that is its current one.
        if _is_deeper(found, found_context, own, own_context):
            node, context = found, found_context
    return node, context


def _is_deeper(
    found: SpanNode | None, found_context: SpanContext, node: SpanNode | None, context: SpanContext
) -> bool:
    """Return whether a place that is found lies below another one.

    Args:
        found: the node there, or of the span around it; None where none is known.
        found_context: which span it is.
        node: likewise of the other place.
        context: likewise.
    """
    if node is not None:
        return found is not None and is_above(node, found)
    # An unsampled one is known by its trace alone.
    return not context.is_valid or context.trace_id == found_context.trace_id


def current_place() -> SpanNode | None:
    """Return the node of the span that the code is in, by all that is known."""
    return deepest(trace_api.get_current_span())[0]


def told_here(settings: ProcessorSettings) -> Mapping[str, object] | None:
    """Return what libraries know of the session here, as far as the settings ask for it."""
    asked = settings.statements_beside_stamps
    told = {name: value for name, value in ambient_attributes().items() if name in asked}
    return told or None
