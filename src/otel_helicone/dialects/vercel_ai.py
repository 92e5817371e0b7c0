"""The Vercel AI SDK: ``ai.*``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from otel_helicone.dialects.content_blocks import read_tool_call
from otel_helicone.dialects.description import Json, Kind, Message, Part, ToolCall, Usage
from otel_helicone.dialects.dialect import Dialect, json, tags, text
from otel_helicone.dialects.messages import read_messages
from otel_helicone.dialects.reading import FinishedSpan, is_placeholder, parse_json
from otel_helicone.dialects.token_counts import usage_in, usage_under

__all__ = ["VERCEL_AI"]

_COUNTED: Final = usage_under("ai.usage")
_INNER: Final = {"doGenerate": Kind.LLM, "doStream": Kind.LLM, "doEmbed": Kind.EMBEDDING}

_SETTINGS: Final = {
    "ai.settings.temperature": "temperature",
    "ai.settings.topP": "top_p",
    "ai.settings.topK": "top_k",
    "ai.settings.maxOutputTokens": "max_tokens",
    "ai.settings.maxTokens": "max_tokens",
    "ai.settings.frequencyPenalty": "frequency_penalty",
    "ai.settings.presencePenalty": "presence_penalty",
    "ai.settings.stopSequences": "stop",
    "ai.settings.seed": "seed",
}


def _kind(span: FinishedSpan) -> Kind | None:
    operation = span.text("ai.operationId")
    if operation is None:
        return None
    if operation == "ai.toolCall":
        return Kind.TOOL
    # The outer span of an operation sums up the calls below it, which are what costs.
    return _INNER.get(operation.rpartition(".")[2], Kind.AGENT)


def _operation(span: FinishedSpan) -> str | None:
    kind = _kind(span)
    return {Kind.LLM: "chat", Kind.EMBEDDING: "embeddings"}.get(kind) if kind else None


def _input(span: FinishedSpan) -> tuple[Message, ...] | None:
    found = read_messages(span.json("ai.prompt.messages"))
    if found is not None:
        return found
    prompt = span.json("ai.prompt")
    if isinstance(prompt, dict):
        found = read_messages(prompt.get("messages") or prompt.get("prompt"))
        system = prompt.get("system")
        if isinstance(system, str) and system:
            return (Message("system", (Part("text", system),)), *(found or ()))
        return found
    return read_messages(prompt)


def _output(span: FinishedSpan) -> tuple[Message, ...] | None:
    said = span.text("ai.response.text", "ai.result.text", "ai.response.object", "ai.result.object")
    calls = span.json("ai.response.toolCalls", "ai.result.toolCalls")
    read: tuple[ToolCall, ...] = ()
    if isinstance(calls, list):
        read = tuple(call for call in map(read_tool_call, calls) if call is not None)
    reasoning = span.text("ai.response.reasoning")
    if said is None and not read and reasoning is None:
        return None
    parts = () if said is None else (Part("text", said),)
    return (Message("assistant", parts, read, reasoning=reasoning),)


def _provider(span: FinishedSpan) -> str | None:
    found = span.text("ai.model.provider")
    return None if found is None else found.lower()


def _usage(span: FinishedSpan) -> Usage | None:
    told = _COUNTED(span) or Usage()
    for provider, metadata in span.mapping("ai.response.providerMetadata").items():
        if not isinstance(metadata, dict):
            continue
        raw = metadata.get("usage", metadata.get("usageMetadata"))
        more = usage_in(raw) or usage_in({"input": told.input_tokens, **metadata}) or Usage()
        told = replace(
            told,
            total_tokens=told.total_tokens or more.total_tokens,
            cached_tokens=told.cached_tokens or more.cached_tokens,
            cache_write_tokens=told.cache_write_tokens or more.cache_write_tokens,
            reasoning_tokens=told.reasoning_tokens or more.reasoning_tokens,
        )
        if provider == "anthropic" and told.input_tokens == more.input_tokens:
            # Anthropic counts what came from its cache apart; so does the AI SDK until 5.
            apart = (told.cached_tokens or 0) + (told.cache_write_tokens or 0)
            whole = None if told.input_tokens is None else told.input_tokens + apart
            told = replace(told, input_tokens=whole, total_tokens=None)
    return told


def _tools_offered(span: FinishedSpan) -> tuple[Json, ...] | None:
    found = span.sequence("ai.prompt.tools")
    return tuple(parse_json(tool) for tool in found) if found else None


def _parameters(span: FinishedSpan) -> Mapping[str, Json] | None:
    found = dict(tags(_SETTINGS)(span) or {})
    choice = span.json("ai.prompt.toolChoice")
    if isinstance(choice, dict):
        choice = choice.get("type") if choice.get("type") != "tool" else dict(choice)
    if choice is not None:
        found["tool_choice"] = choice
    return found or None


def _streaming(span: FinishedSpan) -> bool | None:
    operation = span.text("ai.operationId")
    return None if operation is None else operation.endswith(".doStream") or None


def _seconds_to_first_token(span: FinishedSpan) -> float | None:
    found = span.number("ai.response.msToFirstChunk", "ai.stream.msToFirstChunk")
    return None if found is None else found / 1000


def _embedding_input(span: FinishedSpan) -> tuple[str, ...] | None:
    found = span.sequence("ai.values")
    values = list(found) if found else [span.attributes.get("ai.value")]
    read = [parse_json(value) for value in values if not is_placeholder(value)]
    return tuple(value for value in read if isinstance(value, str)) or None


def _result(span: FinishedSpan) -> Json:
    return parse_json(span.json("ai.toolCall.result"))


def _finish_reasons(span: FinishedSpan) -> tuple[str, ...] | None:
    return span.texts("ai.response.finishReason", "ai.finishReason")


VERCEL_AI: Final = Dialect(
    name="Vercel AI",
    roots=frozenset({"ai"}),
    kind=_kind,
    operation=_operation,
    provider=_provider,
    request_model=text("ai.model.id"),
    response_model=text("ai.response.model"),
    response_id=text("ai.response.id"),
    streaming=_streaming,
    parameters=_parameters,
    tools_offered=_tools_offered,
    input=_input,
    output=_output,
    finish_reasons=_finish_reasons,
    usage=_usage,
    seconds_to_first_token=_seconds_to_first_token,
    embedding_input=_embedding_input,
    tool_name=text("ai.toolCall.name"),
    tool_call_id=text("ai.toolCall.id"),
    arguments=json("ai.toolCall.args", "ai.toolCall.input"),
    result=_result,
    agent_name=text("ai.telemetry.functionId", "resource.name"),
    step_input=json("ai.prompt", "ai.prompt.messages"),
    step_output=json("ai.response.text", "ai.response.object", "ai.response.toolCalls"),
    user_id=text("ai.telemetry.metadata.userId"),
)
