"""Files that the Collector's ``file`` exporter wrote: its requests, one after the other.

In the format ``json`` without compression a line is a request. In the format ``proto``, and with
compression, each request has its length before it, in four bytes, the highest first; a compressed
one is a zstd frame. A file that was compressed as a whole afterwards, with gzip or zstd, will do.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from otel_helicone.bridge.decompression import BadCompression, TooLarge, decompress
from otel_helicone.bridge.otlp import JSON, PROTOBUF

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["FileError", "StoredRequest", "fingerprint", "requests_in"]

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_LENGTH_BYTES: Final = 4
# What the Collector writes at once is some MiB; a length past this is no length.
_LONGEST: Final = 256 * 1024 * 1024
_FINGERPRINT_BYTES: Final = 4096


class FileError(Exception):
    """A file can't be read; the message names it, the place in it, and what is wrong there."""


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """One request in a file.

    Attributes:
        body: the request, decompressed.
        content_type: its form.
        end: the position behind it, in the decompressed file.
    """

    body: bytes = field(repr=False)
    content_type: str
    end: int


def fingerprint(path: Path) -> str:
    """Return what tells a file from another one of the same name: its path and how it begins.

    Raises:
        FileError: where it can't be read.
    """
    try:
        with path.open("rb") as file:
            beginning = hashlib.sha256(file.read(_FINGERPRINT_BYTES)).hexdigest()[:16]
    except OSError as error:
        raise FileError(f"{path} can't be read: {error.strerror}") from None
    return f"{path.resolve()}#{beginning}"


def requests_in(path: Path, position: int = 0) -> Iterator[StoredRequest]:
    """Return the requests in a file.

    Args:
        path: the file.
        position: where to begin: 0, or the end of a request.

    Raises:
        FileError: where it can't be read, or is no such file.
    """
    try:
        with _opened(path) as file:
            file.seek(position)
            first = file.read(1)
            if not first:
                return
            file.seek(position)
            yield from _lines(file, path) if first in b"{\r\n " else _prefixed(file, path)
    except (OSError, EOFError, zstd.ZstdError) as error:
        raise FileError(f"{path} can't be read: {error}") from None


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as file:
        beginning = file.read(len(_ZSTD))
        file.seek(0)
        if beginning.startswith(_GZIP):
            yield io.BufferedReader(gzip.GzipFile(fileobj=file))
        elif beginning == _ZSTD:
            yield io.BufferedReader(zstd.ZstdFile(file))
        else:
            yield file


def _lines(file: IO[bytes], path: Path) -> Iterator[StoredRequest]:
    while line := file.readline(_LONGEST):
        if not line.endswith(b"\n") and len(line) >= _LONGEST:
            raise FileError(f"{path} has a line of more than {_LONGEST} bytes")
        if line.strip():
            yield StoredRequest(line, JSON, file.tell())


def _prefixed(file: IO[bytes], path: Path) -> Iterator[StoredRequest]:
    while True:
        start = file.tell()
        prefix = file.read(_LENGTH_BYTES)
        if not prefix:
            return
        length = int.from_bytes(prefix, "big")
        if len(prefix) < _LENGTH_BYTES or length > _LONGEST:
            raise FileError(
                f"{path} is no file of the Collector's file exporter, at byte {start}: neither a"
                " line of JSON nor the length of a request"
            )
        body = file.read(length)
        if len(body) < length:
            raise FileError(f"{path} ends within a request, at byte {start}")
        if body.startswith(_ZSTD):
            try:
                body = decompress(body, "zstd", _LONGEST)
            except (BadCompression, TooLarge) as error:
                raise FileError(f"{path} can't be decompressed, at byte {start}: {error}") from None
        is_json = body[:1] == b"{"
        yield StoredRequest(body, JSON if is_json else PROTOBUF, file.tell())
