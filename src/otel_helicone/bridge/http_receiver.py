"""OTLP/HTTP as a server: what is answered to whom.

By the OTLP specification, 1.x: 200 says that the spans are taken, with a ``partialSuccess`` where
some of them can't be used; 400 and its kind say never to send that again; 429, 502, 503 and 504 say
to try again, after the time in ``Retry-After``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from otel_helicone.bridge.authorization import is_authorized
from otel_helicone.bridge.decompression import ENCODINGS, TooLarge
from otel_helicone.bridge.ingestion import RETRY_AFTER, Ingestion, Outcome, Refusal, Refused
from otel_helicone.bridge.metrics import BridgeMetrics
from otel_helicone.bridge.otlp import JSON, PROTOBUF, answer, failure
from otel_helicone.bridge.reading import Bodies, NoRoom
from otel_helicone.settings.bridge import BridgeSettings

__all__ = ["HTTPReceiver"]

_STATUSES: Final = {Refusal.UNREADABLE: 400, Refusal.TOO_LARGE: 413, Refusal.LATER: 503}


class HTTPReceiver:
    """The HTTP side of the bridge."""

    def __init__(
        self,
        settings: BridgeSettings,
        metrics: BridgeMetrics,
        ingestion: Ingestion,
        bodies: Bodies,
        trouble: Callable[[], str],
    ) -> None:
        """Describe a server.

        Args:
            settings: limits and token.
            metrics: what is counted, and what ``/metrics`` shows.
            ingestion: stores the spans of requests.
            bodies: what of requests is in memory.
            trouble: tells why nothing more can be taken at present; empty where it can.
        """
        self._settings = settings
        self._metrics = metrics
        self._ingestion = ingestion
        self._bodies = bodies
        self._trouble = trouble

    def application(self) -> web.Application:
        """Make the application of the server."""
        application = web.Application(middlewares=[self._authorize])
        application.router.add_post("/v1/traces", self._traces)
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/readyz", self._ready)
        application.router.add_get("/metrics", self._show_metrics)
        return application

    @web.middleware
    async def _authorize(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        # Probes of Kubernetes have no token; they tell nothing.
        if request.path not in ("/healthz", "/readyz"):
            given = request.headers.get("Authorization", "")
            if not is_authorized(given, self._settings.token):
                return self._refused(
                    request,
                    401,
                    "token",
                    "a bearer token is needed",
                    {"WWW-Authenticate": "Bearer"},
                )
        try:
            return await handler(request)
        except web.HTTPException as error:  # no such path, or not with this method
            headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            return self._refused(request, error.status, "path", error.reason, headers)

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, _request: web.Request) -> web.Response:
        trouble = await asyncio.to_thread(self._trouble)
        return web.Response(text=f"{trouble or 'ok'}\n", status=503 if trouble else 200)

    async def _show_metrics(self, _request: web.Request) -> web.Response:
        text = await asyncio.to_thread(self._metrics.text)
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4"})

    def _refused(
        self,
        request: web.Request,
        status: int,
        reason: str,
        message: str,
        headers: dict[str, str] | None = None,
    ) -> web.Response:
        self._metrics.answered(str(status))
        self._metrics.refused_request(reason)
        content_type = PROTOBUF if request.content_type == PROTOBUF else JSON
        return web.Response(
            body=failure(message, content_type),
            status=status,
            content_type=content_type,
            headers=headers,
        )

    def _later(self, request: web.Request, reason: str, message: str) -> web.Response:
        return self._refused(request, 503, reason, message, {"Retry-After": str(RETRY_AFTER)})

    async def _traces(self, request: web.Request) -> web.Response:
        content_type = request.content_type
        if content_type not in (PROTOBUF, JSON):
            return self._refused(
                request, 415, "content-type", f"the Content-Type must be {PROTOBUF} or {JSON}"
            )
        encoding = request.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in ENCODINGS:
            return self._refused(
                request, 415, "encoding", "the Content-Encoding must be gzip, deflate or zstd"
            )
        most = self._settings.max_request_bytes
        if (request.content_length or 0) > most:
            return self._answer(request, content_type, self._ingestion.too_large())
        try:
            async with self._bodies.read(request.content, most) as body:
                outcome = await self._ingestion.take(body, encoding, content_type)
                return self._answer(request, content_type, outcome)
        except TooLarge:
            return self._answer(request, content_type, self._ingestion.too_large())
        except NoRoom:
            return self._later(request, "busy", "too much at once")
        except TimeoutError:
            # Not 408, on which the Collector drops the spans.
            return self._later(request, "slow", "the request took too long to arrive")
        except (ConnectionError, web.RequestPayloadError):
            # The other side has hung up, and will not see this.
            return self._refused(request, 400, "aborted", "the request did not arrive whole")

    def _answer(self, request: web.Request, content_type: str, outcome: Outcome) -> web.Response:
        if isinstance(outcome, Refused):
            if outcome.refusal is Refusal.LATER:
                return self._later(request, outcome.cause, outcome.message)
            status = _STATUSES[outcome.refusal]
            return self._refused(request, status, outcome.cause, outcome.message)
        self._metrics.answered("200")
        body = answer(outcome.rejected, outcome.reason, content_type)
        return web.Response(body=body, content_type=content_type)
