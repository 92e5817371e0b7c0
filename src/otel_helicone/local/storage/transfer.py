"""Records as lines of JSON, and back: to move a store, or a session of it."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import fields
from datetime import datetime
from io import BufferedReader
from typing import Any, BinaryIO, Final, get_args, get_type_hints

from otel_helicone.local.storage.records import RequestRecord

__all__ = [
    "FIRST_LINE",
    "MAX_LINE",
    "NotAnExport",
    "exported_lines",
    "imported_records",
    "is_export",
]

FIRST_LINE: Final = {"otel_helicone_export": 1}
"""What the first line says at least: the version of the form."""

MAX_LINE: Final = 64 * 1024 * 1024
"""How long a line may be, in characters. Bodies are stored up to a mebibyte each."""

_COUNT: Final = "requests"
_MAX_FIRST_LINE: Final = 1000
_GZIP: Final = b"\x1f\x8b"
_MAX_NUMBER: Final = 10**13
_TYPES: Final = get_type_hints(RequestRecord)
_REQUIRED: Final = frozenset(
    field.name
    for field in fields(RequestRecord)
    if field.name not in ("helicone_headers", "cost_usd", "from_cache", "scores")
)


class NotAnExport(Exception):
    """A line is none that an export has; the text says which line, and what is wrong with it."""


def exported_lines(records: Iterable[RequestRecord], count: int | None = None) -> Iterator[str]:
    """Write records, a line each after the first.

    Args:
        records: the requests.
        count: how many there are, so that a file that was cut off is known by it; None where it
            is not known yet.

    Yields:
        Lines of ASCII without their ends.
    """
    yield json.dumps(FIRST_LINE if count is None else {**FIRST_LINE, _COUNT: count})
    for record in records:
        values = {field.name: getattr(record, field.name) for field in fields(RequestRecord)}
        values["properties"] = dict(record.properties)
        values["scores"] = dict(record.scores)
        values["started_at"] = record.started_at.isoformat()
        yield json.dumps(values)


def is_export(file: BinaryIO) -> bool:
    """Return whether a file, compressed or not, begins like an export, of whatever version.

    Args:
        file: one that was opened to read bytes.
    """
    try:
        packed = file.peek(2)[:2] == _GZIP if isinstance(file, BufferedReader) else False
        with gzip.open(file) if packed else nullcontext(file) as lines:
            first = json.loads(lines.readline(_MAX_FIRST_LINE))
    except (OSError, EOFError, zlib.error, ValueError, RecursionError):
        return False
    return isinstance(first, dict) and FIRST_LINE.keys() <= first.keys()


def imported_records(lines: Iterable[str]) -> Iterator[RequestRecord]:
    """Read records. The first line is read at once, the others as the records are asked for.

    Args:
        lines: what :func:`exported_lines` wrote; empty lines are left out.

    Raises:
        NotAnExport: at the first line that is wrong.
    """
    numbered = _filled_lines(lines)
    for number, line in numbered:
        first = _parsed(line, number)
        count = first.pop(_COUNT, None) if isinstance(first, dict) else None
        if first != FIRST_LINE or not (count is None or type(count) is int):
            raise NotAnExport(
                f"line {number} is not {json.dumps(FIRST_LINE)}: this is no file that"
                " `otel-helicone export` wrote, or it was written by a later version"
            )
        return _read(numbered, count)
    raise NotAnExport("there is nothing in it")


def _read(numbered: Iterable[tuple[int, str]], count: int | None) -> Iterator[RequestRecord]:
    read = 0
    for number, line in numbered:
        yield _record(_parsed(line, number), number)
        read += 1
    if count is not None and read != count:
        raise NotAnExport(
            f"it has {read} requests where its first line says {count}: it was cut off, or changed"
        )


def _filled_lines(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    try:
        for number, line in enumerate(lines, start=1):
            if len(line) > MAX_LINE:
                raise NotAnExport(f"line {number} is longer than any that is exported")
            if line.strip():
                yield number, line
    except UnicodeDecodeError:
        raise NotAnExport("it is not text") from None


def _parsed(line: str, number: int) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise NotAnExport(f"line {number} is no JSON: {error}") from None


def _record(values: object, number: int) -> RequestRecord:
    if not isinstance(values, dict):
        raise NotAnExport(f"line {number} is no request")
    missing = sorted(_REQUIRED - values.keys())
    if missing:
        raise NotAnExport(f"line {number}: {missing[0]!r} is missing")
    unknown = sorted(values.keys() - _TYPES.keys())
    if unknown:
        raise NotAnExport(f"line {number}: {unknown[0]!r} is nothing that a request has")
    return RequestRecord(**{name: _value(name, value, number) for name, value in values.items()})


def _value(name: str, value: Any, number: int) -> Any:
    if name == "started_at":
        try:
            time = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            time = None
        if time is None or time.tzinfo is None or not 1900 <= time.year < 9000:
            raise NotAnExport(f"line {number}: {name!r} is {value!r:.60}, which is no time")
        return time
    if name == "helicone_headers":
        if _is_pairs(value):
            return tuple((header, text) for header, text in value)
    elif name in ("properties", "scores"):
        of = str if name == "properties" else int
        if isinstance(value, dict) and all(
            type(each) is of and _is_storable(each) for each in value.values()
        ):
            return value
    else:
        allowed = get_args(_TYPES[name]) or (_TYPES[name],)
        fits = type(value) in allowed or (float in allowed and type(value) is int)
        if fits and _is_storable(value):
            return value
    raise NotAnExport(f"line {number}: {name!r} is {value!r:.60}, which it can't be")


def _is_storable(value: object) -> bool:
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    # A latency of more would end after all time that there is for Python.
    return not isinstance(value, int | float) or abs(value) < _MAX_NUMBER


def _is_pairs(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)
        for pair in value
    )
