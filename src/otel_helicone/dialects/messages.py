"""Messages in the shapes that providers, frameworks and conventions give them, as one shape.

OpenTelemetry's parts, OpenAI's chat and Responses items, Anthropic's and Vercel's blocks,
LangChain's dumps and OpenInference's flat lists differ in the names of a few keys. So one tolerant
reader takes them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from otel_helicone.dialects.content_blocks import (
    ANSWERS,
    CALLS,
    MEDIA,
    TEXTS,
    THOUGHTS,
    are_blocks,
    kind_of,
    read_answer,
    read_media,
    read_thought,
    read_tool_call,
    string_in,
    text_of,
    unwrapped_block,
)
from otel_helicone.dialects.description import Json, Message, Part, ToolCall
from otel_helicone.dialects.reading import is_placeholder, parse_json

__all__ = [
    "ATTRIBUTE_LIMIT",
    "EVENT_LIMIT",
    "read_messages",
    "read_rest_of_messages",
    "text_message",
]

ATTRIBUTE_LIMIT: Final = "span's attribute limit"
"""What drops messages that stand in attributes, in the words of the marks."""
EVENT_LIMIT: Final = "span's event limit"
"""What drops messages that stand in events, likewise."""

_ROLES: Final = {
    "human": "user",
    "ai": "assistant",
    "model": "assistant",
    "choice": "assistant",
    "function": "tool",
    "tool_result": "tool",
    "chatmessage": "user",
    "humanmessage": "user",
    "aimessage": "assistant",
    "aimessagechunk": "assistant",
    "systemmessage": "system",
    "toolmessage": "tool",
    "functionmessage": "tool",
}
# Types of OpenAI's Responses items and of LangChain's messages that stand in place of a role.
_NOT_A_ROLE: Final = frozenset({"message", "constructor", ""})


def read_messages(value: Json, role: str = "user") -> tuple[Message, ...] | None:
    """Read messages of any known shape.

    Args:
        value: a list of messages or one of them, parsed; a text is the content of one message.
        role: the role of messages that do not tell theirs.

    Returns:
        The messages; None where there is nothing to be read.
    """
    if is_placeholder(value):
        return None
    if isinstance(value, dict):
        inner = value.get("messages")
        if isinstance(inner, list):
            return read_messages(inner, role)
        items: Iterable[Json] = [value]
    elif isinstance(value, (list, tuple)):
        # LangChain has one list of messages for each prompt of a batch.
        items = value[0] if len(value) == 1 and isinstance(value[0], list) else value
    else:
        items = [value]
    messages = _joined(message for item in items for message in _read(parse_json(item), role))
    return tuple(messages) or None


def read_rest_of_messages(
    items: Sequence[Json], dropped: int, limit: str, role: str = "user"
) -> tuple[Message, ...]:
    """Read messages of which the first were dropped, with a mark in their place.

    Where the first that is left has lost its role, what it says stands in the mark: a role that is
    guessed would make it somebody else's.

    Args:
        items: the messages that are left.
        dropped: how many were dropped; 0 for not known.
        limit: what dropped them.
        role: the role of messages that do not tell theirs.
    """
    first, *others = items or [None]
    said = ""
    if isinstance(first, dict) and not {"role", "type"} & first.keys():
        items = others
        texts = [part.text for message in read_messages(first) or () for part in message.parts]
        said = f"; what is left of one: {' '.join(filter(None, texts))}" if any(texts) else ""
        dropped += 1 if dropped else 0
    count = f"{dropped} messages" if dropped else "Messages"
    mark = f"[{count} before this one were dropped by the {limit}{said}]"
    return Message("system", (Part("text", mark),)), *(read_messages(items, role) or ())


def text_message(role: str, text: str | None) -> tuple[Message, ...] | None:
    """Make one message of a text, or none of nothing."""
    return (Message(role, (Part("text", text),)),) if text else None


def _joined(messages: Iterable[Message]) -> list[Message]:
    """Join tool calls that stand as items of their own, as OpenAI's Responses have them."""
    joined: list[Message] = []
    for message in messages:
        before = joined[-1] if joined else None
        bare = message.tool_calls and not message.parts and not message.finish_reason
        if before is not None and bare and before.role == message.role == "assistant":
            joined[-1] = Message(
                before.role,
                before.parts,
                before.tool_calls + message.tool_calls,
                name=before.name,
                reasoning=before.reasoning or message.reasoning,
                finish_reason=before.finish_reason,
            )
        elif (
            before is not None
            and before.role == message.role == "assistant"
            and before.reasoning
            and not before.parts
            and not before.tool_calls
            and not message.reasoning
        ):
            joined[-1] = Message(
                message.role,
                message.parts,
                message.tool_calls,
                name=message.name,
                reasoning=before.reasoning,
                finish_reason=message.finish_reason,
            )
        else:
            joined.append(message)
    return joined


def _read(item: Json, role: str) -> Iterator[Message]:
    if is_placeholder(item):
        return
    if isinstance(item, (list, tuple)):
        # LangChain's ("user", "text") pairs.
        if len(item) == 2 and isinstance(item[0], str) and isinstance(item[1], str):
            yield Message(_role(item[0], role), (Part("text", item[1]),))
        else:
            for inner in item:
                yield from _read(inner, role)
        return
    if not isinstance(item, dict):
        yield Message(role, (Part("text", text_of(item)),))
        return
    inner = _unwrapped(item)
    kind = kind_of(inner)
    if _is_block(inner, kind):
        # An item of its own that is no message: a tool call, its answer, or reasoning.
        yield from _Reading(inner, "assistant" if kind in CALLS | THOUGHTS else role).messages(
            [inner]
        )
        return
    yield from _Reading(inner, _role_of(item, inner, role)).messages(_content(inner))


def _unwrapped(item: Mapping[str, Json]) -> Mapping[str, Json]:
    """Take a message out of what is around it."""
    for key in ("message", "kwargs", "data"):
        inner = item.get(key)
        if isinstance(inner, str):
            inner = parse_json(inner)
        if isinstance(inner, dict) and (key == "message" or "content" in inner):
            unwrapped = _unwrapped(inner)
            if "finish_reason" in item and "finish_reason" not in unwrapped:
                return {**unwrapped, "finish_reason": item["finish_reason"]}
            return unwrapped
    return item


def _is_block(item: Mapping[str, Json], kind: str) -> bool:
    if "role" in item or "parts" in item:
        return False
    return kind in CALLS | ANSWERS | THOUGHTS


def _role_of(outer: Mapping[str, Json], inner: Mapping[str, Json], default: str) -> str:
    for item in (inner, outer):
        for key in ("role", "type"):
            found = item.get(key)
            if isinstance(found, str) and found not in _NOT_A_ROLE and kind_of(item) not in TEXTS:
                return _role(found, default)
            if isinstance(found, str) and key == "role" and found:
                return _role(found, default)
        name = item.get("id")
        if isinstance(name, list) and name and isinstance(name[-1], str):
            return _role(name[-1], default)  # LangChain: ["langchain", "schema", …, "HumanMessage"]
    return default


def _role(found: str, default: str) -> str:
    lower = found.lower()
    known = _ROLES.get(lower, lower)
    if known in ("system", "developer", "user", "assistant", "tool"):
        return known
    # A role of the application's own, or a type that is none.
    return known if known.isidentifier() and default == "user" else default


def _content(item: Mapping[str, Json]) -> Sequence[Json]:
    """Return the pieces of a message, whatever key they stand under."""
    for key in ("parts", "content", "contents", "text"):
        found = item.get(key)
        if key == "parts" and isinstance(found, (list, tuple)):
            found = [piece for piece in found if isinstance(piece, dict)]  # by its schema
        if isinstance(found, str) and key in ("parts", "content") and found[:1] in "[":
            parsed = parse_json(found)
            # A list of blocks that was put into a text; a text that is a list of others stays.
            if are_blocks(parsed):
                found = parsed
        if found is None or found == "":
            continue
        return found if isinstance(found, (list, tuple)) else [found]
    return []


class _Reading:
    """One message while its pieces are read; answers of tools become messages of their own."""

    def __init__(self, item: Mapping[str, Json], role: str) -> None:
        self._item = item
        self._role = role
        self._parts: list[Part] = []
        self._calls: list[ToolCall] = []
        self._thoughts: list[str] = []
        self._answers: list[Message] = []

    def messages(self, pieces: Sequence[Json]) -> Iterator[Message]:
        item = self._item
        for piece in pieces:
            self._piece(piece)
        thought = item.get("reasoning_content", item.get("reasoning"))
        if isinstance(thought, str) and thought:
            self._thoughts.append(thought)
        if not self._calls:
            self._calls.extend(_calls_beside(item))
        refusal = item.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._parts.append(Part("refusal", refusal))
        yield from self._answers
        finish_reason = item.get("finish_reason")
        said = self._parts or self._calls or self._thoughts
        if said or not self._answers:
            if not said and not _stands_alone(item):
                return
            yield Message(
                "tool" if "tool_call_id" in item and self._role == "user" else self._role,
                tuple(self._parts),
                tuple(self._calls),
                string_in(item, "tool_call_id", "tool_call.id")
                or (string_in(item, "id") if self._role == "tool" else None),
                string_in(item, "name"),
                "\n".join(self._thoughts) or None,
                finish_reason if isinstance(finish_reason, str) and finish_reason else None,
            )

    def _piece(self, piece: Json) -> None:
        if piece is None:
            return
        if isinstance(piece, str):
            if piece and piece not in ("__REDACTED__", "<masked>"):
                self._parts.append(Part("text", piece))
            return
        if not isinstance(piece, dict):
            self._parts.append(Part("text", text_of(piece)))
            return
        block = unwrapped_block(piece)
        kind = kind_of(block)
        if kind in CALLS:
            call = read_tool_call(block)
            if call is not None:
                self._calls.append(call)
        elif kind in ANSWERS:
            self._answers.append(read_answer(block))
        elif kind in THOUGHTS:
            thought = read_thought(block)
            if thought:
                self._thoughts.append(thought)
        elif kind == "refusal":
            self._parts.append(Part("refusal", string_in(block, "refusal", "text", "content")))
        elif kind in MEDIA or "image" in block or "image_url" in block:
            self._parts.append(read_media(block, kind))
        elif kind in TEXTS or (not kind and ("text" in block or "content" in block)):
            text = block.get("text", block.get("content"))
            if text not in (None, ""):
                self._parts.append(Part("text", text_of(text)))
        elif isinstance(block.get("text", block.get("content")), str):
            self._parts.append(Part("text", block.get("text", block.get("content"))))
        # A piece of an unknown type without a text has no place in a message of OpenAI's.


def _stands_alone(item: Mapping[str, Json]) -> bool:
    """Return whether a message without content is one: its content may be switched off."""
    return "role" in item or "content" in item or "parts" in item


def _calls_beside(item: Mapping[str, Json]) -> Iterator[ToolCall]:
    """Read the tool calls that stand beside a message's content."""
    for key in ("tool_calls", "toolCalls"):
        calls = parse_json(item.get(key))
        if isinstance(calls, (list, tuple)) and calls:
            for call in calls:
                read = read_tool_call(call)
                if read is not None:
                    yield read
            return
    extra = item.get("additional_kwargs")
    if isinstance(extra, dict) and extra.get("tool_calls"):
        yield from _calls_beside(extra)
        return
    old = parse_json(item.get("function_call"))
    if isinstance(old, dict):
        read = read_tool_call(old)
        if read is not None:
            yield read
