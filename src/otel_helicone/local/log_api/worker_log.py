"""The log API of Helicone's worker: ``/custom/v1/log``, ``/oai/v1/log`` and so on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from otel_helicone.local.gateway.answers import helicone_error
from otel_helicone.local.gateway.exchange import header
from otel_helicone.local.gateway.gateway import MAX_HEADER_BYTES
from otel_helicone.local.gateway.helicone_headers import read_helicone_headers
from otel_helicone.local.log_api.headers import InvalidHeader, merged_headers, meta_headers
from otel_helicone.local.log_api.intake import MOST_LOGGED, LogIntake, NoRoom, read_body
from otel_helicone.local.log_api.record import Log
from otel_helicone.local.log_api.timing import (
    InvalidTiming,
    MissingTime,
    NotATime,
    worker_timing,
)
from otel_helicone.local.wire.javascript import NotJson, parse, stringify

__all__ = ["WORKER_PROVIDERS", "WorkerLog"]

WORKER_PROVIDERS: Final[Mapping[str, str]] = {
    "custom": "CUSTOM",
    "oai": "OPENAI",
    "anthropic": "ANTHROPIC",
    "googleapis": "GOOGLE",
}
"""The provider that each of the worker's endpoints stores."""

_MISSING: Final = (
    "One of the required fields is missing, providerRequest, providerResponse, or timing"
)
_TEXT: Final = "text/plain;charset=UTF-8"
_CORS: Final = {
    "access-control-allow-origin": "*",
    "access-control-allow-headers": "Content-Type, helicone-jwt, helicone-org-id",
    "access-control-allow-methods": "DELETE, POST, GET, PUT",
}


class WorkerLog:
    """Answers the worker's log endpoints."""

    def __init__(self, intake: LogIntake) -> None:
        """Take the place that logs go to."""
        self._intake = intake

    async def answer(self, request: Request) -> Response:
        """Answer one request below ``/custom/``, ``/oai/`` and so on."""
        async with self._intake.answering():
            # Four bytes are the most that one character takes.
            body = await read_body(request, 4 * MOST_LOGGED)
            endpoint, _, rest = request.url.path.removeprefix("/").partition("/")
            if request.method == "OPTIONS":
                return Response(headers=_CORS)
            if request.method != "POST" or rest.rstrip("/") != "v1/log":
                return _text("invalid path", 404)
            headers = request.scope["headers"]
            if sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEADER_BYTES:
                return _text("ERROR: header too large.", 431)
            refused = self._refused(request)
            if refused is not None:
                return refused
            text = None if body is None else body.decode("utf-8", "replace")
            if text is None or len(text) > MOST_LOGGED:
                return _text("Payload too large", 400)
            return self._taken(request, text, endpoint)

    def _refused(self, request: Request) -> Response | None:
        authorization = _authorization(request)
        if not authorization:
            return _text("Unauthorized", 401)
        if not authorization.startswith("Bearer "):
            return _error("Must included Bearer in API Key", 401)
        if not self._intake.keys.is_well_formed(authorization.removeprefix("Bearer ")):
            return _error("API Key is not well formed", 401)
        return None

    def _taken(self, request: Request, text: str, endpoint: str) -> Response:
        try:
            body = parse(text)
        except NotJson:
            return _error(_MISSING, 400)
        if body is None:
            return _failed("Cannot read properties of null (reading 'providerRequest')")
        if not isinstance(body, Mapping):
            return _error(_MISSING, 400)
        sent, answered = body.get("providerRequest"), body.get("providerResponse")
        if not isinstance(sent, Mapping) or not isinstance(answered, Mapping):
            return _error(_MISSING, 400)
        problem = _problem(sent, answered)
        if problem:
            return _error(problem, 400)
        if sent["meta"] is None:
            return _failed("Cannot convert undefined or null to object")
        if answered["headers"] is None:
            return _failed(
                "Failed to construct 'Headers': constructor parameter 1 is not of type"
                " 'Headers or Sequence or object'."
            )
        raw = tuple(request.scope["headers"])
        try:
            meta = meta_headers(sent["meta"], latin_1_only=False)
            timing = worker_timing(body.get("timing"))
        except InvalidTiming as error:
            return _error(str(error), 400)
        except (InvalidHeader, MissingTime) as error:
            return _failed(str(error))
        except NotATime:
            return _error("Error logging", 200)
        helicone = read_helicone_headers(merged_headers(meta, raw))
        wrong = [
            value
            for value in (_authorization(request), header(raw, b"helicone-auth"))
            if value and not self._knows(value)
        ]
        if wrong:
            return _error("Auth failed! Cannot coerce the result to a single JSON object", 200)
        if answered["json"] is None and answered.get("textBody") is None:
            return _error("Error logging", 200)
        answer = _text("ok", 200)
        answer.headers["helicone-id"] = helicone.request_id
        if "helicone-auth" in meta and not self._knows(meta["helicone-auth"]):
            self._intake.lose(helicone.request_id, "a wrong Helicone-Auth in meta")
            return answer
        provider = WORKER_PROVIDERS[endpoint]
        try:
            self._intake.take(Log(body, provider, request.url.path, True, helicone, timing))
        except NoRoom as error:
            return _failed(str(error))
        return answer

    def _knows(self, authorization: str) -> bool:
        return authorization.startswith("Bearer ") and self._intake.keys.knows(
            authorization.removeprefix("Bearer ")
        )


def _problem(sent: Mapping[str, object], answered: Mapping[str, object]) -> str:
    """Give the worker's complaint about a log, empty where it has none."""
    if not isinstance(sent.get("url"), str):
        return "Invalid providerRequest: 'url' should be a string"
    if "json" not in sent:
        return "Invalid providerRequest: 'json' is undefined"
    if "meta" not in sent or not isinstance(sent["meta"], dict | list | None):
        return "Invalid providerRequest: 'meta' should be an object"
    if "json" not in answered:
        return "Invalid providerResponse: 'json' is undefined"
    status = answered.get("status")
    if isinstance(status, bool) or not isinstance(status, int | float):
        return "Invalid providerResponse: 'status' should be a number"
    if "headers" not in answered or not isinstance(answered["headers"], dict | list | None):
        return "Invalid providerResponse: 'headers' should be an object"
    return ""


def _authorization(request: Request) -> str:
    return request.headers.get("authorization") or request.headers.get("x-api-key") or ""


def _text(text: str, status: int) -> Response:
    return Response(text, status, headers={"content-type": _TEXT})


def _error(message: str, status: int) -> Response:
    return _text(stringify({"error": message}), status)


def _failed(message: str) -> Response:
    headers = {"content-type": "application/json;charset=UTF-8", "helicone-error": "true"}
    return Response(helicone_error(message), 500, headers=headers)
