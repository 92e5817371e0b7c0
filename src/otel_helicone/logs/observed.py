"""A finished span together with what it says that happened."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan

from otel_helicone.dialects.description import Description
from otel_helicone.primitives.attribute_names import HELICONE_SESSION_PARENT
from otel_helicone.primitives.segments import carries_a_call

__all__ = ["Observed", "SpanKey", "key_of", "parent_key_of"]

_NOTED: Final = re.compile("[0-9a-f]{32}-[0-9a-f]{16}")

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
        ends_later: whether it went on after that. LlamaIndex's spans of streams have the time at
            which the stream was handed out; what came out of it are events after that time.
        through_gateway: whether the call went through Helicone's gateway, which has logged it.
        place: the span that knows the place of the call better; None where it is the span itself.
        parent: trace id and span id of what the span started in, maybe in another trace; None at a
            root.
    """

    span: ReadableSpan
    description: Description
    start: int
    end: int
    ends_later: bool = False
    through_gateway: bool = False
    place: ReadableSpan | None = None
    parent: SpanKey | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parent", parent_key_of(self.span))

    @property
    def key(self) -> SpanKey:
        """The span's trace id and span id."""
        return key_of(self.span)

    @property
    def is_request(self) -> bool:
        """Whether the span is the call itself, so that it is no place in a tree."""
        if not self.description.kind.is_call:
            return False
        span = self.span
        return not carries_a_call(span.name, span.kind, span.attributes or {}, self.scope)

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
    """Return those of what it started in, None at a root.

    That is its parent, save where the span processor has noted that a library knew better.
    """
    noted = (span.attributes or {}).get(HELICONE_SESSION_PARENT)
    if isinstance(noted, str) and _NOTED.fullmatch(noted):
        trace_id, _, span_id = noted.partition("-")
        return int(trace_id, 16), int(span_id, 16)
    parent = span.parent
    return None if parent is None else (parent.trace_id, parent.span_id)
