"""Messages in the shapes that providers, frameworks and conventions give them, as one shape.

OpenTelemetry's parts, OpenAI's chat and Responses items, Anthropic's and Vercel's blocks,
LangChain's dumps and OpenInference's flat lists differ in the names of a few keys. So one tolerant
reader takes them all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from otel_helicone.dialects.description import Json, Message, Part, ToolCall
from otel_helicone.dialects.reading import is_placeholder, parse_json

__all__ = ["read_messages", "read_tool_call", "text_message", "text_of"]

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
# What the same thing is called in a block's ``type``, with ``-`` and ``_`` as one.
_TEXTS: Final = frozenset({"text", "input_text", "output_text", "summary_text"})
_CALLS: Final = frozenset({"tool_call", "tool_use", "function_call", "server_tool_use"})
_ANSWERS: Final = frozenset(
    {"tool_call_response", "tool_result", "function_call_output", "function_response"}
)
_THOUGHTS: Final = frozenset({"reasoning", "thinking", "reasoning_content"})
_MEDIA: Final = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "audio": "audio",
    "input_audio": "audio",
    "video": "video",
    "file": "file",
    "input_file": "file",
    "document": "file",
    "blob": "file",
    "uri": "file",
    "media": "file",
}
_NAMED_BLOCKS: Final = {
    "toolUse": "tool_use",
    "toolResult": "tool_result",
    "functionCall": "function_call",
    "function_call": "function_call",
    "functionResponse": "function_response",
    "function_response": "function_response",
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
    if isinstance(value, Mapping):
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


def text_message(role: str, text: str | None) -> tuple[Message, ...] | None:
    """Make one message of a text, or none of nothing."""
    return (Message(role, (Part("text", text),)),) if text else None


def text_of(value: Json) -> str:
    """Give a value as a text: itself, or as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


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
    if not isinstance(item, Mapping):
        yield Message(role, (Part("text", text_of(item)),))
        return
    inner = _unwrapped(item)
    kind = _kind(inner)
    if _is_block(inner, kind):
        # An item of its own that is no message: a tool call, its answer, or reasoning.
        yield from _Reading(inner, "assistant" if kind in _CALLS | _THOUGHTS else role).messages(
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
        if isinstance(inner, Mapping) and (key == "message" or "content" in inner):
            unwrapped = _unwrapped(inner)
            if "finish_reason" in item and "finish_reason" not in unwrapped:
                return {**unwrapped, "finish_reason": item["finish_reason"]}
            return unwrapped
    return item


def _kind(item: Mapping[str, Json]) -> str:
    kind = item.get("type", item.get("kind"))
    return kind.replace("-", "_").lower() if isinstance(kind, str) else ""


def _is_block(item: Mapping[str, Json], kind: str) -> bool:
    if "role" in item or "parts" in item:
        return False
    return kind in _CALLS | _ANSWERS | _THOUGHTS


def _role_of(outer: Mapping[str, Json], inner: Mapping[str, Json], default: str) -> str:
    for item in (inner, outer):
        for key in ("role", "type"):
            found = item.get(key)
            if isinstance(found, str) and found not in _NOT_A_ROLE and _kind(item) not in _TEXTS:
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
    """Give the pieces of a message, whatever key they stand under."""
    for key in ("parts", "content", "contents", "text"):
        found = item.get(key)
        if key == "parts" and isinstance(found, (list, tuple)):
            found = [piece for piece in found if isinstance(piece, Mapping)]  # by its schema
        if isinstance(found, str) and key in ("parts", "content") and found[:1] in "[":
            parsed = parse_json(found)
            # A list of blocks that was put into a text; a text that is a list of others stays.
            if _are_blocks(parsed):
                found = parsed
        if found is None or found == "":
            continue
        return found if isinstance(found, (list, tuple)) else [found]
    return []


def _are_blocks(value: Json) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, Mapping) and isinstance(item.get("type"), str) for item in value)
    )


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
                _string(item, "tool_call_id", "tool_call.id")
                or (_string(item, "id") if self._role == "tool" else None),
                _string(item, "name"),
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
        if not isinstance(piece, Mapping):
            self._parts.append(Part("text", text_of(piece)))
            return
        block = _block(piece)
        kind = _kind(block)
        if kind in _CALLS:
            call = read_tool_call(block)
            if call is not None:
                self._calls.append(call)
        elif kind in _ANSWERS:
            self._answers.append(_answer(block))
        elif kind in _THOUGHTS:
            thought = _thought(block)
            if thought:
                self._thoughts.append(thought)
        elif kind == "refusal":
            self._parts.append(Part("refusal", _string(block, "refusal", "text", "content")))
        elif kind in _MEDIA or "image" in block or "image_url" in block:
            self._parts.append(_media(block, kind))
        elif kind in _TEXTS or (not kind and ("text" in block or "content" in block)):
            text = block.get("text", block.get("content"))
            if text not in (None, ""):
                self._parts.append(Part("text", text_of(text)))
        elif isinstance(block.get("text", block.get("content")), str):
            self._parts.append(Part("text", block.get("text", block.get("content"))))
        # A piece of an unknown type without a text has no place in a message of OpenAI's.


def _block(piece: Mapping[str, Json]) -> Mapping[str, Json]:
    """Take a piece out of what is around it."""
    inner = piece.get("message_content")
    if isinstance(inner, Mapping):
        return inner
    if "type" not in piece:
        # Amazon Bedrock's and Google's blocks are named by their only key.
        for key, kind in _NAMED_BLOCKS.items():
            named = piece.get(key)
            if isinstance(named, Mapping):
                identity = named.get("toolUseId", named.get("id"))
                return {**named, "type": kind, "id": identity}
    return piece


def _stands_alone(item: Mapping[str, Json]) -> bool:
    """Tell whether a message without content is one: its content may be switched off."""
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
    if isinstance(extra, Mapping) and extra.get("tool_calls"):
        yield from _calls_beside(extra)
        return
    old = parse_json(item.get("function_call"))
    if isinstance(old, Mapping):
        read = read_tool_call(old)
        if read is not None:
            yield read


def read_tool_call(value: Json) -> ToolCall | None:
    """Read one tool call of any known shape; None for what names no tool."""
    value = parse_json(value)
    if not isinstance(value, Mapping):
        return None
    inner = value.get("tool_call")
    if isinstance(inner, Mapping):
        value = inner
    function = value.get("function")
    named: Mapping[str, Json] = function if isinstance(function, Mapping) else value
    name = _string(named, "name", "toolName", "tool_name") or _string(value, "name")
    if name is None:
        return None
    arguments: Json = None
    for key in ("arguments", "args", "input", "parameters"):
        if named.get(key) is not None:
            arguments = named[key]
            break
    identity = _string(value, "call_id", "id", "toolCallId", "tool_call_id", "tool_use_id")
    parsed = parse_json(arguments)
    return ToolCall(identity, name, parsed if isinstance(parsed, (dict, list)) else arguments)


def _answer(block: Mapping[str, Json]) -> Message:
    found: Json = None
    for key in ("response", "result", "output", "content"):
        if block.get(key) is not None:
            found = block[key]
            break
    if isinstance(found, Mapping) and found.get("type") in ("text", "json") and "value" in found:
        found = found["value"]  # Vercel AI 5
    if _are_blocks(found):
        texts = [piece.get("text", piece.get("content")) for piece in found]
        found = "".join(text for text in texts if isinstance(text, str)) or found
    identity = _string(block, "tool_call_id", "call_id", "toolCallId", "tool_use_id", "id")
    parts = () if found is None else (Part("text", text_of(found)),)
    return Message("tool", parts, tool_call_id=identity, name=_string(block, "name", "toolName"))


def _thought(block: Mapping[str, Json]) -> str | None:
    for key in ("content", "text", "thinking", "reasoning", "summary"):
        found = block.get(key)
        if isinstance(found, str) and found:
            return found
        if isinstance(found, list):
            texts = [piece.get("text") for piece in found if isinstance(piece, Mapping)]
            if any(texts):
                return "\n".join(text for text in texts if isinstance(text, str))
    return None


def _media(block: Mapping[str, Json], kind: str) -> Part:
    """Read an image, a sound or a file: where it is, or what it is."""
    modality = _string(block, "modality")
    family = modality or _MEDIA.get(kind, "image")
    if kind in ("blob", "media", "file") and not modality:
        family = (_string(block, "mime_type", "mimeType", "mediaType") or "file").split("/")[0]
        family = family if family in ("image", "audio", "video") else "file"
    for key in ("image_url", "image", "url", "uri", "file", "source", "file_data", "input_audio"):
        found = block.get(key)
        while isinstance(found, Mapping):
            data = found.get("data")
            if isinstance(data, str):
                found = _data_url(found, data)
                break
            found = found.get("url", found.get("image", found.get("file_data")))
        if isinstance(found, str) and found:
            return Part(family, url=found)
    content = block.get("content", block.get("data"))
    if isinstance(content, str) and content:
        return Part(family, url=_data_url(block, content))
    return Part(family, raw=dict(block))


def _data_url(block: Mapping[str, Json], data: str) -> str:
    if data.startswith(("data:", "http:", "https:")):
        return data
    mime_type = _string(block, "mime_type", "media_type", "mimeType", "mediaType")
    return f"data:{mime_type or 'application/octet-stream'};base64,{data}"


def _string(item: Mapping[str, Json], *keys: str) -> str | None:
    for key in keys:
        found = item.get(key)
        if isinstance(found, str) and found:
            return found
    return None
