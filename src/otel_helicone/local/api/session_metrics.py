"""``/v1/session/metrics/query``: how many requests sessions have, how long they take and cost."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from otel_helicone.local.api.answer import Answer, failed, given
from otel_helicone.local.api.endpoint import Call
from otel_helicone.local.api.fields import Fields
from otel_helicone.local.api.histogram import histogram, number_text, quantile
from otel_helicone.local.api.reading import BILLIONTHS, Rows, as_number
from otel_helicone.local.api.session_calls import read_name_question, valid_minutes
from otel_helicone.local.api.sessions import INVALID_MINUTES, P_SIZES

__all__ = ["SessionMetrics"]

_LEVELS: Final = dict(zip(P_SIZES, (0.5, 0.75, 0.95, 0.99, 0.999), strict=True))
_MICROSECONDS: Final = 1_000_000


@dataclass(slots=True)
class _Session:
    """What the requests with one session id come to, whatever the session's names."""

    requests: int = 0
    first: int = sys.maxsize
    last: int = -sys.maxsize
    billionths: int = 0

    @property
    def seconds(self) -> int:
        """From the start of the first to that of the last, as a clock shows them."""
        return self.last // _MICROSECONDS - self.first // _MICROSECONDS


class SessionMetrics:
    """Answers how sessions are spread over numbers, times and costs."""

    def __init__(self, rows: Rows) -> None:
        """Take what runs queries."""
        self._rows = rows

    def query(self, call: Call) -> Answer:
        """Answer ``POST /v1/session/metrics/query``.

        As in the real one, requests that are in no session count as one session, and what is
        above the percentile, or outside of the range between two, is left out of the histograms.
        """
        body = Fields(call.body)
        upper = _LEVELS[body.one_of("pSize", P_SIZES, "p75")]
        lower = 1 - upper if body.truth_or_none("useInterquartile") else None
        asked = read_name_question(body, "equals")
        if not valid_minutes(asked.minutes):
            return failed(INVALID_MINUTES)
        rows = self._rows(
            f"""
            SELECT session.session_id, sums.requests, sums.first, sums.last, sums.billionths
            FROM (
                SELECT
                    request.session AS number,
                    count(*) AS requests,
                    min(request.started_at) AS first,
                    max(request.started_at) AS last,
                    {BILLIONTHS} AS billionths
                FROM request
                WHERE {asked.requests.sql}
                GROUP BY request.session
            ) AS sums
            JOIN session ON session.number = sums.number
            ORDER BY session.number
            """,
            asked.requests.values,
        )
        sessions: dict[str, _Session] = {}
        for session_id, requests, first, last, billionths in rows:
            session = sessions.setdefault(session_id, _Session())
            session.requests += requests
            session.first, session.last = min(session.first, first), max(session.last, last)
            session.billionths += billionths
        seconds = [session.seconds for session in sessions.values()]
        costs = [session.billionths / 1e9 for session in sessions.values()]
        return given(
            {
                "session_count": _bars([row[1] for row in rows], lower, upper),
                "session_duration": _bars(seconds, lower, upper),
                "session_cost": _bars(costs, lower, upper),
                "average": {
                    "session_cost": _average(costs),
                    "session_duration": _average(seconds),
                    "session_count": _average([session.requests for session in sessions.values()]),
                },
            }
        )


def _bars(values: Sequence[float], lower: float | None, upper: float) -> list[dict[str, object]]:
    if not values:
        return []
    ordered = sorted(values)
    least = ordered[0] if lower is None else quantile(ordered, lower)
    most = quantile(ordered, upper)
    return [
        {
            "range_start": number_text(each.start),
            "range_end": number_text(each.end),
            "value": as_number(each.height),
        }
        for each in histogram(value for value in values if least <= value <= most)
    ]


def _average(values: Sequence[float]) -> list[dict[str, object]]:
    return [{"average": as_number(sum(values) / len(values)) if values else None}]
