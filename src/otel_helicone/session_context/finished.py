"""Spans that have ended and are still to be logged: where the exporter finds their context.

An exporter gets finished spans later, in another thread, and from the SDK without anything of this
library but the stamps. These do not tell the user and the custom properties, are not there where
they are switched off, and the SDK drops the oldest attributes of a span that has too many. So,
while an exporter is in use, the nodes of spans that it may log are kept until it asks for them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan

from otel_helicone.after_fork import ForkedLock
from otel_helicone.session_context.ancestry import SpanNode, keep_texts, texts_of
from otel_helicone.settings import Settings

__all__ = ["is_wanted", "keep", "take", "unwant", "want"]

Filter = Callable[[Mapping[str, Any]], bool]

# As many as four full queues of a BatchSpanProcessor; past that the oldest go, and their stamps
# have to do. A node with its texts takes about 700 bytes.
_MOST_KEPT: Final = 8192
_kept: Final[OrderedDict[tuple[int, int], SpanNode]] = OrderedDict()
_lock: Final = ForkedLock()
_wanted: Final[list[Filter]] = []


def want(wanted: Filter) -> None:
    """Ask for spans to be kept.

    Args:
        wanted: tells from a span's attributes whether it may be asked for; must be quick.
    """
    _wanted.append(wanted)


def unwant(wanted: Filter) -> None:
    """Take back what :func:`want` asked for."""
    if wanted in _wanted:
        _wanted.remove(wanted)
    if not _wanted:
        with _lock:
            _kept.clear()


def is_wanted() -> bool:
    """Tell whether anybody asked for spans to be kept."""
    return bool(_wanted)


def keep(node: SpanNode, span: ReadableSpan, settings: Settings) -> None:
    """Keep the node of a span that has just ended, if it may be asked for."""
    attributes = span.attributes or {}
    if not any(wanted(attributes) for wanted in _wanted):
        return
    texts_of(node)
    keep_texts(node, span, settings)
    with _lock:
        _kept[node.context[0], node.context[1]] = node
        while len(_kept) > _MOST_KEPT:
            _kept.popitem(last=False)


def take(trace_id: int, span_id: int) -> SpanNode | None:
    """Give the node of an ended span, which is not kept any longer then."""
    with _lock:
        return _kept.pop((trace_id, span_id), None)
