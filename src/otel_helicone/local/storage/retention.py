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
_PAGES_GIVEN_BACK: Final = 2000


@dataclass(frozen=True, slots=True)
class Retention:
    """When stored sessions go, the one that ended first before the others, and always whole.

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
            How many sessions were deleted; 0 when nothing is left to do. The file itself shrinks
            where it was made by a version that has retention; an older one is used again inside.
        """
        old: list[int] = []
        if self.max_age is not None:
            before = time.time_ns() // 1000 - self.max_age // timedelta(microseconds=1)
            old = _oldest(connection, "WHERE ended_at < ?", [before])
        if not old and self.max_bytes is not None and _used_bytes(connection) > self.max_bytes:
            old = _oldest(connection, "", [])
        if not old:
            return 0
        connection.execute("BEGIN IMMEDIATE")
        try:
            changing.delete_sessions(old)
            changing.forget_unused_values()
            changing.count()
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            changing.forget()
            raise
        # As a script, because `execute` takes one step of it, which gives back one page.
        connection.executescript(f"PRAGMA incremental_vacuum({_PAGES_GIVEN_BACK})")
        return len(old)


def _oldest(connection: sqlite3.Connection, where: str, values: list[int]) -> list[int]:
    rows = connection.execute(
        f"SELECT number FROM session {where} ORDER BY ended_at LIMIT {_SESSIONS_AT_ONCE}", values
    )
    return [number for (number,) in rows]


def _used_bytes(connection: sqlite3.Connection) -> int:
    size, pages, free = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_size", "page_count", "freelist_count")
    )
    return int(size) * (int(pages) - int(free))
