"""Reading the records that a store holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from otel_helicone.local.storage import session_queries
from otel_helicone.local.storage.columns import (
    BODY_COLUMNS,
    REQUEST_COLUMNS,
    Cell,
    microseconds,
    record_of,
    session_of,
)
from otel_helicone.local.storage.errors import DamagedRow
from otel_helicone.local.storage.filters import (
    SessionFigures,
    SessionFilter,
    SessionPage,
    SessionSort,
    ValueSummary,
)
from otel_helicone.local.storage.reading import reading
from otel_helicone.local.storage.records import RequestRecord, SessionRecord

__all__ = ["Store"]

_REQUEST: Final = ", ".join(f"request.{column}" for column in REQUEST_COLUMNS)
_WITH_BODY: Final = ", ".join((_REQUEST, *(f"body.{column}" for column in BODY_COLUMNS)))
_ALL: Final = SessionFilter()
_NEWEST_FIRST: Final = SessionSort()


class Store:
    """The records of a local Helicone, read anew at each call; any thread may call.

    Each method raises :class:`~.errors.StoreError` where the file is missing, is no store, is of a
    later version, or is damaged where it is read.

    Attributes:
        path: the SQLite file.
    """

    def __init__(self, path: Path) -> None:
        """Name the file; it is opened at each call.

        Args:
            path: a file that a local Helicone writes, or has written.
        """
        self.path = path

    def sessions(self, session_id: str | None = None) -> list[SessionRecord]:
        """Return the sessions, newest start first.

        Requests belong to one session when their session id *and* their session name are the
        same, as in Helicone: one id with two names is two sessions.

        Args:
            session_id: give only the sessions with this id.
        """
        only, values = ("", []) if session_id is None else ("AND session_id = ?", [session_id])
        with reading(self.path) as connection:
            rows = connection.execute(
                f"SELECT {session_queries.SESSION} FROM session WHERE session_id != '' {only}"
                " ORDER BY started_at DESC, number DESC",
                values,
            )
            return [session_of(row) for row in rows]

    def session(self, session_id: str, session_name: str) -> SessionRecord | None:
        """Return one session, or None.

        Args:
            session_id: its id.
            session_name: its name; empty for none.
        """
        with reading(self.path) as connection:
            row = connection.execute(
                f"SELECT {session_queries.SESSION} FROM session"
                " WHERE session_id = ? AND session_name = ?",
                [session_id, session_name],
            ).fetchone()
            return None if row is None else session_of(row)

    def requests(
        self,
        session_id: str | None = None,
        session_name: str | None = None,
        *,
        bodies: bool = True,
    ) -> list[RequestRecord]:
        """Return the requests in the order of their start.

        Args:
            session_id: give only those of the sessions with this id; without it all, those that
                are in no session included.
            session_name: give only those of the session with this name, too.
            bodies: whether to read the bodies and the headers; without, they are empty.
        """
        values: list[Cell] = []
        where = ""
        if session_id is not None:
            values = [session_id]
            named = ""
            if session_name is not None:
                values.append(session_name)
                named = "AND session_name = ?"
            where = f"WHERE session IN (SELECT number FROM session WHERE session_id = ? {named})"
        return self._requests(f"{where} ORDER BY started_at, request.row", values, bodies=bodies)

    def requests_in_no_session(self, since: datetime) -> int:
        """Return how many requests without a session id have come in.

        Args:
            since: count those that came in then or later.
        """
        ((count,),) = self._rows(
            "SELECT count(*) FROM request WHERE started_at >= ?"
            " AND session IN (SELECT number FROM session WHERE session_id = '')",
            [microseconds(since)],
        )
        return int(count)

    def each_request(self, session_id: str | None = None) -> Iterator[RequestRecord]:
        """Return the requests one by one, so that a large store needs no large memory.

        Args:
            session_id: give only those of the sessions with this id.
        """
        with self.counted_requests(session_id) as (_, records):
            yield from records

    @contextmanager
    def counted_requests(
        self, session_id: str | None = None
    ) -> Iterator[tuple[int, Iterator[RequestRecord]]]:
        """Open the store, and tell how many requests there are; none comes in or goes meanwhile.

        Args:
            session_id: count and give only those of the sessions with this id.

        Returns:
            Their number, and what gives them one by one, as long as the context is not left.
        """
        where, values = "", list[Cell]()
        if session_id is not None:
            where = "WHERE session IN (SELECT number FROM session WHERE session_id = ?)"
            values = [session_id]
        with reading(self.path) as connection:
            connection.execute("BEGIN")
            (count,) = connection.execute(
                f"SELECT count(*) FROM request {where}", values
            ).fetchone()
            rows = connection.execute(
                f"SELECT {_WITH_BODY} FROM request JOIN body USING (row) {where}"
                " ORDER BY request.row",
                values,
            )
            yield count, _counted(rows, count)

    def request(self, request_id: str) -> RequestRecord | None:
        """Return one request, or None; the one that was stored last where several have the id.

        Args:
            request_id: its id, in lower case.
        """
        found = self._requests(
            "WHERE request_id = ? ORDER BY request.row DESC LIMIT 1", [request_id], bodies=True
        )
        return found[0] if found else None

    def response_bodies(self, request_ids: Sequence[str]) -> dict[str, str]:
        """Return the answers' bodies of some requests, by the requests' ids.

        Args:
            request_ids: their ids, in lower case, a few hundred at most.
        """
        rows = self._rows(
            "SELECT request_id, response_body FROM request JOIN body USING (row)"
            f" WHERE request_id IN ({', '.join('?' * len(request_ids))}) ORDER BY request.row",
            request_ids,
        )
        return dict(rows)

    def request_ids(self, session_id: str, session_name: str) -> list[str]:
        """Return the ids of a session's requests, in the order of their start.

        Args:
            session_id: the session's id.
            session_name: its name; empty for none.
        """
        rows = self._rows(
            "SELECT request_id FROM request WHERE session ="
            " (SELECT number FROM session WHERE session_id = ? AND session_name = ?)"
            " ORDER BY started_at, row",
            [session_id, session_name],
        )
        return [str(row[0]) for row in rows]

    def session_ids(self, start: str) -> list[str]:
        """Return the session ids that start with a text; only the one that is equal, if there is.

        Args:
            start: the first characters of an id, or the whole of it.
        """
        rows = self._rows(
            "SELECT DISTINCT session_id FROM session"
            " WHERE session_id != '' AND substr(session_id, 1, ?) = ? ORDER BY session_id",
            [len(start), start],
        )
        found = [str(row[0]) for row in rows]
        return [start] if start in found else found

    def session_page(
        self,
        wanted: SessionFilter = _ALL,
        sort: SessionSort = _NEWEST_FIRST,
        *,
        offset: int = 0,
        limit: int = 50,
    ) -> SessionPage:
        """Return some of the sessions that are wanted, and how many there are.

        Args:
            wanted: which ones.
            sort: in which order.
            offset: how many to leave out first.
            limit: how many to give.
        """
        with reading(self.path) as connection:
            return session_queries.session_page(connection, wanted, sort, offset, limit)

    def session_figures(self, wanted: SessionFilter = _ALL) -> list[SessionFigures]:
        """Return the figures of all sessions that are wanted, in no order.

        Args:
            wanted: which ones.
        """
        with reading(self.path) as connection:
            return session_queries.session_figures(connection, wanted)

    def values(self, name: str, wanted: SessionFilter = _ALL) -> list[ValueSummary]:
        """Return what each value of something comes to, the dearest first.

        Args:
            name: ``user``, ``model``, ``status``, or ``property:`` and a property's name.
            wanted: the sessions to look at; requests that are in no session are summed too where
                nothing is asked for.
        """
        with reading(self.path) as connection:
            return session_queries.values(connection, name, wanted)

    def property_names(self) -> list[str]:
        """Return the names of all properties, sorted."""
        rows = self._rows(
            "SELECT DISTINCT substr(name, 10) FROM value WHERE name LIKE 'property:%' ORDER BY 1",
            [],
        )
        return [str(row[0]) for row in rows]

    def recent_requests_of_name(
        self, session_name: str, *, besides: str, sessions: int = 20, most: int = 4000
    ) -> list[list[RequestRecord]]:
        """Return the requests of the newest sessions of a name, without bodies, newest first.

        Args:
            session_name: the name.
            besides: the id of a session that is left out.
            sessions: how many to give at most.
            most: after so many requests no further session is read; the first always is.
        """
        rows = self._rows(
            "SELECT session_id, requests FROM session WHERE session_name = ? AND session_id != ?"
            " AND session_id != '' ORDER BY started_at DESC LIMIT ?",
            [session_name, besides, sessions],
        )
        given: list[list[RequestRecord]] = []
        for session_id, requests in rows:
            most -= requests
            if given and most < 0:
                break
            given.append(self.requests(session_id, session_name, bodies=False))
        return given

    def tag(self, session_id: str) -> str | None:
        """Return the tag of a session, or None.

        Args:
            session_id: the session's id.
        """
        rows = self._rows("SELECT tag FROM session_tag WHERE session_id = ?", [session_id])
        return str(rows[0][0]) if rows else None

    def version(self) -> int:
        """Return a number that is another one whenever something was stored or changed."""
        ((changes,),) = self._rows("SELECT changes FROM state", [])
        return int(changes)

    def _requests(self, where: str, values: Sequence[Cell], *, bodies: bool) -> list[RequestRecord]:
        columns, joined = _REQUEST, ""
        if bodies:
            columns, joined = _WITH_BODY, "JOIN body USING (row)"
        with reading(self.path) as connection:
            rows = connection.execute(f"SELECT {columns} FROM request {joined} {where}", values)
            return [record_of(row) for row in rows]

    def _rows(self, query: str, values: Sequence[Cell]) -> list[tuple[Any, ...]]:
        with reading(self.path) as connection:
            return connection.execute(query, values).fetchall()


def _counted(rows: Iterable[tuple[Any, ...]], count: int) -> Iterator[RequestRecord]:
    """Return rows as records, and say where they are fewer than there are requests."""
    read = 0
    for row in rows:
        yield record_of(row)
        read += 1
    if read != count:
        raise DamagedRow(f"{count - read} of {count} requests are without their bodies")
