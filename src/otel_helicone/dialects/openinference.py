"""OpenInference, as Arize's instrumentations write it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_helicone.dialects.description import Json, Kind, Message
from otel_helicone.dialects.dialect import Dialect, json, lower, text, value_of
from otel_helicone.dialects.messages import (
    ATTRIBUTE_LIMIT,
    read_messages,
    read_rest_of_messages,
    text_message,
)
from otel_helicone.dialects.reading import FinishedSpan, is_placeholder, parse_json
from otel_helicone.dialects.token_counts import usage_under
from otel_helicone.dialects.wire import (
    WireCall,
    parameters_in,
    wire_request,
    wire_response,
)
from otel_helicone.primitives.known_spans import name_of_step

__all__ = ["OPENINFERENCE"]

_KINDS: Final = {
    "llm": Kind.LLM,
    "embedding": Kind.EMBEDDING,
    "tool": Kind.TOOL,
    "retriever": Kind.RETRIEVAL,
    "agent": Kind.AGENT,
    "chain": Kind.WORKFLOW,
}
_COUNTED: Final = usage_under("llm.token_count")
_HIDDEN: Final = "__REDACTED__"
_NO_ID: Final = "__fake_id__"


def _kind(span: FinishedSpan) -> Kind | None:
    told = span.text("openinference.span.kind")
    if told is None:
        return None
    if span.span.name.endswith("._prepare_chat_with_tools"):
        return Kind.OTHER  # a preparation of LlamaIndex's that claims to be a call
    return _KINDS.get(told.lower(), Kind.OTHER)


def _parameters(span: FinishedSpan) -> Mapping[str, Json] | None:
    asked = _request(span).parameters if _is_call(span) else None
    return {**(asked or {}), **(parameters_in(_invocation(span)) or {})} or None


def _invocation(span: FinishedSpan) -> Mapping[str, Json]:
    return span.mapping("llm.invocation_parameters", "embedding.invocation_parameters")


def _request(span: FinishedSpan) -> WireCall:
    return span.once(_read_request)


def _read_request(span: FinishedSpan) -> WireCall:
    return wire_request(span.json("input.value"))


def _response(span: FinishedSpan) -> WireCall:
    return span.once(_read_response)


def _read_response(span: FinishedSpan) -> WireCall:
    told = span.json("output.value")
    if isinstance(told, list) and len(told) == 1 and isinstance(told[0], dict):
        # A streamed chat of openai-agents, in the form of a Responses answer: its id and its model
        # are made up.
        (told,) = told
        if told.get("id") == _NO_ID:
            told = {**told, "id": None, "model": None}
    return wire_response(told)


def _request_model(span: FinishedSpan) -> str | None:
    told = span.text("llm.request.model_name")
    if told is not None:
        return told
    for name in ("model", "model_name"):
        asked = _invocation(span).get(name)
        if isinstance(asked, str) and asked:
            return asked
    return (
        _request(span).model
        or span.text("embedding.model_name")
        or (span.text("llm.model_name") if _failed(span) else None)
    )


def _failed(span: FinishedSpan) -> bool:
    return not span.span.status.is_ok


def _response_model(span: FinishedSpan) -> str | None:
    told = span.text("llm.response.model_name") or _response(span).model
    if told is not None:
        return told
    # At the end of a call it is the model that answered; before that, and of one that failed, the
    # one that was asked for.
    return None if _failed(span) else span.text("llm.model_name", "embedding.model_name")


def _streaming(span: FinishedSpan) -> bool | None:
    asked = _invocation(span).get("stream")
    if asked is None:
        asked = _request(span).streaming
    if asked or any(event.name == "First Token Stream Event" for event in span.span.events):
        return True
    return asked if isinstance(asked, bool) else None


def _seconds_to_first_token(span: FinishedSpan) -> float | None:
    for event in span.span.events:
        if event.name == "First Token Stream Event" and span.span.start_time is not None:
            return max(event.timestamp - span.span.start_time, 0) / 1e9
    return None


def _is_call(span: FinishedSpan) -> bool:
    return _kind(span) in (Kind.LLM, Kind.EMBEDDING, None)


def _input(span: FinishedSpan) -> tuple[Message, ...] | None:
    if not _is_call(span):
        return None
    listed = [_message(item) for item in span.flat_list("llm.input_messages") or ()]
    dropped = span.dropped_before("llm.input_messages")
    found = (
        read_rest_of_messages(listed, dropped, ATTRIBUTE_LIMIT)
        if dropped
        else read_messages(listed)
    )
    # Only the dump holds all of what some instrumentations leave out of the list.
    asked = _request(span).messages
    if found is None:
        prompts = span.flat_list("llm.prompts")
        if prompts is not None:
            return read_messages([_prompt(item) for item in prompts])
    if found is None and asked is None:
        value = span.json("input.value")
        return text_message("user", value) if isinstance(value, str) else None
    if found is None or (asked is not None and (dropped or len(asked) > len(found))):
        return asked
    return found


def _output(span: FinishedSpan) -> tuple[Message, ...] | None:
    if not _is_call(span):
        return None
    listed = [_message(item) for item in span.flat_list("llm.output_messages") or ()]
    found = read_messages(listed, "assistant")
    if found is not None:
        return found
    choices = span.flat_list("llm.choices")
    if choices is not None:
        return read_messages([_prompt(item) for item in choices], "assistant")
    answered = _response(span).messages
    if answered is not None:
        return answered
    value = span.json("output.value")
    return text_message("assistant", value) if isinstance(value, str) else None


def _message(item: Json) -> Json:
    inner = item.get("message") if isinstance(item, dict) else None
    return inner if isinstance(inner, dict) else item


def _prompt(item: Json) -> Json:
    if isinstance(item, dict):
        for name in ("prompt", "completion"):
            inner = item.get(name)
            if isinstance(inner, dict):
                return inner.get("text")
    return item


def _finish_reasons(span: FinishedSpan) -> tuple[str, ...] | None:
    return span.texts("llm.finish_reason") or _response(span).finish_reasons


def _tools_offered(span: FinishedSpan) -> tuple[Json, ...] | None:
    found = []
    for item in span.flat_list("llm.tools") or ():
        tool: Any = item.get("tool") if isinstance(item, dict) else None
        schema = parse_json(tool.get("json_schema")) if isinstance(tool, dict) else None
        if schema is not None:
            found.append(schema)
    if found:
        return tuple(found)
    asked = _invocation(span).get("tools")
    return tuple(asked) if isinstance(asked, list) and asked else _request(span).tools


def _embedding_input(span: FinishedSpan) -> tuple[str, ...] | None:
    found = []
    for item in span.flat_list("embedding.embeddings") or ():
        embedding = item.get("embedding") if isinstance(item, dict) else None
        told = embedding.get("text") if isinstance(embedding, dict) else None
        if isinstance(told, str) and not is_placeholder(told):
            found.append(told)
    return tuple(found) or _request(span).embedding_input or _asked_texts(span)


def _asked_texts(span: FinishedSpan) -> tuple[str, ...] | None:
    asked = span.json("input.value")
    return span.texts("input.value") if isinstance(asked, (str, list)) else None


def _arguments(span: FinishedSpan) -> Json:
    found = span.json("input.value")
    return found if found is not None else span.json("tool.parameters")


def _documents(span: FinishedSpan) -> tuple[Json, ...] | None:
    found = []
    for item in span.flat_list("retrieval.documents") or ():
        document = item.get("document") if isinstance(item, dict) else None
        if isinstance(document, dict):
            found.append({name: _parsed(name, value) for name, value in document.items()})
    return tuple(found) or None


def _parsed(name: str, value: Json) -> Json:
    return parse_json(value) if name == "metadata" else value


def _tool_name(span: FinishedSpan) -> str | None:
    told = span.text("tool.name")
    if told is None and _kind(span) is Kind.TOOL:
        return name_of_step(span.scope, span.span.name)
    return told


OPENINFERENCE: Final = Dialect(
    name="OpenInference",
    roots=frozenset({"openinference", "llm", "input", "output", "embedding", "tool", "retrieval"}),
    kind=_kind,
    operation=value_of({"llm": "chat", "embedding": "embeddings"}, "openinference.span.kind"),
    provider=lower("llm.provider", "llm.system"),
    request_model=_request_model,
    response_model=_response_model,
    response_id=lambda span: _response(span).id if _is_call(span) else None,
    streaming=_streaming,
    parameters=_parameters,
    tools_offered=_tools_offered,
    input=_input,
    output=_output,
    finish_reasons=_finish_reasons,
    usage=lambda span: _COUNTED(span) or (_response(span).usage if _is_call(span) else None),
    seconds_to_first_token=_seconds_to_first_token,
    embedding_input=_embedding_input,
    tool_name=_tool_name,
    tool_call_id=text("tool.id", "tool_call.id"),
    arguments=_arguments,
    result=json("output.value"),
    query=json("input.value"),
    documents=_documents,
    agent_name=text("agent.name", "graph.node.name"),
    step_input=json("input.value"),
    step_output=json("output.value"),
    user_id=text("user.id"),
    # Switched off; of embeddings the instrumentation leaves the texts on the span all the same.
    omit_request=lambda span: span.attributes.get("input.value") == _HIDDEN or None,
    omit_response=lambda span: span.attributes.get("output.value") == _HIDDEN or None,
)
