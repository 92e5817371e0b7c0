"""Taking compressed requests apart, no further than a limit."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from typing import Final, Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["ENCODINGS", "BadCompression", "TooLarge", "decompress"]

ENCODINGS: Final = frozenset({"", "identity", "gzip", "deflate", "zstd"})
"""The values of ``Content-Encoding`` that are understood."""


# Each copies what follows it, so that very many small ones would take hours. A Collector sends one.
_MAX_STREAMS: Final = 100


class BadCompression(ValueError):
    """The bytes are not what their ``Content-Encoding`` says."""


class TooLarge(ValueError):
    """The request is larger than the limit, before or after decompression."""


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def decompress(body: bytes, encoding: str, most: int) -> bytes:
    """Decompress a body, which may be several compressed streams one after the other.

    Args:
        body: the body as it arrived.
        encoding: its ``Content-Encoding``, in lower case; one of :data:`ENCODINGS`.
        most: how long the result may be, in bytes. No more than that is ever held.

    Raises:
        BadCompression: where it is not what the encoding says, or ends too soon.
        TooLarge: where the result would be longer.
    """
    if encoding in ("", "identity"):
        if len(body) > most:
            raise TooLarge
        return body
    try:
        if encoding == "zstd":
            return _all_streams(body, zstd.ZstdDecompressor, most)
        bits = 31 if encoding == "gzip" else 15
        return _all_streams(body, lambda: zlib.decompressobj(bits), most)
    except (zlib.error, zstd.ZstdError, EOFError) as error:
        raise BadCompression(str(error)) from None


def _all_streams(body: bytes, make: Callable[[], _Decompressor], most: int) -> bytes:
    parts: list[bytes] = []
    left = most
    for _ in range(_MAX_STREAMS):
        if not body:
            return b"".join(parts)
        stream = make()
        # One byte past the limit tells that there is more.
        part = stream.decompress(body, left + 1)
        if len(part) > left:
            raise TooLarge
        if not stream.eof:
            raise BadCompression("the compressed data ends too soon")
        parts.append(part)
        left -= len(part)
        body = stream.unused_data
    raise BadCompression("the body is made of very many compressed streams")
