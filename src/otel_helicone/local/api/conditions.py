"""Conditions of queries, whose values are always parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from otel_helicone.local.api.filter_fields import PLACES, PROPERTY, SESSION_PLACES, Field
from otel_helicone.local.api.likeness import ilike, like
from otel_helicone.local.storage.columns import Cell

__all__ = ["ALL", "COMPARED", "Condition", "both", "compared", "either", "property_is"]

COMPARED: Final = {
    "equals": "=",
    "not-equals": "!=",
    "gte": ">=",
    "gt": ">",
    "lte": "<=",
    "lt": "<",
}
"""The operators that SQL has too."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition of a query.

    Attributes:
        sql: an expression over the table ``request``.
        values: its parameters, in order.
    """

    sql: str
    values: tuple[Cell, ...] = ()


ALL: Final = Condition("1")
"""The condition that always holds."""


def both(*conditions: Condition) -> Condition:
    """Give the condition that holds where all of some do."""
    sql = " AND ".join(f"({each.sql})" for each in conditions if each != ALL)
    return Condition(sql or "1", tuple(value for each in conditions for value in each.values))


def either(*conditions: Condition) -> Condition:
    """Give the condition that holds where one of some does."""
    sql = " OR ".join(f"({each.sql})" for each in conditions)
    return Condition(sql, tuple(value for each in conditions for value in each.values))


def property_is(name: str, operator: str, value: str) -> Condition:
    """Give the condition that a property's value is such, or the empty text where it is missing.

    Args:
        name: the property's name, its case kept.
        operator: one of :data:`~.filter_fields.TEXT_OPERATORS`.
        value: what it is compared with.
    """
    if name in SESSION_PLACES:
        # There are far fewer sessions than requests to look at.
        found = compared(SESSION_PLACES[name], (), operator, value)
        number = f"SELECT number FROM session WHERE {found.sql}"
        return Condition(f"request.session IN ({number})", found.values)
    if name in PLACES:
        return compared(Field(PLACES[name], "text"), (), operator, value)
    return compared(Field(PROPERTY, "text"), (name,), operator, value)


def compared(field: Field, names: tuple[str, ...], operator: str, value: Cell) -> Condition:
    """Give the condition that something compares so with a value.

    Args:
        field: what is compared.
        names: the parameters of its column.
        operator: one of its operators.
        value: what it is compared with.
    """
    if operator in COMPARED:
        return Condition(f"{field.column} {COMPARED[operator]} ?", (*names, value))
    pattern = str(value)
    if operator in ("contains", "not-contains"):
        pattern = f"%{pattern}%"
    sql = like(field.column) if operator == "like" else ilike(field.column, pattern)
    return Condition(f"NOT ({sql})" if operator == "not-contains" else sql, (*names, pattern))
