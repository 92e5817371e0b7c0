"""Stored requests as the request endpoints give them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any, Final

from otel_helicone.local.api.reading import as_number, iso_time
from otel_helicone.local.storage.columns import BODY_COLUMNS, REQUEST_COLUMNS
from otel_helicone.local.wire.javascript import NotJson, parse

__all__ = ["JOINED", "SELECTED", "as_given"]

_NO_UUID: Final = "00000000-0000-0000-0000-000000000000"
_NOT_KEPT: Final = {"helicone_message": "The local Helicone was told to keep no bodies."}
_COLUMNS: Final = (
    *(f"request.{column}" for column in REQUEST_COLUMNS),
    *(f"body.{column}" for column in BODY_COLUMNS),
    "session.changed_at",
)
_NAMES: Final = (*REQUEST_COLUMNS, *BODY_COLUMNS, "changed_at")

SELECTED: Final = ", ".join(_COLUMNS)
"""The columns that :func:`as_given` reads."""

JOINED: Final = (
    "JOIN body ON body.row = request.row JOIN session ON session.number = request.session"
)
"""The tables that some of them are in, besides ``request``."""


def as_given(row: tuple[Any, ...]) -> dict[str, object]:
    """Give a stored request as the API does.

    Args:
        row: the values of :data:`SELECTED`.
    """
    stored = dict(zip(_NAMES, row, strict=True))
    request_id = stored["request_id"]
    started_at, latency = stored["started_at"], stored["latency_ms"]
    properties = _properties(stored)
    prompt, completion = stored["prompt_tokens"], stored["completion_tokens"]
    return {
        # Answers have no ids of their own here; the same one is given each time.
        "response_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:helicone:response:{request_id}")),
        "response_body": _body(stored["response_body"]),
        "response_created_at": iso_time(started_at + latency * 1000),
        "response_status": stored["status"],
        "request_id": request_id,
        "request_body": _body(stored["request_body"]),
        "request_created_at": iso_time(started_at),
        "request_user_id": stored["user_id"] or "",
        "request_properties": properties,
        "provider": stored["provider"],
        "delay_ms": latency,
        "request_model": stored["model"] or "",
        "ai_gateway_body_mapping": "",
        "time_to_first_token": stored["time_to_first_token_ms"] or 0,
        "total_tokens": prompt + completion + stored["reasoning_tokens"],
        "completion_tokens": completion,
        "reasoning_tokens": stored["reasoning_tokens"],
        "prompt_cache_read_tokens": stored["prompt_cache_read_tokens"],
        "prompt_cache_write_tokens": stored["prompt_cache_write_tokens"],
        "prompt_tokens": prompt,
        "country_code": "",
        "scores": json.loads(stored["scores"]),
        "properties": properties,
        "asset_ids": [],
        "target_url": stored["target_url"],
        "cache_reference_id": _NO_UUID,
        "request_referrer": "",
        "cache_enabled": stored["from_cache"] != 0,
        "cost": as_number(round((stored["cost_usd"] or 0) * 1e9) / 1e9),
        "prompt_id": "",
        "prompt_version": "",
        "updated_at": iso_time(stored["changed_at"]),
        "storage_location": "clickhouse",
        "feedback_created_at": None,
        "model": stored["model"] or "",
    }


def _properties(stored: Mapping[str, Any]) -> dict[str, str]:
    session = {
        "Helicone-Session-Id": stored["session_id"],
        "Helicone-Session-Path": stored["session_path"],
        "Helicone-Session-Name": stored["session_name"],
    }
    placed = {name: value for name, value in session.items() if value is not None}
    return {**json.loads(stored["properties"]), **placed}


def _body(text: str) -> object:
    if not text:
        return _NOT_KEPT
    try:
        parsed = parse(text)
    except NotJson:
        return text
    # A text that is falsy in JavaScript is given as it is stored.
    return parsed or text
