"""Records as lines of JSON, and back: to move a store, or a session of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import datetime
from typing import Any, Final, get_args, get_type_hints

from otel_helicone.local.storage.records import RequestRecord

__all__ = ["FIRST_LINE", "LONGEST_LINE", "NotAnExport", "exported_lines", "imported_records"]

FIRST_LINE: Final = {"otel_helicone_export": 1}
"""What the first line says, with the version of the form."""

LONGEST_LINE: Final = 64 * 1024 * 1024
"""How long a line may be, in characters. Bodies are stored up to a mebibyte each."""

_LARGEST_NUMBER: Final = 10**13
_TYPES: Final = get_type_hints(RequestRecord)
_REQUIRED: Final = frozenset(
    field.name
    for field in fields(RequestRecord)
    if field.name not in ("helicone_headers", "cost_usd", "from_cache", "scores")
)


class NotAnExport(Exception):
    """A line is none that an export has; the text says which line, and what is wrong with it."""


def exported_lines(records: Iterable[RequestRecord]) -> Iterator[str]:
    """Write records, a line each after the first.

    Args:
        records: the requests.

    Yields:
        Lines of ASCII without their ends.
    """
    yield json.dumps(FIRST_LINE)
    for record in records:
        values = {field.name: getattr(record, field.name) for field in fields(RequestRecord)}
        values["properties"] = dict(record.properties)
        values["scores"] = dict(record.scores)
        values["started_at"] = record.started_at.isoformat()
        yield json.dumps(values)


def imported_records(lines: Iterable[str]) -> Iterator[RequestRecord]:
    """Read records.

    Args:
        lines: what :func:`exported_lines` wrote; empty lines are left out.

    Raises:
        NotAnExport: at the first line that is wrong.
    """
    has_begun = False
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if len(line) > LONGEST_LINE:
            raise NotAnExport(f"line {number} is longer than any that is exported")
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise NotAnExport(f"line {number} is no JSON: {error}") from None
        if not has_begun:
            if values != FIRST_LINE:
                raise NotAnExport(
                    f"line {number} is not {json.dumps(FIRST_LINE)}: this is no file that"
                    " `otel-helicone export` wrote, or it was written by a later version"
                )
            has_begun = True
            continue
        yield _record(values, number)
    if not has_begun:
        raise NotAnExport("there is nothing in it")


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
    return not isinstance(value, int | float) or abs(value) < _LARGEST_NUMBER


def _is_pairs(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)
        for pair in value
    )
