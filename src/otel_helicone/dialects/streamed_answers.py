"""A streamed answer that was noted chunk by chunk, put together again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from otel_helicone.dialects.description import Message, Part, ToolCall

__all__ = ["whole_answer"]


def whole_answer(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return the messages of an answer, those that are chunks of one message as that message.

    Google's ADK and OpenTelemetry's instrumentation of google-genai note a message for each chunk;
    the last of them alone tells why the model stopped. Choices each tell it.

    Args:
        messages: the messages, in the order in which they came.
    """
    *chunks, last = messages
    if not chunks or last.finish_reason is None:
        return messages
    if any(message.finish_reason is not None for message in chunks):
        return messages
    if any(message.role != "assistant" for message in messages):
        return messages
    return (
        Message(
            last.role,
            _joined_parts(_without_repeat([message.parts for message in chunks], last.parts)),
            _latest_calls(call for message in messages for call in message.tool_calls),
            name=last.name,
            reasoning=_joined_text([message.reasoning for message in chunks], last.reasoning),
            finish_reason=last.finish_reason,
        ),
    )


def _without_repeat(
    chunks: Sequence[tuple[Part, ...]], last: tuple[Part, ...]
) -> Sequence[tuple[Part, ...]]:
    """Return the parts of all chunks, without those of a last one that repeats the whole."""
    # ADK's LiteLlm ends with the whole message, its Gemini with the last chunk.
    is_repeated = _joined_parts(chunks) == _joined_parts([last])
    return chunks if is_repeated else [*chunks, last]


def _joined_parts(chunks: Iterable[tuple[Part, ...]]) -> tuple[Part, ...]:
    """Return the parts of all chunks, each run of texts as one."""
    joined: list[Part] = []
    for part in (part for chunk in chunks for part in chunk):
        if joined and part.type == joined[-1].type == "text":
            joined[-1] = Part("text", (joined[-1].text or "") + (part.text or ""))
        else:
            joined.append(part)
    return tuple(joined)


def _joined_text(chunks: Sequence[str | None], last: str | None) -> str | None:
    text = "".join(chunk or "" for chunk in chunks)
    return (text if text == last else text + (last or "")) or None


def _latest_calls(calls: Iterable[ToolCall]) -> tuple[ToolCall, ...]:
    """Return each call once, as it was told last: at first its arguments may be missing."""
    latest: list[ToolCall] = []
    for call in calls:
        known = [index for index, other in enumerate(latest) if call.id and other.id == call.id]
        if not known:
            latest.append(call)
        elif call.arguments is not None:
            latest[known[0]] = call
    return tuple(latest)
