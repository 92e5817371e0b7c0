"""Which sessions are wanted, in which order, and what is given of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, TypeAlias

from otel_helicone.local.storage.records import SessionRecord

__all__ = [
    "SessionFigures",
    "SessionFilter",
    "SessionPage",
    "SessionSort",
    "SortKey",
    "ValueSummary",
]

SortKey: TypeAlias = Literal["started", "duration", "requests", "errors", "tokens", "cost", "name"]


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions are wanted; everything that is given has to hold.

    A session is wanted when *any* of its requests has the user, the properties, the status and the
    model, each by itself; it is always given whole.

    Attributes:
        search: a part of the session's id, its name, a user's id or a property's value, in
            whatever case.
        names: the session's name is one of these; empty for any.
        user: a user's id; the empty text for requests without one.
        properties: names and values of properties.
        status: ``error``, ``success`` (no request failed), or the digits of a status.
        model: a model's name, as stored.
        started_from: the session started then or later.
        started_before: the session started earlier.
        cost_from: the least cost, in US dollars.
        cost_to: the highest cost, in US dollars.
        duration_from: the least duration.
        duration_to: the longest duration.
    """

    search: str = ""
    names: tuple[str, ...] = ()
    user: str | None = None
    properties: tuple[tuple[str, str], ...] = ()
    status: str | None = None
    model: str | None = None
    started_from: datetime | None = None
    started_before: datetime | None = None
    cost_from: float | None = None
    cost_to: float | None = None
    duration_from: timedelta | None = None
    duration_to: timedelta | None = None


@dataclass(frozen=True, slots=True)
class SessionSort:
    """The order of sessions.

    Attributes:
        by: what they are ordered by.
        descending: whether the highest, or the last, comes first.
    """

    by: SortKey = "started"
    descending: bool = True


@dataclass(frozen=True, slots=True)
class SessionPage:
    """Some of the sessions that are wanted.

    Attributes:
        sessions: those of this page, in order.
        total: how many there are on all pages.
        offset: how many come before this page.
        limit: how many a page may have.
    """

    sessions: tuple[SessionRecord, ...]
    total: int
    offset: int
    limit: int


class SessionFigures(NamedTuple):
    """A session's figures alone: a tuple, because there are tens of thousands at once.

    Attributes:
        session_id: the session's id.
        session_name: its name; empty for none.
        started_at: microseconds since 1970 in UTC.
        duration_ms: from the start of the first request to the end of the last.
        requests: how many there are.
        errors: how many of them failed.
        total_tokens: tokens of all of them.
        cost_usd: their cost in US dollars.
        latency_ms: the sum of the requests' own latencies.
    """

    session_id: str
    session_name: str
    started_at: int
    duration_ms: int
    requests: int
    errors: int
    total_tokens: int
    cost_usd: float
    latency_ms: int


@dataclass(frozen=True, slots=True)
class ValueSummary:
    """What the requests with one value, such as one user, come to.

    Attributes:
        value: the value; empty for requests that have none.
        sessions: in how many sessions there are such requests.
        failed_sessions: in how many of these one of them failed.
        requests: how many there are, those in no session included.
        errors: how many of them failed.
        total_tokens: their tokens.
        cost_usd: their cost in US dollars.
        latency_ms: the sum of their latencies.
    """

    value: str
    sessions: int
    failed_sessions: int
    requests: int
    errors: int
    total_tokens: int
    cost_usd: float
    latency_ms: int
