"""Reading the records that a store holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeAlias

from otel_helicone.local.log_api.javascript import without_lone_surrogates
from otel_helicone.local.storage.records import RequestRecord, SessionRecord
from otel_helicone.local.storage.schema import connect

__all__ = ["COLUMNS", "Store", "row_of"]

COLUMNS: Final = (
    "request_id",
    "session_id",
    "session_path",
    "session_name",
    "user_id",
    "properties",
    "provider",
    "model",
    "method",
    "target_path",
    "status",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "started_at",
    "latency_ms",
    "time_to_first_token_ms",
    "request_body",
    "response_body",
    "helicone_headers",
    "prompt_cache_read_tokens",
    "prompt_cache_write_tokens",
    "reasoning_tokens",
    "target_url",
    "kind",
    "scores",
)
"""The columns of a record, in the order of the fields of a request record."""

Cell: TypeAlias = str | int | None

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Store:
    """The records of a local Helicone, read anew at each call.

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
        """Give the sessions, newest start first.

        Requests belong to one session when their session id *and* their session name are the
        same, as in Helicone: one id with two names is two sessions.

        Args:
            session_id: give only the sessions with this id.

        Raises:
            StoreError: where the file is missing, is no store or is of a later version.
        """
        only, values = ("", []) if session_id is None else ("AND session_id = ?", [session_id])
        rows = self._rows(
            f"""
            SELECT session_id, coalesce(session_name, '') AS name, count(*),
                   sum(status NOT BETWEEN 200 AND 399), sum(prompt_tokens),
                   sum(completion_tokens), sum(total_tokens), min(started_at),
                   max(started_at + latency_ms * 1000)
            FROM request WHERE session_id IS NOT NULL {only}
            GROUP BY session_id, name ORDER BY min(started_at) DESC, min(row) DESC
            """,
            values,
        )
        return [_session_of(row) for row in rows]

    def requests(self, session_id: str | None = None) -> list[RequestRecord]:
        """Give the requests in the order of their start.

        Args:
            session_id: give only those of the sessions with this id; without it all, those that
                are in no session included.

        Raises:
            StoreError: where the file is missing, is no store or is of a later version.
        """
        only, values = ("", []) if session_id is None else ("WHERE session_id = ?", [session_id])
        rows = self._rows(
            f"SELECT {', '.join(COLUMNS)} FROM request {only} ORDER BY started_at, row", values
        )
        return [_record_of(row) for row in rows]

    def session_ids(self, start: str) -> list[str]:
        """Give the session ids that start with a text; only the one that is equal, if there is.

        Args:
            start: the first characters of an id, or the whole of it.

        Raises:
            StoreError: where the file is missing, is no store or is of a later version.
        """
        rows = self._rows(
            "SELECT DISTINCT session_id FROM request WHERE substr(session_id, 1, ?) = ?"
            " ORDER BY session_id",
            [len(start), start],
        )
        found = [str(row[0]) for row in rows]
        return [start] if start in found else found

    def _rows(self, query: str, values: Sequence[Cell]) -> list[tuple[Any, ...]]:
        with closing(connect(self.path, create=False)) as connection:
            return connection.execute(query, values).fetchall()


def row_of(record: RequestRecord) -> tuple[Cell, ...]:
    """Give a record's values in the order of :data:`COLUMNS`."""
    return (
        record.request_id,
        _storable(record.session_id),
        _storable(record.session_path),
        _storable(record.session_name),
        _storable(record.user_id),
        json.dumps(dict(record.properties)),
        record.provider,
        _storable(record.model),
        record.method,
        record.target_path,
        record.status,
        record.prompt_tokens,
        record.completion_tokens,
        record.total_tokens,
        (record.started_at - _EPOCH) // _MICROSECOND,
        record.latency_ms,
        record.time_to_first_token_ms,
        _storable(record.request_body),
        _storable(record.response_body),
        json.dumps(record.helicone_headers),
        record.prompt_cache_read_tokens,
        record.prompt_cache_write_tokens,
        record.reasoning_tokens,
        _storable(record.target_url),
        record.kind,
        json.dumps(dict(record.scores)),
    )


def _record_of(row: tuple[Any, ...]) -> RequestRecord:
    values = dict(zip(COLUMNS, row, strict=True))
    values["properties"] = json.loads(values["properties"])
    values["scores"] = json.loads(values["scores"])
    values["started_at"] = _time(values["started_at"])
    values["helicone_headers"] = tuple(
        (name, value) for name, value in json.loads(values["helicone_headers"])
    )
    return RequestRecord(**values)


def _session_of(row: tuple[Any, ...]) -> SessionRecord:
    return SessionRecord(
        session_id=row[0],
        session_name=row[1],
        requests=row[2],
        errors=row[3],
        prompt_tokens=row[4],
        completion_tokens=row[5],
        total_tokens=row[6],
        started_at=_time(row[7]),
        ended_at=_time(row[8]),
    )


def _time(microseconds: int) -> datetime:
    return _EPOCH + microseconds * _MICROSECOND


def _storable(text: str | None) -> str | None:
    """Put U+FFFD, as Helicone does, in the place of the lone surrogates that JSON may hold."""
    return None if text is None else without_lone_surrogates(text)
