"""The log endpoints of Helicone's API server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from otel_helicone.local.gateway.helicone_headers import read_helicone_headers
from otel_helicone.local.log_api.api_answers import (
    CORS,
    BodyRefused,
    internal_error,
    json_answer,
    no_such_path,
    parsed_body,
    refused_key,
    with_cors,
)
from otel_helicone.local.log_api.headers import InvalidHeader, merged_headers, meta_headers
from otel_helicone.local.log_api.intake import (
    MOST_LOGGED,
    LogIntake,
    NoRoom,
    read_body,
    without_length,
)
from otel_helicone.local.log_api.record import Log
from otel_helicone.local.log_api.timing import MissingTime, NotATime, api_timing
from otel_helicone.local.log_api.typed_log import typed_problems

__all__ = ["ApiServer"]

_MOST_HEADER_BYTES: Final = 16 * 1024
_LOG_PATHS: Final = ("/v1/trace/custom/log", "/v1/trace/custom/v1/log")
_TYPED_PATH: Final = "/v1/trace/custom/log/typed"
_OTEL_PATHS: Final = ("/v1/trace/log", "/v1/trace/log-python")


class ApiServer:
    """Answers requests below ``/v1/trace/``."""

    def __init__(self, intake: LogIntake) -> None:
        """Take the place that logs go to."""
        self._intake = intake

    async def trace(self, request: Request) -> Response:
        """Answer a request below ``/v1/trace/``."""
        async with self._intake.answering():
            return with_cors(await self._trace(request))

    async def _trace(self, request: Request) -> Response:
        path = request.url.path.rstrip("/")
        raw = await read_body(request, 2 * MOST_LOGGED)
        if request.method == "OPTIONS":
            return without_length(Response(status_code=204, headers=CORS))
        if path in _OTEL_PATHS:
            text = "The local Helicone has no OTLP endpoints; post logs to /oai/v1/log instead.\n"
            return Response(text, 404, media_type="text/plain")
        if request.method != "POST" or path not in (*_LOG_PATHS, _TYPED_PATH):
            return no_such_path(request)
        headers = request.scope["headers"]
        if sum(len(name) + len(value) + 4 for name, value in headers) > _MOST_HEADER_BYTES:
            return without_length(Response(status_code=431))
        try:
            body = parsed_body(request, raw)
        except BodyRefused as error:
            return internal_error(str(error))
        refused = refused_key(request, self._intake.keys)
        if refused is not None:
            return refused
        typed = path == _TYPED_PATH
        if typed:
            details = typed_problems(body)
            if details:
                return json_answer({"message": "Validation Failed", "details": details}, 422)
            answered = body["providerResponse"]
            if isinstance(answered, Mapping) and not {"json", "textBody"} & answered.keys():
                message = "either json or textBody is required"
                problem = {"field": "providerResponse", "message": message}
                return json_answer({"isValid": False, "errors": [problem]}, 400)
        try:
            taken = self._take(request, body)
        except NoRoom as error:
            return internal_error(str(error))
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
