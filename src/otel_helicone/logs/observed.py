"""A finished span together with what it says that happened."""

from __future__ import annotations

from dataclasses import dataclass

from opentelemetry.sdk.trace import ReadableSpan

from otel_helicone.dialects.description import Description

__all__ = ["Observed", "SpanKey", "key_of", "parent_key_of"]

SpanKey = tuple[int, int]
"""Trace id and span id."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A finished span that is looked at.

    Attributes:
        span: the span.
        description: what it says, and what spans that saw the same call say.
        start: when the call began, in nanoseconds since 1970.
        end: when it ended, likewise; never before its start.
        through_gateway: whether the call went through Helicone's gateway, which has logged it.
        place: the span that knows the place of the call better; None where it is the span itself.
    """

    span: ReadableSpan
    description: Description
    start: int
    end: int
    through_gateway: bool = False
    place: ReadableSpan | None = None

    @property
    def key(self) -> SpanKey:
        """The span's trace id and span id."""
        return key_of(self.span)

    @property
    def scope(self) -> str:
        """The name of the instrumentation scope, empty where there is none."""
        scope = self.span.instrumentation_scope
        return scope.name if scope is not None else ""


def key_of(span: ReadableSpan) -> SpanKey:
    """Return a span's trace id and span id."""
    context = span.context
    return (context.trace_id, context.span_id) if context is not None else (0, 0)


def parent_key_of(span: ReadableSpan) -> SpanKey | None:
    """Return those of its parent, None at a root."""
    parent = span.parent
    return None if parent is None else (parent.trace_id, parent.span_id)
