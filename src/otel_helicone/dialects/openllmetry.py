"""OpenLLMetry: what it has of its own, now and in its older versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otel_helicone.dialects.description import Json, Kind, Message
from otel_helicone.dialects.dialect import Dialect, flag, json, lower, tags, text, value_of
from otel_helicone.dialects.messages import (
    ATTRIBUTE_LIMIT,
    read_messages,
    read_rest_of_messages,
)
from otel_helicone.dialects.reading import FinishedSpan, parse_json
from otel_helicone.dialects.token_counts import usage_under

__all__ = ["OPENLLMETRY", "OPENLLMETRY_OLD"]

_KINDS: Final = {
    "workflow": Kind.WORKFLOW,
    "task": Kind.OTHER,
    "agent": Kind.AGENT,
    "tool": Kind.TOOL,
}
_REQUEST_TYPES: Final = {
    "chat": Kind.LLM,
    "completion": Kind.LLM,
    "embedding": Kind.EMBEDDING,
    "rerank": Kind.OTHER,
}
_LLAMA_INDEX: Final = "opentelemetry.instrumentation.llamaindex"
_CLASSES: Final = {"Tool": Kind.TOOL, "Retriever": Kind.RETRIEVAL}
_ASSOCIATION: Final = "traceloop.association.properties."


def _kind(span: FinishedSpan) -> Kind | None:
    told = value_of(_KINDS, "traceloop.span.kind")(span)
    if told in (Kind.OTHER, Kind.WORKFLOW) and span.scope == _LLAMA_INDEX:
        # All of LlamaIndex's own are tasks; the name has the class.
        if span.text("tool.name") is not None:
            return Kind.TOOL
        return next((kind for end, kind in _CLASSES.items() if _class_of(span).endswith(end)), told)
    return told


def _class_of(span: FinishedSpan) -> str:
    return (span.text("traceloop.entity.name") or span.span.name).partition(".")[0]


def _output(span: FinishedSpan) -> Json:
    return parse_json(span.json("traceloop.entity.output"))  # JSON of a text that is JSON itself


def _tool_name(span: FinishedSpan) -> str | None:
    if span.scope == _LLAMA_INDEX:
        return span.text("tool.name")  # else only its class is told, and what it gave
    if span.text("traceloop.span.kind") != "tool":
        return None
    return span.text("traceloop.entity.name")


def _association(*names: str) -> Json:
    return text(*(f"{_ASSOCIATION}{name}" for name in names))


def _properties(span: FinishedSpan) -> Mapping[str, str] | None:
    found: dict[str, str] = {}
    start = f"{_ASSOCIATION}Helicone-Property-"
    for name, value in span.attributes.items():
        if name.startswith(start) and isinstance(value, (str, int, float)):
            found[name[len(start) :].lower()] = str(value)
    return found or None


def _headers(span: FinishedSpan) -> Mapping[str, Json]:
    return span.mapping("gen_ai.headers", "llm.headers")


def _omits(what: str) -> Json:
    header = f"helicone-omit-{what}"

    def read(span: FinishedSpan) -> bool | None:
        told = span.flag(f"{_ASSOCIATION}Helicone-Omit-{what.title()}")
        if told is not None:
            return told
        for name, value in _headers(span).items():
            if name.lower() == header:
                return str(value).lower() == "true"
        return None

    return read


OPENLLMETRY: Final = Dialect(
    name="OpenLLMetry",
    roots=frozenset({"traceloop", "gen_ai", "llm"}),
    kind=_kind,
    streaming=flag("gen_ai.is_streaming"),
    parameters=tags({"gen_ai.user": "user"}),
    tool_name=_tool_name,
    arguments=json("tool.arguments", "traceloop.entity.input"),
    result=_output,
    query=json("traceloop.entity.input"),
    documents=_output,
    agent_name=text("traceloop.entity.name", "traceloop.workflow.name"),
    step_input=json("traceloop.entity.input"),
    step_output=_output,
    user_id=_association("Helicone-User-Id", "user_id"),
    session_id=_association("Helicone-Session-Id"),
    session_path=_association("Helicone-Session-Path"),
    session_name=_association("Helicone-Session-Name"),
    properties=_properties,
    omit_request=_omits("request"),
    omit_response=_omits("response"),
)


def _flat(*prefixes: str, role: str) -> Json:
    def read(span: FinishedSpan) -> tuple[Message, ...] | None:
        for prefix in prefixes:
            found = span.flat_list(prefix)
            if found is not None:
                dropped = span.dropped_before(prefix)
                if dropped:
                    return read_rest_of_messages(found, dropped, ATTRIBUTE_LIMIT, role)
                return read_messages(found, role)
        return None

    return read


def _finish_reasons(span: FinishedSpan) -> tuple[str, ...] | None:
    told = span.text("llm.response.finish_reason", "llm.response.stop_reason")
    if told is not None:
        return (told,)
    for prefix in ("gen_ai.completion", "llm.completions"):
        found = [
            item["finish_reason"]
            for item in span.flat_list(prefix) or ()
            if isinstance(item, dict) and isinstance(item.get("finish_reason"), str)
        ]
        if found:
            return tuple(found)
    return None


def _embedding_input(span: FinishedSpan) -> tuple[str, ...] | None:
    if span.text("llm.request.type") != "embedding":
        return None
    found = _flat("gen_ai.prompt", "llm.prompts", role="user")(span) or ()
    return tuple(part.text for message in found for part in message.parts if part.text) or None


def _tools_offered(span: FinishedSpan) -> tuple[Json, ...] | None:
    found = []
    for item in span.flat_list("llm.request.functions") or ():
        if isinstance(item, dict) and item.get("name"):
            function = dict(item)
            if "parameters" in function:
                function["parameters"] = parse_json(function["parameters"])
            found.append({"type": "function", "function": function})
    return tuple(found) or None


OPENLLMETRY_OLD: Final = Dialect(
    name="OpenLLMetry up to 0.40",
    roots=frozenset({"llm", "gen_ai"}),
    kind=value_of(_REQUEST_TYPES, "llm.request.type"),
    operation=lower("llm.request.type"),
    provider=lower("gen_ai.system", "llm.vendor"),
    request_model=text("llm.request.model"),
    response_model=text("llm.response.model"),
    streaming=flag("llm.is_streaming"),
    parameters=tags(
        {
            "llm.frequency_penalty": "frequency_penalty",
            "llm.presence_penalty": "presence_penalty",
            "llm.top_k": "top_k",
            "llm.temperature": "temperature",
            "llm.top_p": "top_p",
            "llm.request.max_tokens": "max_tokens",
            "llm.chat.stop_sequences": "stop",
            "llm.user": "user",
        }
    ),
    tools_offered=_tools_offered,
    input=_flat("gen_ai.prompt", "llm.prompts", role="user"),
    output=_flat("gen_ai.completion", "llm.completions", role="assistant"),
    finish_reasons=_finish_reasons,
    usage=usage_under("llm.usage"),
    embedding_input=_embedding_input,
)
