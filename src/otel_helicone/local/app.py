"""The local Helicone as one ASGI application."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from otel_helicone.local.access.login import Login
from otel_helicone.local.access.middleware import Access
from otel_helicone.local.access.rules import AccessRules
from otel_helicone.local.api.routes import api_routes
from otel_helicone.local.gateway.gateway import Gateway
from otel_helicone.local.gateway.of_a_run import OfARun
from otel_helicone.local.log_api.api_server import ApiServer
from otel_helicone.local.log_api.intake import LogIntake
from otel_helicone.local.log_api.worker_log import WORKER_PROVIDERS, WorkerLog
from otel_helicone.local.pages.routes import page_routes
from otel_helicone.local.pages.site import Site
from otel_helicone.local.storage.errors import StoreError

__all__ = ["DEFAULT_MAX_BODY_BYTES", "SERVICE", "create_app"]

DEFAULT_MAX_BODY_BYTES: Final = 32 * 1024 * 1024
"""How long a request's body may be."""

SERVICE: Final = "local Helicone"
"""What ``/healthz`` calls itself, so that it can be told from other servers."""

_logger = logging.getLogger(__name__)

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def create_app(gateway: Gateway, intake: LogIntake, site: Site, rules: AccessRules) -> Starlette:
    """Put the application together.

    Args:
        gateway: what answers below ``/v1/``; its upstream is let go of when the application
            shuts down.
        intake: where logs and scores go.
        site: what the pages show.
        rules: who may ask for what.
    """
    worker, api_server = WorkerLog(intake), ApiServer(intake)
    login = Login(rules.keys, site.templates)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await gateway.aclose()

    async def not_found(request: Request, _error: Exception) -> Response:
        return site.templates.page(
            "message.html",
            404,
            heading="There is nothing here",
            text=f"No page is at {request.url.path}. LLM calls go to paths below /v1/.",
        )

    said: set[str] = set()

    async def store_failed(_request: Request, error: Exception) -> Response:
        text = str(error)
        if text not in said:
            said.add(text)
            _logger.error("a page could not be shown: %s", text)
        return site.templates.page(
            "message.html", 500, heading="The store cannot be read", text=text
        )

    async def health(_request: Request) -> Response:
        said: dict[str, object] = {"status": "ok", "service": SERVICE}
        if not rules.login:
            said |= {"store": str(site.store.path), "takes_any_key": rules.keys.are_any}
        return JSONResponse(said)

    app = Starlette(
        routes=[
            Route("/healthz", health, methods=["GET"]),
            *(
                Route(f"/{endpoint}/{{path:path}}", worker.answer, methods=_METHODS)
                for endpoint in WORKER_PROVIDERS
            ),
            # Before the gateway, which takes everything else below /v1/.
            Route("/v1/trace/{path:path}", api_server.trace, methods=_METHODS),
            *api_routes(site.store, intake, site.writer),
            Route("/v1/{path:path}", gateway),
            Route("/run/{path:path}", OfARun(gateway)),
            *login.routes(),
            *page_routes(site),
        ],
        middleware=[Middleware(Access, rules=rules, login=login)],
        exception_handlers={404: not_found, StoreError: store_failed},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app
