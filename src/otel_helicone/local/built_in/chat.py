"""The built-in upstream's ``/v1/chat/completions``."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping

from otel_helicone.local.built_in.text import MadeText, count_tokens, make_text, seed_of, texts_in
from otel_helicone.local.gateway.usage import member, model_in

__all__ = ["chat_completion", "most_tokens", "server_sent"]


def most_tokens(asked: Mapping[str, object], *names: str) -> int | None:
    """Give the limit of tokens that a request sets under one of these names."""
    for name in names:
        value = asked.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def server_sent(data: object, event: str | None = None) -> bytes:
    """Give one server-sent event.

    Args:
        data: what becomes its JSON.
        event: the event's name, where it has one.
    """
    head = "" if event is None else f"event: {event}\n"
    return f"{head}data: {json.dumps(data)}\n\n".encode()


def chat_completion(asked: Mapping[str, object], body: bytes) -> bytes | list[bytes]:
    """Answer a chat.

    Args:
        asked: the request, parsed.
        body: the request's bytes, on which alone the answer's text depends.

    Returns:
        The answer's JSON, or its server-sent events where ``stream`` is true.
    """
    numbers = seed_of(body)
    made = make_text(numbers, most_tokens(asked, "max_completion_tokens", "max_tokens"))
    head = {
        "id": f"chatcmpl-{numbers.getrandbits(96):024x}",
        "created": int(time.time()),
        "model": model_in(asked) or "built-in",
    }
    prompt_tokens = count_tokens(texts_in(asked.get("messages")))
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": len(made.words),
        "total_tokens": prompt_tokens + len(made.words),
    }
    finish_reason = "length" if made.cut else "stop"
    if asked.get("stream") is True:
        wants_usage = member(asked, "stream_options", "include_usage") is True
        return list(_events(head, made, finish_reason, usage if wants_usage else None))
    message = {"role": "assistant", "content": made.text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
    answer = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
    return json.dumps(answer).encode()


def _events(
    head: Mapping[str, object],
    made: MadeText,
    finish_reason: str,
    usage: Mapping[str, int] | None,
) -> Iterator[bytes]:
    def chunk(delta: Mapping[str, str], finished: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finished}
        return server_sent({**head, "object": "chat.completion.chunk", "choices": [choice]})

    yield chunk({"role": "assistant", "content": ""})
    for word in made.words:
        yield chunk({"content": word})
    yield chunk({}, finish_reason)
    if usage is not None:
        yield server_sent(
            {**head, "object": "chat.completion.chunk", "choices": [], "usage": usage}
        )
    yield b"data: [DONE]\n\n"
