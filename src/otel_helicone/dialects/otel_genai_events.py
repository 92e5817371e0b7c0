"""OpenTelemetry's GenAI conventions up to 1.36: messages as span events, and older names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from otel_helicone.dialects.description import Json, Message
from otel_helicone.dialects.dialect import Dialect, lower, messages
from otel_helicone.dialects.messages import EVENT_LIMIT, read_messages, read_rest_of_messages
from otel_helicone.dialects.reading import FinishedSpan, as_text, parse_json

__all__ = ["OTEL_GENAI_EVENTS"]

_ROLES: Final = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
    "gen_ai.choice": "assistant",
}
# What blocks of Amazon Bedrock's Converse API are named by.
_BEDROCK_BLOCKS: Final = frozenset({"text", "toolUse", "toolResult", "reasoningContent", "image"})
_DETAILS: Final = "gen_ai.client.inference.operation.details"


def _body(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the message of an event: JSON in one attribute, or in attributes of their own."""
    content = parse_json(attributes.get("gen_ai.event.content"))
    if isinstance(content, dict):
        return content
    body = {name: parse_json(value) for name, value in attributes.items()}
    # Texts stay texts, whatever they look like, save the blocks that strands puts there.
    for name in ("content", "id", "role"):
        if isinstance(attributes.get(name), str) and not _are_bedrock_blocks(body[name]):
            body[name] = attributes[name]
    return body


def _are_bedrock_blocks(value: Json) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(item, dict) and len(item) == 1 and not _BEDROCK_BLOCKS.isdisjoint(item)
            for item in value
        )
    )


def _from_events(span: FinishedSpan, *, choices: bool) -> tuple[Message, ...] | None:
    found: list[Message] = []
    for event in span.span.events:
        role = _ROLES.get(event.name)
        if role is None or (event.name == "gen_ai.choice") is not choices:
            continue
        body = _body(event.attributes or {})
        if isinstance(body.get("message"), list):  # blocks of one message, as strands has them
            body = {**body, "content": body["message"], "message": None}
        found.extend(read_messages({"role": role, **body}, role) or ())
    if found and span.span.dropped_events and not choices:
        # The SDK drops the oldest; which of those were messages is not known.
        return (*read_rest_of_messages([], 0, EVENT_LIMIT), *found)
    return tuple(found) or None


def _from_whole(span: FinishedSpan, event: str, *names: str) -> tuple[Message, ...] | None:
    role = "assistant" if "completion" in event or "output" in names[0] else "user"
    for found in span.span.events:
        if found.name != event:
            continue
        for name in names:
            read = read_messages(parse_json((found.attributes or {}).get(name)), role)
            if read is not None:
                return read
    return None


def _input(span: FinishedSpan) -> tuple[Message, ...] | None:
    return (
        _from_events(span, choices=False)
        or _with_system(span)
        or _from_whole(span, "gen_ai.content.prompt", "gen_ai.prompt")
        or messages("gen_ai.prompt")(span)
    )


def _with_system(span: FinishedSpan) -> tuple[Message, ...] | None:
    found = _from_whole(span, _DETAILS, "gen_ai.input.messages")
    system = _from_whole(span, _DETAILS, "gen_ai.system_instructions")
    if system is None:
        return found
    parts = tuple(part for message in system for part in message.parts)
    return (Message("system", parts), *(found or ()))


def _output(span: FinishedSpan) -> tuple[Message, ...] | None:
    return (
        _from_events(span, choices=True)
        or _from_whole(span, _DETAILS, "gen_ai.output.messages")
        or _from_whole(span, "gen_ai.content.completion", "gen_ai.completion")
        or messages("gen_ai.completion", role="assistant")(span)
    )


def _of_tool(span: FinishedSpan, event: str, key: str) -> Json:
    """Return what a tool went in with or came out with, as Strands has it."""
    for found in span.span.events:
        if found.name == event:
            return _body(found.attributes or {}).get(key)
    return None


def _arguments(span: FinishedSpan) -> Json:
    told = _of_tool(span, "gen_ai.tool.message", "content")
    if told is not None:
        return told
    asked = _from_whole(span, _DETAILS, "gen_ai.input.messages") or ()
    return next((call.arguments for message in asked for call in message.tool_calls), None)


def _result(span: FinishedSpan) -> Json:
    told = _of_tool(span, "gen_ai.choice", "message")
    if told is not None:
        return told
    given = _from_whole(span, _DETAILS, "gen_ai.output.messages") or ()
    return next((part.text for message in given for part in message.parts), None)


def _tool_call_id(span: FinishedSpan) -> str | None:
    return as_text(_of_tool(span, "gen_ai.tool.message", "id"))


def _finish_reasons(span: FinishedSpan) -> tuple[str, ...] | None:
    found = _output(span) or ()
    return tuple(message.finish_reason for message in found if message.finish_reason) or None


def _seconds_to_first_token(span: FinishedSpan) -> float | None:
    found = span.number("gen_ai.server.time_to_first_token")
    if found is not None and span.scope.startswith("strands"):
        return found / 1000  # milliseconds there, against the conventions
    return found


OTEL_GENAI_EVENTS: Final = Dialect(
    name="OpenTelemetry GenAI up to 1.36",
    roots=frozenset({"gen_ai"}),
    provider=lower("gen_ai.system"),
    input=_input,
    output=_output,
    finish_reasons=_finish_reasons,
    seconds_to_first_token=_seconds_to_first_token,
    tool_call_id=_tool_call_id,
    arguments=_arguments,
    result=_result,
)
