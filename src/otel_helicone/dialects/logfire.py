"""Logfire's instrumentation of openai and openai-agents, and pydantic-ai's own spans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otel_helicone.dialects.description import Json, Kind, Message, Usage
from otel_helicone.dialects.dialect import Dialect, json, text, texts
from otel_helicone.dialects.messages import read_messages
from otel_helicone.dialects.reading import FinishedSpan, parse_json
from otel_helicone.dialects.token_counts import usage_in
from otel_helicone.dialects.wire import WireCall, parameters_in, wire_request, wire_response

__all__ = ["LOGFIRE", "PYDANTIC_AI"]

# What only an answer brings.
_ANSWERED: Final = frozenset(
    {
        "gen_ai.output.messages",
        "gen_ai.response.id",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.raw",
        "response_data",
    }
)
# The kinds of openai-agents' spans stand in their message templates alone.
_TEMPLATES: Final = {"Function:": Kind.TOOL, "Agent run:": Kind.AGENT}


def _asked(span: FinishedSpan) -> WireCall:
    return wire_request(span.json("request_data"))


def _answered(span: FinishedSpan) -> WireCall:
    return wire_response(span.json("response_data"))


def _template(span: FinishedSpan) -> str:
    return span.text("logfire.msg_template") or ""


def _kind(span: FinishedSpan) -> Kind | None:
    if not span.scope.startswith("logfire"):
        return None
    for start, kind in _TEMPLATES.items():
        if _template(span).startswith(start):
            return kind
    return None


def _is_call(span: FinishedSpan) -> bool:
    return span.scope.startswith("logfire") and span.text("gen_ai.request.model") is not None


def _input(span: FinishedSpan) -> tuple[Message, ...] | None:
    if not _is_call(span):
        return None
    found = read_messages(span.json("raw_input", "input"))
    if found is not None:
        # The Responses API has its system prompt beside the messages.
        system = read_messages(span.mapping("response").get("instructions"), "system")
        return (*(system or ()), *found)
    return span.once(_asked).messages or _from_events(span, choices=False)


def _output(span: FinishedSpan) -> tuple[Message, ...] | None:
    if not _is_call(span):
        return None
    return (
        span.once(_answered).messages
        or wire_response(span.json("response")).messages
        or read_messages(span.json("output"), "assistant")
        or _from_events(span, choices=True)
    )


def _from_events(span: FinishedSpan, *, choices: bool) -> tuple[Message, ...] | None:
    """Read messages that stand in one attribute as a list of the former span events."""
    found: list[Json] = []
    for event in span.sequence("events", "all_messages_events") or ():
        if not isinstance(event, dict):
            continue
        name = event.get("event.name")
        if (name == "gen_ai.choice") is choices:
            role = str(name).removeprefix("gen_ai.").removesuffix(".message")
            body = {key: value for key, value in event.items() if "." not in key}
            found.append({"role": "assistant" if choices else role, **body})
    return read_messages(found, "assistant" if choices else "user")


def _usage(span: FinishedSpan) -> Usage | None:
    if not _is_call(span):
        return None  # turns and tasks repeat the usage of the calls below them
    return usage_in(span.json("gen_ai.usage.raw", "usage")) or (span.once(_answered).usage)


def _parameters(span: FinishedSpan) -> Mapping[str, Json] | None:
    # Of the OpenAI Agents SDK the settings stand apart.
    asked = span.once(_asked).parameters
    return {**(parameters_in(span.json("model_config")) or {}), **(asked or {})} or None


def _tools_offered(span: FinishedSpan) -> tuple[Json, ...] | None:
    asked = span.once(_asked).tools
    if asked is not None:
        return asked
    tools = span.mapping("response").get("tools")
    return tuple(tools) if isinstance(tools, list) and tools and _is_call(span) else None


def _is_openai(span: FinishedSpan) -> bool:
    return span.scope == "logfire.openai"


def _is_opening(span: FinishedSpan) -> bool | None:
    """Return whether a span is that of a stream that ends with the headers of the answer.

    A second one, written as a log when the stream has ended, has the answer and the usage.
    """
    if not _is_openai(span) or span.text("logfire.span_type") != "span":
        return None
    answered = not _ANSWERED.isdisjoint(span.attributes)
    failed = not span.span.status.is_ok
    return None if answered or failed or not _is_call(span) else True


def _is_completion(span: FinishedSpan) -> bool | None:
    is_log = _is_openai(span) and span.text("logfire.span_type") == "log"
    return (is_log and _template(span).startswith("streaming response from")) or None


def _streaming(span: FinishedSpan) -> bool | None:
    return span.once(_asked).streaming


def _named(span: FinishedSpan) -> str | None:
    return span.text("name") if _kind(span) is not None else None


LOGFIRE: Final = Dialect(
    name="Logfire",
    roots=frozenset({"logfire"}),
    kind=_kind,
    response_id=lambda span: (
        (span.text("response_id") or wire_response(span.json("response")).id)
        if _is_call(span)
        else None
    ),
    streaming=_streaming,
    parameters=_parameters,
    tools_offered=_tools_offered,
    input=_input,
    output=_output,
    usage=_usage,
    embedding_input=lambda span: span.once(_asked).embedding_input if _is_call(span) else None,
    tool_name=_named,
    arguments=lambda span: span.json("input") if _kind(span) is Kind.TOOL else None,
    result=lambda span: span.json("output") if _kind(span) is Kind.TOOL else None,
    agent_name=_named,
    is_opening=_is_opening,
    is_completion=_is_completion,
)


def _pydantic_kind(span: FinishedSpan) -> Kind | None:
    if span.json("pydantic_ai.all_messages", "all_messages_events", "final_result") is not None:
        return Kind.AGENT
    if span.scope != "pydantic-ai":
        return None
    if span.text("gen_ai.tool.name") is not None:
        return Kind.TOOL
    if span.text("gen_ai.agent.name", "agent_name") is not None:
        return Kind.AGENT
    return None


PYDANTIC_AI: Final = Dialect(
    name="Pydantic AI",
    roots=frozenset(
        {
            "all_messages_events",
            "events",
            "final_result",
            "gen_ai",
            "inputs",
            "model_request_parameters",
            "pydantic_ai",
            "tool_arguments",
            "tool_response",
        }
    ),
    kind=_pydantic_kind,
    input=lambda span: _from_events(span, choices=False),
    output=lambda span: _from_events(span, choices=True),
    embedding_input=texts("inputs"),
    arguments=lambda span: parse_json(span.json("tool_arguments")),
    result=json("tool_response"),
    agent_name=text("agent_name"),
    step_input=json("pydantic_ai.all_messages", "all_messages_events"),
    step_output=json("final_result"),
)
