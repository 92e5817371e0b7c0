"""Reading a page's query: each field once, wrong values refused with a sentence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["QueryFields", "WrongQuery", "decimal_text", "time_text", "without_empty"]

_NUMBER: Final = re.compile(r"\d+(\.\d*)?([eE][+-]?\d{1,3})?", re.ASCII)
_SECONDS: Final = re.compile(r"(\d{1,9})(?:\.(\d{1,6}))?", re.ASCII)
_WHOLE: Final = re.compile(r"\d{1,9}", re.ASCII)


# A filter becomes one query of the store, which has its limits.
_MOST_OF_A_FIELD: Final = 50


class WrongQuery(ValueError):
    """A page was asked for with a wrong query; the text names field, value and remedy."""


class QueryFields:
    """The fields of a query, of which each is asked for by its name.

    An empty field counts as not given: that is how a browser sends what was not filled in.
    """

    def __init__(self, fields: Iterable[tuple[str, str]], known: Iterable[str]) -> None:
        """Take a query.

        Args:
            fields: names and values, decoded, in their order.
            known: the names that the page knows.

        Raises:
            WrongQuery: where a field has a name that is not known, or is there too often.
        """
        self._fields = list(fields)
        names = sorted(known)
        times = Counter(name for name, _ in self._fields)
        for name, _ in self._fields:
            if name not in names:
                raise WrongQuery(
                    f"There is no field {name!r} on this page. Take it off; the fields are"
                    f" {', '.join(names)}."
                )
            if times[name] > _MOST_OF_A_FIELD:
                raise WrongQuery(
                    f"The field {name!r} is given {times[name]} times. Give it at most"
                    f" {_MOST_OF_A_FIELD} times."
                )

    def every(self, name: str) -> tuple[str, ...]:
        """Give the values of a field that may be there several times, empty ones included."""
        return tuple(value for key, value in self._fields if key == name)

    def text(self, name: str) -> str | None:
        """Give the value of a field, or None where it is empty or not there.

        Raises:
            WrongQuery: where it is there several times.
        """
        values = self.every(name)
        if len(values) > 1:
            raise WrongQuery(f"The field {name!r} is given {len(values)} times. Give it once.")
        return values[0] or None if values else None

    def choice(self, name: str, choices: Iterable[str], default: str) -> str:
        """Give the value of a field that is one of a few words.

        Args:
            name: the field's name.
            choices: the words.
            default: the word where the field is empty or not there.

        Raises:
            WrongQuery: where it is another word.
        """
        value = self.text(name)
        if value is None:
            return default
        words = list(choices)
        if value not in words:
            raise _wrong(name, value, f"give one of {', '.join(words)}, or leave it out")
        return value

    def whole(self, name: str, default: int) -> int:
        """Give the value of a field that is a whole number from 1 to 999,999,999.

        Args:
            name: the field's name.
            default: the number where the field is empty or not there.

        Raises:
            WrongQuery: where it is something else.
        """
        value = self.text(name)
        if value is None:
            return default
        if not _WHOLE.fullmatch(value) or int(value) == 0:
            raise _wrong(name, value, "give a whole number from 1 on")
        return int(value)

    def number(self, name: str) -> float | None:
        """Give the value of a field that is a number of US dollars, or None.

        Raises:
            WrongQuery: where it is not a number, or negative.
        """
        value = self.text(name)
        if value is None:
            return None
        if not _NUMBER.fullmatch(value.strip()) or (number := float(value)) == float("inf"):
            raise _wrong(name, value, "give a number of US dollars without a sign, such as 0.05")
        return number

    def seconds(self, name: str) -> timedelta | None:
        """Give the value of a field that is a number of seconds, or None.

        Raises:
            WrongQuery: where it is not a number, negative, or longer than 31 years.
        """
        value = self.text(name)
        if value is None:
            return None
        found = _SECONDS.fullmatch(value.strip())
        if not found:
            raise _wrong(name, value, "give a number of seconds without a sign, such as 1.5")
        fraction = (found[2] or "").ljust(6, "0")
        return timedelta(seconds=int(found[1]), microseconds=int(fraction))

    def time(self, name: str) -> datetime | None:
        """Give the value of a field that is a time, in UTC, or None.

        Raises:
            WrongQuery: where it is not a date and time as in ISO 8601.
        """
        value = self.text(name)
        if value is None:
            return None
        try:
            time = datetime.fromisoformat(value.strip())
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        except (ValueError, OverflowError):
            raise _wrong(name, value, "give a time in UTC, such as 2026-01-31T18:30") from None


def without_empty(fields: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Leave out what a browser sends for the inputs of a form that were not filled in.

    An empty ``value`` stays where it is that of a ``property``: it is then what is asked for.

    Args:
        fields: names and values, decoded, in their order.
    """
    paired = ("property", "value")
    names, values = ([v for name, v in fields if name == side] for side in paired)
    kept = [(name, value) for name, value in fields if value and name not in paired]
    if len(names) != len(values):
        return [*kept, *((name, value) for name, value in fields if name in paired)]
    for pair in zip(names, values, strict=True):
        if any(pair):
            kept += zip(paired, pair, strict=True)
    return kept


def decimal_text(seconds: timedelta) -> str:
    """Write a number of seconds as :meth:`QueryFields.seconds` reads it, such as ``1.5``."""
    whole, microseconds = divmod(seconds // timedelta(microseconds=1), 1_000_000)
    return f"{whole}.{microseconds:06}".rstrip("0").rstrip(".")


def time_text(time: datetime) -> str:
    """Write a time as :meth:`QueryFields.time` reads it, such as ``2026-01-31T18:30:00``."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat()


def _wrong(name: str, value: str, remedy: str) -> WrongQuery:
    return WrongQuery(f"The field {name!r} cannot be {value!r}: {remedy}.")
