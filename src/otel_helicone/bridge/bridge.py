"""The bridge as a whole: receives, stores, assembles and sends, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Final

from aiohttp import web

from otel_helicone.bridge.assembly import Assembler
from otel_helicone.bridge.grpc_receiver import GRPCReceiver
from otel_helicone.bridge.http_receiver import HTTPReceiver
from otel_helicone.bridge.ingestion import Ingestion
from otel_helicone.bridge.keys import Keys
from otel_helicone.bridge.metrics import BridgeMetrics
from otel_helicone.bridge.otlp import decode
from otel_helicone.bridge.reading import Bodies
from otel_helicone.bridge.senders import Senders
from otel_helicone.bridge.spans import Arrival, arrivals_of
from otel_helicone.bridge.spool import Spool
from otel_helicone.bridge.spool_file import SpoolError
from otel_helicone.bridge.stored import Added, SpoolFull
from otel_helicone.bridge.tls import ServerCertificate
from otel_helicone.bridge.troubles import Troubles
from otel_helicone.bridge.weight import check_spans, check_weight
from otel_helicone.delivery.loop_thread import make_own_context
from otel_helicone.primitives.log_once import log_failure_once
from otel_helicone.settings.bridge import OFF, BridgeSettings
from otel_helicone.settings.reading import SettingError

__all__ = ["Bridge", "PortTaken"]

_logger: Final = logging.getLogger("otel_helicone")

# A trace that waits is looked at no later than this after it is due.
_MAX_NAP: Final = 0.5
_SECONDS_BETWEEN_CLEANINGS: Final = 5.0
# What is remembered for late spans gives way before anything is refused.
_MAX_REMEMBERED_PART: Final = 0.5
_SECONDS_BETWEEN_FILE_LOOKS: Final = 2.0
_SECONDS_AFTER_TROUBLE: Final = 1.0
_SECONDS_TO_DRAIN: Final = 5.0
_MAX_HEADER_BYTES: Final = 16 * 1024


class PortTaken(Exception):
    """The port can't be listened on; the text names it and the reason."""


class Bridge:
    """Takes OTLP over HTTP and gRPC, and logs to Helicone. To be started in a running event loop.

    Attributes:
        metrics: what it tells of itself.
    """

    def __init__(self, settings: BridgeSettings) -> None:
        """Open the spool; nothing is listened on or sent yet.

        Args:
            settings: see :func:`.make_bridge_settings`.

        Raises:
            SettingError: where the certificate or the keys can't be used.
            SpoolError: where the spool can't be used.
        """
        self._settings = settings
        self._keys = Keys(settings)
        self._certificate: ServerCertificate | None = None
        if settings.tls_cert is not None and settings.tls_key is not None:
            self._certificate = ServerCertificate(settings.tls_cert, settings.tls_key)
        self._spool = Spool(settings.spool, max_bytes=settings.max_spool_bytes)
        self._assembler = Assembler(self._spool, settings)
        self.metrics = BridgeMetrics()
        self._troubles = Troubles()
        self._senders = Senders(
            self._spool, self.metrics, settings.exporter, self._keys, self._troubles
        )
        self.metrics.watch(
            self._spool.counts,
            self._spool.now,
            lambda: {str(reason): n for reason, n in self._assembler.skipped.items()},
            lambda: self._senders.in_flight,
            self._senders.without_key,
        )
        self._ingestion = Ingestion(
            settings.max_request_bytes, self.metrics, self._store, self._troubles
        )
        # As many large requests as fit into memory together; a small one always does.
        self._bodies = Bodies(2 * settings.max_request_bytes)
        self._http = HTTPReceiver(
            settings, self.metrics, self._ingestion, self._bodies, self._trouble
        )
        self._grpc: GRPCReceiver | None = None
        self._runner: web.AppRunner | None = None
        self._sending: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._assembling = threading.Thread(
            target=self._assemble, name="otel-helicone bridge assembler", daemon=True
        )
        self._wake = threading.Event()
        self._stopping = False

    async def start(self) -> None:
        """Begin to receive and to send.

        Raises:
            PortTaken: where a port can't be listened on.
        """
        self._loop = asyncio.get_running_loop()
        try:
            await self._listen()
        except BaseException:
            await self._close()
            raise
        self._assembling.start()
        self._sending = self._loop.create_task(self._senders.run(), context=make_own_context())
        self._watching = asyncio.create_task(self._watch_files())

    async def _watch_files(self) -> None:
        """Read again what may change while the bridge runs."""
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN_FILE_LOOKS)
            await self._renew_keys()
            self._troubles.look()
            if self._certificate is not None:
                trouble = await asyncio.to_thread(self._certificate.renew)
                if trouble:
                    self._troubles.begin(
                        *("certificate", "The new certificate is in use"),
                        "The certificate %s can't be used any more (%s). The one before stays in"
                        " use until it can.",
                        *(self._settings.tls_cert, trouble),
                    )
                else:
                    self._troubles.over("certificate")

    async def _renew_keys(self) -> None:
        try:
            if await asyncio.to_thread(self._keys.renew):
                _logger.info("The keys in %s were read again.", self._keys.source)
                self._senders.renew_keys()
                self._troubles.over("keys")
        except SettingError as error:
            self._troubles.begin(
                *("keys", "The keys can be read again"),
                "%s. The keys that were read before stay.",
                error,
            )

    async def _listen(self) -> None:
        settings = self._settings
        self._runner = web.AppRunner(
            self._http.application(),
            access_log=None,
            auto_decompress=False,  # it has no limit
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
            shutdown_timeout=_SECONDS_TO_DRAIN,
        )
        await self._runner.setup()
        certificate = self._certificate
        try:
            await web.TCPSite(
                self._runner,
                settings.host,
                settings.port,
                ssl_context=None if certificate is None else certificate.context,
            ).start()
        except OSError as error:
            raise PortTaken(
                f"can't listen on {settings.host}:{settings.port}: {error.strerror}"
            ) from None
        if settings.grpc_port == OFF:
            return
        receiver = GRPCReceiver(settings, self.metrics, self._ingestion, self._bodies)
        try:
            await receiver.start(
                settings.grpc_port,
                None if certificate is None else certificate.grpc_credentials(),
            )
        except OSError as error:
            trouble = f"can't listen on {settings.host}:{settings.grpc_port}: {error.strerror}"
            if settings.is_grpc_port_chosen:
                raise PortTaken(trouble) from None
            # A Collector beside the bridge listens there itself, and sends to it over HTTP.
            _logger.warning(
                "OTLP over gRPC is not taken: %s. --grpc-port names another port, or 'off' none.",
                trouble,
            )
            return
        self._grpc = receiver

    @property
    def url(self) -> str:
        """Where it listens, once it was started."""
        assert self._runner is not None
        host, port = self._runner.addresses[0][:2]
        scheme = "http" if self._certificate is None else "https"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    @property
    def grpc_address(self) -> str:
        """Where it listens for gRPC, once it was started; empty for nowhere."""
        return "" if self._grpc is None else self._grpc.address

    async def wait(self) -> None:
        """Wait until it stops by itself, which only a failure of its own makes it do."""
        assert self._sending is not None
        await asyncio.shield(self._sending)

    async def stop(self) -> None:
        """Stop: what is being received is stored, what is in flight may be answered yet."""
        if self._watching is not None:
            self._watching.cancel()
        await self._stop_listening()
        self._stopping = True
        self._wake.set()
        if self._assembling.is_alive():
            await asyncio.to_thread(self._assembling.join)
        if self._sending is not None:
            await self._senders.drain(_SECONDS_TO_DRAIN)
            self._sending.cancel()
            await asyncio.wait([self._sending])
        await self._close()

    async def _stop_listening(self) -> None:
        if self._grpc is not None:
            await self._grpc.stop(_SECONDS_TO_DRAIN)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _close(self) -> None:
        await self._stop_listening()
        await asyncio.to_thread(self._ingestion.close)
        self._assembler.close()
        self._spool.close()

    def _store(self, body: bytes, content_type: str) -> tuple[Added, int]:
        self._spool.check_room(len(body))
        want_all = self._settings.exporter.include != "calls"
        arrivals: list[Arrival] = []
        rejected = 0
        check_weight(body, content_type)
        request = decode(body, content_type)
        check_spans(request)
        for arrival in arrivals_of(request, want_all=want_all):
            if arrival is None:
                rejected += 1
            else:
                arrivals.append(arrival)
        if not arrivals:
            return Added(0, 0, 0), rejected
        added = self._spool.add(arrivals, self._spool.now(), self._settings.wait)
        self._wake.set()
        return added, rejected

    def _trouble(self) -> str:
        try:
            self._spool.check_room(0)
        except (SpoolFull, SpoolError) as error:
            return str(error)
        return "stopping" if self._stopping else ""

    def _assemble(self) -> None:
        """Look at traces as they fall due, in a thread of its own."""
        cleaned = time.monotonic()
        while not self._stopping:
            self._wake.clear()
            try:
                posts = self._assembler.step(self._spool.now())
                self._troubles.over("assembling")
                if posts:
                    self._loop.call_soon_threadsafe(self._senders.wake)
                if time.monotonic() - cleaned > _SECONDS_BETWEEN_CLEANINGS:
                    cleaned = time.monotonic()
                    self._clean()
                if posts is None:
                    due = self._assembler.seconds_until_due(self._spool.now())
                    self._wake.wait(_MAX_NAP if due is None else min(due, _MAX_NAP))
            except (SpoolFull, SpoolError) as error:
                self._troubles.begin(
                    *("assembling", "Logs are made again"),
                    "No logs are made at present: %s.",
                    error,
                )
                self._wake.wait(_SECONDS_AFTER_TROUBLE)
            except Exception:
                log_failure_once("assembling traces")
                self._wake.wait(_SECONDS_AFTER_TROUBLE)

    def _clean(self) -> None:
        now = self._spool.now()
        while self._assembler.forget(now - self._settings.memory) and not self._stopping:
            pass
        while (
            self._spool.used_bytes() > _MAX_REMEMBERED_PART * self._settings.max_spool_bytes
            and self._assembler.forget(now)
            and not self._stopping
        ):
            pass
        while self._spool.give_back() and not self._stopping:
            pass
        # Also where nothing comes in: what waits would be lost in a file that was deleted.
        self._spool.make_whole()
