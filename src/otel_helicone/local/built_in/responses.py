"""The built-in upstream's ``/v1/responses``."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping

from otel_helicone.local.built_in.chat import most_tokens, server_sent
from otel_helicone.local.built_in.text import MadeText, count_tokens, make_text, seed_of, texts_in
from otel_helicone.local.gateway.usage import model_in

__all__ = ["response"]


def response(asked: Mapping[str, object], body: bytes) -> bytes | list[bytes]:
    """Answer a request of the Responses API.

    Args:
        asked: the request, parsed.
        body: the request's bytes, on which alone the answer's text depends.

    Returns:
        The answer's JSON, or its server-sent events where ``stream`` is true.
    """
    numbers = seed_of(body)
    made = make_text(numbers, most_tokens(asked, "max_output_tokens"))
    message_id = f"msg_{numbers.getrandbits(96):024x}"
    begun: dict[str, object] = {
        "id": f"resp_{numbers.getrandbits(96):024x}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "model": model_in(asked) or "built-in",
        "output": [],
        "error": None,
        "incomplete_details": None,
        "instructions": asked.get("instructions"),
        "metadata": asked.get("metadata") or {},
        "parallel_tool_calls": True,
        "previous_response_id": asked.get("previous_response_id"),
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
    }
    input_tokens = count_tokens(texts_in(asked.get("instructions")) + texts_in(asked.get("input")))
    ended = {
        **begun,
        "status": "incomplete" if made.cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if made.cut else None,
        "output": [_message(message_id, made)],
        "usage": {
            "input_tokens": input_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": len(made.words),
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": input_tokens + len(made.words),
        },
    }
    if asked.get("stream") is not True:
        return json.dumps(ended).encode()
    events = _events(begun, ended, message_id, made)
    return [
        server_sent({**event, "sequence_number": number}, str(event["type"]))
        for number, event in enumerate(events)
    ]


def _part(text: str) -> dict[str, object]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message(message_id: str, made: MadeText) -> dict[str, object]:
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "status": "incomplete" if made.cut else "completed",
        "content": [_part(made.text)],
    }


def _events(
    begun: Mapping[str, object], ended: Mapping[str, object], message_id: str, made: MadeText
) -> Iterator[dict[str, object]]:
    item: dict[str, object] = {"output_index": 0, "item_id": message_id}
    part: dict[str, object] = {**item, "content_index": 0}
    message = _message(message_id, made)
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    yield {
        "type": "response.output_item.added",
        "output_index": 0,
        "item": {**message, "status": "in_progress", "content": []},
    }
    yield {**part, "type": "response.content_part.added", "part": _part("")}
    for word in made.words:
        yield {**part, "type": "response.output_text.delta", "delta": word, "logprobs": []}
    yield {**part, "type": "response.output_text.done", "text": made.text, "logprobs": []}
    yield {**part, "type": "response.content_part.done", "part": _part(made.text)}
    yield {"type": "response.output_item.done", "output_index": 0, "item": message}
    yield {"type": f"response.{ended['status']}", "response": ended}
