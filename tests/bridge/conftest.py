"""A bridge in front of a local Helicone, and spans as an application's exporter sends them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc
import httpx2
import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Tracer

from otel_helicone.bridge.bridge import Bridge
from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.records import RequestRecord
from otel_helicone.settings.bridge import make_bridge_settings

KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
CALL: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini",
    "gen_ai.usage.input_tokens": 3,
    "gen_ai.usage.output_tokens": 4,
}


def call(tracer: Tracer, name: str = "chat gpt-4o-mini", **attributes: Any) -> None:
    """Make the span of an LLM call."""
    tracer.start_span(name, kind=SpanKind.CLIENT, attributes={**CALL, **attributes}).end()


@dataclass
class Service:
    """An application that is traced; its finished spans, in the order in which they ended."""

    tracer: Tracer
    exporter: InMemorySpanExporter

    def take(self) -> Sequence[ReadableSpan]:
        """Give the spans that have ended since the last call."""
        spans = self.exporter.get_finished_spans()
        self.exporter.clear()
        return spans


def make_service(name: str = "shop", *processors: SpanProcessor, **resource: str) -> Service:
    """Make an application, with further processors before its exporter, and a longer resource."""
    more = {name.replace("__", "."): value for name, value in resource.items()}
    provider = TracerProvider(
        resource=Resource({"service.name": name, **more}), shutdown_on_exit=False
    )
    exporter = InMemorySpanExporter()
    for processor in processors:
        provider.add_span_processor(processor)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Service(provider.get_tracer(name), exporter)


@pytest.fixture
def service() -> Service:
    return make_service()


def otlp(*spans: ReadableSpan) -> bytes:
    """Write spans as the official exporter does."""
    return encode_spans(spans).SerializeToString()


_SETTINGS: dict[str, Any] = {"port": 0, "grpc_port": "off", "api_key": KEY, "wait": 60}


def exporting(channel: grpc.Channel) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
    """Give ``TraceService/Export`` at a channel, for messages as bytes."""
    export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(EXPORT)
    return export


@dataclass
class RunningBridge:
    """A bridge in a thread of its own; a context manager."""

    helicone: str
    spool: Path
    settings: dict[str, Any] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    is_grpc_port_chosen: bool = True

    def __enter__(self) -> RunningBridge:
        self._started = threading.Event()
        self._failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._started.wait(120)
        for failure in self._failures:
            self._thread.join()
            raise failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(120)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self._failures.append(error)
            self._started.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        settings = make_bridge_settings(
            **{**_SETTINGS, "endpoint": self.helicone, **self.settings},
            spool=str(self.spool),
            environ=self.environ,
        )
        if not self.is_grpc_port_chosen:
            settings = replace(settings, is_grpc_port_chosen=False)
        self.bridge = Bridge(settings)
        await self.bridge.start()
        self.url = self.bridge.url
        self.grpc_address = self.bridge.grpc_address
        self._started.set()
        await self._stop.wait()
        await self.bridge.stop()

    def post(self, body: bytes, **headers: str) -> httpx2.Response:
        """Send a request for ``/v1/traces``; protobuf where no header says otherwise."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx2.post(
            f"{self.url}/v1/traces", content=body, headers={**PROTOBUF, **named}, timeout=120
        )

    def send(self, *spans: ReadableSpan) -> None:
        """Send spans in one request, and see them taken."""
        assert self.post(otlp(*spans)).status_code == 200

    def export(self, body: bytes, **options: Any) -> bytes:
        """Call ``TraceService/Export`` with a message; options are those of gRPC's client."""
        with grpc.insecure_channel(self.grpc_address) as channel:
            return exporting(channel)(body, timeout=30, **options)

    def metrics(self) -> dict[str, float]:
        """Give what ``/metrics`` shows: names, with labels, without the common prefix."""
        lines = httpx2.get(f"{self.url}/metrics").text.splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name.removeprefix("otel_helicone_bridge_"): float(value) for name, value in pairs}


@pytest.fixture
def helicone(tmp_path: Path) -> Iterator[LocalHelicone]:
    with LocalHelicone(tmp_path / "requests.db", latency=0, api_keys=[KEY]) as helicone:
        yield helicone


MakeBridge = Callable[..., RunningBridge]


@pytest.fixture
def make_bridge(helicone: LocalHelicone, tmp_path: Path) -> MakeBridge:
    """Make a bridge in front of the local Helicone; settings as arguments."""

    def make(environ: dict[str, str] | None = None, **settings: Any) -> RunningBridge:
        return RunningBridge(helicone.url, tmp_path / "spool.db", settings, environ or {})

    return make


@pytest.fixture
def bridge(make_bridge: MakeBridge) -> Iterator[RunningBridge]:
    with make_bridge() as bridge:
        yield bridge


def rows_of(helicone: LocalHelicone, count: int, seconds: float = 120) -> list[RequestRecord]:
    """Wait until so many requests are stored, and give them all."""
    deadline = time.monotonic() + seconds
    while True:
        helicone.settle()
        rows = list(helicone.store.requests())
        if len(rows) >= count or time.monotonic() > deadline:
            return rows
        time.sleep(0.02)
