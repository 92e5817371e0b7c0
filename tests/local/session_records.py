"""Requests for tests, by when they began and how long they took."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from otel_helicone.local.storage.records import RequestRecord

__all__ = ["STARTED", "call"]

STARTED = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def call(
    path: str | None = "/",
    start_ms: float = 0,
    latency_ms: int = 100,
    *,
    status: int = 200,
    session_id: str | None = "trip-1",
    session_name: str | None = "Trip",
    request_id: str | None = None,
    user_id: str | None = None,
    properties: Mapping[str, str] | None = None,
    model: str | None = "gpt-4o-mini",
    kind: str = "llm",
    cost_usd: float | None = None,
    tokens: int = 15,
    request_body: str = "{}",
    response_body: str = "{}",
    started_at: datetime = STARTED,
) -> RequestRecord:
    """Make a request that began so many milliseconds after all began."""
    return RequestRecord(
        request_id=request_id or str(uuid.uuid4()),
        session_id=session_id,
        session_path=path,
        session_name=session_name,
        user_id=user_id,
        properties=properties or {},
        provider="CUSTOM",
        model=model,
        method="POST",
        target_path="/v1/chat/completions",
        status=status,
        prompt_tokens=tokens * 2 // 3,
        completion_tokens=tokens - tokens * 2 // 3,
        total_tokens=tokens,
        started_at=started_at + timedelta(milliseconds=start_ms),
        latency_ms=latency_ms,
        time_to_first_token_ms=None,
        request_body=request_body,
        response_body=response_body,
        kind=kind,
        cost_usd=cost_usd,
    )
