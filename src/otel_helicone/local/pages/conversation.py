"""What was said in a request and its answer: messages and their parts, whatever the API."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

__all__ = ["Conversation", "Message", "Part", "PartKind", "conversation_of", "readable_json"]

PartKind: TypeAlias = Literal[
    "text", "reasoning", "refusal", "tool call", "tool result", "image", "data"
]

_TEXTS: Final = ("text", "input_text", "output_text", "summary_text", "reasoning_text")
_LISTED_VECTORS: Final = 3


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a message.

    Attributes:
        kind: what it is. ``data`` is JSON that is none of the others.
        text: the text; the arguments of a tool call and JSON are indented; of an image its
            address, never the image of another host.
        name: the name of the tool, or the kind of data.
    """

    kind: PartKind
    text: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """What one side said.

    Attributes:
        role: ``user``, ``assistant``, ``tool`` and so on, as it was sent.
        parts: what it consists of.
    """

    role: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    """The messages of a request and its answer.

    Attributes:
        asked: those of the request, in order.
        answered: those of the answer.
        error: what the answer calls the error, or None.
    """

    asked: tuple[Message, ...]
    answered: tuple[Message, ...]
    error: str | None


def conversation_of(request_body: str, response_body: str) -> Conversation:
    """Find the messages in two bodies.

    The APIs of OpenAI (chat, Responses, embeddings, completions) and Anthropic are known, and
    Helicone's logs of tools, retrievals and data. Never raises, whatever the bodies hold.

    Args:
        request_body: the text of the request's body.
        response_body: the text of the answer's body.
    """
    asked, answered = _parsed(request_body), _parsed(response_body)
    return Conversation(tuple(_asked(asked)), tuple(_answered(answered)), _error(answered))


def readable_json(body: str) -> str:
    """Give a body with its JSON indented, or as it is where it is none."""
    parsed = _parsed(body)
    return body if parsed is None else _indented(parsed)


def _parsed(body: str) -> object:
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return parsed


def _indented(value: object) -> str:
    try:
        return json.dumps(value, indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return "(nested too deeply to be shown)"


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _asked(body: object) -> Iterator[Message]:
    request = _mapping(body)
    if "_type" in request:
        yield Message(_text(request["_type"]) or "data", (_without_type(request),))
        return
    for name, role in (("system", "system"), ("instructions", "system")):
        if request.get(name):
            yield Message(role, tuple(_parts(request[name])))
    for message in _sequence(request.get("messages")):
        yield _message(message, "user")
    given = request.get("input", request.get("prompt"))
    if isinstance(given, str):
        yield Message("user", (Part("text", given),))
    else:
        yield from _items(_sequence(given), "user")


def _answered(body: object) -> Iterator[Message]:
    answer = _mapping(body)
    if "_type" in answer:
        yield Message(_text(answer["_type"]) or "data", (_without_type(answer),))
        return
    if answer.get("streamed") is True:
        yield from _streamed(answer)
    for choice in _sequence(answer.get("choices")):
        message = _mapping(choice).get("message")
        if message is not None:
            yield _message(message, "assistant")
        elif _text(_mapping(choice).get("text")):
            yield Message("assistant", (Part("text", _text(_mapping(choice).get("text"))),))
    yield from _items(_sequence(answer.get("output")), "assistant")
    if answer.get("type") == "message" or (answer.get("role") and "content" in answer):
        yield _message(answer, "assistant")
    vectors = [
        _mapping(one)["embedding"]
        for one in _sequence(answer.get("data"))
        if "embedding" in _mapping(one)
    ]
    if vectors:
        yield Message("assistant", tuple(_vectors(vectors)))


def _streamed(answer: Mapping[str, object]) -> Iterator[Message]:
    """Read what the gateway keeps of a stream."""
    parts = [Part("text", _text(answer.get("text")))] if answer.get("text") else []
    parts += [_tool_call(call) for call in _sequence(answer.get("tool_calls"))]
    if parts:
        yield Message("assistant", tuple(parts))


def _vectors(vectors: Sequence[object]) -> Iterator[Part]:
    for vector in vectors[:_LISTED_VECTORS]:
        size = f"{len(vector)} numbers" if isinstance(vector, list) else "encoded"
        yield Part("data", size, "vector")
    if len(vectors) > _LISTED_VECTORS:
        yield Part("data", f"and {len(vectors) - _LISTED_VECTORS} more", "vector")


def _without_type(logged: Mapping[str, object]) -> Part:
    shown = {name: value for name, value in logged.items() if name != "_type"}
    name = next(
        (_text(logged[key]) for key in ("toolName", "name", "operation") if key in logged), ""
    )
    return Part("data", _indented(shown), name)


def _items(items: Sequence[object], role: str) -> Iterator[Message]:
    """Read items of the Responses API, or a list of texts."""
    for item in items:
        if isinstance(item, str):
            yield Message(role, (Part("text", item),))
            continue
        found = _mapping(item)
        kind = found.get("type")
        if kind == "function_call" or kind == "custom_tool_call":
            yield Message("assistant", (_tool_call(found),))
        elif kind in ("function_call_output", "custom_tool_call_output"):
            yield Message("tool", (Part("tool result", _as_text(found.get("output"))),))
        elif kind == "reasoning":
            texts = [*_parts(found.get("summary")), *_parts(found.get("content"))]
            yield Message("assistant", tuple(Part("reasoning", part.text) for part in texts))
        elif "content" in found or "role" in found:
            yield _message(found, role)
        else:
            yield Message(role, (Part("data", _indented(item), _text(kind)),))


def _message(value: object, role: str) -> Message:
    message = _mapping(value)
    if not message:
        return Message(role, tuple(_parts(value)))
    role = _text(message.get("role")) or role
    parts = [
        Part("reasoning", _text(message[name]))
        for name in ("reasoning_content", "reasoning")
        if _text(message.get(name))
    ]
    content = list(_parts(message.get("content")))
    if role in ("tool", "function"):
        content = [Part("tool result", part.text, _text(message.get("name"))) for part in content]
    parts += content
    if _text(message.get("refusal")):
        parts.append(Part("refusal", _text(message["refusal"])))
    parts += [_tool_call(call) for call in _sequence(message.get("tool_calls"))]
    if message.get("function_call"):
        parts.append(_tool_call(message["function_call"]))
    return Message(role, tuple(parts))


def _parts(content: object) -> Iterator[Part]:
    if content is None:
        return
    if isinstance(content, str):
        yield Part("text", content)
    elif isinstance(content, list):
        for piece in content:
            yield _part(piece)
    else:
        yield Part("data", _indented(content))


def _part(value: object) -> Part:
    if isinstance(value, str):
        return Part("text", value)
    piece = _mapping(value)
    kind = piece.get("type")
    if kind in _TEXTS or (kind is None and "text" in piece):
        return Part("text", _text(piece.get("text")))
    if kind == "refusal":
        return Part("refusal", _text(piece.get("refusal")))
    if kind in ("thinking", "redacted_thinking"):
        return Part("reasoning", _text(piece.get("thinking")) or "(redacted)")
    if kind == "tool_use":
        return Part("tool call", _as_text(piece.get("input")), _text(piece.get("name")))
    if kind == "tool_result":
        texts = "\n".join(part.text for part in _parts(piece.get("content")))
        return Part("tool result", texts)
    if kind in ("image_url", "input_image", "image"):
        return Part("image", _image(piece))
    return Part("data", _indented(value), _text(kind))


def _image(piece: Mapping[str, object]) -> str:
    source = piece.get("image_url", piece.get("source", piece.get("file_id")))
    if isinstance(source, str):
        return source
    found = _mapping(source)
    if _text(found.get("data")):
        return f"data:{_text(found.get('media_type'))};base64,{_text(found.get('data'))}"
    return _text(found.get("url")) or _indented(source)


def _tool_call(value: object) -> Part:
    call = _mapping(value)
    function = _mapping(call.get("function")) or call
    arguments = function.get("arguments", function.get("input"))
    return Part("tool call", _as_text(arguments), _text(function.get("name")))


def _as_text(value: object) -> str:
    """Give a text as it is, JSON in it indented, and everything else as JSON."""
    if not isinstance(value, str):
        return "" if value is None else _indented(value)
    return readable_json(value) if value.lstrip()[:1] in ("{", "[") else value


def _error(body: object) -> str | None:
    answer = _mapping(body)
    error = answer.get("error", answer.get("helicone_error"))
    if error is None or error == "":
        return None
    message = _mapping(error).get("message")
    return message if isinstance(message, str) else _as_text(error)
