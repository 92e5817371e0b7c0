"""Bodies as they are kept: decoded, as text, and no longer than is sensible."""

from __future__ import annotations

import zlib
from typing import Final, Protocol

__all__ = ["BodyDecoder", "kept_text"]

_ZLIB_WINDOWS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


class BodyDecoder:
    """Undoes the ``Content-Encoding`` of an answer for the record; the caller gets it untouched."""

    def __init__(self, content_encoding: str, most_bytes: int) -> None:
        """Start at the beginning of a body.

        Args:
            content_encoding: the header's value, empty where there is none.
            most_bytes: how much one piece may grow to when it is unpacked.
        """
        encoding = content_encoding.strip().lower()
        self.readable = encoding in ("", "identity") or encoding in _ZLIB_WINDOWS
        self._most_bytes = most_bytes
        self._decompressor: _Decompressor | None = None
        if encoding in _ZLIB_WINDOWS:
            self._decompressor = zlib.decompressobj(_ZLIB_WINDOWS[encoding])

    def decode(self, data: bytes) -> bytes:
        """Decode some more bytes; empty for what cannot be read."""
        if not self.readable:
            return b""
        if self._decompressor is None:
            return data
        if self._decompressor.eof:
            return b""
        try:
            return self._decompressor.decompress(data, self._most_bytes)
        except zlib.error:
            self.readable = False
            return b""


def kept_text(body: bytes, most_bytes: int, *, content_type: str, in_all: int | None = None) -> str:
    """Make the text of a body that is kept in a record.

    Args:
        body: the bytes, or as many of them as were kept.
        most_bytes: the length past which the rest is left out, with a mark that says how much.
        content_type: what the body says it is; told where the body is no text.
        in_all: how many bytes there were, where ``body`` is not all of them.
    """
    length = len(body) if in_all is None else in_all
    head = body[:most_bytes]
    text = head.decode("utf-8", "replace")
    # Files and sound would be pages of question marks.
    if text.count("\ufffd") > 8 + len(text) // 50:
        return f"[{length} bytes of {content_type or 'unknown type'}]"
    return text if length <= len(head) else f"{text} [... {length - len(head)} more bytes ...]"
