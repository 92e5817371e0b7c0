"""LangWatch: ``langwatch.*``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otel_helicone.dialects.description import Json, Kind, Message, Usage
from otel_helicone.dialects.dialect import Dialect, text, value_of
from otel_helicone.dialects.messages import read_messages
from otel_helicone.dialects.reading import FinishedSpan
from otel_helicone.dialects.token_counts import usage_in
from otel_helicone.dialects.wire import parameters_in

__all__ = ["LANGWATCH"]

_KINDS: Final = {
    "llm": Kind.LLM,
    "tool": Kind.TOOL,
    "agent": Kind.AGENT,
    "rag": Kind.RETRIEVAL,
    "chain": Kind.WORKFLOW,
    "workflow": Kind.WORKFLOW,
    "component": Kind.OTHER,
    "module": Kind.OTHER,
    "span": Kind.OTHER,
}


def _value(name: str, span: FinishedSpan) -> Json:
    """Take a value out of the ``{"type": …, "value": …}`` around it."""
    found = span.json(name)
    if isinstance(found, dict) and set(found) == {"type", "value"}:
        return found["value"]
    return found


def _messages(name: str, role: str, span: FinishedSpan) -> tuple[Message, ...] | None:
    return read_messages(_value(name, span), role)


def _usage(span: FinishedSpan) -> Usage | None:
    found = _value("langwatch.metrics", span)
    if not isinstance(found, dict):
        return None
    return usage_in(found)


def _parameters(span: FinishedSpan) -> Mapping[str, Json] | None:
    return parameters_in(_value("langwatch.params", span))


def _documents(span: FinishedSpan) -> tuple[Json, ...] | None:
    for name in ("langwatch.rag_contexts", "langwatch.rag.contexts", "langwatch.contexts"):
        found = _value(name, span)
        if isinstance(found, list):
            return tuple(found)
    return None


def _user_id(span: FinishedSpan) -> str | None:
    told = span.text("langwatch.user.id", "langwatch.customer.id")
    if told is not None:
        return told
    found = span.mapping("metadata").get("user_id")
    return found if isinstance(found, str) else None


LANGWATCH: Final = Dialect(
    name="LangWatch",
    roots=frozenset({"langwatch"}),
    kind=value_of(_KINDS, "langwatch.span.type"),
    operation=value_of({"llm": "chat"}, "langwatch.span.type"),
    request_model=text("langwatch.model"),
    parameters=_parameters,
    input=lambda span: _messages("langwatch.input", "user", span),
    output=lambda span: _messages("langwatch.output", "assistant", span),
    usage=_usage,
    tool_name=lambda span: span.span.name if span.text("langwatch.span.type") == "tool" else None,
    arguments=lambda span: _value("langwatch.input", span),
    result=lambda span: _value("langwatch.output", span),
    query=lambda span: _value("langwatch.input", span),
    documents=_documents,
    step_input=lambda span: _value("langwatch.input", span),
    step_output=lambda span: _value("langwatch.output", span),
    user_id=_user_id,
)
