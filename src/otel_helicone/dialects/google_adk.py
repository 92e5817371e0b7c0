"""Google's Agent Development Kit: ``gcp.vertex.agent.*``, in the shape of Gemini's API."""

from __future__ import annotations

from typing import Final

from otel_helicone.dialects.description import Json, Message
from otel_helicone.dialects.dialect import Dialect
from otel_helicone.dialects.messages import read_messages
from otel_helicone.dialects.reading import FinishedSpan, as_text
from otel_helicone.dialects.token_counts import usage_in

__all__ = ["GOOGLE_ADK"]

_START: Final = "gcp.vertex.agent."
# Written where there is nothing, or where content is switched off.
_NOTHING: Final[tuple[Json, ...]] = ({}, "N/A", "<not specified>", {"result": "<not specified>"})


def _value(name: str, span: FinishedSpan) -> Json:
    found = span.json(f"{_START}{name}")
    return None if found in _NOTHING else found


def _input(span: FinishedSpan) -> tuple[Message, ...] | None:
    asked = span.mapping(f"{_START}llm_request")
    found = read_messages(asked.get("contents"))
    config = asked.get("config")
    system = config.get("system_instruction") if isinstance(config, dict) else None
    told = read_messages(system, "system") if system else None
    return (*(told or ()), *(found or ())) or None


def _output(span: FinishedSpan) -> tuple[Message, ...] | None:
    return read_messages(span.mapping(f"{_START}llm_response").get("content"), "assistant")


def _finish_reasons(span: FinishedSpan) -> tuple[str, ...] | None:
    told = as_text(span.mapping(f"{_START}llm_response").get("finish_reason"))
    return None if told is None else (told,)


GOOGLE_ADK: Final = Dialect(
    name="Google ADK",
    roots=frozenset({"gcp"}),
    input=_input,
    output=_output,
    finish_reasons=_finish_reasons,
    usage=lambda span: usage_in(span.mapping(f"{_START}llm_response").get("usage_metadata")),
    arguments=lambda span: _value("tool_call_args", span),
    result=lambda span: _value("tool_response", span),
)
