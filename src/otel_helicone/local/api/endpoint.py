"""What comes before and after the work of an endpoint, which is the same for all of them."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from otel_helicone.local.api.answer import Answer, BrokenCall, invalid
from otel_helicone.local.api.fields import InvalidBody
from otel_helicone.local.log_api.api_answers import (
    CORS,
    BodyRefused,
    internal_error,
    json_answer,
    parsed_body,
    refused_key,
    with_cors,
)
from otel_helicone.local.log_api.intake import MOST_LOGGED, LogIntake, read_body, without_length
from otel_helicone.local.storage.errors import StoreError
from otel_helicone.local.storage.writer import NotWritten

__all__ = ["Call", "Work", "endpoint"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """A request to the API that was let in.

    Attributes:
        path: the parts of the path that differ, by name.
        body: the posted object; empty where there is none.
    """

    path: Mapping[str, Any]
    body: Mapping[str, object]


Work: TypeAlias = Callable[[Call], Answer]
"""Answers a call. It runs in a thread, so it may wait for the store."""


def endpoint(path: str, intake: LogIntake, **work: Work) -> Route:
    """Make a route.

    Args:
        path: the route's path.
        intake: knows the keys, and counts what is in progress.
        work: what answers each method, by the method's name.
    """

    async def answer(request: Request) -> Response:
        async with intake.answering():
            return with_cors(await _answer(request, intake, work))

    return Route(path, answer, methods=[*work, "OPTIONS"])


async def _answer(request: Request, intake: LogIntake, work: Mapping[str, Work]) -> Response:
    raw = await read_body(request, MOST_LOGGED)
    if request.method == "OPTIONS":
        return without_length(Response(status_code=204, headers=CORS))
    try:
        body = parsed_body(request, raw)
    except BodyRefused as error:
        return internal_error(str(error))
    refused = refused_key(request, intake.keys)
    if refused is not None:
        return refused
    # Starlette routes HEAD like GET.
    method = "GET" if request.method == "HEAD" else request.method
    answer = await run_in_threadpool(_worked, work[method], Call(request.path_params, body))
    return answer if isinstance(answer, Response) else json_answer(answer.body, answer.status)


def _worked(work: Work, call: Call) -> Answer | Response:
    try:
        return work(call)
    except InvalidBody as error:
        return invalid(error.details)
    except BrokenCall as error:
        return internal_error(str(error))
    except (StoreError, NotWritten, sqlite3.Error) as error:
        _logger.error("a call of the API could not be answered: %s", error)
        return internal_error(str(error))
