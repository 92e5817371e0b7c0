"""``/v1/request/query-clickhouse``, ``/v1/request/count/query`` and ``/v1/request/{id}``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from otel_helicone.local.api.answer import Answer, failed, given
from otel_helicone.local.api.conditions import ALL, Condition, both
from otel_helicone.local.api.endpoint import Call
from otel_helicone.local.api.fields import Fields, InvalidBody
from otel_helicone.local.api.filter_fields import PLACES, PROPERTY
from otel_helicone.local.api.filters import of_requests
from otel_helicone.local.api.reading import Rows
from otel_helicone.local.api.request_rows import JOINED, SELECTED, as_given

__all__ = ["Requests"]

_CREATED: Final = 201
_DEFAULT_LIMIT: Final = 10
_MOST_LIMIT: Final = 1000
_MOST_OFFSET: Final = 2**53
# Requests that begin later than this from now are not given.
_AHEAD_MICROSECONDS: Final = 5 * 60 * 1_000_000
_SCORED: Final = Condition("request.scores != '{}'")
_NOT_SCORED: Final = Condition("request.scores = '{}'")
_SORTED_BY: Final[Mapping[str, str]] = {
    "created_at": "request.started_at",
    "latency": "request.latency_ms",
    "time_to_first_token": "coalesce(request.time_to_first_token_ms, 0)",
    "total_tokens": "(request.prompt_tokens + request.completion_tokens)",
    "prompt_tokens": "request.prompt_tokens",
    "completion_tokens": "request.completion_tokens",
    "user_id": "coalesce(request.user_id, '')",
    "body_model": "coalesce(request.model, '')",
    "cost": "coalesce(request.cost_usd, 0)",
}


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which requests are asked for, and in which order."""

    wanted: Condition
    order: Condition
    offset: float
    limit: float


class Requests:
    """Answers what is asked of requests."""

    def __init__(self, rows: Rows) -> None:
        """Take what runs queries."""
        self._rows = rows

    def query(self, call: Call) -> Answer:
        """Answer ``POST /v1/request/query-clickhouse``."""
        asked = _read(Fields(call.body))
        if not 0 <= asked.limit <= _MOST_LIMIT:
            return failed("invalid limit")
        return given(self._found(asked), _CREATED)

    def count(self, call: Call) -> Answer:
        """Answer ``POST /v1/request/count/query``, which has never said anything but 0."""
        _read(Fields(call.body))
        return given(0)

    def read(self, call: Call) -> Answer:
        """Answer ``GET /v1/request/{id}``, always with bodies: they are small enough here."""
        wanted = Condition("request.request_id = ?", (str(call.path["request_id"]).lower(),))
        found = self._found(_Asked(wanted, Condition("request.row DESC"), 0, 1))
        if not found:
            return Answer(200, {"error": None})
        return given({**found[0], "asset_urls": {}})

    def _found(self, asked: _Asked) -> list[dict[str, object]]:
        now = Condition("request.started_at <= ?", (time.time_ns() // 1000 + _AHEAD_MICROSECONDS,))
        wanted = both(asked.wanted, now)
        # Rows first, so that no more bodies are read than are given.
        rows = self._rows(
            f"""
            WITH page AS (
                SELECT request.row
                FROM request
                WHERE {wanted.sql}
                ORDER BY {asked.order.sql}
                LIMIT ? OFFSET ?
            )
            SELECT request.row, {SELECTED}
            FROM page JOIN request ON request.row = page.row {JOINED}
            ORDER BY {asked.order.sql}
            """,
            [
                *wanted.values,
                *asked.order.values,
                int(asked.limit),
                max(min(int(asked.offset), _MOST_OFFSET), 0),
                *asked.order.values,
            ],
        )
        # Several rows with one id are one request to this endpoint: the one that came last.
        last: dict[object, int] = {}
        requests = [(number, as_given(tuple(row))) for number, *row in rows]
        for number, request in requests:
            last[request["request_id"]] = max(number, last.get(request["request_id"], 0))
        return [request for number, request in requests if last[request["request_id"]] == number]


def _read(body: Fields) -> _Asked:
    filtered = body.anything("filter")
    offset, limit = body.number_or("offset", 0), body.number_or("limit", _DEFAULT_LIMIT)
    sort = body.anything_or("sort", {"created_at": "desc"})
    scored = body.truth_or_none("isScored")
    for name in ("isCached", "includeInputs", "isPartOfExperiment"):
        # Taken and not used, as in the real one.
        body.truth_or_none(name)
    body.check()
    only = ALL if scored is None else _SCORED if scored else _NOT_SCORED
    return _Asked(both(of_requests(filtered), only), _order(sort), offset, limit)


def _order(sort: object) -> Condition:
    """Read an order: ``{"latency": "asc"}``, or ``{"properties": {"env": "desc"}}``."""
    name, direction = _first(sort)
    column = Condition(_SORTED_BY.get(name, ""))
    if name == "properties":
        name, direction = _first(direction)
        column = Condition(PLACES[name]) if name in PLACES else Condition(PROPERTY, (name,))
    if not column.sql:
        raise _invalid_order(f"The local Helicone does not sort by {name}.", name)
    if direction not in ("asc", "desc"):
        raise _invalid_order("The order is 'asc' or 'desc'.", direction)
    sql = f"{column.sql} {direction}"
    if name == "created_at":
        return Condition(f"{sql}, request.row {direction}", column.values)
    return Condition(f"{sql}, request.started_at DESC, request.row DESC", column.values)


def _first(given_sort: object) -> tuple[str, object]:
    if isinstance(given_sort, Mapping) and given_sort:
        name, value = next(iter(given_sort.items()))
        return name, value
    raise _invalid_order("An order is an object with one field.", None)


def _invalid_order(message: str, value: object) -> InvalidBody:
    shown = value if isinstance(value, str | int | float | bool | None) else None
    return InvalidBody({"requestBody.sort": {"message": message, "value": shown}})
