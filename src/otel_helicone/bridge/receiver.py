"""OTLP/HTTP as a server: what is answered to whom.

By the OTLP specification, 1.x: 200 says that the spans are taken, with a ``partialSuccess`` where
some of them can't be used; 400 and its kind say never to send that again; 429, 502, 503 and 504 say
to try again, after the time in ``Retry-After``.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from aiohttp import web

from otel_helicone.bridge.decompression import ENCODINGS, BadCompression, TooLarge, decompress
from otel_helicone.bridge.metrics import BridgeMetrics
from otel_helicone.bridge.otlp import JSON, PROTOBUF, BadRequest, answer, failure
from otel_helicone.bridge.reading import Bodies, NoRoom
from otel_helicone.bridge.spool_file import SpoolError
from otel_helicone.bridge.stored import Added, SpoolFull
from otel_helicone.bridge.weight import TooMuch, is_heavy
from otel_helicone.primitives.log_once import log_failure_once, warn_once
from otel_helicone.settings.bridge import BridgeSettings

__all__ = ["Receiver"]

Store = Callable[[bytes, str], tuple[Added, int]]
"""Takes a body and its content type apart and stores its spans; returns how many are no spans."""

# A Collector comes back after this many seconds; what frees room, sending, takes its time.
_RETRY_AFTER: Final = 5
# Requests that are being stored at the same time. The Collector sends ten at once.
_MAX_STORING: Final = 64


class Receiver:
    """The HTTP side of the bridge."""

    def __init__(
        self,
        settings: BridgeSettings,
        metrics: BridgeMetrics,
        store: Store,
        trouble: Callable[[], str],
    ) -> None:
        """Describe a server.

        Args:
            settings: limits and token.
            metrics: what is counted, and what ``/metrics`` shows.
            store: stores the spans of a request; called in another thread.
            trouble: tells why nothing more can be taken at present; empty where it can.
        """
        self._settings = settings
        self._metrics = metrics
        self._store = store
        self._trouble = trouble
        # As many large requests as fit into memory together; a small one always does.
        self._bodies = Bodies(2 * settings.max_request_bytes)
        self._storing = 0
        # One at a time is stored anyway; the second takes the next request apart meanwhile.
        self._threads = ThreadPoolExecutor(2, "otel-helicone bridge receiver")
        # Requests that take seconds to read keep nobody waiting but each other.
        self._thread = ThreadPoolExecutor(1, "otel-helicone bridge large requests")

    def application(self) -> web.Application:
        """Make the application of the server."""
        application = web.Application(middlewares=[self._authorize])
        application.router.add_post("/v1/traces", self._traces)
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/readyz", self._ready)
        application.router.add_get("/metrics", self._show_metrics)
        return application

    def close(self) -> None:
        """End the threads; what they store is stored before."""
        self._threads.shutdown()
        self._thread.shutdown()

    @web.middleware
    async def _authorize(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        token = self._settings.token
        # Probes of Kubernetes have no token; they tell nothing.
        if token is not None and request.path not in ("/healthz", "/readyz"):
            scheme, _, given = request.headers.get("Authorization", "").partition(" ")
            is_known = hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())
            if scheme.lower() != "bearer" or not is_known:
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
        self._metrics.answered(status)
        self._metrics.refused_request(reason)
        content_type = PROTOBUF if request.content_type == PROTOBUF else JSON
        return web.Response(
            body=failure(message, content_type),
            status=status,
            content_type=content_type,
            headers=headers,
        )

    def _later(self, request: web.Request, reason: str, message: str) -> web.Response:
        return self._refused(request, 503, reason, message, {"Retry-After": str(_RETRY_AFTER)})

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
            return self._too_large(request)
        try:
            async with self._bodies.read(request.content, most) as body:
                if self._storing >= _MAX_STORING:
                    return self._later(request, "busy", "too many requests at once")
                self._storing += 1
                try:
                    return await self._answer(request, body, encoding, content_type)
                finally:
                    self._storing -= 1
        except TooLarge:
            return self._too_large(request)
        except NoRoom:
            return self._later(request, "busy", "too much at once")
        except TimeoutError:
            # Not 408, on which the Collector drops the spans.
            return self._later(request, "slow", "the request took too long to arrive")
        except (ConnectionError, web.RequestPayloadError):
            # The other side has hung up, and will not see this.
            return self._refused(request, 400, "aborted", "the request did not arrive whole")

    async def _answer(
        self, request: web.Request, body: bytes, encoding: str, content_type: str
    ) -> web.Response:
        loop = asyncio.get_running_loop()
        arguments = request, body, encoding, content_type
        answer = await loop.run_in_executor(self._threads, self._stored, False, *arguments)
        if answer is None:
            # It is decompressed again there, so that only one such request is in memory at a time.
            answer = await loop.run_in_executor(self._thread, self._stored, True, *arguments)
        assert answer is not None
        return answer

    def _too_large(self, request: web.Request) -> web.Response:
        most = self._settings.max_request_bytes
        warn_once(
            "bridge:too-large",
            "A request of more than %d bytes was refused, and its sender will not send it again."
            " Have the Collector send smaller batches (send_batch_max_size), or set"
            " HELICONE_BRIDGE_MAX_REQUEST_MIB.",
            most,
        )
        return self._refused(
            request, 413, "too-large", f"a request may have {most} bytes, decompressed too"
        )

    def _stored(
        self,
        may_be_heavy: bool,
        request: web.Request,
        body: bytes,
        encoding: str,
        content_type: str,
    ) -> web.Response | None:
        """Store the spans of a request; None for one that might hold others up."""
        try:
            plain = decompress(body, encoding, self._settings.max_request_bytes)
            if not may_be_heavy and is_heavy(plain, content_type):
                return None
            added, rejected = self._store(plain, content_type)
        except TooLarge:
            return self._too_large(request)
        except TooMuch as error:
            warn_once(
                f"bridge:{error}",
                "A request was refused, and its sender will not send it again: %s. Have the"
                " Collector send smaller batches (send_batch_max_size).",
                error,
            )
            return self._refused(request, 413, "too-large", str(error))
        except (BadCompression, BadRequest) as error:
            return self._refused(request, 400, "unreadable", str(error))
        except SpoolFull as error:
            warn_once(
                f"bridge:{error}",
                "Spans are not taken at present: %s. Senders are asked to come again, until logs"
                " that wait have gone to Helicone.",
                error,
            )
            return self._later(request, "full", str(error))
        except SpoolError as error:
            warn_once(f"bridge:{error}", "Spans are not taken at present: %s.", error)
            return self._later(request, "spool", "the spool can't be written")
        except Exception:
            log_failure_once("storing spans that came in")
            return self._later(request, "failure", "something went wrong; the log has more")
        self._metrics.answered(200)
        self._metrics.received(added.stored, added.repeated, added.stored - added.waiting)
        if rejected:
            self._metrics.refused("no-id", rejected)
        reason = "spans without a valid trace id and span id can't be used" if rejected else ""
        return web.Response(body=answer(rejected, reason, content_type), content_type=content_type)
