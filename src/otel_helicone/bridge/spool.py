"""The spool: what came in and has not been logged yet, on disk.

A span is *waiting* until it can be placed in its trace; then its log is written beside it, as the
*post* that is to be sent, in the same transaction. So a log is made once, and each attempt to send
it, also after a crash, sends the same bytes. What is left of the span is its skeleton, where the
spans below it look for their path, until its trace is forgotten.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from otel_helicone.bridge.clock import SpoolClock
from otel_helicone.bridge.database import SpoolDatabase
from otel_helicone.bridge.post_queries import due_posts, key_names, old_posts
from otel_helicone.bridge.room import check_volume
from otel_helicone.bridge.spans import Arrival, Traits
from otel_helicone.bridge.stored import Added, Counts, DuePost, Look, Row, SpoolFull

__all__ = ["Spool"]

_WAITING: Final = 0
_KNOWN: Final = 1
_LOGGED: Final = 2
_MAX_ORIGINS: Final = 2000
_MAX_ROW_BYTES: Final = 4 * 1024 * 1024
_ROW: Final = (
    "SELECT span.id, span_id, parent_id, traits, received, origin.content, span.content"
    " FROM span JOIN origin ON origin.id = span.origin"
)


class Spool:
    """One SQLite file. Safe to use from several threads; one process at a time."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        """Open the spool, or begin one.

        Args:
            path: the file.
            max_bytes: how large what is in it may become, in bytes.

        Raises:
            SpoolError: where it can't be used.
        """
        self.path = path
        self._max_bytes = max_bytes
        self._database = SpoolDatabase(path)
        self._origins: dict[bytes, int] = {}
        self._begun_anew = 0
        self._count_again()
        self._clock = SpoolClock(self._newest())

    def _count_again(self) -> None:
        self._waiting_spans = self._database.count("span WHERE state = 0")
        self._posts = self._database.count("post")

    def _newest(self) -> float:
        (found,) = self._database.read(
            "SELECT (SELECT max(last) FROM trace), (SELECT max(used) FROM session_name),"
            " (SELECT max(received) FROM post)"
        )
        return max(time or 0.0 for time in found)

    def now(self) -> float:
        """Return the time by which everything in the spool is dated; see :class:`.SpoolClock`."""
        return self._clock.now()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._database.mutex:
            if self._begun_anew != self._database.begun_anew:
                self._begun_anew = self._database.begun_anew
                self._origins.clear()
                self._count_again()
            try:
                with self._database.transaction() as connection:
                    yield connection
            except BaseException:
                self._origins.clear()  # some may have been in what was rolled back
                raise

    def check_room(self, size: int) -> None:
        """Check whether there is room for a request.

        Args:
            size: how large the request is, in bytes.

        Raises:
            SpoolFull: where there is none.
            SpoolError: where the spool can't be used at all.
        """
        self._database.make_whole()
        pages = self._database.pages()
        if pages.used + size > self._max_bytes:
            raise SpoolFull("the spool is full")
        check_volume(self.path.parent, size, pages)

    def add(
        self,
        arrivals: Iterable[Arrival],
        now: float,
        wait: float,
        progress: tuple[str, int] | None = None,
    ) -> Added:
        """Store the spans of one request, all or none; they are on the disk when this returns.

        Args:
            arrivals: the spans. One that has come before is left out.
            now: the time, in seconds since 1970.
            wait: how long a trace whose top is not known waits for more of it, in seconds.
            progress: what was read and up to where, to be stored with the spans.

        Raises:
            SpoolFull: where the disk is full.
            SpoolError: where it can't be written.
        """
        stored = repeated = waiting = 0
        # By trace: whether a span of it shows the top of a path, and whether one waits.
        touched: dict[bytes, tuple[bool, bool]] = {}
        with self._transaction() as database:
            for arrival in arrivals:
                wanted = bool(arrival.traits & Traits.WANTED)
                cursor = database.execute(
                    "INSERT OR IGNORE INTO span"
                    " (trace_id, span_id, parent_id, traits, state, received, origin, content)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *(arrival.trace_id, arrival.span_id, arrival.parent_id, arrival.traits),
                        *(
                            _WAITING if wanted else _KNOWN,
                            now,
                            self._origin(database, arrival.origin),
                        ),
                        arrival.content,
                    ),
                )
                if not cursor.rowcount:
                    repeated += 1
                    continue
                stored += 1
                waiting += wanted
                top, some_wait = touched.get(arrival.trace_id, (False, False))
                shows_top = bool(arrival.traits & (Traits.ROOT | Traits.STAMPED))
                touched[arrival.trace_id] = (top or shows_top, some_wait or wanted)
            # The time of the last span always rises, whatever the clock does: that tells a look at
            # the trace whether more has come in meanwhile.
            database.executemany(
                "INSERT INTO trace (trace_id, last, has_top, due) VALUES (?1, ?2, ?3,"
                " CASE WHEN ?4 THEN CASE WHEN ?3 THEN ?2 ELSE ?2 + ?5 END END)"
                " ON CONFLICT (trace_id) DO UPDATE SET"
                " last = max(?2, last + 1e-6), has_top = has_top | ?3,"
                " due = CASE WHEN due IS NULL AND NOT ?4 THEN NULL"
                " WHEN has_top | ?3 THEN max(?2, not_before) ELSE ?2 + ?5 END",
                [
                    (trace_id, now, top, some_wait, wait)
                    for trace_id, (top, some_wait) in touched.items()
                ],
            )
            if progress is not None:
                database.execute(
                    "INSERT INTO progress (source, position) VALUES (?1, ?2)"
                    " ON CONFLICT (source) DO UPDATE SET position = ?2",
                    progress,
                )
        with self._database.mutex:
            self._waiting_spans += waiting
        # After the spans were written: what is told to be taken is in a file that will be found.
        self._database.make_whole()
        return Added(stored, repeated, waiting)

    def _origin(self, database: sqlite3.Connection, content: bytes) -> int:
        known = self._origins.get(content)
        if known is not None:
            return known
        if len(self._origins) >= _MAX_ORIGINS:
            self._origins.clear()
        database.execute("INSERT OR IGNORE INTO origin (content) VALUES (?)", (content,))
        (number,) = database.execute(
            "SELECT id FROM origin WHERE content = ?", (content,)
        ).fetchone()
        self._origins[content] = number
        return int(number)

    def used_bytes(self) -> int:
        """Return how much of the file is in use, in bytes."""
        return self._database.pages().used

    def make_whole(self) -> None:
        """Write the file anew where it was deleted; see :meth:`.SpoolDatabase.make_whole`."""
        self._database.make_whole()

    def give_back(self) -> bool:
        """Return some room to the volume; see :meth:`.SpoolDatabase.give_back`."""
        return self._database.give_back()

    def progress(self, source: str) -> int:
        """Return up to where something was read, 0 for what is new."""
        rows = self._database.read("SELECT position FROM progress WHERE source = ?", (source,))
        return int(rows[0][0]) if rows else 0

    def _rows(
        self, where: str, values: Sequence[object], most_bytes: int
    ) -> tuple[list[Row], bool]:
        """Return rows, and whether there were more than so many bytes."""
        given: list[Row] = []
        with self._database.rows(f"{_ROW} {where}", values) as rows:
            for found in rows:
                most_bytes -= len(found[6])
                if given and most_bytes < 0:
                    return given, True
                given.append(Row(*found))
        return given, False

    def due_traces(self, now: float, most: int) -> list[tuple[bytes, float, bool]]:
        """Return the traces to look at: the id, when its last span came, whether it has logs."""
        return self._database.read(
            "SELECT trace_id, last, has_logs FROM trace WHERE due <= ? ORDER BY due LIMIT ?",
            (now, most),
        )

    def next_due(self) -> float | None:
        """Return when the next trace is to be looked at, None where none is."""
        due: float | None = self._database.read("SELECT min(due) FROM trace WHERE due IS NOT NULL")[
            0
        ][0]
        return due

    def waiting(
        self, trace_id: bytes, after: int, most: int, most_bytes: int
    ) -> tuple[list[Row], bool]:
        """Return spans of a trace that wait, in the order of their arrival, and if these are all.

        Args:
            trace_id: the trace.
            after: the number after which to begin.
            most: how many to give.
            most_bytes: how long they may be together; one at least is given.
        """
        rows, is_cut = self._rows(
            "WHERE trace_id = ? AND state = 0 AND span.id > ? ORDER BY span.id LIMIT ?",
            (trace_id, after, most),
            most_bytes,
        )
        return rows, len(rows) < most and not is_cut

    def span(self, trace_id: bytes, span_id: bytes) -> Row | None:
        """Return a span of a trace, None where it is not known."""
        found, _ = self._rows("WHERE trace_id = ? AND span_id = ?", (trace_id, span_id), 1)
        return found[0] if found else None

    def requests(self, trace_id: bytes, most: int) -> list[Row]:
        """Return spans of a trace that are requests to somebody and are not logged themselves."""
        where = f"WHERE trace_id = ? AND state = {_KNOWN} AND traits & {int(Traits.CLIENT)} LIMIT ?"
        return self._rows(where, (trace_id, most), _MAX_ROW_BYTES)[0]

    def logged(self, trace_id: bytes, most: int) -> list[Row]:
        """Return spans of a trace whose logs were made, the newest."""
        where = f"WHERE trace_id = ? AND state = {_LOGGED} ORDER BY span.id DESC LIMIT ?"
        return self._rows(where, (trace_id, most), _MAX_ROW_BYTES)[0][::-1]

    def settle(self, looks: Sequence[Look], names: Iterable[tuple[str, str | None, float]]) -> None:
        """Store what looks at traces have come to, all or nothing.

        Args:
            looks: one for each trace.
            names: the names of sessions that were used: id, name, time.

        Raises:
            SpoolFull: where the disk is full.
            SpoolError: where it can't be written.
        """
        with self._transaction() as database:
            database.executemany(
                "INSERT INTO post (request_id, path, received, body, key_name)"
                " VALUES (?, ?, ?, ?, ?)",
                [
                    (post.request_id, post.path, received, post.body, key_name)
                    for look in looks
                    for received, key_name, post in look.posts
                ],
            )
            database.executemany(
                f"UPDATE span SET state = {_LOGGED}, content = ? WHERE id = ?",
                [(content, number) for look in looks for number, content in look.settled],
            )
            # Where more came in while it was looked at, that has set when to look again.
            database.executemany(
                "UPDATE trace SET has_logs = has_logs | ?1, not_before = ?2,"
                " due = CASE WHEN last > ?5 THEN due ELSE ?4 END WHERE trace_id = ?3",
                [
                    (bool(look.settled), look.not_before, look.trace_id, look.due, look.last)
                    for look in looks
                ],
            )
            database.executemany("INSERT OR REPLACE INTO session_name VALUES (?, ?, ?)", names)
        with self._database.mutex:
            self._waiting_spans -= sum(len(look.settled) for look in looks)
            self._posts += sum(len(look.posts) for look in looks)

    def session_name(self, session_id: str) -> tuple[str | None] | None:
        """Return the name of a session, None where nothing is known of it."""
        found = self._database.read(
            "SELECT name FROM session_name WHERE session_id = ?", (session_id,)
        )
        return found[0] if found else None

    def posts(self, after: int, most: int, most_bytes: int, key_name: str = "") -> list[DuePost]:
        """Return posts that are to be sent with a key; see :func:`.due_posts`."""
        return due_posts(self._database, after, most, most_bytes, key_name)

    def key_names(self, most: int) -> list[str]:
        """Return the names of the keys that posts wait to be sent with."""
        return key_names(self._database, most)

    def old_posts(self, key_name: str, before: float, most: int) -> list[int]:
        """Return the numbers of posts for a key that have waited for long."""
        return old_posts(self._database, key_name, before, most)

    def count_posts(self, key_name: str) -> int:
        """Return how many posts wait to be sent with a key."""
        found = self._database.read("SELECT count(*) FROM post WHERE key_name = ?", (key_name,))
        return int(found[0][0])

    def finish(self, taken: Sequence[int], refused: Sequence[tuple[int, str]], now: float) -> None:
        """Store what became of posts: those that were taken go, refused ones are kept apart.

        Args:
            taken: the numbers of those that Helicone has.
            refused: the numbers of those that it will never take, each with the reason.
            now: the time, in seconds since 1970.
        """
        with self._transaction() as database:
            database.executemany("DELETE FROM post WHERE id = ?", [(number,) for number in taken])
            for number, reason in refused:
                database.execute(
                    "INSERT INTO dead (request_id, path, received, died, reason, body, key_name)"
                    " SELECT request_id, path, received, ?, ?, body, key_name FROM post"
                    " WHERE id = ?",
                    (now, reason, number),
                )
                database.execute("DELETE FROM post WHERE id = ?", (number,))
        with self._database.mutex:
            self._posts -= len(taken) + len(refused)

    def forget(self, before: float, most: int) -> int:
        """Forget traces in which nothing waits, the oldest first.

        Args:
            before: those whose last span came in before this time, in seconds since 1970.
            most: how many traces to forget.

        Returns:
            How many were.
        """
        with self._transaction() as database:
            gone = database.execute(
                "SELECT trace_id FROM trace WHERE due IS NULL AND last < ? ORDER BY last LIMIT ?",
                (before, most),
            ).fetchall()
            database.executemany("DELETE FROM span WHERE trace_id = ?", gone)
            database.executemany("DELETE FROM trace WHERE trace_id = ?", gone)
            database.execute("DELETE FROM session_name WHERE used < ?", (before,))
            if len(gone) < most and self._database.count("origin") > _MAX_ORIGINS:
                self._origins.clear()
                database.execute(
                    "DELETE FROM origin WHERE id NOT IN (SELECT DISTINCT origin FROM span)"
                )
        return len(gone)

    def counts(self) -> Counts:
        """Return what the spool holds."""
        with self._database.mutex:
            oldest = [
                self._database.read("SELECT received FROM post ORDER BY id LIMIT 1"),
                self._database.read("SELECT min(received) FROM span WHERE state = 0"),
            ]
            if not oldest[0]:
                self._posts = 0  # those that another process had added are counted right again
            return Counts(
                waiting_spans=self._waiting_spans,
                posts=max(self._posts, 0),
                dead=self._database.count("dead"),
                used_bytes=self._database.pages().used,
                max_bytes=self._max_bytes,
                oldest=min(
                    (rows[0][0] for rows in oldest if rows and rows[0][0] is not None),
                    default=None,
                ),
            )
