"""The filter of the lists: a form in the address, and the filter that it stands for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias, TypeVar
from urllib.parse import urlencode

from otel_helicone.local.figures import STATUS_WORDS, shown_cost, shown_milliseconds
from otel_helicone.local.pages.query_fields import (
    QueryFields,
    WrongQuery,
    decimal_text,
    time_text,
)
from otel_helicone.local.storage.filters import SessionFilter

__all__ = ["FILTER_FIELDS", "PERIODS", "STATUSES", "Chip", "FilterForm", "Pairs", "read_filter"]

Pairs: TypeAlias = tuple[tuple[str, str], ...]

PERIODS: Final[Mapping[str, tuple[str, timedelta]]] = {
    "hour": ("Last hour", timedelta(hours=1)),
    "day": ("Last day", timedelta(days=1)),
    "week": ("Last week", timedelta(days=7)),
    "month": ("Last 30 days", timedelta(days=30)),
}
"""What ``last`` may be: the words for it, and how far it reaches back."""

STATUSES: Final[Mapping[str, str]] = {
    "error": "With errors",
    "success": "Without errors",
    "400": "400",
    "401": "401",
    "403": "403",
    "404": "404",
    "408": "408",
    "413": "413",
    "422": "422",
    "429": "429",
    "500": "500",
    "502": "502",
    "503": "503",
    "504": "504",
    "529": "529",
    **{str(status): words for status, words in STATUS_WORDS.items()},
}
"""What the form offers as the status; any other code can be asked for in the address."""

FILTER_FIELDS: Final = frozenset(
    {
        "search",
        "name",
        "without",
        "user",
        "model",
        "status",
        "property",
        "value",
        "last",
        "from",
        "to",
        "cost_from",
        "cost_to",
        "duration_from",
        "duration_to",
    }
)
"""The names of the filter's fields in a query."""

_Bound = TypeVar("_Bound", float, datetime, timedelta)
_Value = TypeVar("_Value")
_WITHOUT: Final = ("name", "user", "model")
_CODE: Final = re.compile(r"-[1-9]|[0-9]{1,3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Chip:
    """One part of a filter that is in force.

    Attributes:
        words: what it asks for, such as ``User: ada``.
        without: the form without it.
    """

    words: str
    without: FilterForm


@dataclass(frozen=True, slots=True)
class FilterForm:
    """A filter as it was asked for.

    Attributes:
        fixed: everything in it that does not depend on the time of asking.
        last: one of :data:`PERIODS`, or empty for all times.
    """

    fixed: SessionFilter = field(default_factory=SessionFilter)
    last: str = ""

    def wanted(self, now: datetime) -> SessionFilter:
        """Give the filter that it stands for.

        Args:
            now: when it is asked for, with a time zone.
        """
        if not self.last:
            return self.fixed
        start = now - PERIODS[self.last][1]
        given = self.fixed.started_from
        return replace(self.fixed, started_from=start if given is None else max(given, start))

    def fields(self) -> Pairs:
        """Give the query that :func:`read_filter` reads as this form; empty for no filter."""
        fixed = self.fixed
        single = (
            ("search", fixed.search),
            ("without", "name" if "" in fixed.names else ""),
            ("without", "user" if fixed.user == "" else ""),
            ("without", "model" if fixed.model == "" else ""),
            ("user", fixed.user or ""),
            ("model", fixed.model or ""),
            ("status", fixed.status or ""),
            ("last", self.last),
            ("from", _or_empty(fixed.started_from, time_text)),
            ("to", _or_empty(fixed.started_before, time_text)),
            ("cost_from", _or_empty(fixed.cost_from, repr)),
            ("cost_to", _or_empty(fixed.cost_to, repr)),
            ("duration_from", _or_empty(fixed.duration_from, decimal_text)),
            ("duration_to", _or_empty(fixed.duration_to, decimal_text)),
        )
        return (
            *((name, value) for name, value in single if value),
            *(("name", name) for name in fixed.names if name),
            # An empty value is one that is wanted.
            *(
                pair
                for name, value in fixed.properties
                for pair in (("property", name), ("value", value))
            ),
        )

    def address(self, path: str) -> str:
        """Give the address of a list with this filter.

        Args:
            path: the list's address without a query.
        """
        fields = self.fields()
        return f"{path}?{urlencode(fields)}" if fields else path

    def chips(self) -> tuple[Chip, ...]:
        """Give its parts one by one, each with the form that is left without it."""
        fixed = self.fixed
        chips: list[Chip] = []

        def add(words: str, without: SessionFilter) -> None:
            chips.append(Chip(words, replace(self, fixed=without)))

        if fixed.search:
            add(f"Search: {fixed.search}", replace(fixed, search=""))
        for name in fixed.names:
            rest = tuple(other for other in fixed.names if other != name)
            add(f"Name: {name}" if name else "Without a name", replace(fixed, names=rest))
        if fixed.user is not None:
            words = f"User: {fixed.user}" if fixed.user else "Without a user"
            add(words, replace(fixed, user=None))
        if fixed.model is not None:
            words = f"Model: {fixed.model}" if fixed.model else "Without a model"
            add(words, replace(fixed, model=None))
        if fixed.status is not None:
            words = STATUSES.get(fixed.status, fixed.status)
            add(f"Status: {words.lower()}", replace(fixed, status=None))
        for index, (name, value) in enumerate(fixed.properties):
            others = fixed.properties[:index] + fixed.properties[index + 1 :]
            add(f"Property {name}: {value or '(empty)'}", replace(fixed, properties=others))
        if self.last:
            chips.append(Chip(f"Started: {PERIODS[self.last][0].lower()}", replace(self, last="")))
        if fixed.started_from is not None:
            words = f"Started from {_minute(fixed.started_from)}"
            add(words, replace(fixed, started_from=None))
        if fixed.started_before is not None:
            words = f"Started before {_minute(fixed.started_before)}"
            add(words, replace(fixed, started_before=None))
        if fixed.cost_from is not None:
            add(f"Cost from {shown_cost(fixed.cost_from)}", replace(fixed, cost_from=None))
        if fixed.cost_to is not None:
            add(f"Cost up to {shown_cost(fixed.cost_to)}", replace(fixed, cost_to=None))
        if fixed.duration_from is not None:
            words = f"Duration from {_duration(fixed.duration_from)}"
            add(words, replace(fixed, duration_from=None))
        if fixed.duration_to is not None:
            words = f"Duration up to {_duration(fixed.duration_to)}"
            add(words, replace(fixed, duration_to=None))
        return tuple(chips)


def read_filter(fields: QueryFields) -> FilterForm:
    """Read the filter out of a query.

    Args:
        fields: the query.

    Raises:
        WrongQuery: where a value is wrong; the text names the field, the value and the remedy.
    """
    without = _without(fields)
    names = [name for name in fields.every("name") if name]
    if "name" in without:
        names.append("")
    status = fields.text("status")
    if status is not None and status not in STATUSES and not _CODE.fullmatch(status):
        raise WrongQuery(
            f"The field 'status' cannot be {status!r}: give error, success, or an HTTP status"
            " such as 429."
        )
    fixed = SessionFilter(
        search=(fields.text("search") or "").strip(),
        names=tuple(dict.fromkeys(names)),
        user="" if "user" in without else fields.text("user"),
        properties=_properties(fields),
        status=status,
        model="" if "model" in without else fields.text("model"),
        started_from=fields.time("from"),
        started_before=fields.time("to"),
        cost_from=fields.number("cost_from"),
        cost_to=fields.number("cost_to"),
        duration_from=fields.seconds("duration_from"),
        duration_to=fields.seconds("duration_to"),
    )
    if _crossed(fixed.cost_from, fixed.cost_to):
        raise _swapped(fields, "cost_from", "cost_to")
    if _crossed(fixed.duration_from, fixed.duration_to):
        raise _swapped(fields, "duration_from", "duration_to")
    if _crossed(fixed.started_from, fixed.started_before):
        raise _swapped(fields, "from", "to")
    return FilterForm(fixed, fields.choice("last", PERIODS, ""))


def _without(fields: QueryFields) -> set[str]:
    given = {name for name in fields.every("without") if name}
    for name in sorted(given):
        if name not in _WITHOUT:
            raise WrongQuery(
                f"The field 'without' cannot be {name!r}: give one of {', '.join(_WITHOUT)}."
            )
        if name != "name" and fields.text(name) is not None:
            raise WrongQuery(
                f"The field 'without' is {name!r}, and the field {name!r} is"
                f" {fields.text(name)!r}: take one of them off."
            )
    return given


def _properties(fields: QueryFields) -> Pairs:
    names, values = fields.every("property"), fields.every("value")
    if len(names) != len(values):
        raise WrongQuery(
            f"There are {len(names)} fields 'property' and {len(values)} fields 'value': give one"
            " value for each property, in the same order."
        )
    found = []
    for name, value in zip(names, values, strict=True):
        if name:
            found.append((name, value))
        elif value:
            raise WrongQuery(
                f"The field 'property' is empty where 'value' is {value!r}: give the property's"
                " name, or take the value off."
            )
    return tuple(dict.fromkeys(found))


def _crossed(low: _Bound | None, high: _Bound | None) -> bool:
    return low is not None and high is not None and low > high


def _swapped(fields: QueryFields, low: str, high: str) -> WrongQuery:
    return WrongQuery(
        f"The field {low!r} is {fields.text(low)!r}, which is more than {high!r} with"
        f" {fields.text(high)!r}: swap them."
    )


def _or_empty(value: _Value | None, write: Callable[[_Value], str]) -> str:
    return "" if value is None else write(value)


def _minute(time: datetime) -> str:
    text = time_text(time).replace("T", " ")
    return f"{text.removesuffix(':00')} UTC"


def _duration(duration: timedelta) -> str:
    return shown_milliseconds(round(duration.total_seconds() * 1000))
