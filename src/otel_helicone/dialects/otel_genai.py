"""OpenTelemetry's GenAI conventions, as they are now."""

from __future__ import annotations

from typing import Final

from otel_helicone.dialects.description import Json, Kind, Message
from otel_helicone.dialects.dialect import (
    Dialect,
    flag,
    json,
    lower,
    messages,
    number,
    tags,
    text,
)
from otel_helicone.dialects.reading import FinishedSpan
from otel_helicone.dialects.streamed_answers import whole_answer
from otel_helicone.dialects.token_counts import usage_under

__all__ = ["OTEL_GENAI", "OTEL_GENAI_BARE"]

_KINDS: Final = {
    "chat": Kind.LLM,
    "completion": Kind.LLM,
    "generate_content": Kind.LLM,
    "response": Kind.LLM,
    "responses": Kind.LLM,
    "text_completion": Kind.LLM,
    "embedding": Kind.EMBEDDING,
    "embeddings": Kind.EMBEDDING,
    "execute_tool": Kind.TOOL,
    "retrieval": Kind.RETRIEVAL,
    "search_memory": Kind.RETRIEVAL,
    "vector_db_retrieve": Kind.RETRIEVAL,
    "agent_step": Kind.AGENT,
    "create_agent": Kind.AGENT,
    "invoke_agent": Kind.AGENT,
    "invoke_swarm": Kind.AGENT,
    "plan": Kind.AGENT,
    "invoke_workflow": Kind.WORKFLOW,
}

_PARAMETERS: Final = {
    "gen_ai.request.temperature": "temperature",
    "gen_ai.request.top_p": "top_p",
    "gen_ai.request.top_k": "top_k",
    "gen_ai.request.max_tokens": "max_tokens",
    "gen_ai.request.max_completion_tokens": "max_completion_tokens",
    "gen_ai.request.frequency_penalty": "frequency_penalty",
    "gen_ai.request.presence_penalty": "presence_penalty",
    "gen_ai.request.stop_sequences": "stop",
    "gen_ai.request.seed": "seed",
    "gen_ai.request.choice.count": "n",
    "gen_ai.request.n": "n",
    "gen_ai.request.reasoning.level": "reasoning_effort",
    "gen_ai.request.reasoning_effort": "reasoning_effort",
    "gen_ai.request.previous_response.id": "previous_response_id",
    "gen_ai.request.service_tier": "service_tier",
    "gen_ai.embeddings.dimension.count": "dimensions",
    "gen_ai.openai.request.service_tier": "service_tier",
    "gen_ai.openai.request.seed": "seed",
    "openai.request.service_tier": "service_tier",
}
"""Where parameters stand, and what OpenAI's API calls them."""


def _kind(span: FinishedSpan) -> Kind | None:
    operation = span.text("gen_ai.operation.name")
    return None if operation is None else _KINDS.get(operation.lower(), Kind.OTHER)


def _bare_kind(span: FinishedSpan) -> Kind | None:
    """Return the kind of what has a provider and a model, but no name of its operation."""
    if span.text("gen_ai.request.model", "gen_ai.response.model") is None:
        return None
    if span.text("ag2.span.type") == "usage":
        return None  # AG2 repeats so the tokens of calls that have spans of their own
    told = span.text("gen_ai.provider.name", "gen_ai.system")
    return Kind.LLM if told is not None else None


def _input(span: FinishedSpan) -> tuple[Message, ...] | None:
    found = messages("gen_ai.input.messages")(span)
    instructions = messages("gen_ai.system_instructions", role="system")(span)
    if instructions is None:
        return found
    # Parts without a role: all of them are one message.
    parts = tuple(part for message in instructions for part in message.parts)
    return (Message("system", parts), *(found or ()))


def _output(span: FinishedSpan) -> tuple[Message, ...] | None:
    found = messages("gen_ai.output.messages", role="assistant")(span)
    return None if found is None else whole_answer(found)


def _finish_reasons(span: FinishedSpan) -> tuple[str, ...] | None:
    found = span.texts("gen_ai.response.finish_reasons", "gen_ai.response.finish_reason")
    if found is not None:
        return found
    out = messages("gen_ai.output.messages", role="assistant")(span) or ()
    return tuple(message.finish_reason for message in out if message.finish_reason) or None


def _request_model(span: FinishedSpan) -> str | None:
    asked = span.text("gen_ai.request.model")
    if "llm.invocation_parameters" in span.attributes and asked == span.text(
        "gen_ai.response.model"
    ):
        return None  # OpenInference, writing both dialects, gives the model that answered as both
    return asked


def _parameters(span: FinishedSpan) -> dict[str, Json] | None:
    found = dict(tags(_PARAMETERS)(span) or {})
    formats = span.texts("gen_ai.request.encoding_formats")
    if formats is not None:
        found["encoding_format"] = formats[0]
    schema = span.json("gen_ai.request.structured_output_schema")
    if schema is not None:
        found["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif (form := span.text("gen_ai.openai.request.response_format")) is not None:
        found["response_format"] = {"type": form}
    elif span.text("gen_ai.output.type") == "json":
        found["response_format"] = {"type": "json_object"}
    return found or None


def _tools_offered(span: FinishedSpan) -> tuple[Json, ...] | None:
    found = span.sequence("gen_ai.tool.definitions")
    return tuple(found) if found else None


def _embedding_input(span: FinishedSpan) -> tuple[str, ...] | None:
    if (span.text("gen_ai.operation.name") or "").lower() not in ("embeddings", "embedding"):
        return None
    found = messages("gen_ai.input.messages")(span)
    if found is None:
        return None
    return tuple(part.text for message in found for part in message.parts if part.text) or None


OTEL_GENAI: Final = Dialect(
    name="OpenTelemetry GenAI",
    roots=frozenset({"gen_ai", "openai"}),
    kind=_kind,
    operation=lower("gen_ai.operation.name"),
    provider=lower("gen_ai.provider.name"),
    request_model=_request_model,
    response_model=text("gen_ai.response.model"),
    response_id=text("gen_ai.response.id"),
    streaming=flag("gen_ai.request.stream"),
    parameters=_parameters,
    tools_offered=_tools_offered,
    input=_input,
    output=_output,
    finish_reasons=_finish_reasons,
    usage=usage_under("gen_ai.usage"),
    seconds_to_first_token=number(
        "gen_ai.response.time_to_first_chunk", "gen_ai.client.operation.time_to_first_chunk"
    ),
    embedding_input=_embedding_input,
    tool_name=text("gen_ai.tool.name"),
    tool_call_id=text("gen_ai.tool.call.id"),
    arguments=json("gen_ai.tool.call.arguments"),
    result=json("gen_ai.tool.call.result"),
    query=text("gen_ai.retrieval.query.text"),
    documents=json("gen_ai.retrieval.documents"),
    agent_name=text("gen_ai.agent.name", "gen_ai.workflow.name"),
    step_input=json("gen_ai.input.messages"),
    step_output=json("gen_ai.output.messages"),
)

OTEL_GENAI_BARE: Final = Dialect(
    name="OpenTelemetry GenAI without operation names",
    roots=frozenset({"gen_ai"}),
    kind=_bare_kind,
)
