"""Sessions summed from their requests, kept as the requests come in.

A million requests can't be summed while somebody waits for a page, but one can be added to its
session at once. What moves, replaces or deletes requests has the sessions summed again.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final

from otel_helicone.local.storage.columns import Cell, stored_properties
from otel_helicone.local.storage.records import RequestRecord

__all__ = ["IS_ERROR", "Summaries", "rebuild"]

IS_ERROR: Final = "status NOT BETWEEN 200 AND 399"
"""Which requests failed; see :attr:`.RequestRecord.is_error`."""

_TOTALS: Final[Mapping[str, str]] = {
    "requests": "count(*)",
    "errors": f"sum({IS_ERROR})",
    "prompt_tokens": "sum(prompt_tokens)",
    "completion_tokens": "sum(completion_tokens)",
    "total_tokens": "sum(total_tokens)",
    "cost_usd": "coalesce(sum(cost_usd), 0.0)",
    "unpriced": "sum(cost_usd IS NULL AND total_tokens > 0)",
    "started_at": "min(started_at)",
    "ended_at": "max(started_at + latency_ms * 1000)",
    "latency_ms": "sum(latency_ms)",
}
_COLUMNS: Final = ", ".join(_TOTALS)
# Of what is there already and what comes in, by column; all others are added.
_KEPT: Final = {"started_at": "min", "ended_at": "max"}
_ADD: Final = f"""
    INSERT INTO session (session_id, session_name, {_COLUMNS}, changed_at)
    VALUES ({", ".join("?" * (len(_TOTALS) + 3))})
    ON CONFLICT (session_id, session_name) DO UPDATE SET
    {
    ", ".join(
        f"{name} = {_KEPT[name]}({name}, excluded.{name})"
        if name in _KEPT
        else f"{name} = {name} + excluded.{name}"
        for name in _TOTALS
    )
}, changed_at = excluded.changed_at
    RETURNING number
"""
_ADD_VALUE: Final = """
    INSERT INTO session_value VALUES (?, ?, 1, ?, ?, ?, ?)
    ON CONFLICT (value, session) DO UPDATE SET requests = requests + 1,
    errors = errors + excluded.errors, total_tokens = total_tokens + excluded.total_tokens,
    cost_usd = cost_usd + excluded.cost_usd, latency_ms = latency_ms + excluded.latency_ms
"""
_FIGURES: Final = "status, total_tokens, cost_usd, latency_ms"
_NAMED: Final = f"""
    SELECT session, 'user' AS name, coalesce(user_id, '') AS value, {_FIGURES}
    FROM request {{where}}
    UNION ALL
    SELECT session, 'model', coalesce(model, ''), {_FIGURES} FROM request {{where}}
    UNION ALL
    SELECT session, 'status', CAST(status AS TEXT), {_FIGURES} FROM request {{where}}
    UNION ALL
    SELECT session, 'property:' || pair.key, pair.value, {_FIGURES}
    FROM request, json_each(properties) AS pair {{where}}
"""
_FIND_VALUES: Final = (
    f"INSERT OR IGNORE INTO value (name, value) SELECT DISTINCT name, value FROM ({_NAMED})",
    f"""
    INSERT INTO session_value
    SELECT value.number, named.session, count(*), sum({IS_ERROR}), sum(total_tokens),
           coalesce(sum(cost_usd), 0.0), sum(latency_ms)
    FROM ({_NAMED}) AS named
    JOIN value ON value.name = named.name AND value.value = named.value
    GROUP BY value.number, named.session
    """,
)
_MOST_VALUES_KNOWN: Final = 10_000


class Summaries:
    """Keeps the sessions' sums, within the transactions of one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Begin with nothing known.

        Args:
            connection: the one that writes the requests.
        """
        self._connection = connection
        self._values: OrderedDict[tuple[str, str], int] = OrderedDict()

    def add(self, record: RequestRecord, values: Mapping[str, Cell], now: int) -> int:
        """Add a request to its session.

        Args:
            record: the request.
            values: its row, by column.
            now: the time, in microseconds since 1970.

        Returns:
            The session's number, which the request's row is to have.
        """
        failed = int(record.is_error)
        cost = record.cost_usd or 0.0
        priced = record.cost_usd is not None or record.total_tokens <= 0
        started = values["started_at"]
        assert isinstance(started, int)
        (number,) = self._connection.execute(
            _ADD,
            (
                *(values["session_id"] or "", values["session_name"] or "", 1, failed),
                *(record.prompt_tokens, record.completion_tokens, record.total_tokens),
                *(cost, int(not priced), started, started + record.latency_ms * 1000),
                *(record.latency_ms, now),
            ),
        ).fetchone()
        named = [
            ("user", values["user_id"]),
            ("model", values["model"]),
            ("status", str(record.status)),
            *(
                (f"property:{name}", value)
                for name, value in stored_properties(record.properties).items()
            ),
        ]
        figures = (number, failed, record.total_tokens, cost, record.latency_ms)
        self._connection.executemany(
            _ADD_VALUE, [(self._value(name, str(value or "")), *figures) for name, value in named]
        )
        return int(number)

    def _value(self, name: str, value: str) -> int:
        key = (name, value)
        known = self._values.get(key)
        if known is not None:
            self._values.move_to_end(key)
            return known
        self._connection.execute("INSERT OR IGNORE INTO value (name, value) VALUES (?, ?)", key)
        (number,) = self._connection.execute(
            "SELECT number FROM value WHERE name = ? AND value = ?", key
        ).fetchone()
        self._values[key] = number
        if len(self._values) > _MOST_VALUES_KNOWN:
            self._values.popitem(last=False)
        return int(number)

    def forget(self) -> None:
        """Forget what a transaction that was rolled back may have made."""
        self._values.clear()

    def sum_again(self, sessions: Iterable[int], now: int) -> None:
        """Sum sessions anew from their requests; one without any is gone.

        Args:
            sessions: their numbers.
            now: the time, in microseconds since 1970.
        """
        for number in sessions:
            self._connection.execute("DELETE FROM session_value WHERE session = ?", [number])
            totals = self._connection.execute(
                f"SELECT {', '.join(_TOTALS.values())} FROM request WHERE session = ?", [number]
            ).fetchone()
            if not totals[0]:
                self._connection.execute("DELETE FROM session WHERE number = ?", [number])
                continue
            self._connection.execute(
                f"UPDATE session SET ({_COLUMNS}, changed_at) ="
                f" ({', '.join('?' * (len(_TOTALS) + 1))}) WHERE number = ?",
                (*totals, now, number),
            )
            for statement in _FIND_VALUES:
                self._connection.execute(
                    statement.format(where="WHERE session = :session"), {"session": number}
                )
        self.forget()

    def forget_unused_values(self) -> None:
        """Delete the values that no session has any more."""
        self._connection.execute(
            "DELETE FROM value WHERE NOT EXISTS"
            " (SELECT 1 FROM session_value WHERE session_value.value = value.number)"
        )
        self.forget()


def rebuild(connection: sqlite3.Connection) -> None:
    """Sum all sessions anew, in the transaction that is open.

    Args:
        connection: one to a file whose requests know their sessions by id and name alone.
    """
    for table in ("session_value", "value", "session"):
        connection.execute(f"DELETE FROM {table}")
    connection.execute(
        f"INSERT INTO session (session_id, session_name, {_COLUMNS}, changed_at)"
        " SELECT coalesce(session_id, ''), coalesce(session_name, ''),"
        f" {', '.join(_TOTALS.values())}, max(started_at) FROM request GROUP BY 1, 2"
    )
    connection.execute(
        "UPDATE request SET session = (SELECT number FROM session"
        " WHERE session.session_id = coalesce(request.session_id, '')"
        " AND session.session_name = coalesce(request.session_name, ''))"
    )
    for statement in _FIND_VALUES:
        connection.execute(statement.format(where=""))
