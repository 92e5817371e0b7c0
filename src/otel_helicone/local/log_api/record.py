"""From a log to the record that is stored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from otel_helicone.local.gateway.body_text import kept_text
from otel_helicone.local.gateway.event_stream import EventStream
from otel_helicone.local.gateway.exchange import MOST_STORED_BYTES, body_left_out
from otel_helicone.local.gateway.helicone_headers import HeliconeHeaders
from otel_helicone.local.gateway.usage import member, reported_cost
from otel_helicone.local.log_api.model import NotAModel, kind_of, model_of
from otel_helicone.local.log_api.timing import LogTiming
from otel_helicone.local.log_api.usage import NotACount, logged_usage
from otel_helicone.local.storage.records import RequestRecord
from otel_helicone.local.wire.javascript import (
    NotJson,
    parse,
    stringify,
    without_lone_surrogates,
)

__all__ = ["Log", "LogLost", "record_of"]

_CANNOT: Final = "error parsing response"
# What an Int64 column, or a JSON number, can hold without doubt.
_MOST_STATUS: Final = 2**53


class LogLost(Exception):
    """Helicone answers 200 to such a log and loses it; the text says why."""


@dataclass(frozen=True, slots=True)
class Log:
    """A log that was taken.

    Attributes:
        body: the whole posted object.
        provider: as it is stored.
        path: the path that it was posted to.
        by_worker: whether it came to the worker's log API, which keeps the whole posted object as
            the request and reads model and kind from the response only.
        helicone: its headers.
        timing: its times.
    """

    body: Mapping[str, object]
    provider: str
    path: str
    by_worker: bool
    helicone: HeliconeHeaders
    timing: LogTiming


def record_of(log: Log) -> RequestRecord:
    """Make the record of a log.

    Raises:
        LogLost: for a log that Helicone would lose.
    """
    request = log.body if log.by_worker else member(log.body, "providerRequest", "json")
    response = _response(log.body)
    helicone = log.helicone
    given_url = member(log.body, "providerRequest", "url")
    url = given_url if log.by_worker and isinstance(given_url, str) else ""
    try:
        status = _status(member(log.body, "providerResponse", "status"))
        model = model_of(request, response, helicone.model_override, url, strict=log.by_worker)
        usage = logged_usage(response, log.provider, by_provider=not log.by_worker)
    except (NotAModel, NotACount) as error:
        raise LogLost(str(error)) from error
    return RequestRecord(
        request_id=helicone.request_id.lower(),
        session_id=helicone.session_id,
        session_path=helicone.session_path,
        session_name=helicone.session_name,
        user_id=helicone.user_id,
        properties=helicone.properties,
        provider=log.provider,
        model=model or None,
        method="POST",
        target_path=log.path,
        status=status,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
        started_at=log.timing.started_at,
        latency_ms=log.timing.latency_ms,
        time_to_first_token_ms=log.timing.time_to_first_token_ms,
        request_body=body_left_out(model) if helicone.omit_request else _text(request),
        response_body=body_left_out(model) if helicone.omit_response else _text(response),
        helicone_headers=helicone.as_sent,
        prompt_cache_read_tokens=usage.prompt_cache_read_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        target_url=url,
        kind=kind_of(request, response),
        cost_usd=reported_cost(response),
    )


def _status(status: object) -> int:
    if isinstance(status, str):
        try:
            status = float(status)
        except ValueError:
            raise LogLost(f"status {status}") from None
    if not isinstance(status, int | float):
        return 0
    if not math.isfinite(status) or status != int(status) or abs(status) > _MOST_STATUS:
        raise LogLost(f"status {status}")
    return int(status)


def _text(body: object) -> str:
    text = without_lone_surrogates(stringify(body))
    return kept_text(text.encode(), MOST_STORED_BYTES, content_type="application/json")


def _response(body: Mapping[str, object]) -> object:
    """Give the response's JSON, put together from its text where it has one."""
    parsed = member(body, "providerResponse", "json")
    text = member(body, "providerResponse", "textBody")
    if not isinstance(text, str):
        return (
            {"helicone_error": _CANNOT, "parse_response_error": None} if parsed is None else parsed
        )
    if member(body, "providerRequest", "json", "stream") is True:
        events = EventStream(MOST_STORED_BYTES)
        for line in text.splitlines():
            # Helicone's logger for Node sends each event as a line of JSON alone.
            event = f"data: {line}" if line.startswith("{") else line
            events.feed(event.encode("utf-8", "replace") + b"\n")
        return parse(events.assembled())
    try:
        return parse(text)
    except NotJson as error:
        said = f"Error parsing body: SyntaxError: {error}, {text}"
        return {"helicone_error": _CANNOT, "parse_response_error": said}
