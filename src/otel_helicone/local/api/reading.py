"""Reading the store for the API: connections, times and sums as Helicone gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final, TypeAlias

from otel_helicone.local.api.likeness import add_likeness
from otel_helicone.local.storage.columns import Cell, time_of
from otel_helicone.local.storage.reading import reading
from otel_helicone.local.storage.store import Store

__all__ = ["BILLIONTHS", "COST", "Rows", "as_number", "iso_time", "rows_of", "session_time"]

Rows: TypeAlias = Callable[[str, Sequence[Cell]], list[tuple[Any, ...]]]
"""Runs a query, given its SQL and its parameters."""

BILLIONTHS: Final = "sum(CAST(round(coalesce(request.cost_usd, 0) * 1e9) AS INTEGER))"
"""The cost of some requests: Helicone adds up billionths of a US dollar, which makes no errors."""

COST: Final = f"({BILLIONTHS} / 1e9)"
"""The same in US dollars."""


def rows_of(store: Store) -> Rows:
    """Give what runs queries, each in a connection of its own, so that any thread can call it.

    Args:
        store: where to read.
    """

    def rows(query: str, values: Sequence[Cell]) -> list[tuple[Any, ...]]:
        with reading(store.path) as connection:
            add_likeness(connection)
            return connection.execute(query, values).fetchall()

    return rows


def as_number(number: float | None) -> float:
    """Give a number as JavaScript writes it: without a fraction where there is none.

    Args:
        number: a finite number; None, which SQLite gives for the mean of nothing, becomes 0.
    """
    if number is None:
        return 0
    return int(number) if number == int(number) else number


def session_time(number: int, minutes: float = 0) -> str:
    """Write a time as the session endpoints do, ``2026-11-22 18:00:36.100``.

    Args:
        number: microseconds since 1970 in UTC.
        minutes: how far to move it.
    """
    time = time_of(number) + timedelta(minutes=minutes)
    return time.strftime("%Y-%m-%d %H:%M:%S.") + f"{time.microsecond // 1000:03}"


def iso_time(number: int) -> str:
    """Write a time as the request endpoints do, ``2026-11-22T18:00:36.100Z``.

    Args:
        number: microseconds since 1970 in UTC.
    """
    return session_time(number).replace(" ", "T") + "Z"
