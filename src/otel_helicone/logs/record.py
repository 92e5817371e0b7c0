"""One log of Helicone's, right by construction: a log that is wrong in a detail is taken and lost.

Recorded from Helicone's worker: it answers 200 and drops a log whose tokens are negative or not
whole, whose model is no text, or whose meta holds an authorization that it does not know; it
answers 400 or 500 to times that are no numbers, to an end before the start, and to meta values with
a line break in them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from otel_helicone.dialects.description import Json
from otel_helicone.logs.media import without_media
from otel_helicone.logs.shortening import shortened
from otel_helicone.primitives.header_names import REQUEST_ID, property_header
from otel_helicone.session_context.current import SessionContext

__all__ = ["LogRecord", "to_bytes"]

# What the official manual logger gives as the URL of a provider that it does not know.
_URL: Final = "custom-model-nopath"
_SHORTENED: Final = property_header("content-shortened")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """A log, before it is bytes.

    Attributes:
        path: the path of the log API.
        request_id: its UUID.
        context: the session that it belongs to.
        request: the body of the request.
        response: the body of the response.
        status: the HTTP status.
        start: when the call began, in nanoseconds since 1970.
        end: when it ended, likewise.
        milliseconds_to_first_token: of a streamed answer.
        omit_request: whether Helicone is asked not to keep the request.
        omit_response: whether it is asked so for the response.
    """

    path: str
    request_id: str
    context: SessionContext
    request: Mapping[str, Json]
    response: Mapping[str, Json]
    status: int
    start: int
    end: int
    milliseconds_to_first_token: int | None = None
    omit_request: bool = False
    omit_response: bool = False

    def to_bytes(self, most: int) -> bytes:
        """Return the body of the post, the same bytes at each call.

        Args:
            most: how long it may be, in bytes; past that marks take the place of pictures and
                files, then of the middle of long texts, and the property ``content-shortened``
                says so.
        """
        whole = to_bytes(self._envelope(self.request, self.response, cut=False))
        if len(whole) <= most:
            return whole
        request, response = self.request, self.response
        # Pictures and files go before any text is touched, the largest first.
        for longest in (65_536, 1_024, 0):
            request, response = without_media(request, longest), without_media(response, longest)
            body = to_bytes(self._envelope(request, response, cut=True))
            if len(body) <= most:
                return body
        for longest in (65_536, 16_384, 4_096, 1_024, 256, 64):
            body = to_bytes(
                self._envelope(shortened(request, longest), shortened(response, longest), cut=True)
            )
            if len(body) <= most:
                return body
        # Not long texts but very many: nothing of them would help anybody.
        bare_request = {name: self.request[name] for name in _HEAD if name in self.request}
        bare_response = {name: self.response[name] for name in _HEAD if name in self.response}
        return to_bytes(self._envelope(bare_request, bare_response, cut=True))

    def _envelope(
        self, request: Mapping[str, Json], response: Mapping[str, Json], *, cut: bool
    ) -> dict[str, Any]:
        meta = dict(self.context.pairs())
        meta[REQUEST_ID] = self.request_id
        if self.omit_request:
            meta["Helicone-Omit-Request"] = "true"
        if self.omit_response:
            meta["Helicone-Omit-Response"] = "true"
        if cut:
            meta[_SHORTENED] = "true"
        timing: dict[str, Any] = {
            "startTime": _time(self.start),
            "endTime": _time(max(self.start, self.end)),
        }
        if self.milliseconds_to_first_token is not None:
            timing["timeToFirstToken"] = self.milliseconds_to_first_token
        return {
            "providerRequest": {"url": _URL, "json": request, "meta": meta},
            "providerResponse": {"json": response, "status": self.status, "headers": {}},
            "timing": timing,
        }


_HEAD: Final = ("_type", "toolName", "name", "model", "object", "id", "usage", "status", "stream")


def _time(nanoseconds: int) -> dict[str, int]:
    milliseconds = nanoseconds // 1_000_000
    return {"seconds": milliseconds // 1000, "milliseconds": milliseconds % 1000}


_ENCODER: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str
)


def to_bytes(value: Json) -> bytes:
    """Write JSON that every parser takes: no NaN, no lone surrogates, no objects of Python's."""
    try:
        text = _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError):
        text = _ENCODER.encode(_plain(value, 100))
    return text.encode("utf-8", "replace")


def _plain(value: Json, levels: int) -> Json:
    """Make anything JSON: what has no place in it becomes a text or null."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if levels == 0:
        return "[...]"
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, levels - 1) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(inner, levels - 1) for inner in value]
    try:
        return str(value)
    except Exception:  # an object of the application's
        return "[?]"
