"""Sessions summed from their requests, kept as the requests come in.

A million requests can't be summed while somebody waits for a page, but one can be added to its
session, or taken off it, at once. Sums of floats are not the same for it in their last digits, and
the end of a session is not known from what is taken off: a session of few requests, from which some
were taken, is summed anew instead.
"""

from __future__ import annotations

import json
import sqlite3
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["IS_ERROR", "MAX_SUMMED_ANEW", "Summaries", "rebuild"]

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
_PLACES: Final = {name: place for place, name in enumerate(_TOTALS)}
_ENDED_AT: Final = _PLACES["ended_at"]
_OF_VALUES: Final = ("errors", "total_tokens", "cost_usd", "latency_ms")
# Before all ends.
_NEVER: Final = -(2**63)
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
_MAX_VALUES_KNOWN: Final = 10_000
# No price is as fine as that: so what comes to nothing is nothing, and not what floats leave of it.
_COST_DIGITS: Final = 12
_TAKE_OFF: Final = f"""
    UPDATE session SET {", ".join(f"{name} = {name} - ?" for name in _TOTALS if name not in _KEPT)}
    WHERE number = ?
"""
_TAKE_OFF_VALUE: Final = f"""
    UPDATE session_value SET requests = requests - 1, errors = errors - ?,
    total_tokens = total_tokens - ?, cost_usd = round(cost_usd - ?, {_COST_DIGITS}),
    latency_ms = latency_ms - ? WHERE value = ? AND session = ?
"""
MAX_SUMMED_ANEW: Final = 500
"""How many requests a session may have to be summed anew where one was taken off it."""


@dataclass(slots=True)
class _Ends:
    """When requests ended that a transaction took off a session, and added to it: the last ones."""

    taken_off: int
    added: int = _NEVER


class Summaries:
    """Keeps the sessions' sums, within the transactions of one connection."""

    def __init__(
        self, connection: sqlite3.Connection, *, summed_anew: int = MAX_SUMMED_ANEW
    ) -> None:
        """Begin with nothing known.

        Args:
            connection: the one that writes the requests.
            summed_anew: how many requests a session may have to be summed anew.
        """
        self._connection = connection
        self._summed_anew = summed_anew
        self._values: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._changed: dict[int, _Ends] = {}
        self._perhaps_unused: set[int] = set()

    def add(self, values: Mapping[str, Any], now: int) -> int:
        """Add a request to its session.

        Args:
            values: its row, by column.
            now: the time, in microseconds since 1970.

        Returns:
            The session's number, which the request's row is to have.
        """
        figures = _figures(values)
        (number,) = self._connection.execute(
            _ADD, (values["session_id"] or "", values["session_name"] or "", *figures, now)
        ).fetchone()
        if number in self._changed:
            ends = self._changed[number]
            ends.added = max(ends.added, figures[_ENDED_AT])
        about = (number, *(figures[_PLACES[name]] for name in _OF_VALUES))
        self._connection.executemany(
            _ADD_VALUE, [(self._value(*pair), *about) for pair in _named(values)]
        )
        return int(number)

    def take_off(self, session: int, values: Mapping[str, Any]) -> None:
        """Take a request off its session; call :meth:`finish` once all of them are.

        Args:
            session: the session's number.
            values: the request's row, by column.
        """
        figures = _figures(values)
        ends = self._changed.setdefault(session, _Ends(_NEVER))
        ends.taken_off = max(ends.taken_off, figures[_ENDED_AT])
        if figures[_ENDED_AT] == ends.added:
            ends.added = _NEVER  # it may have been this one
        self._connection.execute(
            _TAKE_OFF, (*(figures[_PLACES[name]] for name in _TOTALS if name not in _KEPT), session)
        )
        about = [figures[_PLACES[name]] for name in _OF_VALUES]
        for pair in _named(values):
            value = self._value(*pair)
            self._connection.execute(_TAKE_OFF_VALUE, (*about, value, session))
            gone = self._connection.execute(
                "DELETE FROM session_value WHERE value = ? AND session = ? AND requests = 0",
                [value, session],
            )
            if gone.rowcount:
                self._perhaps_unused.add(value)

    def finish(self, now: int) -> None:
        """Bring what requests were taken off up to date, and delete what nothing refers to.

        Args:
            now: the time, in microseconds since 1970.
        """
        for number, ends in self._changed.items():
            (requests,) = self._connection.execute(
                "SELECT requests FROM session WHERE number = ?", [number]
            ).fetchone() or (0,)
            if requests <= self._summed_anew:
                self._sum_anew(number, now)
            else:
                self._find_ends(number, ends, now)
        self._changed.clear()
        if self._perhaps_unused:
            self._connection.executemany(
                "DELETE FROM value WHERE number = ? AND NOT EXISTS"
                " (SELECT 1 FROM session_value WHERE session_value.value = value.number)",
                [(value,) for value in self._perhaps_unused],
            )
            self.forget()

    def _sum_anew(self, number: int, now: int) -> None:
        self.delete_values_of(number)
        totals = self._connection.execute(
            f"SELECT {', '.join(_TOTALS.values())} FROM request WHERE session = ?", [number]
        ).fetchone()
        if not totals[0]:
            self._connection.execute("DELETE FROM session WHERE number = ?", [number])
            return
        self._connection.execute(
            f"UPDATE session SET ({_COLUMNS}, changed_at) ="
            f" ({', '.join('?' * (len(_TOTALS) + 1))}) WHERE number = ?",
            (*totals, now, number),
        )
        for statement in _FIND_VALUES:
            self._connection.execute(
                statement.format(where="WHERE session = :session"), {"session": number}
            )

    def _find_ends(self, number: int, ends: _Ends, now: int) -> None:
        self._connection.execute(
            f"UPDATE session SET changed_at = ?, cost_usd = round(cost_usd, {_COST_DIGITS}),"
            " started_at = (SELECT min(started_at) FROM request WHERE session = number)"
            " WHERE number = ?",
            [now, number],
        )
        # Where the last one was taken off, and none as late was added, all have to be looked at.
        if ends.taken_off > ends.added:
            self._connection.execute(
                f"UPDATE session SET ended_at = (SELECT {_TOTALS['ended_at']} FROM request"
                " WHERE session = number) WHERE number = ? AND ended_at = ?",
                [number, ends.taken_off],
            )

    def delete_values_of(self, session: int) -> None:
        """Delete what a session can be found by.

        Args:
            session: its number.
        """
        self._perhaps_unused.update(
            value
            for (value,) in self._connection.execute(
                "SELECT value FROM session_value WHERE session = ?", [session]
            )
        )
        self._connection.execute("DELETE FROM session_value WHERE session = ?", [session])

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
        if len(self._values) > _MAX_VALUES_KNOWN:
            self._values.popitem(last=False)
        return int(number)

    def forget(self) -> None:
        """Forget what a transaction that was rolled back may have made."""
        self._values.clear()
        self._changed.clear()
        self._perhaps_unused.clear()


def _figures(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what a request adds to its session, in the order of the totals."""
    cost, tokens = values["cost_usd"], values["total_tokens"]
    return (
        1,
        int(not 200 <= values["status"] <= 399),
        values["prompt_tokens"],
        values["completion_tokens"],
        tokens,
        cost or 0.0,
        int(cost is None and tokens > 0),
        values["started_at"],
        values["started_at"] + values["latency_ms"] * 1000,
        values["latency_ms"],
    )


def _named(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return by what a request's session can be found."""
    return [
        ("user", values["user_id"] or ""),
        ("model", values["model"] or ""),
        ("status", str(values["status"])),
        *((f"property:{name}", value) for name, value in json.loads(values["properties"]).items()),
    ]


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
