"""Finding sessions by what is known of them: their sums, and the values of their requests."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from otel_helicone.local.storage.columns import SESSION_COLUMNS, Cell, microseconds, session_of
from otel_helicone.local.storage.filters import (
    SessionFigures,
    SessionFilter,
    SessionPage,
    SessionSort,
    SortKey,
    ValueSummary,
)

__all__ = ["SESSION", "session_figures", "session_page", "values"]

SESSION: Final = (
    ", ".join(SESSION_COLUMNS)
    + """, (SELECT json_group_array(value.value) FROM session_value
    JOIN value ON value.number = session_value.value
    WHERE session_value.session = session.number AND value.name = 'user')"""
)
"""What :func:`~.columns.session_of` reads."""

_ORDERS: Final[Mapping[SortKey, str]] = {
    "started": "started_at",
    "duration": "ended_at - started_at",
    "requests": "requests",
    "errors": "errors",
    "tokens": "total_tokens",
    "cost": "cost_usd",
    "name": "session_name COLLATE NOCASE",
}
_HAS_VALUE: Final = """number IN (SELECT session FROM session_value
    WHERE value = (SELECT number FROM value WHERE name = ? AND value = ?))"""
_FOUND: Final = """(found(session_id) OR found(session_name) OR number IN (
    SELECT session FROM session_value WHERE value IN (
        SELECT number FROM value
        WHERE (name = 'user' OR name LIKE 'property:%') AND found(value))))"""


def session_page(
    connection: sqlite3.Connection,
    wanted: SessionFilter,
    sort: SessionSort,
    offset: int,
    limit: int,
) -> SessionPage:
    """See :meth:`.Store.session_page`."""
    where, given = _where(connection, wanted)
    direction = "DESC" if sort.descending else "ASC"
    (total,) = connection.execute(f"SELECT count(*) FROM session {where}", given).fetchone()
    rows = connection.execute(
        # The users are looked up for this page's sessions alone.
        f"SELECT {SESSION} FROM session JOIN (SELECT number AS chosen, {_ORDERS[sort.by]} AS place"
        f" FROM session {where} ORDER BY place {direction}, number {direction} LIMIT ? OFFSET ?)"
        f" ON number = chosen ORDER BY place {direction}, number {direction}",
        [*given, limit, offset],
    ).fetchall()
    return SessionPage(tuple(session_of(row) for row in rows), total, offset, limit)


def session_figures(connection: sqlite3.Connection, wanted: SessionFilter) -> list[SessionFigures]:
    """See :meth:`.Store.session_figures`."""
    where, given = _where(connection, wanted)
    rows = connection.execute(
        "SELECT session_id, session_name, started_at, (ended_at - started_at) / 1000, requests,"
        f" errors, total_tokens, cost_usd, latency_ms FROM session {where}",
        given,
    )
    return [SessionFigures._make(row) for row in rows]


def values(connection: sqlite3.Connection, name: str, wanted: SessionFilter) -> list[ValueSummary]:
    """See :meth:`.Store.values`."""
    only = ""
    given: list[Cell] = []
    if wanted != SessionFilter():
        where, given = _where(connection, wanted)
        only = f"AND session IN (SELECT number FROM session {where})"
    rows = connection.execute(
        f"""
        WITH outside AS MATERIALIZED (SELECT number FROM session WHERE session_id = '')
        SELECT value.value, sum(session NOT IN outside),
               sum(session_value.errors > 0 AND session NOT IN outside),
               sum(session_value.requests), sum(session_value.errors),
               sum(session_value.total_tokens), sum(session_value.cost_usd),
               sum(session_value.latency_ms)
        FROM value JOIN session_value ON session_value.value = value.number
        WHERE value.name = ? {only}
        GROUP BY value.number
        ORDER BY sum(session_value.cost_usd) DESC, sum(session_value.requests) DESC, value.value
        """,
        [name, *given],
    )
    return [ValueSummary(*row) for row in rows]


def _where(connection: sqlite3.Connection, wanted: SessionFilter) -> tuple[str, list[Cell]]:
    """Give the condition for wanted sessions, and the values in it."""
    conditions, given = ["session_id != ''"], list[Cell]()

    def add(condition: str, *its_values: Cell) -> None:
        conditions.append(condition)
        given.extend(its_values)

    if wanted.search:
        _define_found(connection, wanted.search)
        add(_FOUND)
    if wanted.names:
        add(f"session_name IN ({', '.join('?' * len(wanted.names))})", *wanted.names)
    if wanted.user is not None:
        add(_HAS_VALUE, "user", wanted.user)
    for key, value in wanted.properties:
        add(_HAS_VALUE, f"property:{key}", value)
    if wanted.model is not None:
        add(_HAS_VALUE, "model", wanted.model)
    if wanted.status == "error":
        add("errors > 0")
    elif wanted.status == "success":
        add("errors = 0")
    elif wanted.status is not None:
        add(_HAS_VALUE, "status", wanted.status)
    if wanted.started_from is not None:
        add("started_at >= ?", microseconds(wanted.started_from))
    if wanted.started_before is not None:
        add("started_at < ?", microseconds(wanted.started_before))
    if wanted.cost_from is not None:
        add("cost_usd >= ?", wanted.cost_from)
    if wanted.cost_to is not None:
        add("cost_usd <= ?", wanted.cost_to)
    microsecond = timedelta(microseconds=1)
    if wanted.duration_from is not None:
        add("ended_at - started_at >= ?", wanted.duration_from // microsecond)
    if wanted.duration_to is not None:
        add("ended_at - started_at <= ?", wanted.duration_to // microsecond)
    return f"WHERE {' AND '.join(conditions)}", given


def _define_found(connection: sqlite3.Connection, search: str) -> None:
    """Give the connection a function that finds the text; SQLite's own know ASCII's cases only."""
    folded = search.casefold()
    connection.create_function(
        "found", 1, lambda text: folded in str(text).casefold(), deterministic=True
    )
