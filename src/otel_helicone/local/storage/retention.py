"""How long and how much is kept."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from otel_helicone.local.storage.changing import Changing

__all__ = ["Retention"]

# So many sessions go in one transaction, so that what comes in meanwhile does not wait.
_SESSIONS_AT_ONCE: Final = 50
_REQUESTS_AT_ONCE: Final = 200
_ALWAYS: Final = 2**62
_PAGES_GIVEN_BACK: Final = 2000


@dataclass(frozen=True, slots=True)
class Retention:
    """When stored sessions go, the one that ended first before the others, and always whole.

    Requests that are in no session go one by one.

    Attributes:
        max_age: how long ago a session may have ended; None for no limit.
        max_bytes: how much of the file may be in use; None for no limit.
    """

    max_age: timedelta | None = None
    max_bytes: int | None = None

    def step(self, connection: sqlite3.Connection, changing: Changing) -> int:
        """Delete some of what is too old or too much, in a transaction of its own.

        Args:
            connection: the one that writes; no transaction is open.
            changing: what deletes.

        Returns:
            How many sessions, and requests in no session, were deleted; 0 when nothing is left to
            do. The file itself shrinks where it was made by a version that has retention; an older
            one is used again inside.
        """
        before = None
        if self.max_age is not None:
            before = time.time_ns() // 1000 - self.max_age // timedelta(microseconds=1)
        sessions, requests = _oldest(connection, before)
        if (
            not (sessions or requests)
            and self.max_bytes is not None
            and _used_bytes(connection) > self.max_bytes
        ):
            sessions, requests = _oldest(connection, _ALWAYS)
        if not (sessions or requests):
            return 0
        with changing.transaction():
            changing.delete_sessions(sessions)
            changing.delete_requests(requests)
        # As a script, because `execute` takes one step of it, which gives back one page.
        connection.executescript(f"PRAGMA incremental_vacuum({_PAGES_GIVEN_BACK})")
        return len(sessions) + len(requests)


def _oldest(connection: sqlite3.Connection, before: int | None) -> tuple[list[int], list[int]]:
    """Return what ended first: sessions, or requests that are in none; not more than once at both.

    Args:
        connection: the one that writes.
        before: only what ended before this, in microseconds since 1970; None for nothing.
    """
    if before is None:
        return [], []
    sessions = connection.execute(
        "SELECT ended_at, number FROM session WHERE session_id != '' AND ended_at < ?"
        " ORDER BY ended_at LIMIT ?",
        [before, _SESSIONS_AT_ONCE],
    ).fetchall()
    # By their start, for which there is an index; hardly a request takes longer than it matters.
    requests = connection.execute(
        "SELECT started_at, row FROM request WHERE started_at < ? AND session IN"
        " (SELECT number FROM session WHERE session_id = '') ORDER BY started_at LIMIT ?",
        [before, _REQUESTS_AT_ONCE],
    ).fetchall()
    if sessions and (not requests or sessions[0] < requests[0]):
        return [number for _, number in sessions], []
    return [], [row for _, row in requests]


def _used_bytes(connection: sqlite3.Connection) -> int:
    size, pages, free = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_size", "page_count", "freelist_count")
    )
    return int(size) * (int(pages) - int(free))
