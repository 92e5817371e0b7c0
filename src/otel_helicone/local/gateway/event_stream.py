"""Streamed answers, put together while they pass: text, usage, model and the last event."""

from __future__ import annotations

import codecs
import json
import re
from typing import Final

from otel_helicone.local.gateway.usage import member, model_in, parse_json

__all__ = ["EventStream"]

_LINE_END: Final = re.compile(r"\r\n|\n|\r")
_LAST_TYPES: Final = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "message_stop"}
)
# A line longer than this is no event that anybody could assemble.
_LONGEST_LINE: Final = 4 * 1024 * 1024


class EventStream:
    """Reads the server-sent events of chat completions, Responses and Anthropic messages.

    Attributes:
        model: the model that the events name, or None.
        usage: what the events tell of usage, as an answer that is not streamed would; else None.
        ended: whether the event that closes such a stream was seen, ``[DONE]`` for instance.
    """

    def __init__(self, most_text: int) -> None:
        """Start with nothing read.

        Args:
            most_text: how many characters of text to keep.
        """
        self.model: str | None = None
        self.usage: dict[str, object] | None = None
        self.ended = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._most_text = most_text
        self._text: list[str] = []
        self._length = 0
        self._calls: dict[object, dict[str, str]] = {}
        self._finish_reason: str | None = None
        self._error: object = None

    def feed(self, data: bytes) -> None:
        """Read some more bytes of the stream, cut anywhere."""
        text = self._rest + self._decoder.decode(data)
        # A CR at the end may be half of a CR LF.
        held = text[-1:] if text.endswith("\r") else ""
        lines = _LINE_END.split(text.removesuffix(held) if held else text)
        self._rest = lines.pop()[:_LONGEST_LINE] + held
        for line in lines:
            if line.startswith("data:"):
                self._event(line[5:].strip())

    def assembled(self) -> str:
        """Give what the stream said so far, as a JSON object for the record."""
        answer: dict[str, object] = {"streamed": True, "model": self.model}
        answer["text"] = "".join(self._text)
        if self._length > self._most_text:
            answer["characters_left_out"] = self._length - self._most_text
        if self._calls:
            answer["tool_calls"] = list(self._calls.values())
        if self._finish_reason is not None:
            answer["finish_reason"] = self._finish_reason
        if self._error is not None:
            answer["error"] = self._error
        if self.usage is not None:
            answer["usage"] = self.usage
        return json.dumps(answer, ensure_ascii=False)

    def _event(self, data: str) -> None:
        if data == "[DONE]":
            self.ended = True
            return
        event = parse_json(data)
        if not isinstance(event, dict):
            return
        kind = event.get("type")
        self.ended = self.ended or kind in _LAST_TYPES
        # Responses put the whole answer below "response", Anthropic its head below "message".
        for part in (event, event.get("response"), event.get("message")):
            self.model = model_in(part) or self.model
            self._add_usage(member(part, "usage"))
        if "error" in event:
            self._error = event["error"]
        if isinstance(kind, str):
            self._typed_event(kind, event)
        else:
            self._chat_chunk(event)

    def _add_usage(self, usage: object) -> None:
        if not isinstance(usage, dict):
            return
        # Anthropic tells the tokens in at the start and the tokens out at the end, where it may
        # name the others again with nothing in them.
        told = self.usage or {}
        self.usage = told | {
            name: value for name, value in usage.items() if value or name not in told
        }

    def _typed_event(self, kind: str, event: dict[str, object]) -> None:
        if kind == "response.output_text.delta":
            self._add_text(event.get("delta"))
        elif kind == "content_block_start":
            if member(event, "content_block", "type") == "tool_use":
                name = member(event, "content_block", "name")
                self._add_call(str(event.get("index")), {"name": name})
        elif kind == "content_block_delta":
            self._add_text(member(event, "delta", "text"))
            arguments = member(event, "delta", "partial_json")
            if isinstance(arguments, str):
                self._add_call(str(event.get("index")), {"arguments": arguments})
        elif (
            kind == "response.output_item.done" and member(event, "item", "type") == "function_call"
        ):
            self._add_call(str(event.get("output_index")), event.get("item"))

    def _chat_chunk(self, chunk: dict[str, object]) -> None:
        choice = member(chunk, "choices", 0)
        self._add_text(member(choice, "delta", "content"))
        self._add_text(member(choice, "text"))
        calls = member(choice, "delta", "tool_calls")
        for call in calls if isinstance(calls, list) else ():
            self._add_call(str(member(call, "index")), member(call, "function"))
        reason = member(choice, "finish_reason")
        if isinstance(reason, str):
            self._finish_reason = reason

    def _add_call(self, key: str, function: object) -> None:
        call = self._calls.setdefault(key, {"name": "", "arguments": ""})
        for part in ("name", "arguments"):
            value = member(function, part)
            if isinstance(value, str):
                room = self._most_text - len(call[part])
                call[part] += value[: max(room, 0)]

    def _add_text(self, text: object) -> None:
        if isinstance(text, str) and text:
            room = self._most_text - self._length
            if room > 0:
                self._text.append(text[:room])
            self._length += len(text)
