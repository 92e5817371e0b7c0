"""What goes into the spool and comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from otel_helicone.delivery.post import Post

__all__ = ["Added", "Counts", "DuePost", "Look", "Row", "SpoolFull"]


class SpoolFull(Exception):
    """There is no room for more; the message says of what."""


@dataclass(frozen=True, slots=True)
class Added:
    """What became of the spans of a request.

    Attributes:
        stored: how many are new.
        repeated: how many had come before.
        waiting: how many of the new ones wait for a log.
    """

    stored: int
    repeated: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Row:
    """A stored span.

    Attributes:
        id: its number, in the order of arrival.
        span_id: the span's id.
        parent_id: its parent's.
        traits: what can be told of it.
        received: when it came in, in seconds since 1970.
        origin: what it came from, as it is stored.
        content: the ``Span``, or its skeleton.
    """

    id: int
    span_id: bytes
    parent_id: bytes | None
    traits: int
    received: float
    origin: bytes = field(repr=False)
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DuePost:
    """A post that is to be sent.

    Attributes:
        id: its number, in the order in which the posts were made.
        received: when its span came in, in seconds since 1970.
        post: the post.
    """

    id: int
    received: float
    post: Post


@dataclass(slots=True)
class Look:
    """What a look at a trace has come to.

    Attributes:
        trace_id: the trace.
        last: when its last span had come in then.
        posts: the logs that were made, each with the time at which its span came in and the name
            of the key that it is to be sent with.
        size: how long the bodies of the posts are together.
        settled: the spans that need no log any more: their numbers, and what is left of them.
        due: when to look again; None where nothing waits.
        not_before: no look is worth its while until then, whatever comes in.
    """

    trace_id: bytes
    last: float
    posts: list[tuple[float, str, Post]] = field(default_factory=list)
    size: int = 0
    settled: list[tuple[int, bytes]] = field(default_factory=list)
    due: float | None = None
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class Counts:
    """What the spool holds.

    Attributes:
        waiting_spans: spans that wait to be placed.
        posts: logs that wait to be sent.
        dead: logs that Helicone refused for good.
        used_bytes: how much of the file is in use.
        max_bytes: how much may be.
        oldest: when the oldest of what waits came in, in seconds since 1970; None for nothing.
    """

    waiting_spans: int
    posts: int
    dead: int
    used_bytes: int
    max_bytes: int
    oldest: float | None
