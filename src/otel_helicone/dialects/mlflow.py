"""MLflow: ``mlflow.*``, the request and the answer as JSON."""

from __future__ import annotations

from typing import Final

from otel_helicone.dialects.description import Json, Kind, Message, Usage
from otel_helicone.dialects.dialect import Dialect, json
from otel_helicone.dialects.messages import read_messages
from otel_helicone.dialects.reading import FinishedSpan
from otel_helicone.dialects.token_counts import usage_in
from otel_helicone.dialects.wire import WireCall, wire_request, wire_response

__all__ = ["MLFLOW"]

_KINDS: Final = {
    "CHAT_MODEL": Kind.LLM,
    "LLM": Kind.LLM,
    "EMBEDDING": Kind.EMBEDDING,
    "TOOL": Kind.TOOL,
    "RETRIEVER": Kind.RETRIEVAL,
    "AGENT": Kind.AGENT,
    "CHAIN": Kind.WORKFLOW,
    "WORKFLOW": Kind.WORKFLOW,
}


def _kind(span: FinishedSpan) -> Kind | None:
    told = span.json("mlflow.spanType")
    return _KINDS.get(told.upper(), Kind.OTHER) if isinstance(told, str) else None


def _operation(span: FinishedSpan) -> str | None:
    kind = _kind(span)
    return {Kind.LLM: "chat", Kind.EMBEDDING: "embeddings"}.get(kind) if kind else None


def _asked(span: FinishedSpan) -> WireCall:
    return span.once(_read_request)


def _read_request(span: FinishedSpan) -> WireCall:
    return wire_request(span.json("mlflow.spanInputs"))


def _answered(span: FinishedSpan) -> WireCall:
    return span.once(_read_response)


def _read_response(span: FinishedSpan) -> WireCall:
    return wire_response(span.json("mlflow.spanOutputs"))


def _text(name: str, span: FinishedSpan) -> str | None:
    found = span.json(name)
    return found if isinstance(found, str) else None


def _output(span: FinishedSpan) -> tuple[Message, ...] | None:
    found = _answered(span).messages
    if found is not None or _kind(span) is not Kind.LLM:
        return found
    return read_messages(span.json("mlflow.spanOutputs"), "assistant")


def _usage(span: FinishedSpan) -> Usage | None:
    return usage_in(span.json("mlflow.chat.tokenUsage")) or _answered(span).usage


def _tools_offered(span: FinishedSpan) -> tuple[Json, ...] | None:
    found = span.sequence("mlflow.chat.tools")
    return tuple(found) if found else _asked(span).tools


MLFLOW: Final = Dialect(
    name="MLflow",
    roots=frozenset({"mlflow"}),
    kind=_kind,
    operation=_operation,
    provider=lambda span: (
        _text("mlflow.llm.provider", span) or _text("mlflow.message.format", span)
    ),
    request_model=lambda span: _asked(span).model or _text("mlflow.llm.model", span),
    response_model=lambda span: _answered(span).model,
    response_id=lambda span: _answered(span).id,
    streaming=lambda span: _asked(span).streaming,
    parameters=lambda span: _asked(span).parameters,
    tools_offered=_tools_offered,
    input=lambda span: _asked(span).messages,
    output=_output,
    finish_reasons=lambda span: _answered(span).finish_reasons,
    usage=_usage,
    embedding_input=lambda span: (
        _asked(span).embedding_input if _kind(span) is Kind.EMBEDDING else None
    ),
    tool_name=lambda span: span.span.name if _kind(span) is Kind.TOOL else None,
    arguments=json("mlflow.spanInputs"),
    result=json("mlflow.spanOutputs"),
    query=json("mlflow.spanInputs"),
    documents=json("mlflow.spanOutputs"),
    step_input=json("mlflow.spanInputs"),
    step_output=json("mlflow.spanOutputs"),
    user_id=lambda span: _text("mlflow.trace.user", span),
)
