"""The local Helicone as one ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from otel_helicone.local.gateway.gateway import Gateway
from otel_helicone.local.log_api.api_server import ApiServer
from otel_helicone.local.log_api.intake import LogIntake
from otel_helicone.local.log_api.worker_log import WORKER_PROVIDERS, WorkerLog

__all__ = ["DEFAULT_MAX_BODY_BYTES", "create_app"]

DEFAULT_MAX_BODY_BYTES: Final = 32 * 1024 * 1024
"""How long a request's body may be."""

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_ABOUT: Final = (
    "This is a local Helicone: send LLM calls to /v1/ and logs to /oai/v1/log, and look at"
    " them with `otel-helicone sessions`.\n"
)


def create_app(gateway: Gateway, intake: LogIntake) -> Starlette:
    """Put the application together.

    Args:
        gateway: what answers below ``/v1/``; its upstream is let go of when the application
            shuts down.
        intake: where logs and scores go.
    """
    worker, api_server = WorkerLog(intake), ApiServer(intake)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await gateway.aclose()

    app = Starlette(
        routes=[
            Route("/", _about, methods=["GET"]),
            Route("/healthz", _health, methods=["GET"]),
            *(
                Route(f"/{endpoint}/{{path:path}}", worker.answer, methods=_METHODS)
                for endpoint in WORKER_PROVIDERS
            ),
            # Before the gateway, which takes everything else below /v1/.
            Route("/v1/trace/{path:path}", api_server.trace, methods=_METHODS),
            Route("/v1/request/{request_id}/score", api_server.score, methods=_METHODS),
            Route("/v1/{path:path}", gateway),
        ],
        exception_handlers={404: _not_found},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


async def _about(_request: Request) -> Response:
    return PlainTextResponse(_ABOUT)


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _not_found(request: Request, _error: Exception) -> Response:
    text = f"There is nothing at {request.url.path!r}; LLM calls go to paths below /v1/.\n"
    return PlainTextResponse(text, status_code=404)
