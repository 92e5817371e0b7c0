"""Pictures, sounds and files in bodies that are too large: a mark instead, never half of one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from otel_helicone.dialects.description import Json

__all__ = ["without_media"]

_MAX_DEPTH: Final = 64
# In a text of its own or in the middle of one, such as Markdown.
_DATA_URL: Final = re.compile(
    r"data:(?P<type>[\w.+-]+/[\w.+-]+)?(?P<more>(?:;[\w.=+-]+)*),(?P<data>[^\s\"'<>()\\]*)"
)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_\-\s]+={0,2}\s*")
# Where bytes stand that are no URL, and what is said beside them about what they are.
_DATA_KEYS: Final = frozenset({"b64_json", "base64", "bytes", "data", "file_data", "image_base64"})
_TYPE_KEYS: Final = ("media_type", "mime_type", "mimeType", "mediaType")
# Parts of a message of OpenAI's; a reader shows a mark as a text, and as a picture nothing.
_PARTS: Final = frozenset({"file", "image_url", "input_audio"})
_UNITS: Final = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def without_media(value: Json, longest: int) -> Json:
    """Return a copy in which a mark stands for each picture, sound, file and list of numbers.

    The mark says what it was and its size, such as ``[image/png, 6.6 MB, left out]``.

    Args:
        value: a body.
        longest: how many characters, or numbers, of one may stay.
    """
    return _Marking(longest).marked(value, _MAX_DEPTH)


class _Marking:
    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._marks: list[str] = []

    def marked(self, value: Json, levels: int) -> Json:
        if isinstance(value, str):
            return self._text(value)
        if levels == 0:
            return value
        if isinstance(value, Mapping):
            return self._mapping(value, levels)
        if isinstance(value, (list, tuple)):
            if len(value) > max(self._longest, 16) and all(type(n) in (int, float) for n in value):
                return f"[{len(value):,} numbers, left out]"
            return [self.marked(item, levels - 1) for item in value]
        return value

    def _mapping(self, value: Mapping[str, Json], levels: int) -> Json:
        before = len(self._marks)
        marked = {
            key: self._bytes(inner, value)
            if key in _DATA_KEYS and isinstance(inner, str)
            else self.marked(inner, levels - 1)
            for key, inner in value.items()
        }
        kind = value.get("type")
        if len(self._marks) > before and isinstance(kind, str) and kind in _PARTS:
            return {"type": "text", "text": self._marks[-1]}
        return marked

    def _text(self, text: str) -> str:
        if len(text) <= self._longest or "data:" not in text:
            return text
        return _DATA_URL.sub(self._instead, text)

    def _instead(self, found: re.Match[str]) -> str:
        data = found["data"]
        if len(data) <= self._longest or not data:
            return found[0]
        return self._mark(found["type"], data, is_base64=found["more"].endswith(";base64"))

    def _bytes(self, text: str, around: Mapping[str, Json]) -> str:
        if len(text) <= self._longest or not _BASE64.fullmatch(text):
            return self._text(text)
        told = next((around[key] for key in _TYPE_KEYS if isinstance(around.get(key), str)), None)
        if told is None and isinstance(around.get("format"), str):
            told = f"audio/{around['format']}"
        if told is None:
            return text  # maybe no bytes at all, but a long word
        return self._mark(told, text, is_base64=True)

    def _mark(self, kind: str | None, data: str, *, is_base64: bool) -> str:
        size = len(data.rstrip("=")) * 3 // 4 if is_base64 else len(data)
        mark = f"[{kind or 'data'}, {_size(size)}, left out]"
        self._marks.append(mark)
        return mark


def _size(size: int) -> str:
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"
