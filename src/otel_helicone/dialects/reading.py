"""Careful reading of what others wrote on a span: strings, numbers, JSON in strings, flat lists."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from opentelemetry.sdk.trace import ReadableSpan

from otel_helicone.dialects.cut_json import CUT_MARK, parse_cut_json
from otel_helicone.dialects.description import Json
from otel_helicone.primitives.span_attributes import max_value_length_of

__all__ = [
    "FinishedSpan",
    "as_integer",
    "as_text",
    "is_placeholder",
    "parse_json",
    "parse_repr",
]

_T = TypeVar("_T")

# Written in place of content that was switched off or is not there.
_PLACEHOLDERS: Final = frozenset({"", "__REDACTED__", "<masked>", "None", "null"})
# An index past it is nobody's list: it would make one of that length.
_MAX_LIST: Final = 10_000
# Larger ones lose digits in JSON's numbers; nobody counts so far.
_MAX_COUNT: Final = 2**53
# Python's parser takes longer and longer, and at some depth fails for good.
_MAX_REPR: Final = 1_000_000
# A text that is not JSON is told from its first letter, without the cost of an exception.
_JSON_STARTS: Final = frozenset('{["-0123456789tfn \n\t\r')


def is_placeholder(value: object) -> bool:
    """Return whether a value only says that there is none, such as ``__REDACTED__``."""
    return value is None or (isinstance(value, str) and value in _PLACEHOLDERS)


def parse_json(value: object) -> Json:
    """Return the value that a text holds as JSON, or the text where it holds none.

    Args:
        value: anything; what is not a text is given back, sequences as lists.
    """
    if isinstance(value, str):
        if value[:1] not in _JSON_STARTS:
            return value
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    if isinstance(value, tuple):
        return [parse_json(item) if isinstance(item, tuple) else item for item in value]
    return value


def parse_repr(value: Json) -> Json:
    """Return the value whose ``repr`` in Python a text is, or the text where it is none."""
    if isinstance(value, str) and value[:1] in "[{" and 0 < len(value) <= _MAX_REPR:
        try:
            return ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return value
    return value


def as_text(value: object) -> str | None:
    """Return a text that is not empty and no placeholder, or None."""
    if isinstance(value, str) and value not in _PLACEHOLDERS:
        return value
    return None


def as_integer(value: object) -> int | None:
    """Return a whole number that is not negative, of a text or a float too, or None."""
    if type(value) is int:
        return value if 0 <= value <= _MAX_COUNT else None
    if value is None or isinstance(value, bool):
        return None
    number = _as_number(value)
    if number is None or not 0 <= number <= _MAX_COUNT or number != int(number):
        return None
    return int(number)


def _as_number(value: object) -> float | None:
    if isinstance(value, str) and len(value) <= 32:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


class FinishedSpan:
    """A finished span, and its attributes as they are asked for.

    Each method takes attribute names and gives the value of the first that has a usable one.

    Attributes:
        span: the span itself.
        attributes: its attributes, and those that it started with and has lost.
        roots: the first words of their names, up to the first full stop; those of its events too.
        has_cut_values: whether any value was found to be cut off.
    """

    __slots__ = (
        *("_made", "_max_value_length", "_parsed", "attributes"),
        *("has_cut_values", "roots", "span"),
    )

    def __init__(self, span: ReadableSpan, at_start: Mapping[str, Any] | None = None) -> None:
        """Take a span.

        Args:
            span: the span.
            at_start: attributes that it had when it started; the SDK drops the oldest ones past
                its limit.
        """
        self.span = span
        # A dict of its own: each look at the SDK's costs half as much again.
        self.attributes: Mapping[str, Any] = {**(at_start or {}), **(span.attributes or {})}
        self._max_value_length = max_value_length_of(span)
        self.has_cut_values = False
        self.roots = {name.partition(".")[0] for name in self.attributes}
        for event in span.events:
            self.roots.add(event.name.partition(".")[0])
        self._parsed: dict[str, Json] = {}
        self._made: dict[Callable[[FinishedSpan], Any], Any] = {}

    @property
    def scope(self) -> str:
        """The name of the instrumentation scope, empty where there is none."""
        scope = self.span.instrumentation_scope
        return scope.name if scope is not None else ""

    def once(self, make: Callable[[FinishedSpan], _T]) -> _T:
        """Return what a function makes of the span; it is called once, whoever asks again."""
        if make not in self._made:
            self._made[make] = make(self)
        made: _T = self._made[make]
        return made

    def text(self, *names: str) -> str | None:
        """Return a text, unless it is empty or a placeholder."""
        for name in names:
            raw = self.attributes.get(name)
            if raw is not None:
                found = as_text(raw)
                if found is not None:
                    return found
        return None

    def integer(self, *names: str) -> int | None:
        """Return a whole number that is not negative."""
        for name in names:
            raw = self.attributes.get(name)
            if raw is not None:
                found = as_integer(raw)
                if found is not None:
                    return found
        return None

    def number(self, *names: str) -> float | None:
        """Return a finite number; a whole one as an int."""
        for name in names:
            found = self.attributes.get(name)
            number = _as_number(found)
            if number is not None:
                return int(number) if number == int(number) and type(found) is int else number
        return None

    def flag(self, *names: str) -> bool | None:
        """Return a truth value, also one written as a text."""
        for name in names:
            found = self.attributes.get(name)
            if isinstance(found, bool):
                return found
            if isinstance(found, str) and found.lower() in ("true", "false"):
                return found.lower() == "true"
        return None

    def texts(self, *names: str) -> tuple[str, ...] | None:
        """Return a list of texts: a sequence, JSON of one, or one text alone."""
        for name in names:
            found = self.json(name)
            if isinstance(found, list):
                kept = tuple(item for item in found if isinstance(item, str) and item)
                if kept:
                    return kept
            elif isinstance(found, str) and not is_placeholder(found):
                return (found,)
        return None

    def _parse(self, name: str, raw: object) -> Json:
        found = parse_json(raw)
        if not isinstance(found, str) or not isinstance(raw, str):
            return found
        limit = self._max_value_length
        if limit is not None and len(raw) < limit:
            return found
        is_text = self.attributes.get(name.removesuffix("value") + "mime_type") == "text/plain"
        left = None if is_text else parse_cut_json(raw)
        if left is None:
            return self._with_mark(found)
        self.has_cut_values = True
        return left

    def _with_mark(self, value: Any) -> Any:
        """Return a text with a mark, where the limit has cut it off."""
        if isinstance(value, str) and len(value) == self._max_value_length:
            self.has_cut_values = True
            return value + CUT_MARK
        return value

    def json(self, *names: str) -> Json:
        """Return a value, parsed where it is JSON in a text, which may have been cut off."""
        for name in names:
            if name in self._parsed:
                found = self._parsed[name]
            else:
                raw = self.attributes.get(name)
                if raw is None:
                    continue
                found = self._parsed[name] = None if is_placeholder(raw) else self._parse(name, raw)
            if found is not None:
                return found
        return None

    def mapping(self, *names: str) -> Mapping[str, Json]:
        """Return a JSON object, or an empty one."""
        for name in names:
            found = self.json(name)
            if isinstance(found, dict):
                return found
        return {}

    def sequence(self, *names: str) -> Sequence[Json] | None:
        """Return a JSON array."""
        for name in names:
            found = self.json(name)
            if isinstance(found, list):
                return found
        return None

    def flat_list(self, prefix: str) -> list[Json] | None:
        """Gather a list that is written out as ``prefix.0.a.b``.

        Args:
            prefix: the name before the index, without the full stop.

        Returns:
            The items in the order of their indexes, which may begin anywhere and have gaps, with
            further levels as dicts and lists; None where there are none.
        """
        start = f"{prefix}."
        tree: dict[str, Any] = {}
        for name, value in self.attributes.items():
            if not name.startswith(start) or value is None:
                continue
            branch = tree
            *steps, last = name[len(start) :].split(".")
            for step in steps:
                below = branch.setdefault(step, {})
                if not isinstance(below, dict):
                    break
                branch = below
            else:
                branch[last] = self._with_mark(value)
        gathered = _with_lists(tree)
        return gathered if isinstance(gathered, list) and gathered else None

    def dropped_before(self, prefix: str) -> int:
        """Return how many items of a flat list were dropped before the first that is left.

        Some lists begin with 1, so that a first item is missing only where any attribute is.

        Args:
            prefix: the name before the index, without the full stop.
        """
        start = f"{prefix}."
        indexes = (
            name[len(start) :].partition(".")[0]
            for name in self.attributes
            if name.startswith(start)
        )
        first = min((int(index) for index in indexes if index.isdecimal()), default=0)
        return first if first > 1 or self.span.dropped_attributes else 0


def _with_lists(branch: dict[str, Any]) -> Json:
    inside = {
        name: _with_lists(value) if isinstance(value, dict) else value
        for name, value in branch.items()
    }
    numbered = all(name.isdecimal() and len(name) < 6 for name in inside)
    if inside and numbered and len(inside) <= _MAX_LIST:
        return [inside[name] for name in sorted(inside, key=int)]
    return inside
