"""``/v1/session/query``, ``/v1/session/count`` and ``/v1/session/name/query``."""

from __future__ import annotations

import json
from typing import Final

from otel_helicone.local.api.answer import Answer, failed, given
from otel_helicone.local.api.conditions import both
from otel_helicone.local.api.endpoint import Call
from otel_helicone.local.api.fields import Fields
from otel_helicone.local.api.reading import COST, Rows, as_number, session_time
from otel_helicone.local.api.session_calls import (
    IN_A_SESSION,
    read_name_question,
    read_session_question,
    valid_minutes,
)

__all__ = ["INVALID_MINUTES", "P_SIZES", "Sessions"]

INVALID_MINUTES: Final = "Invalid timezone difference"
"""What is answered where times would have to be moved by more than a day."""

P_SIZES: Final = ("p50", "p75", "p95", "p99", "p99.9")
"""Which percentiles can be asked for."""

_MOST_NAMES: Final = 50


class Sessions:
    """Answers what is asked of sessions."""

    def __init__(self, rows: Rows) -> None:
        """Take what runs queries."""
        self._rows = rows

    def query(self, call: Call) -> Answer:
        """Answer ``POST /v1/session/query``: sessions, the last that began first."""
        asked = read_session_question(Fields(call.body))
        if not valid_minutes(asked.minutes):
            return failed(INVALID_MINUTES)
        # The page first, from as few columns as the filter leaves; then the sums of its sessions.
        rows = self._rows(
            f"""
            WITH page AS (
                SELECT request.session AS number, min(request.started_at) AS first
                FROM request
                WHERE {asked.requests.sql}
                GROUP BY request.session
                HAVING {asked.totals.sql}
                ORDER BY first DESC, number DESC
                LIMIT ? OFFSET ?
            )
            SELECT
                session.session_id,
                session.session_name,
                page.first,
                max(request.started_at),
                avg(request.latency_ms),
                {COST},
                count(*),
                sum(request.prompt_tokens),
                sum(request.completion_tokens),
                json_group_array(DISTINCT coalesce(request.user_id, ''))
            FROM page
            JOIN session ON session.number = page.number
            JOIN request ON request.session = page.number
            WHERE {asked.requests.sql}
            GROUP BY page.number
            ORDER BY page.first DESC, page.number DESC
            """,
            [
                *asked.requests.values,
                *asked.totals.values,
                asked.limit,
                asked.offset,
                *asked.requests.values,
            ],
        )
        return given(
            [
                {
                    "created_at": session_time(first, asked.minutes),
                    "latest_request_created_at": session_time(last, asked.minutes),
                    "session_id": session_id,
                    "session_name": session_name,
                    "avg_latency": as_number(latency),
                    "total_cost": as_number(cost),
                    "total_requests": requests,
                    "prompt_tokens": prompt_tokens,
                    "completion_tokens": completion_tokens,
                    "total_tokens": prompt_tokens + completion_tokens,
                    "user_ids": sorted(json.loads(users)),
                }
                for (
                    session_id,
                    session_name,
                    first,
                    last,
                    latency,
                    cost,
                    requests,
                    prompt_tokens,
                    completion_tokens,
                    users,
                ) in rows
            ]
        )

    def count(self, call: Call) -> Answer:
        """Answer ``POST /v1/session/count``: how many there are, and what they come to."""
        asked = read_session_question(Fields(call.body))
        if not valid_minutes(asked.minutes):
            return failed(INVALID_MINUTES)
        ((count, total_cost, cost, latency, requests),) = self._rows(
            f"""
            SELECT count(*), total(cost), avg(cost), avg(latency), avg(requests)
            FROM (
                SELECT
                    {COST} AS cost,
                    sum(request.latency_ms) AS latency,
                    count(*) AS requests
                FROM request
                WHERE {asked.requests.sql}
                GROUP BY request.session
                HAVING {asked.totals.sql}
            )
            """,
            [*asked.requests.values, *asked.totals.values],
        )
        return given(
            {
                "count": count,
                "total_cost": as_number(total_cost),
                "avg_cost": as_number(cost),
                # The sum of a session's latencies, unlike the mean that a query gives.
                "avg_latency": as_number(latency),
                "avg_requests": as_number(requests),
            }
        )

    def names(self, call: Call) -> Answer:
        """Answer ``POST /v1/session/name/query``: the names that sessions have."""
        body = Fields(call.body)
        # Both are taken and not used, as in the real one.
        body.one_of("pSize", P_SIZES, "p75")
        body.truth_or_none("useInterquartile")
        asked = read_name_question(body, "contains")
        if not valid_minutes(asked.minutes):
            return failed(INVALID_MINUTES)
        wanted = both(IN_A_SESSION, asked.requests)
        rows = self._rows(
            f"""
            SELECT
                coalesce(request.session_name, '') AS name,
                min(request.started_at),
                max(request.started_at),
                avg(request.latency_ms),
                count(DISTINCT request.session_id)
            FROM request
            WHERE {wanted.sql}
            GROUP BY name
            ORDER BY name
            LIMIT ?
            """,
            [*wanted.values, _MOST_NAMES],
        )
        # Always earlier, whichever sign the difference has.
        minutes = -abs(asked.minutes)
        return given(
            [
                {
                    "name": name,
                    "created_at": session_time(first, minutes),
                    "avg_latency": as_number(latency),
                    "last_used": session_time(last, minutes),
                    "first_used": session_time(first, minutes),
                    "session_count": sessions,
                }
                for name, first, last, latency, sessions in rows
            ]
        )
