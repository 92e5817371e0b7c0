"""Helicone's filters: from the JSON of a call to the conditions of a query."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, TypeAlias

from otel_helicone.local.api.answer import BrokenCall
from otel_helicone.local.api.conditions import (
    ALL,
    COMPARED,
    Condition,
    both,
    compared,
    either,
    property_is,
)
from otel_helicone.local.api.fields import InvalidBody
from otel_helicone.local.api.filter_fields import (
    REQUEST_FIELDS,
    SCORE,
    SESSION_FIELDS,
    SESSION_NAMED,
    SESSION_TOTALS,
    TEXT_OPERATORS,
    Field,
)
from otel_helicone.local.storage.columns import microseconds
from otel_helicone.local.wire.javascript import (
    as_string,
    stringify,
    without_lone_surrogates,
)

__all__ = ["of_requests", "of_totals"]

_MOST_DEPTH: Final = 100
# Parentheses in the SQL, of which its parser takes few.
_MOST_TURNS: Final = 15
_MICROSECONDS: Final = 1_000_000
_OPERATORS: Final = {
    "text": TEXT_OPERATORS,
    "number": ("equals", "not-equals", "gte", "gt", "lte", "lt"),
    "time": ("equals", "gte", "gt", "lte", "lt"),
    "truth": ("equals",),
}
# Whatever is not kept here is the same for all requests, and no reason to leave one out.
_NOT_KEPT: Final = (
    "country_code",
    "organization_id",
    "node_id",
    "job_id",
    "threat",
    "cache_reference_id",
    "assets",
    "helicone-score-feedback",
)


_Leaf: TypeAlias = Callable[[str, Mapping[str, object]], Condition]


def of_requests(given: object) -> Condition:
    """Read what a filter asks of each request.

    Args:
        given: the filter: ``"all"``, a leaf, or ``{left, operator, right}``.

    Raises:
        InvalidBody: for a filter that the local Helicone does not know.
        BrokenCall: for one that Helicone breaks on.
    """
    return _read(given, _of_request)


def of_totals(given: object) -> Condition:
    """Read what a filter asks of a session's sums.

    Args:
        given: the filter, as for :func:`of_requests`.

    Raises:
        InvalidBody: for a filter that the local Helicone does not know.
        BrokenCall: for one that Helicone breaks on.
    """
    return _read(given, _of_total)


def _read(given: object, leaf: _Leaf, depth: int = 0, turns: int = 0) -> Condition:
    if given == "all":
        return ALL
    if not isinstance(given, Mapping):
        raise _unknown("A filter is 'all' or an object.", given)
    if "left" not in given:
        return both(*(leaf(table, _fields(table, fields)) for table, fields in given.items()))
    operator = given.get("operator")
    if operator not in ("and", "or"):
        raise _unknown("A filter's operator is 'and' or 'or'.", operator)
    operands = list(_operands(given, operator, depth))
    if turns > _MOST_TURNS:
        message = f"A filter can turn from 'and' to 'or' and back {_MOST_TURNS} times."
        raise _unknown(message, operator)
    conditions = [_read(operand, leaf, at, turns + 1) for operand, at in operands]
    return both(*conditions) if operator == "and" else either(*conditions)


def _operands(given: object, operator: object, depth: int) -> Iterator[tuple[object, int]]:
    """Give what an operator joins, and how deep it is: ``a and (b and c)`` joins three."""
    if depth > _MOST_DEPTH:
        raise _unknown(f"A filter can be {_MOST_DEPTH} levels deep.", None)
    if isinstance(given, Mapping) and "left" in given and given.get("operator") == operator:
        for side in ("left", "right"):
            yield from _operands(given.get(side), operator, depth + 1)
    else:
        yield given, depth


def _fields(table: str, fields: object) -> Mapping[str, object]:
    if not isinstance(fields, Mapping):
        raise _unknown(f"The fields of {table} are an object.", fields)
    if not fields:
        # The real one looks for the first field without asking whether there is one.
        raise BrokenCall("Invalid operator undefined")
    return fields


def _of_request(table: str, fields: Mapping[str, object]) -> Condition:
    # Like the real one: of several fields in one object only one counts.
    name, asked = next(iter(fields.items()))
    if table == "sessions_request_response_rmt":
        if name in SESSION_NAMED:
            operator, value = _operator(name, asked, TEXT_OPERATORS)
            return property_is(SESSION_NAMED[name], operator, _text(name, value))
        if name in SESSION_FIELDS:
            return _field(SESSION_FIELDS[name], name, asked)
        if name in SESSION_TOTALS:
            return ALL
    elif table == "request_response_rmt":
        for holder in ("properties", "search_properties", "scores"):
            if fields.get(holder):
                return _held(holder, fields[holder])
        if name in REQUEST_FIELDS:
            return _field(REQUEST_FIELDS[name], name, asked)
        if name in _NOT_KEPT:
            return ALL
    raise _unknown(f"The local Helicone has no filter for {table}.{name}.", name)


def _of_total(table: str, fields: Mapping[str, object]) -> Condition:
    name, asked = next(iter(fields.items()))
    if table == "sessions_request_response_rmt" and name in SESSION_TOTALS:
        return _field(SESSION_TOTALS[name], name, asked)
    return ALL


def _held(holder: str, given: object) -> Condition:
    if not isinstance(given, Mapping):
        raise _unknown(f"The fields of {holder} are an object.", given)
    name, asked = next(iter(given.items()))
    name = without_lone_surrogates(name)
    operator, value = _operator(name, asked, TEXT_OPERATORS)
    if holder == "scores":
        return _score(name, operator, value)
    text = _text(name, value)
    if holder == "search_properties":
        found = compared(Field("key", "text"), (), operator, text)
        where = f"SELECT 1 FROM json_each(request.properties) WHERE {found.sql}"
        return Condition(f"EXISTS ({where})", found.values)
    return property_is(name, operator, text)


def _score(name: str, operator: str, value: object) -> Condition:
    if operator not in ("equals", "not-equals"):
        raise _unknown("A score is compared with 'equals' or 'not-equals'.", operator)
    number = _number(name, value)
    return Condition(f"coalesce({SCORE} {COMPARED[operator]} ?, 0)", (name, number))


def _field(field: Field, name: str, asked: object) -> Condition:
    operator, value = _operator(name, asked, _OPERATORS[field.kind])
    if field.kind == "number":
        return compared(field, (), operator, _number(name, value))
    if field.kind == "time":
        # A whole second stands for itself only, as in the real one.
        return compared(field, (), operator, _seconds(name, value))
    if field.kind == "truth":
        return compared(field, (), operator, int(as_string(value).lower() == "true"))
    text = _text(name, value)
    return compared(field, (), operator, text.lower() if name == "request_id" else text)


def _operator(name: str, asked: object, known: tuple[str, ...]) -> tuple[str, object]:
    if not isinstance(asked, Mapping):
        raise _unknown(f"What is asked of {name} is an object.", asked)
    if not asked:
        raise BrokenCall("Invalid operator {}")
    operator, value = next(iter(asked.items()))
    if operator not in known:
        raise _unknown(f"{name} is not compared with '{operator}'.", operator)
    return operator, value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _unknown(f"{name} is compared with a text.", value)
    return without_lone_surrogates(value)


def _number(name: str, value: object) -> int | float:
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            pass
        else:
            # SQLite's integers are compared as such, and NaN is none.
            whole = number.is_integer() and abs(number) < 2**53
            if number == number:
                return int(number) if whole else number
    raise _unknown(f"{name} is compared with a number.", value)


def _seconds(name: str, value: object) -> int:
    try:
        time = datetime.fromisoformat(_text(name, value))
        return (
            microseconds(time if time.tzinfo else time.replace(tzinfo=UTC))
            // (_MICROSECONDS)
            * _MICROSECONDS
        )
    except (ValueError, OverflowError):
        message = f"{name} is compared with a time in ISO 8601."
        raise _unknown(message, value) from None


def _unknown(message: str, value: object) -> InvalidBody:
    shown = value if isinstance(value, str | int | float | bool | None) else stringify(value)
    return InvalidBody({"requestBody.filter": {"message": message, "value": shown}})
