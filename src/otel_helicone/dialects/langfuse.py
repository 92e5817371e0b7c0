"""Langfuse: ``langfuse.*``, every value as JSON in a text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from otel_helicone.dialects.description import Json, Kind, Message, Usage
from otel_helicone.dialects.dialect import Dialect, json, text
from otel_helicone.dialects.messages import read_messages, text_message
from otel_helicone.dialects.reading import FinishedSpan, is_placeholder
from otel_helicone.dialects.token_counts import usage_in
from otel_helicone.dialects.wire import parameters_in, wire_request

__all__ = ["LANGFUSE"]

_KINDS: Final = {
    "generation": Kind.LLM,
    "embedding": Kind.EMBEDDING,
    "tool": Kind.TOOL,
    "retriever": Kind.RETRIEVAL,
    "agent": Kind.AGENT,
    "chain": Kind.WORKFLOW,
}
# Written whether the application sent them or not.
_DEFAULTS: Final[dict[str, object]] = {
    "temperature": 1,
    "top_p": 1,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "max_tokens": "Infinity",
    "n": 1,
}


def _kind(span: FinishedSpan) -> Kind | None:
    told = span.text("langfuse.observation.type")
    return None if told is None else _KINDS.get(told.lower(), Kind.OTHER)


def _operation(span: FinishedSpan) -> str | None:
    kind = _kind(span)
    return {Kind.LLM: "chat", Kind.EMBEDDING: "embeddings"}.get(kind) if kind else None


def _is_failed(span: FinishedSpan) -> bool:
    return span.text("langfuse.observation.level") == "ERROR"


def _model(span: FinishedSpan) -> str | None:
    return span.text("langfuse.observation.model.name")


def _input(span: FinishedSpan) -> tuple[Message, ...] | None:
    found = span.json("langfuse.observation.input")
    if isinstance(found, dict) and "messages" not in found and "role" not in found:
        return wire_request(found).messages
    return read_messages(found)


def _output(span: FinishedSpan) -> tuple[Message, ...] | None:
    found = span.json("langfuse.observation.output")
    if isinstance(found, str):
        return text_message("assistant", found)
    return read_messages(found, "assistant")


def _parameters(span: FinishedSpan) -> Mapping[str, Json] | None:
    told = parameters_in(span.mapping("langfuse.observation.model.parameters")) or {}
    return {
        name: value
        for name, value in told.items()
        if not is_placeholder(value) and not (name in _DEFAULTS and _DEFAULTS[name] == value)
    } or None


def _tools_offered(span: FinishedSpan) -> tuple[Json, ...] | None:
    tools = span.mapping("langfuse.observation.input").get("tools")
    return tuple(tools) if isinstance(tools, list) and tools else None


def _finish_reasons(span: FinishedSpan) -> tuple[str, ...] | None:
    return span.texts("langfuse.observation.metadata.finish_reason")


def _usage(span: FinishedSpan) -> Usage | None:
    return usage_in(span.json("langfuse.observation.usage_details"))


def _seconds_to_first_token(span: FinishedSpan) -> float | None:
    told = span.json("langfuse.observation.completion_start_time")
    start = span.span.start_time
    if not isinstance(told, str) or start is None:
        return None
    try:
        at = datetime.fromisoformat(told).timestamp()
    except ValueError:
        return None
    return max(at - start / 1e9, 0.0)


def _is(kind: Kind, span: FinishedSpan) -> bool:
    return _kind(span) is kind


def _embedding_input(span: FinishedSpan) -> tuple[str, ...] | None:
    if not _is(Kind.EMBEDDING, span):
        return None
    found = span.json("langfuse.observation.input")
    if isinstance(found, dict):
        found = found.get("input")
    if isinstance(found, str):
        return (found,)
    if isinstance(found, list):
        return tuple(item for item in found if isinstance(item, str)) or None
    return None


LANGFUSE: Final = Dialect(
    name="Langfuse",
    roots=frozenset({"langfuse"}),
    kind=_kind,
    operation=_operation,
    request_model=lambda span: _model(span) if _is_failed(span) else None,
    response_model=lambda span: None if _is_failed(span) else _model(span),
    parameters=_parameters,
    tools_offered=_tools_offered,
    input=_input,
    output=_output,
    finish_reasons=_finish_reasons,
    usage=_usage,
    seconds_to_first_token=_seconds_to_first_token,
    embedding_input=_embedding_input,
    tool_name=lambda span: span.span.name if _is(Kind.TOOL, span) else None,
    arguments=json("langfuse.observation.input"),
    result=json("langfuse.observation.output"),
    query=json("langfuse.observation.input"),
    documents=json("langfuse.observation.output"),
    agent_name=lambda span: span.span.name if _is(Kind.AGENT, span) else None,
    step_input=json("langfuse.observation.input"),
    step_output=json("langfuse.observation.output"),
    error_message=lambda span: (
        span.text("langfuse.observation.status_message") if _is_failed(span) else None
    ),
    error_type=lambda span: "error" if _is_failed(span) else None,
    user_id=text("langfuse.user.id", "langfuse.trace.user_id"),
)
