"""Helicone's API server, as far as it is here: its log endpoints and scores."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from otel_helicone.local.gateway.helicone_headers import read_helicone_headers
from otel_helicone.local.log_api.headers import InvalidHeader, merged_headers, meta_headers
from otel_helicone.local.log_api.intake import (
    MOST_LOGGED,
    LogIntake,
    decoded,
    read_body,
    without_length,
)
from otel_helicone.local.log_api.javascript import NotJson, as_string, parse, stringify
from otel_helicone.local.log_api.record import Log
from otel_helicone.local.log_api.timing import MissingTime, NotATime, api_timing
from otel_helicone.local.log_api.typed_log import typed_problems
from otel_helicone.local.storage.changes import Scores

__all__ = ["ApiServer", "NotAScore", "read_scores"]

_MOST_HEADER_BYTES: Final = 16 * 1024
_LOG_PATHS: Final = ("/v1/trace/custom/log", "/v1/trace/custom/v1/log")
_TYPED_PATH: Final = "/v1/trace/custom/log/typed"
_OTEL_PATHS: Final = ("/v1/trace/log", "/v1/trace/log-python")
_MOST_SAFE: Final = 2**53
_CORS: Final = {
    "access-control-allow-methods": "GET,POST,PUT,PATCH,DELETE,OPTIONS",
    "access-control-allow-headers": "Content-Type,Authorization,Helicone-Authorization,"
    "x-vercel-set-bypass-cookie,x-vercel-protection-bypass",
}


class NotAScore(Exception):
    """A score is no integer; the message is the API server's."""


class _Failed(Exception):
    """The API server answers 500 with this in the body."""


class ApiServer:
    """Answers requests below ``/v1/trace/`` and ``/v1/request/``."""

    def __init__(self, intake: LogIntake) -> None:
        """Take the place that logs and scores go to."""
        self._intake = intake

    async def trace(self, request: Request) -> Response:
        """Answer a request below ``/v1/trace/``."""
        async with self._intake.answering():
            return _with_cors(await self._trace(request))

    async def score(self, request: Request) -> Response:
        """Answer a request to ``/v1/request/{id}/score``."""
        async with self._intake.answering():
            return _with_cors(await self._score(request))

    async def _trace(self, request: Request) -> Response:
        path = request.url.path.rstrip("/")
        raw = await read_body(request, 2 * MOST_LOGGED)
        if request.method == "OPTIONS":
            return without_length(Response(status_code=204, headers=_CORS))
        if path in _OTEL_PATHS:
            text = "The local Helicone has no OTLP endpoints; post logs to /oai/v1/log instead.\n"
            return Response(text, 501, media_type="text/plain")
        if request.method != "POST" or path not in (*_LOG_PATHS, _TYPED_PATH):
            return _no_such_path(request)
        headers = request.scope["headers"]
        if sum(len(name) + len(value) + 4 for name, value in headers) > _MOST_HEADER_BYTES:
            return without_length(Response(status_code=431))
        try:
            body = _body(request, raw)
        except _Failed as error:
            return _internal(str(error))
        refused = self._refused(request)
        if refused is not None:
            return refused
        typed = path == _TYPED_PATH
        if typed:
            details = typed_problems(body)
            if details:
                return _json({"message": "Validation Failed", "details": details}, 422)
            answered = body["providerResponse"]
            if isinstance(answered, Mapping) and not {"json", "textBody"} & answered.keys():
                message = "either json or textBody is required"
                problem = {"field": "providerResponse", "message": message}
                return _json({"isValid": False, "errors": [problem]}, 400)
        taken = self._take(request, body)
        # Whatever goes wrong from here on, the typed endpoint says nothing of it.
        return without_length(Response(status_code=200 if taken or typed else 500))

    def _take(self, request: Request, body: Mapping[str, object]) -> bool:
        sent, answered = body.get("providerRequest"), body.get("providerResponse")
        if not isinstance(sent, Mapping) or not isinstance(answered, Mapping):
            return False
        if "json" not in sent or not ("json" in answered or "textBody" in answered):
            return False
        try:
            meta = meta_headers(sent.get("meta"), latin_1_only=True)
        except InvalidHeader as error:
            self._intake.lose("none", str(error))
            return False
        helicone = read_helicone_headers(merged_headers(meta, tuple(request.scope["headers"])))
        try:
            timing = api_timing(body.get("timing"))
        except MissingTime:
            return False
        except NotATime as error:
            self._intake.lose(helicone.request_id, str(error))
            return True
        provider = body.get("provider")
        name = provider if isinstance(provider, str) and provider else "OPENAI"
        self._intake.take(Log(body, name, request.url.path, False, helicone, timing))
        return True

    def _refused(self, request: Request) -> Response | None:
        authorization = request.headers.get("authorization", "")
        message = "No authorization header"
        if authorization:
            if self._intake.keys.knows(authorization.removeprefix("Bearer ").strip()):
                return None
            message = "No API key found"
        return _json({"error": message, "trace": "isAuthenticated.error"}, 401)

    async def _score(self, request: Request) -> Response:
        raw = await read_body(request, MOST_LOGGED)
        if request.method == "OPTIONS":
            return without_length(Response(status_code=204, headers=_CORS))
        if request.method != "POST":
            return _no_such_path(request)
        try:
            body = _body(request, raw)
        except _Failed as error:
            return _internal(str(error))
        refused = self._refused(request)
        if refused is not None:
            return refused
        given = body.get("scores")
        if not isinstance(given, Mapping):
            at = "requestBody.scores"
            problem: dict[str, object] = {"message": "'scores' is required"}
            if "scores" in body:
                problem = {"message": "invalid object", "value": given}
            return _json({"message": "Validation Failed", "details": {at: problem}}, 422)
        try:
            scores = read_scores(given)
        except NotAScore as error:
            return _internal(str(error))
        self._intake.keep(Scores(request.path_params["request_id"].lower(), scores))
        return _json({"data": None, "error": None}, 201)


def read_scores(given: Mapping[str, object]) -> dict[str, int]:
    """Read the scores of a request as they are stored.

    Args:
        given: integers, integers as digits, and bools, which become 0 or 1 under a name with the
            ending ``-hcone-bool``.

    Raises:
        NotAScore: for anything else.
    """
    scores: dict[str, int] = {}
    for name, value in given.items():
        if isinstance(value, bool):
            scores[f"{name}-hcone-bool"] = int(value)
            continue
        try:
            if isinstance(value, float) or not isinstance(value, int | str):
                raise ValueError
            number = int(value)
            # JavaScript has no integers of its own above this.
            scores[name] = number if abs(number) <= _MOST_SAFE else int(float(number))
        except (ValueError, OverflowError):
            raise NotAScore(
                f"Score value for key '{name}' must be an integer. Received: {as_string(value)}"
            ) from None
    return scores


def _body(request: Request, raw: bytes | None) -> Mapping[str, object]:
    if raw is None:
        raise _Failed("request entity too large")
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json" or not raw:
        return {}
    data = decoded(raw, tuple(request.scope["headers"]), MOST_LOGGED)
    if len(data) > MOST_LOGGED:
        raise _Failed("request entity too large")
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    if text.lstrip()[:1] not in ("{", "["):
        # Nothing but objects and lists is taken; the rest is called no JSON at all.
        raise _Failed(_not_strict(text))
    try:
        body = parse(text)
    except NotJson as error:
        raise _Failed(str(error)) from None
    return body if isinstance(body, Mapping) else {}


def _not_strict(text: str) -> str:
    shown = f'"{text}"' if len(text) <= 20 else f'"{text[:10]}"...'
    return f"Unexpected token '{text.lstrip()[:1]}', {shown} is not valid JSON"


def _with_cors(response: Response) -> Response:
    response.headers["access-control-allow-credentials"] = "true"
    return response


def _json(body: object, status: int) -> Response:
    headers = {"content-type": "application/json; charset=utf-8"}
    return Response(stringify(body).encode("utf-8", "replace"), status, headers=headers)


def _internal(details: str) -> Response:
    return _json({"message": "Internal Server Error", "details": details}, 500)


def _no_such_path(request: Request) -> Response:
    said = escape(f"Cannot {request.method} {request.url.path}")
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Error</title>\n'
        f"</head>\n<body>\n<pre>{said}</pre>\n</body>\n</html>\n"
    )
    return Response(
        page,
        404,
        headers={
            "content-type": "text/html; charset=utf-8",
            "content-security-policy": "default-src 'none'",
            "x-content-type-options": "nosniff",
        },
    )
