"""Spans that have ended and are still to be logged: where the exporter finds their context.

An exporter gets finished spans later, in another thread, and from the SDK without anything of this
library but the stamps. These do not tell the user and the custom properties, are not there where
they are switched off, and the SDK drops the oldest attributes of a span that has too many. So,
while an exporter is in use, the nodes of spans that it may log are kept until it asks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan, Span

from otel_helicone.primitives.span_attributes import attributes_of
from otel_helicone.session_context.local_trace import SpanNode

__all__ = [
    "attributes_at_start",
    "is_wanted",
    "keep",
    "note_start",
    "take",
    "unwant",
    "want",
    "wanted",
]

Filter = Callable[[Mapping[str, Any]], bool]

# What instrumentations tell of a call when they start its span.
_FACTS: Final = frozenset(
    {
        *("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.system"),
        *("gen_ai.request.model", "gen_ai.tool.name", "llm.request.type", "llm.system"),
        *("llm.provider", "llm.model_name", "embedding.model_name", "openinference.span.kind"),
        *("traceloop.span.kind", "traceloop.entity.name", "tool.name", "server.address"),
        *("server.port", "ai.operationId", "ai.model.id", "ai.model.provider"),
        *("langfuse.observation.type", "langfuse.observation.model.name"),
    }
)
_MAX_FACT_LENGTH: Final = 256

# As many as four full queues of a BatchSpanProcessor; past that the oldest go, and their stamps
# have to do. A node with its texts takes about 700 bytes.
_MAX_KEPT: Final = 8192
# Without a lock, for a signal handler may come in between: each call on it is atomic.
_kept: Final[dict[tuple[int, int], SpanNode]] = {}
wanted: Final[list[Filter]] = []
"""What tells from a span's attributes whether it may be asked for."""


def want(is_wanted: Filter) -> None:
    """Ask for spans to be kept.

    Args:
        is_wanted: returns from a span's attributes whether it may be asked for; must be quick.
    """
    wanted.append(is_wanted)


def unwant(is_wanted: Filter) -> None:
    """Take back what :func:`want` asked for."""
    if is_wanted in wanted:
        wanted.remove(is_wanted)
    if not wanted:
        _kept.clear()


def is_wanted(span: ReadableSpan) -> bool:
    """Return whether anybody may ask for a span that has just ended."""
    attributes = attributes_of(span)
    return any(is_wanted(attributes) for is_wanted in wanted)


def note_start(node: SpanNode, span: Span) -> None:
    """Note on a node what its span tells of a call at its start; past its limit the SDK drops it.

    Only a few short facts of spans that have any are noted.
    """
    attributes = attributes_of(span)
    if not attributes or attributes.keys().isdisjoint(_FACTS):
        return
    # Nobody else has the span yet, so that nothing changes the attributes meanwhile.
    node.at_start = {
        name: value
        for name, value in attributes.items()
        if name in _FACTS and (type(value) is not str or len(value) <= _MAX_FACT_LENGTH)
    }


def attributes_at_start(trace_id: int, span_id: int) -> Mapping[str, object] | None:
    """Return what was noted of an ended span's start, None for nothing."""
    node = _kept.get((trace_id, span_id))
    return None if node is None else getattr(node, "at_start", None)


def keep(node: SpanNode) -> None:
    """Keep the node of a span that has ended, with what it says, until it is asked for."""
    _kept[node.context[0], node.context[1]] = node
    while len(_kept) > _MAX_KEPT:
        try:
            _kept.pop(next(iter(_kept)), None)
        except (RuntimeError, StopIteration):
            pass  # another thread has changed it in between


def take(trace_id: int, span_id: int) -> SpanNode | None:
    """Return the node of an ended span, which is not kept any longer then."""
    return _kept.pop((trace_id, span_id), None)
