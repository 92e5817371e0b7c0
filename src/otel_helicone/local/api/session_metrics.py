"""``/v1/session/metrics/query``: how many requests sessions have, how long they take and cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from otel_helicone.local.api.answer import Answer, failed, given
from otel_helicone.local.api.endpoint import Call
from otel_helicone.local.api.fields import Fields
from otel_helicone.local.api.histogram import histogram, number_text, quantile
from otel_helicone.local.api.reading import COST, Rows
from otel_helicone.local.api.session_calls import read_name_question, valid_minutes
from otel_helicone.local.api.sessions import INVALID_MINUTES, P_SIZES

__all__ = ["SessionMetrics"]

_LEVELS: Final = dict(zip(P_SIZES, (0.5, 0.75, 0.95, 0.99, 0.999), strict=True))
_BY_ID: Final = "coalesce(request.session_id, '')"
_BY_ID_AND_NAME: Final = f"{_BY_ID}, coalesce(request.session_name, '')"
# From the start of the first to the start of the last, in seconds as a clock shows them.
_SECONDS: Final = "max(request.started_at) / 1000000 - min(request.started_at) / 1000000"


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
        where, values = asked.requests.sql, asked.requests.values
        counts = self._rows(
            f"SELECT count(*) FROM request WHERE {where} GROUP BY {_BY_ID_AND_NAME}", values
        )
        of_ids = self._rows(
            f"SELECT count(*), {_SECONDS}, {COST} FROM request WHERE {where} GROUP BY {_BY_ID}",
            values,
        )
        requests, seconds, costs = ([row[at] for row in of_ids] for at in range(3))
        return given(
            {
                "session_count": _bars([row[0] for row in counts], lower, upper),
                "session_duration": _bars(seconds, lower, upper),
                "session_cost": _bars(costs, lower, upper),
                "average": {
                    "session_cost": _average(costs),
                    "session_duration": _average(seconds),
                    "session_count": _average(requests),
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
            "value": int(each.height) if each.height == int(each.height) else each.height,
        }
        for each in histogram(value for value in values if least <= value <= most)
    ]


def _average(values: Sequence[float]) -> list[dict[str, object]]:
    return [{"average": sum(values) / len(values) if values else None}]
