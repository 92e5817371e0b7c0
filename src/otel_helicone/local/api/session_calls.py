"""What is asked of sessions, as the endpoints read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from otel_helicone.local.api.conditions import ALL, Condition, both, either, property_is
from otel_helicone.local.api.fields import Fields
from otel_helicone.local.api.filters import of_requests, of_totals

__all__ = [
    "IN_A_SESSION",
    "SessionsAsked",
    "read_name_question",
    "read_session_question",
    "valid_minutes",
]

_ID: Final = "Helicone-Session-Id"
_NAME: Final = "Helicone-Session-Name"
_MINUTES_OF_A_DAY: Final = 24 * 60
_DEFAULT_LIMIT: Final = 50
_MOST_LIMIT: Final = 1000
_MOST_OFFSET: Final = 2**53
_MICROSECONDS: Final = 1_000_000
# Beyond, there are no times.
_MOST_SECONDS: Final = 253_402_300_799
IN_A_SESSION: Final = Condition("request.session_id != ''")
"""The condition that a request is in a session."""


@dataclass(frozen=True, slots=True)
class SessionsAsked:
    """Which sessions are asked for.

    Attributes:
        requests: the condition on each request; the others are left out of their session.
        totals: the condition on the sums of the requests that are left.
        minutes: how far the times of the answer are moved.
        offset: how many sessions to leave out first.
        limit: how many to give.
    """

    requests: Condition
    totals: Condition
    minutes: float
    offset: int = 0
    limit: int = _DEFAULT_LIMIT


def read_session_question(body: Fields) -> SessionsAsked:
    """Read the body of ``/v1/session/query`` and ``/v1/session/count``.

    Args:
        body: the posted object.

    Raises:
        InvalidBody: for a body of another form.
        BrokenCall: for a filter that Helicone breaks on.
    """
    search, name = body.text("search"), body.text_or_none("nameEquals")
    window = _window(body.part("timeFilter"))
    minutes = body.number("timezoneDifference")
    given = body.anything("filter")
    offset, limit = body.number_or("offset", 0), body.number_or("limit", 0)
    body.check()
    found = ALL
    if search:
        pattern = f"%{search}%"
        found = either(property_is(_ID, "ilike", pattern), property_is(_NAME, "ilike", pattern))
    named = property_is(_NAME, "equals", name) if name else ALL
    return SessionsAsked(
        requests=both(IN_A_SESSION, window, of_requests(given), named, found),
        totals=of_totals(given),
        minutes=minutes,
        offset=max(min(int(offset), _MOST_OFFSET), 0),
        # A limit of 0 is no limit to the real one, and a negative one leaves nothing.
        limit=max(min(int(limit), _MOST_LIMIT), 0) if limit else _DEFAULT_LIMIT,
    )


def read_name_question(body: Fields, operator: str) -> SessionsAsked:
    """Read the body of ``/v1/session/name/query`` and ``/v1/session/metrics/query``.

    Args:
        body: the posted object; what only one of the two has is read by its endpoint before.
        operator: how ``nameContains`` is meant: the two endpoints differ in it.

    Raises:
        InvalidBody: for a body of another form.
        BrokenCall: for a filter that Helicone breaks on.
    """
    name, minutes = body.text("nameContains"), body.number("timezoneDifference")
    part = body.part_or_none("timeFilter")
    window = ALL if part is None else _window(part)
    given = body.anything_or("filter", "all")
    body.check()
    named = property_is(_NAME, operator, name) if name else ALL
    return SessionsAsked(both(window, of_requests(given), named), ALL, minutes)


def valid_minutes(minutes: float) -> bool:
    """Whether times can be moved so far: by a day at most."""
    return abs(minutes) <= _MINUTES_OF_A_DAY


def _window(fields: Fields) -> Condition:
    start = _second(fields.number("startTimeUnixMs"))
    end = _second(fields.number("endTimeUnixMs"))
    fields.only_these()
    return Condition("request.started_at > ? AND request.started_at < ?", (start, end))


def _second(milliseconds: float) -> int:
    """Give the microseconds of the whole second: the real one cuts the rest off."""
    seconds = int(milliseconds // 1000)
    return max(min(seconds, _MOST_SECONDS), -_MOST_SECONDS) * _MICROSECONDS
