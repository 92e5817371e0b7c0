"""What a filter can be about, and where the tables hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

__all__ = [
    "PLACES",
    "PROPERTY",
    "REQUEST_FIELDS",
    "SCORE",
    "SESSION_FIELDS",
    "SESSION_NAMED",
    "SESSION_PLACES",
    "SESSION_TOTALS",
    "TEXT_OPERATORS",
    "Field",
    "Kind",
]

Kind: TypeAlias = Literal["text", "number", "time", "truth"]


@dataclass(frozen=True, slots=True)
class Field:
    """Something that a filter can be about.

    Attributes:
        column: an SQL expression, which is never NULL.
        kind: which operators there are, and what they are given.
    """

    column: str
    kind: Kind


TEXT_OPERATORS: Final = ("equals", "not-equals", "like", "ilike", "contains", "not-contains")
"""The operators of texts; numbers and times have others."""

PROPERTY: Final = "coalesce((SELECT value FROM json_each(request.properties) WHERE key = ?), '')"
"""A property's value; its name is a parameter."""

SCORE: Final = "(SELECT value FROM json_each(request.scores) WHERE key = ?)"
"""A score, or NULL; its name is a parameter."""

PLACES: Final[Mapping[str, str]] = {
    "Helicone-Session-Id": "coalesce(request.session_id, '')",
    "Helicone-Session-Path": "coalesce(request.session_path, '')",
    "Helicone-Session-Name": "coalesce(request.session_name, '')",
}
"""The properties that are columns."""

SESSION_PLACES: Final[Mapping[str, Field]] = {
    "Helicone-Session-Id": Field("session.session_id", "text"),
    "Helicone-Session-Name": Field("session.session_name", "text"),
}
"""Those of them that all requests of a session share, in the table ``session``."""

SESSION_NAMED: Final[Mapping[str, str]] = {
    "session_session_id": "Helicone-Session-Id",
    "session_session_name": "Helicone-Session-Name",
}
"""The fields of ``sessions_request_response_rmt`` that are properties."""

REQUEST_FIELDS: Final[Mapping[str, Field]] = {
    "latency": Field("request.latency_ms", "number"),
    "time_to_first_token": Field("coalesce(request.time_to_first_token_ms, 0)", "number"),
    "status": Field("request.status", "number"),
    "request_created_at": Field("request.started_at", "time"),
    "response_created_at": Field("(request.started_at + request.latency_ms * 1000)", "time"),
    "request_id": Field("request.request_id", "text"),
    "model": Field("coalesce(request.model, '')", "text"),
    "user_id": Field("coalesce(request.user_id, '')", "text"),
    "provider": Field("request.provider", "text"),
    "target_url": Field("request.target_url", "text"),
    "prompt_tokens": Field("request.prompt_tokens", "number"),
    "completion_tokens": Field("request.completion_tokens", "number"),
    "total_tokens": Field("(request.prompt_tokens + request.completion_tokens)", "number"),
    "prompt_cache_read_tokens": Field("request.prompt_cache_read_tokens", "number"),
    "prompt_cache_write_tokens": Field("request.prompt_cache_write_tokens", "number"),
    "cost": Field("coalesce(request.cost_usd, 0)", "number"),
    "cache_enabled": Field("request.from_cache", "truth"),
    "request_body": Field("(SELECT request_body FROM body WHERE body.row = request.row)", "text"),
    "response_body": Field("(SELECT response_body FROM body WHERE body.row = request.row)", "text"),
    "scores_column": Field("request.scores", "text"),
}
"""The fields of ``request_response_rmt``, besides properties and scores."""

SESSION_FIELDS: Final[Mapping[str, Field]] = {
    "session_tag": Field(
        "coalesce((SELECT tag FROM session_tag WHERE session_tag.session_id = request.session_id),"
        " '')",
        "text",
    ),
}
"""The other ones that each request can be asked for."""

SESSION_TOTALS: Final[Mapping[str, Field]] = {
    "session_total_cost": Field("sum(coalesce(request.cost_usd, 0))", "number"),
    "session_total_tokens": Field(
        "sum(request.prompt_tokens + request.completion_tokens)", "number"
    ),
    "session_prompt_tokens": Field("sum(request.prompt_tokens)", "number"),
    "session_completion_tokens": Field("sum(request.completion_tokens)", "number"),
    "session_total_requests": Field("count(*)", "number"),
    "session_created_at": Field("min(request.started_at)", "time"),
    "session_latest_request_created_at": Field("max(request.started_at)", "time"),
}
"""And the ones that are summed over a session's requests."""
