"""What the spool's database tells of posts that are to be sent."""

from __future__ import annotations

from otel_helicone.bridge.database import SpoolDatabase
from otel_helicone.bridge.stored import DuePost
from otel_helicone.delivery.post import Post

__all__ = ["due_posts", "key_names", "old_posts"]


def due_posts(
    database: SpoolDatabase, after: int, most: int, most_bytes: int, key_name: str
) -> list[DuePost]:
    """Return posts that are to be sent with a key, in the order in which they were made.

    Args:
        database: where they are.
        after: the number after which to begin.
        most: how many to give.
        most_bytes: how long they may be together; one at least is given.
        key_name: the name of the key; empty for the one without a name.
    """
    given: list[DuePost] = []
    query = (
        "SELECT id, request_id, path, received, body FROM post"
        " WHERE key_name = ? AND id > ? ORDER BY id LIMIT ?"
    )
    with database.rows(query, (key_name, after, most)) as rows:
        for number, request_id, path, received, body in rows:
            most_bytes -= len(body)
            if given and most_bytes < 0:
                break
            given.append(DuePost(number, received, Post(path, body, request_id)))
    return given


def key_names(database: SpoolDatabase, most: int) -> list[str]:
    """Return the names of the keys that posts wait to be sent with.

    Args:
        database: where they are.
        most: how many to give.
    """
    # One step in the index for each name, however many posts it has.
    rows = database.read(
        "WITH RECURSIVE found(name) AS ("
        " SELECT min(key_name) FROM post UNION ALL"
        " SELECT (SELECT min(key_name) FROM post WHERE key_name > name) FROM found"
        " WHERE name IS NOT NULL LIMIT ?) SELECT name FROM found WHERE name IS NOT NULL",
        (most,),
    )
    return [name for (name,) in rows]


def old_posts(database: SpoolDatabase, key_name: str, before: float, most: int) -> list[int]:
    """Return the numbers of posts for a key that have waited for long.

    Args:
        database: where they are.
        key_name: the name of the key.
        before: those whose span came in before this time, in seconds since 1970.
        most: how many to give.
    """
    rows = database.read(
        "SELECT id FROM post WHERE key_name = ? AND received < ? ORDER BY id LIMIT ?",
        (key_name, before, most),
    )
    return [number for (number,) in rows]
