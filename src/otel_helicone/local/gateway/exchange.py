"""One request and its answer on their way through the gateway, until they are a record."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from otel_helicone.local.gateway.body_text import BodyDecoder, kept_text
from otel_helicone.local.gateway.event_stream import EventStream
from otel_helicone.local.gateway.helicone_headers import HeliconeHeaders
from otel_helicone.local.gateway.upstream import RawHeaders, UpstreamRequest
from otel_helicone.local.gateway.usage import (
    Usage,
    member,
    model_in,
    parse_json,
    reported_cost,
    usage_in,
)
from otel_helicone.local.prices import cost_of
from otel_helicone.local.storage.records import RequestRecord
from otel_helicone.local.wire.javascript import NotJson, parse, stringify

__all__ = ["MOST_STORED_BYTES", "Exchange", "Stopwatch", "body_left_out", "header"]

MOST_STORED_BYTES: Final = 1024 * 1024
"""How much of each body is stored."""

# To find model and usage the whole of a JSON answer has to be read, and usage comes last.
_MOST_PARSED_BYTES: Final = 16 * 1024 * 1024


def header(headers: RawHeaders, name: bytes) -> str:
    """Give a header's value by its lower-case name, empty where it is absent."""
    for key, value in headers:
        if key.lower() == name:
            return value.decode("latin-1")
    return ""


class Stopwatch:
    """When something began, and the milliseconds since then."""

    def __init__(self) -> None:
        """Start now."""
        self.started_at = datetime.now(UTC)
        self._began = time.perf_counter()

    def milliseconds(self) -> int:
        """Give the whole milliseconds since the start."""
        return round((time.perf_counter() - self._began) * 1000)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What an answer's body says: what is parsed of it, and what is stored."""

    parsed: object
    text: str


class Exchange:
    """Watches a request being answered and makes the record of it.

    Attributes:
        helicone: what the request's ``Helicone-*`` headers said.
        from_cache: whether the answer is one that was kept.
    """

    def __init__(
        self,
        request: UpstreamRequest,
        helicone: HeliconeHeaders,
        stopwatch: Stopwatch,
        provider: str,
    ) -> None:
        """Begin with a request that has come in.

        Args:
            request: the request as it goes to the upstream.
            helicone: what its ``Helicone-*`` headers said.
            stopwatch: started when the request came in.
            provider: whose API is asked, as it is stored.
        """
        self.helicone = helicone
        self.from_cache = False
        self._provider = provider
        self._request = request
        self._stopwatch = stopwatch
        self._asked = parse_json(request.body) if request.body else None
        self._time_to_first_token_ms: int | None = None
        self._streamed = member(self._asked, "stream") is True
        self._content_type = ""
        self._content_encoding = ""
        self._decoder = BodyDecoder("", _MOST_PARSED_BYTES)
        self._events: EventStream | None = None
        self._answer = bytearray()
        self._answer_length = 0

    @property
    def streamed(self) -> bool:
        """Whether the answer is, or was asked to be, a stream of events."""
        return self._streamed

    @property
    def ended(self) -> bool:
        """Whether the answer is a stream whose closing event was seen."""
        return self._events is not None and self._events.ended

    @property
    def readable(self) -> bool:
        """Whether the answer's body is in an encoding that is read here, and whole so far."""
        return self._decoder.readable

    def answered(self, headers: RawHeaders) -> None:
        """Note the head of the answer."""
        self._content_type = header(headers, b"content-type")
        self._content_encoding = header(headers, b"content-encoding")
        self._decoder = BodyDecoder(self._content_encoding, _MOST_PARSED_BYTES)
        if self._content_type.lower().startswith("text/event-stream"):
            self._streamed = True
            self._events = EventStream(MOST_STORED_BYTES)

    def milliseconds(self) -> int:
        """Give how long ago the request came in."""
        return self._stopwatch.milliseconds()

    def received(self, chunk: bytes) -> bytes:
        """Note some bytes of the answer's body, as they came; give them decoded."""
        if self._streamed and self._time_to_first_token_ms is None:
            self._time_to_first_token_ms = self._stopwatch.milliseconds()
        data = self._decoder.decode(chunk)
        if self._events is not None:
            self._events.feed(data)
            return data
        self._answer_length += len(data)
        room = _MOST_PARSED_BYTES - len(self._answer)
        if room > 0:
            self._answer += data[:room]
        return data

    def record(self, status: int) -> RequestRecord:
        """Make the record, now that the answer has ended one way or another.

        Args:
            status: the HTTP status, or a negative one of :class:`RequestRecord`.
        """
        helicone = self.helicone
        answer = self._read_answer()
        model = model_in(answer.parsed) or model_in(self._asked)
        usage = usage_in(answer.parsed) or Usage()
        user = member(self._asked, "user")
        record = RequestRecord(
            request_id=helicone.request_id.lower(),
            session_id=helicone.session_id,
            session_path=helicone.session_path,
            session_name=helicone.session_name,
            user_id=helicone.user_id or (user if isinstance(user, str) and user else None),
            properties=helicone.properties,
            provider=self._provider,
            model=helicone.model_override or model,
            method=self._request.method,
            target_path=self._request.path.decode("latin-1"),
            status=status,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.total_tokens,
            started_at=self._stopwatch.started_at,
            latency_ms=self._stopwatch.milliseconds(),
            time_to_first_token_ms=self._time_to_first_token_ms,
            request_body=body_left_out(model) if helicone.omit_request else self._request_body(),
            response_body=body_left_out(model) if helicone.omit_response else answer.text,
            helicone_headers=helicone.as_sent,
            prompt_cache_read_tokens=usage.prompt_cache_read_tokens,
            prompt_cache_write_tokens=usage.prompt_cache_write_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            cost_usd=reported_cost(answer.parsed),
        )
        return _as_hit(record) if self.from_cache else record

    def _request_body(self) -> str:
        if not self._request.body:
            return "{}"
        content_type = header(self._request.headers, b"content-type")
        text = kept_text(self._request.body, MOST_STORED_BYTES, content_type=content_type)
        if self._asked is None and content_type.lower().startswith("application/json"):
            try:
                parse(text)
            except NotJson as error:
                said = f"Error parsing request body, SyntaxError: {error}, {text}"
                return stringify({"error": said})
        return text

    def _read_answer(self) -> _Answer:
        if not self._decoder.readable:
            return _Answer(None, f"[a body in {self._content_encoding}, which is not read here]")
        if self._events is not None:
            told = {"model": self._events.model, "usage": self._events.usage}
            return _Answer(told, self._events.assembled())
        body = bytes(self._answer)
        text = kept_text(
            body, MOST_STORED_BYTES, content_type=self._content_type, in_all=self._answer_length
        )
        if self._content_type.lower().startswith("text/html"):
            # A proxy's error page, most often.
            text = stringify({"error": "HTML response detected:", "html_response": text})
        return _Answer(parse_json(body) if body else None, text)


def _as_hit(record: RequestRecord) -> RequestRecord:
    """Store an answer from the cache as Helicone does: no tokens, and what it once cost."""
    return replace(
        record,
        from_cache=True,
        cost_usd=cost_of(record) if record.cost_usd is None else record.cost_usd,
        prompt_tokens=0,
        completion_tokens=0,
        total_tokens=0,
        prompt_cache_read_tokens=0,
        prompt_cache_write_tokens=0,
        reasoning_tokens=0,
    )


def body_left_out(model: str | None) -> str:
    """Give what Helicone keeps in the place of a body that the caller asked not to store.

    Args:
        model: the model, or None.
    """
    return json.dumps({"model": model} if model else {})
