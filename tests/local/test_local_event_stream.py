"""Streamed answers put together, wherever the network cuts them."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_helicone.local.gateway.event_stream import EventStream
from otel_helicone.local.gateway.usage import Usage, usage_in

CHAT = (
    'data: {"model":"gpt-4o","choices":[{"delta":{"role":"assistant","content":"Caf"}}]}\r\n\r\n'
    ": a comment\n\n"
    'data: {"choices":[{"delta":{"content":"é 日"},"finish_reason":null}]}\n\n'
    'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"look",'
    '"arguments":"{\\"a\\""}}]}}]}\n\n'
    'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]},'
    '"finish_reason":"tool_calls"}]}\n\n'
    'data: {"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}}\n\n'
    "data: [DONE]\n\n"
).encode()


@given(st.lists(st.integers(0, len(CHAT)), max_size=12))
def test_it_does_not_matter_where_a_stream_is_cut(cuts: list[int]) -> None:
    stream = EventStream(1000)
    edges = [0, *sorted(cuts), len(CHAT)]
    for start, end in pairwise(edges):
        stream.feed(CHAT[start:end])
    assert json.loads(stream.assembled()) == {
        "streamed": True,
        "model": "gpt-4o",
        "text": "Café 日",
        "tool_calls": [{"name": "look", "arguments": '{"a":1}'}],
        "finish_reason": "tool_calls",
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }
    assert stream.ended


@given(st.binary(max_size=300))
def test_any_bytes_are_survived(data: bytes) -> None:
    stream = EventStream(10)
    stream.feed(b"data: " + data + b"\n\n")
    assert json.loads(stream.assembled())["streamed"] is True


def test_responses_and_their_usage_are_read() -> None:
    stream = EventStream(1000)
    stream.feed(b'event: x\ndata: {"type":"response.output_text.delta","delta":"Hi"}\n\n')
    assert '"text": "Hi"' in stream.assembled()
    stream.feed(
        b'data: {"type":"response.completed","response":{"model":"gpt-4o",'
        b'"usage":{"input_tokens":3,"output_tokens":4,"total_tokens":7}}}\n\n'
    )
    assert stream.ended
    assert stream.model == "gpt-4o"
    assert usage_in({"usage": stream.usage}) == Usage(3, 4, 7)


def test_anthropic_messages_tell_their_usage_in_two_places() -> None:
    stream = EventStream(1000)
    stream.feed(
        b'data: {"type":"message_start","message":{"model":"claude","usage":{"input_tokens":11,'
        b'"output_tokens":1}}}\n\n'
        b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"Hi"}}\n\n'
        b'data: {"type":"message_delta","usage":{"output_tokens":7}}\n\n'
        b'data: {"type":"message_stop"}\n\n'
    )
    assert usage_in({"usage": stream.usage}) == Usage(11, 7, 18)
    assert (stream.model, stream.ended) == ("claude", True)


def test_anthropic_tells_a_call_of_a_tool_in_pieces() -> None:
    stream = EventStream(1000)
    stream.feed(
        b'data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use",'
        b'"id":"t","name":"weather","input":{}}}\n\n'
        b'data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta",'
        b'"partial_json":"{\\"city\\": "}}\n\n'
        b'data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta",'
        b'"partial_json":"\\"Rome\\"}"}}\n\n'
    )
    calls = json.loads(stream.assembled())["tool_calls"]
    assert calls == [{"name": "weather", "arguments": '{"city": "Rome"}'}]


def test_a_stream_tells_cached_and_reasoning_tokens_as_an_answer_does() -> None:
    stream = EventStream(1000)
    stream.feed(
        b'data: {"choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":500,'
        b'"total_tokens":1500,"prompt_tokens_details":{"cached_tokens":400},'
        b'"completion_tokens_details":{"reasoning_tokens":100}}}\n\n'
    )
    usage = usage_in(json.loads(stream.assembled()))
    assert usage == Usage(600, 400, 1500, prompt_cache_read_tokens=400, reasoning_tokens=100)


def test_anthropic_counts_its_cached_tokens_apart() -> None:
    stream = EventStream(1000)
    stream.feed(
        b'data: {"type":"message_start","message":{"usage":{"input_tokens":1000,"output_tokens":1,'
        b'"cache_read_input_tokens":200,"cache_creation_input_tokens":300}}}\n\n'
        b'data: {"type":"message_delta","usage":{"input_tokens":0,"output_tokens":500}}\n\n'
    )
    usage = usage_in({"usage": stream.usage})
    assert usage == Usage(
        1000, 500, 1500, prompt_cache_read_tokens=200, prompt_cache_write_tokens=300
    )


def test_a_long_text_is_kept_short() -> None:
    stream = EventStream(4)
    stream.feed(b'data: {"choices":[{"delta":{"content":"abcdef"}}]}\n\n')
    assert json.loads(stream.assembled())["text"] == "abcd"
    assert json.loads(stream.assembled())["characters_left_out"] == 2


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (
            {"usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}},
            Usage(1, 2, 3),
        ),
        ({"usage": {"input_tokens": 1, "output_tokens": 2}}, Usage(1, 2, 3)),
        ({"usage": {"prompt_tokens": "5", "total_tokens": "5"}}, Usage(5, 0, 5)),
        ({"usage": {"prompt_tokens": -1, "completion_tokens": 1.5}}, Usage(0, 0, 0)),
        ({"usage": {"prompt_tokens": True, "completion_tokens": 10**30}}, Usage(0, 0, 0)),
        ({"usage": None}, None),
        (["usage"], None),
        (None, None),
    ],
)
def test_usage_is_read_in_every_shape(body: object, usage: Usage | None) -> None:
    assert usage_in(body) == usage
