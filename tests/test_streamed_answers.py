"""Answers that instrumentations note chunk by chunk, one message each."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_helicone.dialects.describe import describe
from otel_helicone.dialects.description import Message, Part, ToolCall
from tests.made_spans import CHAT, span


def message(*parts: dict[str, Any], finish_reason: str | None = "") -> dict[str, Any]:
    return {"role": "assistant", "parts": list(parts), "finish_reason": finish_reason}


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


def call(arguments: Any, call_id: str | None = "call_1") -> dict[str, Any]:
    return {"type": "tool_call", "id": call_id, "name": "weather", "arguments": arguments}


def answers(*messages: dict[str, Any]) -> tuple[Message, ...] | None:
    return describe(span({**CHAT, "gen_ai.output.messages": json.dumps(messages)})).output


def test_chunks_are_one_answer() -> None:
    assert answers(
        message(text("It is ")), message(text("sunny.")), message(finish_reason="stop")
    ) == (Message("assistant", (Part("text", "It is sunny."),), finish_reason="stop"),)


def test_a_last_message_with_the_whole_is_not_added_to_the_chunks() -> None:
    assert answers(
        message(text("It is ")),
        message(text("sunny.")),
        message(text("It is sunny."), finish_reason="stop"),
    ) == (Message("assistant", (Part("text", "It is sunny."),), finish_reason="stop"),)


def test_a_call_whose_arguments_come_later_is_one_call() -> None:
    assert answers(message(call(None)), message(call({"city": "Rome"}), finish_reason="stop")) == (
        Message(
            "assistant",
            tool_calls=(ToolCall("call_1", "weather", {"city": "Rome"}),),
            finish_reason="stop",
        ),
    )


def test_calls_without_ids_are_calls_of_their_own() -> None:
    (whole,) = (
        answers(
            message(call({"city": "Rome"}, None)),
            message(call({"city": "Rome"}, None), finish_reason="stop"),
        )
        or ()
    )
    assert len(whole.tool_calls) == 2


def test_thoughts_of_chunks_are_joined() -> None:
    thought = {"type": "reasoning", "content": "I have to "}
    more = {"type": "reasoning", "content": "look."}
    (whole,) = (
        answers(message(thought), message(more), message(text("Sunny."), finish_reason="stop"))
        or ()
    )
    assert whole.reasoning == "I have to look."
    assert whole.parts == (Part("text", "Sunny."),)


@pytest.mark.parametrize("reasons", [("stop", "stop"), ("stop", ""), ("", "")])
def test_choices_stay_apart(reasons: tuple[str, str]) -> None:
    first, second = (message(text(reason), finish_reason=reason) for reason in reasons)
    found = answers(
        {**first, "parts": [text("Sunny.")]}, {**second, "parts": [text("Not a cloud.")]}
    )
    assert [said.parts[0].text for said in found or ()] == ["Sunny.", "Not a cloud."]


@given(st.lists(st.text(min_size=1), min_size=2), st.booleans())
def test_whatever_the_chunks_the_text_is_whole(chunks: list[str], is_repeated: bool) -> None:
    whole = "".join(chunks)
    last = whole if is_repeated else ""
    found = answers(
        *(message(text(chunk)) for chunk in chunks),
        message(text(last), finish_reason="stop"),
    )
    assert found == (Message("assistant", (Part("text", whole),), finish_reason="stop"),)
