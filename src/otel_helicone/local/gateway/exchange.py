"""One request and its answer on their way through the gateway, until they are a record."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Final

from otel_helicone.local.gateway.body_text import BodyDecoder, kept_text
from otel_helicone.local.gateway.event_stream import EventStream
from otel_helicone.local.gateway.helicone_headers import HeliconeHeaders
from otel_helicone.local.gateway.upstream import RawHeaders, UpstreamRequest
from otel_helicone.local.gateway.usage import Usage, member, model_in, parse_json, usage_in
from otel_helicone.local.storage.records import RequestRecord

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


class Exchange:
    """Watches a request being answered and makes the record of it."""

    def __init__(
        self, request: UpstreamRequest, helicone: HeliconeHeaders, stopwatch: Stopwatch
    ) -> None:
        """Begin with a request that has come in.

        Args:
            request: the request as it goes to the upstream.
            helicone: what its ``Helicone-*`` headers said.
            stopwatch: started when the request came in.
        """
        self.helicone = helicone
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

    def answered(self, headers: RawHeaders) -> None:
        """Note the head of the answer."""
        self._content_type = header(headers, b"content-type")
        self._content_encoding = header(headers, b"content-encoding")
        self._decoder = BodyDecoder(self._content_encoding, _MOST_PARSED_BYTES)
        if self._content_type.lower().startswith("text/event-stream"):
            self._streamed = True
            self._events = EventStream(MOST_STORED_BYTES)

    def received(self, chunk: bytes) -> None:
        """Note some bytes of the answer's body, as they came."""
        if self._streamed and self._time_to_first_token_ms is None:
            self._time_to_first_token_ms = self._stopwatch.milliseconds()
        data = self._decoder.decode(chunk)
        if self._events is not None:
            self._events.feed(data)
            return
        self._answer_length += len(data)
        room = _MOST_PARSED_BYTES - len(self._answer)
        if room > 0:
            self._answer += data[:room]

    def record(self, status: int) -> RequestRecord:
        """Make the record, now that the answer has ended one way or another.

        Args:
            status: the HTTP status, or a negative one of :class:`RequestRecord`.
        """
        helicone = self.helicone
        model, usage, response_body = self._read_answer()
        model = model or model_in(self._asked)
        user = member(self._asked, "user")
        return RequestRecord(
            request_id=helicone.request_id.lower(),
            session_id=helicone.session_id,
            session_path=helicone.session_path,
            session_name=helicone.session_name,
            user_id=helicone.user_id or (user if isinstance(user, str) and user else None),
            properties=helicone.properties,
            provider="OPENAI",
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
            response_body=body_left_out(model) if helicone.omit_response else response_body,
            helicone_headers=helicone.as_sent,
        )

    def _request_body(self) -> str:
        content_type = header(self._request.headers, b"content-type")
        return kept_text(self._request.body, MOST_STORED_BYTES, content_type=content_type)

    def _read_answer(self) -> tuple[str | None, Usage, str]:
        if not self._decoder.readable:
            return None, Usage(), f"[a body in {self._content_encoding}, which is not read here]"
        if self._events is not None:
            events = self._events
            return events.model, events.usage or Usage(), events.assembled()
        body = bytes(self._answer)
        parsed = parse_json(body) if body else None
        text = kept_text(
            body, MOST_STORED_BYTES, content_type=self._content_type, in_all=self._answer_length
        )
        return model_in(parsed), usage_in(parsed) or Usage(), text


def body_left_out(model: str | None) -> str:
    """Give what Helicone keeps in the place of a body that the caller asked not to store.

    Args:
        model: the model, or None.
    """
    return json.dumps({"model": model} if model else {})
