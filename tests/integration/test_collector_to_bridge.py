"""The real Collector between applications and the bridge: the tree is whole, and nothing is lost.

Applications in Python, with the official exporter, and in Node send to it. It groups, batches, and
fans out to the bridge and to files. ``OTEL_HELICONE_COLLECTOR_KILLS`` says how often it is killed;
5 times by default.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Tracer

from otel_helicone import HeliconeSpanExporter, HeliconeSpanProcessor
from otel_helicone.cli import main
from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.records import RequestRecord
from tests.bridge.conftest import KEY, RunningBridge, rows_of
from tests.integration.collectors import Collector
from tests.integration.conftest import HERE, missing, require

# The Collector's first wait is a second by default, which makes a test no better.
RETRIES = {"OTEL_HELICONE_RETRY_INITIAL": "50ms", "OTEL_HELICONE_RETRY_MAX": "300ms"}
PATHS = ["/Trip", "/Trip/book/hotel", "/Trip/book/hotel"]
PATHS += ["/Trip/plan%2FRome"]


def ask(tracer: Tracer, question: str, answer: str = "") -> None:
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.usage.input_tokens": len(question),
        "gen_ai.usage.output_tokens": 7,
    }
    if answer:
        parts = [{"type": "text", "content": answer}]
        attributes["gen_ai.output.messages"] = json.dumps([{"role": "assistant", "parts": parts}])
    tracer.start_span("chat gpt-4o-mini", kind=SpanKind.CLIENT, attributes=attributes).end()


def trip(tracer: Tracer) -> str:
    """Run the program of trip.cjs in Python; give its trace id."""
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "hotel"}
    with tracer.start_as_current_span("Trip") as root:
        with tracer.start_as_current_span("plan/Rome"):
            ask(tracer, "Where to?")
        with tracer.start_as_current_span("book"):
            with tracer.start_as_current_span("execute_tool hotel", attributes=tool):
                ask(tracer, "Which hotel?")
        ask(tracer, "Sum it up.")
    return f"{root.get_span_context().trace_id:032x}"


def what_is_seen(rows: list[RequestRecord]) -> list[Any]:
    return sorted(
        (row.session_path, row.session_name, row.model, row.status, row.prompt_tokens or 0)
        for row in rows
    )


def of_session(rows: list[RequestRecord], trace_id: str) -> list[RequestRecord]:
    return [row for row in rows if row.session_id == trace_id]


@pytest.fixture
def helicone(tmp_path: Path) -> Iterator[LocalHelicone]:
    with LocalHelicone(tmp_path / "requests.db", latency=0, api_keys=[KEY]) as helicone:
        yield helicone


@pytest.fixture
def bridge(helicone: LocalHelicone, tmp_path: Path) -> Iterator[RunningBridge]:
    with RunningBridge(helicone.url, tmp_path / "spool.db") as bridge:
        yield bridge


def exporter_to(url: str) -> SpanExporter:
    module = require("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    exporter: SpanExporter = module.OTLPSpanExporter(endpoint=url)
    return exporter


def tracer_to(exporter: SpanExporter) -> tuple[TracerProvider, Tracer]:
    provider = TracerProvider(resource=Resource({"service.name": "trips"}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider, provider.get_tracer("trip")


def run_in_python(url: str) -> str:
    provider, tracer = tracer_to(exporter_to(url))
    trace_id = trip(tracer)
    provider.shutdown()
    return trace_id


def run_in_node(url: str) -> str:
    node = shutil.which("node")
    if node is None or not (HERE / "node_modules" / "@opentelemetry" / "sdk-node").exists():
        missing("OpenTelemetry for Node (npm install --prefix tests/integration)")
    variables = {
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": url,
        "OTEL_SERVICE_NAME": "trips",
    }
    ended = subprocess.run(
        [node, str(HERE / "trip.cjs")],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def as_the_processor_has_it(folder: Path) -> list[Any]:
    """Run the program with the processor and the exporter of this library instead."""
    with LocalHelicone(folder / "direct.db", latency=0, api_keys=[KEY]) as helicone:
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(HeliconeSpanProcessor(inject=False))
        exporter = HeliconeSpanExporter(api_key=KEY, endpoint=helicone.url)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        trip(provider.get_tracer("trip"))
        provider.shutdown()
        return what_is_seen(rows_of(helicone, 4))


def test_the_tree_is_the_one_that_the_processor_gives_for_the_same_program(
    helicone: LocalHelicone, bridge: RunningBridge, tmp_path: Path
) -> None:
    environment = {"OTEL_HELICONE_BRIDGE": bridge.url}
    with Collector(HERE / "collector" / "fan-out.yaml", tmp_path, environment) as collector:
        traces = [run_in_python(collector.traces_url), run_in_node(collector.traces_url)]
        rows = rows_of(helicone, 8)
    direct = as_the_processor_has_it(tmp_path)
    assert sorted(str(row[0]) for row in direct) == PATHS
    for trace_id in traces:
        assert what_is_seen(of_session(rows, trace_id)) == direct
    assert len(rows) == 8


@pytest.mark.parametrize(
    ("compression", "encoding"), [("none", "json"), ("zstd", "proto"), ("zstd", "json")]
)
def test_the_collector_may_send_in_other_forms(
    helicone: LocalHelicone,
    bridge: RunningBridge,
    tmp_path: Path,
    compression: str,
    encoding: str,
) -> None:
    environment = {
        "OTEL_HELICONE_BRIDGE": bridge.url,
        "OTEL_HELICONE_COMPRESSION": compression,
        "OTEL_HELICONE_ENCODING": encoding,
    }
    with Collector(HERE / "collector" / "fan-out.yaml", tmp_path, environment) as collector:
        trace_id = run_in_python(collector.traces_url)
        rows = rows_of(helicone, 4)
    assert sorted(str(row.session_path) for row in of_session(rows, trace_id)) == PATHS


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_the_collector_may_send_over_grpc(
    helicone: LocalHelicone, tmp_path: Path, compression: str
) -> None:
    settings = {"grpc_port": 0, "token": "a-secret"}
    with RunningBridge(helicone.url, tmp_path / "spool.db", settings) as bridge:
        environment = {
            "OTEL_HELICONE_BRIDGE_GRPC": bridge.grpc_address,
            "OTEL_HELICONE_COMPRESSION": compression,
            "OTEL_HELICONE_TOKEN": "a-secret",
        }
        with Collector(HERE / "collector" / "over-grpc.yaml", tmp_path, environment) as collector:
            trace_id = run_in_python(collector.traces_url)
            rows = rows_of(helicone, 4, seconds=30)
    assert sorted(str(row.session_path) for row in of_session(rows, trace_id)) == PATHS


def test_the_default_exporter_of_the_sdk_sends_to_the_bridge(
    helicone: LocalHelicone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = require("opentelemetry.exporter.otlp.proto.grpc.trace_exporter")
    with RunningBridge(helicone.url, tmp_path / "spool.db", {"grpc_port": 0}) as bridge:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{bridge.grpc_address}")
        for count, compression in ((4, None), (8, "gzip")):
            if compression is not None:
                monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
            provider, tracer = tracer_to(module.OTLPSpanExporter())
            trace_id = trip(tracer)
            provider.shutdown()
            rows = rows_of(helicone, count, seconds=30)
            assert sorted(str(row.session_path) for row in of_session(rows, trace_id)) == PATHS


def test_a_full_spool_is_backpressure_over_grpc_too(tmp_path: Path) -> None:
    store = tmp_path / "requests.db"
    with LocalHelicone(store, latency=0, api_keys=[KEY]) as helicone:
        address = helicone.url
    port = int(address.rpartition(":")[2])
    settings = {"max_spool_mib": 4, "max_request_mib": 2, "memory": 1, "grpc_port": 0}
    calls = 0
    with ExitStack() as stack:
        bridge = stack.enter_context(RunningBridge(address, tmp_path / "spool.db", settings))
        environment = {"OTEL_HELICONE_BRIDGE_GRPC": bridge.grpc_address, **RETRIES}
        over_grpc = HERE / "collector" / "over-grpc.yaml"
        collector = stack.enter_context(Collector(over_grpc, tmp_path, environment))
        provider, tracer = tracer_to(exporter_to(collector.traces_url))
        deadline = time.monotonic() + 60
        while not bridge.metrics()['requests_refused_total{reason="full"}']:
            for _ in range(20):
                ask(tracer, "Tell me everything.", "word " * 4000)
            calls += 20
            assert provider.force_flush()
            assert time.monotonic() < deadline
        helicone = stack.enter_context(LocalHelicone(store, port, latency=0, api_keys=[KEY]))
        rows = rows_of(helicone, calls, seconds=60)
        provider.shutdown()
        metrics = collector.metrics()
    assert len(rows) == calls
    assert metrics.get("otelcol_exporter_send_failed_spans", 0) == 0


def test_files_of_the_collector_are_replayed(
    helicone: LocalHelicone,
    bridge: RunningBridge,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = {"OTEL_HELICONE_BRIDGE": bridge.url}
    with Collector(HERE / "collector" / "fan-out.yaml", tmp_path, environment) as collector:
        run_in_python(collector.traces_url)
        run_in_node(collector.traces_url)
        sent = what_is_seen(rows_of(helicone, 8))
    monkeypatch.setenv("HELICONE_API_KEY", KEY)
    for name in ("traces.json", "traces.json.zstd", "traces.proto", "traces.proto.zstd"):
        store = tmp_path / f"{name}.db"
        with LocalHelicone(store, latency=0, api_keys=[KEY]) as other:
            where = ["--spool", str(tmp_path / f"{name}.spool"), "--endpoint", other.url]
            assert main(["replay", str(tmp_path / name), *where]) == 0
            assert what_is_seen(rows_of(other, 8)) == sent
    # Where the bridge has sent them before, nothing changes.
    again = ["--spool", str(tmp_path / "again.spool"), "--endpoint", helicone.url]
    assert main(["replay", str(tmp_path / "traces.json"), *again]) == 0
    assert what_is_seen(rows_of(helicone, 9, seconds=0.3)) == sent


class Taken(SpanExporter):
    """An exporter around the official one, that knows which spans it was told were taken."""

    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Any) -> SpanExportResult:
        # Until it is taken, as an application that must not lose anything would.
        while exporter_to(self._url()).export(spans) is not SpanExportResult.SUCCESS:
            time.sleep(0.05)
        self.spans += spans
        return SpanExportResult.SUCCESS


def test_a_collector_that_is_killed_loses_nothing_that_it_took(
    helicone: LocalHelicone, bridge: RunningBridge, tmp_path: Path
) -> None:
    kills = int(os.environ.get("OTEL_HELICONE_COLLECTOR_KILLS", "5"))
    seed = random.randrange(1_000_000)
    sys.stdout.write(f"seed {seed}\n")
    chance = random.Random(seed)
    environment = {
        "OTEL_HELICONE_BRIDGE": bridge.url,
        "OTEL_HELICONE_QUEUE": str(tmp_path / "queue"),
        **RETRIES,
    }
    ended = threading.Event()
    with Collector("persistent-queue.yaml", tmp_path, environment) as collector:
        taken = Taken(lambda: collector.traces_url)
        traces: list[str] = []

        def load() -> None:
            memory = InMemorySpanExporter()
            provider = TracerProvider(shutdown_on_exit=False)
            provider.add_span_processor(SimpleSpanProcessor(memory))
            while not ended.is_set():
                traces.append(trip(provider.get_tracer("trip")))
                spans = memory.get_finished_spans()
                memory.clear()
                taken.export(spans[:3])
                taken.export(spans[3:])

        thread = threading.Thread(target=load)
        thread.start()
        try:
            for _ in range(kills):
                time.sleep(chance.uniform(0.05, 0.6))
                collector.kill()
                collector.start()
        finally:
            ended.set()
            thread.join(60)
        rows = rows_of(helicone, 4 * len(traces))
    assert len(traces) > kills
    assert len(taken.spans) == 7 * len(traces)
    assert len(rows) == 4 * len(traces)
    for trace_id in traces:
        assert sorted(str(row.session_path) for row in of_session(rows, trace_id)) == PATHS


def test_a_full_spool_is_backpressure_and_no_loss(tmp_path: Path) -> None:
    store = tmp_path / "requests.db"
    with LocalHelicone(store, latency=0, api_keys=[KEY]) as helicone:
        address = helicone.url
    port = int(address.rpartition(":")[2])
    settings = {"max_spool_mib": 8, "max_request_mib": 4, "memory": 1}
    calls = 0
    with ExitStack() as stack:
        # Helicone is away, and the spool holds some of the calls only.
        bridge = stack.enter_context(RunningBridge(address, tmp_path / "spool.db", settings))
        environment = {"OTEL_HELICONE_BRIDGE": bridge.url, **RETRIES}
        environment["OTEL_HELICONE_QUEUE"] = str(tmp_path / "queue")
        collector = stack.enter_context(Collector("persistent-queue.yaml", tmp_path, environment))
        provider, tracer = tracer_to(exporter_to(collector.traces_url))
        deadline = time.monotonic() + 240
        while not bridge.metrics()['requests_refused_total{reason="full"}']:
            for _ in range(50):
                ask(tracer, "Tell me everything.", "word " * 4000)
            calls += 50
            assert provider.force_flush()
            assert time.monotonic() < deadline
        assert collector.metrics().get("otelcol_exporter_queue_size", 0) > 0
        helicone = stack.enter_context(LocalHelicone(store, port, latency=0, api_keys=[KEY]))
        rows = rows_of(helicone, calls)
        provider.shutdown()
        metrics = collector.metrics()
    assert len(rows) == calls
    assert metrics.get("otelcol_exporter_send_failed_spans", 0) == 0
    assert metrics.get("otelcol_exporter_enqueue_failed_spans", 0) == 0


def test_two_bridges_that_share_a_load_get_whole_traces(
    helicone: LocalHelicone, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        spools = [tmp_path / f"spool-{number}.db" for number in (1, 2)]
        settings: dict[str, Any] = {"wait": 30, "grpc_port": 0}
        bridges = [
            stack.enter_context(RunningBridge(helicone.url, spools[0], settings)),
            RunningBridge(helicone.url, spools[1], settings).__enter__(),
        ]
        addresses = {
            f"OTEL_HELICONE_BRIDGE_{number}": bridge.grpc_address
            for number, bridge in enumerate(bridges, 1)
        }
        front = stack.enter_context(
            Collector("load-balancing.yaml", tmp_path, {**addresses, **RETRIES})
        )
        provider, tracer = tracer_to(exporter_to(front.traces_url))
        traces = [trip(tracer) for _ in range(40)]
        provider.force_flush()
        rows_of(helicone, 4 * len(traces))
        shares = [bridge.metrics()["logs_sent_total"] for bridge in bridges]
        assert all(share > 0 and share % 4 == 0 for share in shares), shares
        # One is stopped while traces go on, and started again where it was.
        settings = {"wait": 30, "grpc_port": int(bridges[1].grpc_address.rpartition(":")[2])}
        bridges[1].__exit__(None, None, None)
        traces += [trip(tracer) for _ in range(40)]
        provider.force_flush()
        stack.enter_context(RunningBridge(helicone.url, spools[1], settings))
        rows = rows_of(helicone, 4 * len(traces))
        provider.shutdown()
    assert len(rows) == 4 * len(traces)
    for trace_id in traces:
        assert sorted(str(row.session_path) for row in of_session(rows, trace_id)) == PATHS
