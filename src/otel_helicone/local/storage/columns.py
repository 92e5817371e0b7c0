"""Records as rows of the tables, and rows as records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, TypeAlias

from otel_helicone.local.storage.errors import DamagedRow
from otel_helicone.local.storage.records import RequestRecord, SessionRecord
from otel_helicone.local.wire.javascript import without_lone_surrogates

__all__ = [
    "BODY_COLUMNS",
    "REQUEST_COLUMNS",
    "SESSION_COLUMNS",
    "Cell",
    "body_row_of",
    "microseconds",
    "record_of",
    "request_row_of",
    "session_of",
    "stored_properties",
    "stored_text",
    "time_of",
]

Cell: TypeAlias = str | int | float | None

REQUEST_COLUMNS: Final = (
    "request_id",
    "session_id",
    "session_path",
    "session_name",
    "user_id",
    "properties",
    "provider",
    "model",
    "method",
    "target_path",
    "status",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "started_at",
    "latency_ms",
    "time_to_first_token_ms",
    "prompt_cache_read_tokens",
    "prompt_cache_write_tokens",
    "reasoning_tokens",
    "target_url",
    "kind",
    "scores",
    "cost_usd",
    "from_cache",
)
"""What the table ``request`` holds of a record."""

BODY_COLUMNS: Final = ("request_body", "response_body", "helicone_headers")
"""What the table ``body`` holds of a record."""

SESSION_COLUMNS: Final = (
    "session_id",
    "session_name",
    "requests",
    "errors",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "started_at",
    "ended_at",
    "latency_ms",
    "cost_usd",
    "unpriced",
    "changed_at",
)
"""What the table ``session`` holds of a session; its users are in ``session_value``."""

_BODIES_AT: Final = len(REQUEST_COLUMNS)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
# What JSON and times say to bytes of something else.
_NOT_AS_STORED: Final = (ValueError, TypeError, OverflowError)


def microseconds(time: datetime) -> int:
    """Return a time as the tables hold it: microseconds since 1970 in UTC."""
    return (time - _EPOCH) // _MICROSECOND


def time_of(number: int) -> datetime:
    """Return the time that a number of microseconds since 1970 stands for."""
    return _EPOCH + number * _MICROSECOND


def request_row_of(record: RequestRecord) -> tuple[Cell, ...]:
    """Return a record's values in the order of :data:`REQUEST_COLUMNS`."""
    return (
        record.request_id,
        _storable(record.session_id),
        _storable(record.session_path),
        _storable(record.session_name),
        _storable(record.user_id),
        json.dumps(stored_properties(record.properties)),
        record.provider,
        _storable(record.model),
        record.method,
        record.target_path,
        record.status,
        record.prompt_tokens,
        record.completion_tokens,
        record.total_tokens,
        microseconds(record.started_at),
        record.latency_ms,
        record.time_to_first_token_ms,
        record.prompt_cache_read_tokens,
        record.prompt_cache_write_tokens,
        record.reasoning_tokens,
        _storable(record.target_url),
        record.kind,
        json.dumps(dict(record.scores)),
        record.cost_usd,
        int(record.from_cache),
    )


def body_row_of(record: RequestRecord) -> tuple[Cell, ...]:
    """Return a record's values in the order of :data:`BODY_COLUMNS`."""
    return (
        _storable(record.request_body),
        _storable(record.response_body),
        json.dumps(record.helicone_headers),
    )


def record_of(row: tuple[Any, ...]) -> RequestRecord:
    """Make a record.

    Args:
        row: values in the order of :data:`REQUEST_COLUMNS`, then those of :data:`BODY_COLUMNS` or
            nothing, for a record without its bodies.

    Raises:
        DamagedRow: where they are not what was stored.
    """
    try:
        return _record_of(row)
    except _NOT_AS_STORED as error:
        raise DamagedRow(f"a request that is none: {error}") from error


def _record_of(row: tuple[Any, ...]) -> RequestRecord:
    # By position: by name it takes 7 µs instead of 4, and pages read ten thousand of them.
    # fmt: off
    (
        request_id, session_id, session_path, session_name, user_id, properties, provider, model,
        method, target_path, status, prompt_tokens, completion_tokens, total_tokens, started_at,
        latency_ms, time_to_first_token_ms, prompt_cache_read_tokens, prompt_cache_write_tokens,
        reasoning_tokens, target_url, kind, scores, cost_usd, from_cache,
    ) = row[:_BODIES_AT]
    request_body, response_body, headers = row[_BODIES_AT:] or ("", "", "")
    return RequestRecord(
        request_id, session_id, session_path, session_name, user_id, _mapping(properties),
        provider, model, method, target_path, status, prompt_tokens, completion_tokens,
        total_tokens, _EPOCH + timedelta(microseconds=started_at), latency_ms,
        time_to_first_token_ms, request_body, response_body,
        tuple((name, value) for name, value in json.loads(headers)) if headers else (),
        prompt_cache_read_tokens, prompt_cache_write_tokens, reasoning_tokens, target_url, kind,
        _mapping(scores), cost_usd, from_cache != 0,
    )
    # fmt: on


def session_of(row: tuple[Any, ...]) -> SessionRecord:
    """Make a session's record.

    Args:
        row: values in the order of :data:`SESSION_COLUMNS`, then the users as a JSON list.

    Raises:
        DamagedRow: where they are not what was stored.
    """
    try:
        values = dict(zip(SESSION_COLUMNS, row, strict=False))
        for time in ("started_at", "ended_at", "changed_at"):
            values[time] = time_of(values[time])
        users = tuple(sorted(user for user in json.loads(row[-1]) if user))
        return SessionRecord(**values, user_ids=users)
    except _NOT_AS_STORED as error:
        raise DamagedRow(f"a session that is none: {error}") from error


def stored_properties(properties: Mapping[str, str]) -> dict[str, str]:
    """Return properties as they are stored: without lone surrogates, and without NUL.

    SQLite's functions for JSON end a text at a NUL.
    """
    return {stored_text(name): stored_text(value) for name, value in properties.items()}


def stored_text(text: str) -> str:
    """Return a property's name or value as it is stored."""
    return without_lone_surrogates(text).replace("\x00", "\ufffd")


@lru_cache(maxsize=1024)
def _mapping(text: str) -> Mapping[str, Any]:
    """Read properties or scores; many requests have the same, and nothing changes them."""
    mapping: dict[str, Any] = json.loads(text)
    return mapping


def _storable(text: str | None) -> str | None:
    """Put U+FFFD, as Helicone does, in the place of the lone surrogates that JSON may hold."""
    return None if text is None else without_lone_surrogates(text)
