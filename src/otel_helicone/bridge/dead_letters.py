"""Logs that Helicone refused for good: listed, sent again, deleted; also while the bridge runs."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from otel_helicone.bridge.schema import open_beside
from otel_helicone.bridge.spool_file import SpoolError
from otel_helicone.settings.bridge import spool_path

__all__ = ["drop", "list_all", "retry"]


def list_all(spool: str | None, *, as_json: bool) -> int:
    """Print the refused logs, the oldest first.

    Args:
        spool: the spool's file; None for the one of the environment.
        as_json: whether to print them as JSON lines, with their bodies.

    Returns:
        The exit code.
    """
    path = spool_path(spool)
    try:
        with _opened(path) as database:
            count = 0
            for number, request_id, url, died, reason, body, key_name in database.execute(
                "SELECT id, request_id, path, died, reason, body, key_name FROM dead ORDER BY id"
            ):
                count += 1
                at = datetime.fromtimestamp(died, UTC).isoformat(timespec="seconds")
                if as_json:
                    entry = {"number": number, "request_id": request_id, "path": url}
                    entry |= {"died": at, "reason": reason, "body": json.loads(body)}
                    entry |= {"api_key_name": key_name} if key_name else {}
                    _say(json.dumps(entry))
                else:
                    _say(f"{number:>6}  {at}  {request_id}  {url}  {len(body):>9,} bytes  {reason}")
    except (SpoolError, sqlite3.Error) as error:
        return _failed(f"{error}")
    if not count and not as_json:
        _say(f"No refused logs in {path}.")
    return 0


def retry(spool: str | None, numbers: Sequence[int] | None) -> int:
    """Put refused logs back among those that are to be sent.

    Args:
        spool: the spool's file; None for the one of the environment.
        numbers: which; None for all.

    Returns:
        The exit code: 1 where one of them is not there.
    """
    return _with_each(
        spool,
        numbers,
        "will be sent again",
        "INSERT INTO post (request_id, path, received, body, key_name)"
        " SELECT request_id, path, received, body, key_name FROM dead WHERE id = ?",
    )


def drop(spool: str | None, numbers: Sequence[int] | None) -> int:
    """Delete refused logs.

    Args:
        spool: the spool's file; None for the one of the environment.
        numbers: which; None for all.

    Returns:
        The exit code: 1 where one of them is not there.
    """
    return _with_each(spool, numbers, "deleted", None)


def _with_each(
    spool: str | None, numbers: Sequence[int] | None, what: str, before: str | None
) -> int:
    try:
        with _opened(spool_path(spool)) as database:
            database.execute("BEGIN IMMEDIATE")
            there = {number for (number,) in database.execute("SELECT id FROM dead")}
            chosen = sorted(there if numbers is None else there.intersection(numbers))
            for number in chosen:
                if before is not None:
                    database.execute(before, (number,))
                database.execute("DELETE FROM dead WHERE id = ?", (number,))
            database.execute("COMMIT")
    except (SpoolError, sqlite3.Error) as error:
        return _failed(f"{error}")
    _say(f"{len(chosen)} {what}.")
    missing = sorted(set(numbers or ()) - there)
    if missing:
        return _failed(f"no refused log has the number {', '.join(map(str, missing))}")
    return 0


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    database = open_beside(path)
    try:
        yield database
    finally:
        database.close()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _failed(message: str) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"otel-helicone: {message}\n")
    return 1
