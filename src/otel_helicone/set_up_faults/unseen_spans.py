"""Calls to Helicone in spans that no span processor of this library sees."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from opentelemetry.trace import Span

from otel_helicone.primitives.log_once import log_failure_once
from otel_helicone.session_context.local_trace import node_of, open_spans
from otel_helicone.set_up_faults.sentences import LATE_PROCESSOR, OTHER_PROVIDER
from otel_helicone.settings.in_use import is_in_use

__all__ = ["notice_unseen_span", "processors_of"]

# More are not looked through: this runs with calls, and nothing may get slower with the spans.
_MAX_OPEN: Final = 1000


def notice_unseen_span(span: Span) -> None:
    """Say why a span is not known, where that is no set-up that may be meant.

    Args:
        span: the span that is current at a call to Helicone.
    """
    try:
        if node_of(span) is not None or not span.is_recording():
            return  # the usual; else unsampled, of another process, or none at all
        trace_id = span.get_span_context().trace_id
        if len(open_spans) > _MAX_OPEN:
            return
        if any(node.context[0] == trace_id for node in tuple(open_spans.values())):
            return  # a span of another provider below one that is known: several, as it is meant
        processors = processors_of(span)
        if processors is None:
            return
        late = any(map(is_in_use, processors))
        (LATE_PROCESSOR if late else OTHER_PROVIDER).say()
    except Exception:
        log_failure_once("looking for the processor of a span")


def processors_of(owner: object) -> Iterable[object] | None:
    """Return the span processors of a span's provider, or of a provider; None for unknown ones.

    Args:
        owner: a span or a tracer provider of the SDK.
    """
    # Private names of the SDK, because nothing public tells which processors there are. Where a
    # release has others, nothing is said. Tests hold them on the oldest and newest SDK.
    for name in ("_span_processor", "_active_span_processor"):
        found = getattr(getattr(owner, name, None), "_span_processors", None)
        if isinstance(found, tuple):
            # Some stand in a shell, so that they can be taken out again.
            return [getattr(one, "processor", one) for one in found]
    return None
