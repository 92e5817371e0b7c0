"""The rule that turns a span into a segment of the path, or into none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from otel_helicone.primitives.attribute_names import (
    AI_TOOL_CALL_NAME,
    ASGI_EVENT_TYPE,
    GEN_AI_OPERATION_NAME,
    GEN_AI_PROVIDER_NAME,
    GEN_AI_REQUEST_MODEL,
    GEN_AI_SYSTEM,
    GEN_AI_TOOL_NAME,
    LANGFUSE_OBSERVATION_TYPE,
    LITELLM_CALL_ID,
    LLM_REQUEST_TYPE,
    OPENINFERENCE_SPAN_KIND,
    TOOL_NAME,
    TRACELOOP_ENTITY_NAME,
    TRACELOOP_SPAN_KIND,
)
from otel_helicone.primitives.escaping import escape_segment
from otel_helicone.primitives.known_spans import KNOWN_SCOPES, Part, name_of_step, part_of
from otel_helicone.primitives.log_once import log_failure_once
from otel_helicone.primitives.span_attributes import attributes_of

__all__ = [
    "TELLING_ATTRIBUTES",
    "SegmentRule",
    "carries_a_call",
    "default_segment",
    "is_asking",
    "name_of_segment",
    "segment_of",
]


class _Asking(threading.local):
    now = False  # of the class: to miss an attribute of the object would cost ten times as much


# Whether this thread is in the middle of asking the application's rule.
_asking: Final = _Asking()

_INTERNAL: Final = SpanKind.INTERNAL
_SERVER: Final = SpanKind.SERVER
_CONSUMER: Final = SpanKind.CONSUMER
_CLIENT: Final = SpanKind.CLIENT
_PRODUCER: Final = SpanKind.PRODUCER

SegmentRule: TypeAlias = Callable[[ReadableSpan], str | None]
"""Gives a span's segment, not yet escaped, or None for a span that adds none."""

TELLING_ATTRIBUTES: Final = frozenset(
    {
        AI_TOOL_CALL_NAME,
        ASGI_EVENT_TYPE,
        GEN_AI_OPERATION_NAME,
        GEN_AI_REQUEST_MODEL,
        LANGFUSE_OBSERVATION_TYPE,
        LLM_REQUEST_TYPE,
        OPENINFERENCE_SPAN_KIND,
        TRACELOOP_SPAN_KIND,
    }
)
"""What makes an INTERNAL span more than a step of the application, or less."""

# What makes a span a tool, and where its name is then. The span may be called after the tool's
# class, as smolagents' are, or after what is done with it.
_TOOLS: Final = (
    ((GEN_AI_OPERATION_NAME, "execute_tool"), GEN_AI_TOOL_NAME),
    ((OPENINFERENCE_SPAN_KIND, "tool"), TOOL_NAME),
    ((TRACELOOP_SPAN_KIND, "tool"), TRACELOOP_ENTITY_NAME),
)
_TOOL_NAMES: Final = frozenset({AI_TOOL_CALL_NAME, *(attribute for _, attribute in _TOOLS)})
# What other instrumentations say that their own spans are.
_OTHER_KINDS: Final = frozenset(
    {LANGFUSE_OBSERVATION_TYPE, OPENINFERENCE_SPAN_KIND, TRACELOOP_SPAN_KIND}
)

# Values, in lower case, that name the call to a model itself.
_CALL_OPERATIONS: Final = frozenset(
    {"chat", "completion", "text_completion", "generate_content", "embeddings", "response"}
)
_CALL_KINDS: Final = frozenset({"llm", "embedding", "generation"})


def default_segment(span: ReadableSpan) -> str | None:
    """Return a span's segment by the rule that holds where an application sets no other.

    A span adds its name to the path, save for spans that are the request themselves (LLM and
    embedding calls, told by their operation, kind of span or dialect), spans that only carry it
    (HTTP, database, RPC and messaging clients, which all have the span kind CLIENT or PRODUCER, and
    the send and receive spans of ASGI), and the machinery of frameworks. Calls that tell only at
    their end what they are, and such machinery, are known by their instrumentation scope and name:
    :data:`~otel_helicone.primitives.known_spans.KNOWN_SPANS`. Agents, tools, retrievals and
    workflows are steps and add a segment, whatever their span kind; a tool's is the tool's name.

    Args:
        span: the span; while it is open, its attributes are those known so far. Recorded spans of
            fifteen instrumentations show what each of them sets before the request is sent.

    Returns:
        The segment, not yet escaped, or None.
    """
    scope = span.instrumentation_scope
    return name_of_segment(
        span.name, span.kind, attributes_of(span), "" if scope is None else scope.name
    )


def name_of_segment(
    name: str, kind: SpanKind, attributes: Mapping[str, object], scope: str
) -> str | None:
    """Return the segment of a span with this name, kind, attributes and instrumentation scope."""
    part = part_of(scope, name) if scope in KNOWN_SCOPES else None
    if part is not None and part is not Part.STEP:
        return None
    if not attributes or attributes.keys().isdisjoint(TELLING_ATTRIBUTES):
        is_client = kind is _CLIENT or kind is _PRODUCER
        return None if is_client and part is None else name
    is_step = (
        part is not None
        or _is_step(attributes, kind)
        or carries_a_call(name, kind, attributes, scope)
    )
    if not is_step:
        return None
    if attributes.keys().isdisjoint(_TOOL_NAMES):
        return name_of_step(scope, name)
    return _tool_name(attributes) or name_of_step(scope, name)


def carries_a_call(name: str, kind: SpanKind, attributes: Mapping[str, object], scope: str) -> bool:
    """Return whether a span is a step of the application on which a call inside of it is written.

    LiteLLM's own callback writes what it knows of a call on whatever span is current. Before the
    call such a span is a step, and so it is afterwards.
    """
    return (
        LITELLM_CALL_ID in attributes
        and scope != "litellm"
        and kind is not _CLIENT
        and attributes.keys().isdisjoint(_OTHER_KINDS)
        and part_of(scope, name) is None
    )


def _tool_name(attributes: Mapping[str, object]) -> str | None:
    """Return the name of the tool that a span with these attributes stands for, if it is one."""
    for (kind, value), attribute in _TOOLS:
        if _lower(attributes.get(kind, "")) == value:
            found = attributes.get(attribute)
            return found if isinstance(found, str) else None
    found = attributes.get(AI_TOOL_CALL_NAME)
    return found if isinstance(found, str) else None


def _is_step(attributes: Mapping[str, object], kind: SpanKind) -> bool:
    """Return whether a span with any of :data:`TELLING_ATTRIBUTES` is a step of the application.

    Args:
        attributes: the span's attributes.
        kind: its kind.
    """
    if kind is _SERVER or kind is _CONSUMER:
        return True
    if ASGI_EVENT_TYPE in attributes:
        return False
    if GEN_AI_OPERATION_NAME in attributes:
        return _lower(attributes[GEN_AI_OPERATION_NAME]) not in _CALL_OPERATIONS
    if OPENINFERENCE_SPAN_KIND in attributes:
        return _lower(attributes[OPENINFERENCE_SPAN_KIND]) not in _CALL_KINDS
    if LANGFUSE_OBSERVATION_TYPE in attributes:
        return _lower(attributes[LANGFUSE_OBSERVATION_TYPE]) not in _CALL_KINDS
    if LLM_REQUEST_TYPE in attributes:
        return False
    if TRACELOOP_SPAN_KIND in attributes:
        return True
    # The OTel GenAI of before operation names, and logfire's spans for openai-agents: a model
    # together with its provider. A model alone is also noted on an application's own spans.
    if GEN_AI_SYSTEM in attributes or GEN_AI_PROVIDER_NAME in attributes:
        return False
    return kind is _INTERNAL


def _lower(value: object) -> str:
    return str(value).lower()


def is_asking() -> bool:
    """Return whether this thread is in the middle of asking the application's rule."""
    return _asking.now


def segment_of(span: ReadableSpan, rule: SegmentRule) -> str | None:
    """Return a span's escaped segment by a rule; what the rule raises is logged once.

    Args:
        span: the span, open or ended.
        rule: the application's rule, or :func:`default_segment`.

    Returns:
        The escaped segment, or None for a span that adds none.
    """
    if rule is default_segment or is_asking():
        # A rule that asks for the current session would be asked for it in turn, without end.
        segment = default_segment(span)
    else:
        _asking.now = True
        try:
            segment = rule(span)
        except Exception:
            log_failure_once("asking the segment rule about a span")
            segment = default_segment(span)
        finally:
            _asking.now = False
    return None if segment is None else escape_segment(segment)
