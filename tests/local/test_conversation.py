"""What was said, whatever the API: messages, tool calls, images, and bodies of any kind."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_helicone.local.pages.conversation import (
    Conversation,
    Message,
    Part,
    conversation_of,
    readable_json,
)
from otel_helicone.local.pages.session_conversation import session_conversation
from tests.local.session_records import call


def said(asked: Any = None, answered: Any = None) -> Conversation:
    return conversation_of(json.dumps(asked), json.dumps(answered))


def user(text: str) -> Message:
    return Message("user", (Part("text", text),))


def assistant(*parts: Part) -> Message:
    return Message("assistant", parts)


def test_a_chat_with_a_tool() -> None:
    function = {"name": "weather", "arguments": '{"city":"Paris"}'}
    found = said(
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "Rain?"}]},
                {"role": "assistant", "content": None, "tool_calls": [{"function": function}]},
                {"role": "tool", "name": "weather", "content": "yes"},
            ]
        },
        {"choices": [{"message": {"role": "assistant", "content": "It rains.", "refusal": None}}]},
    )
    assert found.asked == (
        Message("system", (Part("text", "Be brief."),)),
        user("Rain?"),
        assistant(Part("tool call", '{\n  "city": "Paris"\n}', "weather")),
        Message("tool", (Part("tool result", "yes", "weather"),)),
    )
    assert found.answered == (assistant(Part("text", "It rains.")),)
    assert found.error is None


def test_the_responses_api() -> None:
    found = said(
        {"instructions": "Be brief.", "input": [{"role": "user", "content": "Rain?"}]},
        {
            "output": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
                {"type": "function_call", "name": "weather", "arguments": "{}"},
                {"type": "message", "content": [{"type": "output_text", "text": "Yes."}]},
            ]
        },
    )
    assert found.asked == (Message("system", (Part("text", "Be brief."),)), user("Rain?"))
    assert found.answered == (
        assistant(Part("reasoning", "Hm.")),
        assistant(Part("tool call", "{}", "weather")),
        assistant(Part("text", "Yes.")),
    )
    assert said({"input": "Rain?"}).asked == (user("Rain?"),)


def test_anthropic_messages() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "9"}]}
    found = said(
        {"system": "Be brief.", "messages": [{"role": "user", "content": [result]}]},
        {
            "type": "message",
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm."},
                {"type": "tool_use", "name": "add", "input": {"a": 1}},
                {"type": "text", "text": "Nine."},
            ],
        },
    )
    assert found.asked[1] == Message("user", (Part("tool result", "9"),))
    (answer,) = found.answered
    assert [(part.kind, part.name) for part in answer.parts] == [
        ("reasoning", ""),
        ("tool call", "add"),
        ("text", ""),
    ]


@pytest.mark.parametrize(
    ("piece", "address"),
    [
        (
            {"type": "image_url", "image_url": {"url": "https://a.test/x.png"}},
            "https://a.test/x.png",
        ),
        ({"type": "input_image", "image_url": "https://a.test/x.png"}, "https://a.test/x.png"),
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"},
            },
            "data:image/png;base64,iVBO",
        ),
    ],
)
def test_images_are_addresses(piece: dict[str, Any], address: str) -> None:
    found = said({"messages": [{"role": "user", "content": [piece]}]})
    assert found.asked == (Message("user", (Part("image", address),)),)


def test_logs_of_tools_and_retrievals() -> None:
    found = said(
        {"_type": "tool", "toolName": "search", "input": {"q": 1}},
        {"_type": "tool", "toolName": "search", "output": [1]},
    )
    assert found.asked[0].role == "tool"
    assert found.asked[0].parts[0].name == "search"
    assert '"q": 1' in found.asked[0].parts[0].text


def test_embeddings_tell_the_size_of_their_vectors() -> None:
    found = said({"input": ["a", "b"]}, {"data": [{"embedding": [0.1] * 3}] * 5})
    assert found.asked == (user("a"), user("b"))
    assert [part.text for part in found.answered[0].parts] == ["3 numbers"] * 3 + ["and 2 more"]


def test_what_the_gateway_keeps_of_a_stream() -> None:
    kept = {"streamed": True, "text": "Hi", "tool_calls": [{"name": "f", "arguments": "{}"}]}
    assert said({}, kept).answered == (assistant(Part("text", "Hi"), Part("tool call", "{}", "f")),)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"error": {"message": "Too many requests", "code": 429}}, "Too many requests"),
        ({"error": "gone"}, "gone"),
        ({"error": {"code": 1}}, '{\n  "code": 1\n}'),
        ({"error": None}, None),
        ([], None),
    ],
)
def test_errors_are_told_in_the_words_of_the_answer(answer: Any, error: str | None) -> None:
    assert said({}, answer).error == error


def test_a_session_says_each_message_once() -> None:
    first = [{"role": "user", "content": "One?"}]
    second = [*first, {"role": "assistant", "content": "1"}, {"role": "user", "content": "Two?"}]
    answers = [{"choices": [{"message": {"role": "assistant", "content": text}}]} for text in "12"]
    steps = session_conversation(
        call(request_body=json.dumps({"messages": asked}), response_body=json.dumps(answer))
        for asked, answer in zip((first, second), answers, strict=True)
    )
    assert [step.repeated for step in steps] == [0, 2]
    assert steps[1].messages == (user("Two?"), assistant(Part("text", "2")))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("messages", "input", "content", "role", "type", "text", "tool_calls"),
                    *("choices", "message", "output", "error", "image_url", "source", "data"),
                    *("_type", "system", "function", "arguments", "summary", "embedding"),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(json_values, json_values)
def test_any_json_is_read_without_a_fault(asked: Any, answered: Any) -> None:
    found = said(asked, answered)
    for message in (*found.asked, *found.answered):
        assert isinstance(message.role, str)
        assert all(isinstance(part.text, str) for part in message.parts)


@given(st.text())
def test_any_text_is_read_without_a_fault(body: str) -> None:
    conversation_of(body, body)
    assert isinstance(readable_json(body), str)


def test_what_is_nested_beyond_reason_is_left_as_it_is() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    assert conversation_of(deep, deep) == Conversation((), (), None)
    assert readable_json(deep) == deep
    nested = json.loads("[" * 400 + "]" * 400)
    assert said({"messages": [{"role": "user", "content": [nested]}]}).asked[0].role == "user"
