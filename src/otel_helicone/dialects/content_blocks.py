"""Pieces of a message's content: tool calls, answers of tools, thoughts, images and files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from otel_helicone.dialects.description import Json, Message, Part, ToolCall
from otel_helicone.dialects.reading import parse_json

__all__ = [
    "ANSWERS",
    "CALLS",
    "MEDIA",
    "TEXTS",
    "THOUGHTS",
    "are_blocks",
    "kind_of",
    "read_answer",
    "read_media",
    "read_thought",
    "read_tool_call",
    "string_in",
    "text_of",
    "unwrapped_block",
]

# What the same thing is called in a block's ``type``, with ``-`` and ``_`` as one.
TEXTS: Final = frozenset({"text", "input_text", "output_text", "summary_text"})
"""Types of blocks that hold text."""
CALLS: Final = frozenset({"tool_call", "tool_use", "function_call", "server_tool_use"})
"""Types of those that call a tool."""
ANSWERS: Final = frozenset(
    {"tool_call_response", "tool_result", "function_call_output", "function_response"}
)
"""Types of those that hold the answer of a tool."""
THOUGHTS: Final = frozenset({"reasoning", "thinking", "reasoning_content"})
"""Types of those that hold reasoning."""
MEDIA: Final = {
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
"""Types of those that hold an image, a sound or a file, and which of them."""
_NAMED_BLOCKS: Final = {
    "toolUse": "tool_use",
    "toolResult": "tool_result",
    "functionCall": "function_call",
    "function_call": "function_call",
    "functionResponse": "function_response",
    "function_response": "function_response",
}


def text_of(value: Json) -> str:
    """Return a value as a text: itself, or as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def kind_of(item: Mapping[str, Json]) -> str:
    """Return what a block calls itself, in lower case and with ``_`` for ``-``."""
    kind = item.get("type", item.get("kind"))
    return kind.replace("-", "_").lower() if isinstance(kind, str) else ""


def are_blocks(value: Json) -> bool:
    """Return whether a value is a list of blocks that tell their types."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, dict) and isinstance(item.get("type"), str) for item in value)
    )


def unwrapped_block(piece: Mapping[str, Json]) -> Mapping[str, Json]:
    """Take a piece out of what is around it."""
    inner = piece.get("message_content")
    if isinstance(inner, dict):
        return inner
    if "type" not in piece:
        # Amazon Bedrock's and Google's blocks are named by their only key.
        for key, kind in _NAMED_BLOCKS.items():
            named = piece.get(key)
            if isinstance(named, dict):
                identity = named.get("toolUseId", named.get("id"))
                return {**named, "type": kind, "id": identity}
    return piece


def read_tool_call(value: Json) -> ToolCall | None:
    """Read one tool call of any known shape; None for what names no tool."""
    value = parse_json(value)
    if not isinstance(value, dict):
        return None
    inner = value.get("tool_call")
    if isinstance(inner, dict):
        value = inner
    function = value.get("function")
    named: Mapping[str, Json] = function if isinstance(function, dict) else value
    name = string_in(named, "name", "toolName", "tool_name") or string_in(value, "name")
    if name is None:
        return None
    arguments: Json = None
    for key in ("arguments", "args", "input", "parameters"):
        if named.get(key) is not None:
            arguments = named[key]
            break
    identity = string_in(value, "call_id", "id", "toolCallId", "tool_call_id", "tool_use_id")
    parsed = parse_json(arguments)
    return ToolCall(identity, name, parsed if isinstance(parsed, (dict, list)) else arguments)


def read_answer(block: Mapping[str, Json]) -> Message:
    """Read the answer of a tool, which is a message of its own in OpenAI's shape."""
    found: Json = None
    for key in ("response", "result", "output", "content"):
        if block.get(key) is not None:
            found = block[key]
            break
    if isinstance(found, dict) and found.get("type") in ("text", "json") and "value" in found:
        found = found["value"]  # Vercel AI 5
    if are_blocks(found):
        texts = [piece.get("text", piece.get("content")) for piece in found]
        found = "".join(text for text in texts if isinstance(text, str)) or found
    identity = string_in(block, "tool_call_id", "call_id", "toolCallId", "tool_use_id", "id")
    parts = () if found is None else (Part("text", text_of(found)),)
    return Message("tool", parts, tool_call_id=identity, name=string_in(block, "name", "toolName"))


def read_thought(block: Mapping[str, Json]) -> str | None:
    """Read what a model thought."""
    for key in ("content", "text", "thinking", "reasoning", "summary"):
        found = block.get(key)
        if isinstance(found, str) and found:
            return found
        if isinstance(found, list):
            texts = [piece.get("text") for piece in found if isinstance(piece, dict)]
            if any(texts):
                return "\n".join(text for text in texts if isinstance(text, str))
    return None


def read_media(block: Mapping[str, Json], kind: str) -> Part:
    """Read an image, a sound or a file: where it is, or what it is."""
    modality = string_in(block, "modality")
    family = modality or MEDIA.get(kind, "image")
    if kind in ("blob", "media", "file") and not modality:
        family = (string_in(block, "mime_type", "mimeType", "mediaType") or "file").split("/")[0]
        family = family if family in ("image", "audio", "video") else "file"
    for key in ("image_url", "image", "url", "uri", "file", "source", "file_data", "input_audio"):
        found = block.get(key)
        while isinstance(found, dict):
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
    mime_type = string_in(block, "mime_type", "media_type", "mimeType", "mediaType")
    return f"data:{mime_type or 'application/octet-stream'};base64,{data}"


def string_in(item: Mapping[str, Json], *keys: str) -> str | None:
    """Return the first text that is not empty under these keys."""
    for key in keys:
        found = item.get(key)
        if isinstance(found, str) and found:
            return found
    return None
