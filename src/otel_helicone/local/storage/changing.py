"""What becomes of the tables when something is stored, changed or deleted."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from otel_helicone.local.prices import cost_of
from otel_helicone.local.storage.changes import (
    Change,
    Deletion,
    PropertySet,
    Scores,
    SessionTag,
)
from otel_helicone.local.storage.columns import (
    BODY_COLUMNS,
    REQUEST_COLUMNS,
    Cell,
    body_row_of,
    request_row_of,
    stored_text,
)
from otel_helicone.local.storage.records import RequestRecord
from otel_helicone.local.storage.summaries import MAX_SUMMED_ANEW, Summaries
from otel_helicone.local.wire.javascript import without_lone_surrogates

__all__ = ["Change", "Changing"]

_INSERT: Final = (
    f"INSERT INTO request (session, {', '.join(REQUEST_COLUMNS)})"
    f" VALUES ({', '.join('?' * (len(REQUEST_COLUMNS) + 1))})"
)
_INSERT_BODY: Final = (
    f"INSERT INTO body (row, {', '.join(BODY_COLUMNS)})"
    f" VALUES ({', '.join('?' * (len(BODY_COLUMNS) + 1))})"
)
# What makes two rows one in Helicone's table, once it has merged them; here at once.
_KEY: Final = ("request_id", "provider", "model", "user_id", "started_at")
_ROW: Final = f"SELECT row, session, {', '.join(REQUEST_COLUMNS)} FROM request WHERE"
# The plus has SQLite look it up by its id, and not among all requests that began at the same time.
_SAME: Final = (
    f"{_ROW} {' AND '.join(f'{column} IS ?' for column in _KEY[:-1])} AND +{_KEY[-1]} IS ?"
)
# Properties that are columns of their own, because they place a request.
_PLACES: Final = {
    "Helicone-Session-Id": "session_id",
    "Helicone-Session-Path": "session_path",
    "Helicone-Session-Name": "session_name",
}


class Changing:
    """Changes the tables, in transactions."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        bodies: bool = True,
        summed_anew: int = MAX_SUMMED_ANEW,
    ) -> None:
        """Begin.

        Args:
            connection: the one that writes.
            bodies: whether the bodies of requests and answers are kept.
            summed_anew: see :class:`~.summaries.Summaries`.
        """
        self._connection = connection
        self._bodies = bodies
        self._summaries = Summaries(connection, summed_anew=summed_anew)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the changes of a block all together, or none of them where it raises."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.finish()
            self._connection.execute("COMMIT")
        except BaseException:
            # SQLite has ended it already where the disk is full.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._summaries.forget()
            raise

    def apply(self, change: Change) -> int:
        """Make a change.

        Args:
            change: what is to be stored, set or deleted.

        Returns:
            How many stored requests it was about.
        """
        match change:
            case RequestRecord():
                return self._add(change)
            case Scores():
                return self._score(change)
            case PropertySet():
                return self._set_property(change)
            case SessionTag():
                return self._tag(change)
            case Deletion():
                return self._delete(change)

    def finish(self) -> None:
        """Bring the sums up to date, and let readers see that something was changed."""
        self._summaries.finish(_now())
        self._connection.execute("UPDATE state SET changes = changes + 1")

    def kept(self, record: RequestRecord) -> RequestRecord:
        """Return what is kept of a request.

        Args:
            record: the request as it came.
        """
        if not self._bodies:
            record = replace(record, request_body="", response_body="")
        if record.cost_usd is None:
            record = replace(record, cost_usd=cost_of(record))
        return record

    def _add(self, record: RequestRecord) -> int:
        record = self.kept(record)
        row = request_row_of(record)
        values = dict(zip(REQUEST_COLUMNS, row, strict=True))
        same = self._connection.execute(_SAME, [values[column] for column in _KEY]).fetchall()
        for number, session, *before in same:
            self._take_off(session, before)
            self._delete_row(number)
        session = self._summaries.add(values, _now())
        cursor = self._connection.execute(_INSERT, (session, *row))
        self._connection.execute(_INSERT_BODY, (cursor.lastrowid, *body_row_of(record)))
        return 1

    def _take_off(self, session: int, row: Sequence[Cell]) -> None:
        self._summaries.take_off(session, dict(zip(REQUEST_COLUMNS, row, strict=True)))

    def _delete_row(self, number: int) -> None:
        self._connection.execute("DELETE FROM request WHERE row = ?", [number])
        self._connection.execute("DELETE FROM body WHERE row = ?", [number])

    def _score(self, given: Scores) -> int:
        found = self._connection.execute(
            "SELECT row, session, scores FROM request WHERE request_id = ?", [given.request_id]
        ).fetchall()
        for row, session, scores in found:
            merged = json.dumps({**json.loads(scores), **given.scores})
            self._connection.execute("UPDATE request SET scores = ? WHERE row = ?", [merged, row])
            self._touch(session)
        return len(found)

    def _touch(self, session: int) -> None:
        self._connection.execute(
            "UPDATE session SET changed_at = ? WHERE number = ?", [_now(), session]
        )

    def _set_property(self, given: PropertySet) -> int:
        found = self._connection.execute(f"{_ROW} request_id = ?", [given.request_id]).fetchall()
        key, value = stored_text(given.key), stored_text(given.value)
        for number, session, *row in found:
            self._take_off(session, row)
            values = dict(zip(REQUEST_COLUMNS, row, strict=True))
            column = _PLACES.get(given.key)
            if column is None:
                values["properties"] = json.dumps({**json.loads(values["properties"]), key: value})
            else:
                values[column] = value
            self._connection.execute(
                "UPDATE request SET session = ?, session_id = ?, session_path = ?,"
                " session_name = ?, properties = ? WHERE row = ?",
                [
                    self._summaries.add(values, _now()),
                    *(values[name] for name in (*_PLACES.values(), "properties")),
                    number,
                ],
            )
        return len(found)

    def _tag(self, given: SessionTag) -> int:
        self._connection.execute(
            "INSERT OR REPLACE INTO session_tag VALUES (?, ?)",
            [without_lone_surrogates(given.session_id), without_lone_surrogates(given.tag)],
        )
        found = self._connection.execute(
            "SELECT number, requests FROM session WHERE session_id = ?", [given.session_id]
        ).fetchall()
        for number, _ in found:
            self._touch(number)
        return sum(requests for _, requests in found)

    def _delete(self, given: Deletion) -> int:
        if given.session_id is None:
            (requests,) = self._connection.execute("SELECT count(*) FROM request").fetchone()
            for table in ("request", "body", "session", "session_value", "session_tag", "value"):
                self._connection.execute(f"DELETE FROM {table}")
            self._summaries.forget()
            return int(requests)
        where, values = "session_id = ?", [given.session_id]
        if given.session_name is not None:
            where, values = f"{where} AND session_name = ?", [*values, given.session_name]
        numbers = [
            number
            for (number,) in self._connection.execute(
                f"SELECT number FROM session WHERE {where}", values
            )
        ]
        deleted = self.delete_sessions(numbers)
        (left,) = self._connection.execute(
            "SELECT count(*) FROM session WHERE session_id = ?", [given.session_id]
        ).fetchone()
        if not left:
            self._connection.execute(
                "DELETE FROM session_tag WHERE session_id = ?", [given.session_id]
            )
        return deleted

    def delete_sessions(self, numbers: list[int]) -> int:
        """Delete sessions with all that they hold.

        Args:
            numbers: the numbers of their rows.

        Returns:
            How many requests they had.
        """
        deleted = 0
        for number in numbers:
            self._connection.execute(
                "DELETE FROM body WHERE row IN (SELECT row FROM request WHERE session = ?)",
                [number],
            )
            deleted += self._connection.execute(
                "DELETE FROM request WHERE session = ?", [number]
            ).rowcount
            self._summaries.delete_values_of(number)
            self._connection.execute("DELETE FROM session WHERE number = ?", [number])
        return deleted

    def delete_requests(self, rows: list[int]) -> None:
        """Delete single requests.

        Args:
            rows: the numbers of their rows.
        """
        for number in rows:
            _, session, *row = self._connection.execute(f"{_ROW} row = ?", [number]).fetchone()
            self._take_off(session, row)
            self._delete_row(number)


def _now() -> int:
    return time.time_ns() // 1000
