"""Spans a second through the bridge, on one core, beside what only forwards them.

All get the same requests of OTLP and send to the same server. The Collector and rotel hand whole
requests on; the bridge stores spans, makes a log of each, and posts every log by itself, since
Helicone takes one at a time. So the Collector also runs with a request for each span, and a bare
loop of the bridge's HTTP client posts bodies that were made before.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan

from benchmarks.chat_spans import chat_spans
from benchmarks.measuring import Goal
from otel_helicone.delivery import Post
from otel_helicone.logs.translating import Translator

KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
ROOT = Path(__file__).parents[1]
SPANS = 10_000
SPANS_EACH = 250
IN_FLIGHT = 64
# The measured process has the last core for itself, the load and the server have the others.
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
# Counts logs, and spans in OTLP; GET answers with the count.
SINK = """
import asyncio, gzip
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
HEAD = b"HTTP/1.1 200 OK\\r\\nhelicone-id: x\\r\\ncontent-type: application/x-protobuf\\r\\n"
count = 0

class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.received = transport, b""

    def data_received(self, data):
        self.received += data
        while (end := self.received.find(b"\\r\\n\\r\\n") + 4) >= 4:
            head = self.received[:end].lower()
            length = 0
            if b"content-length:" in head:
                length = int(head.split(b"content-length:", 1)[1].split(b"\\r\\n", 1)[0])
            if len(self.received) < end + length:
                return
            body, self.received = self.received[end:end + length], self.received[end + length:]
            self.answer(head, body)

    def answer(self, head, body):
        global count
        text = b"ok"
        if head.startswith(b"get"):
            text = str(count).encode()
        elif b" /v1/traces " in head:
            plain = gzip.decompress(body) if b"content-encoding: gzip" in head else body
            for resource in ExportTraceServiceRequest.FromString(plain).resource_spans:
                count += sum(len(scope.spans) for scope in resource.scope_spans)
            text = b""
        else:
            count += 1
        self.transport.write(HEAD + b"content-length: %d\\r\\n\\r\\n" % len(text) + text)

async def main():
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""
COLLECTOR = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
exporters:
  otlphttp:
    endpoint: "{sink}"
    compression: none
    sending_queue: {{sizer: requests, queue_size: 100000{batch}}}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: error}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [otlphttp]}}}}
"""
EACH_SPAN = (
    ", batch: {{sizer: items, min_size: 1, max_size: 1, flush_timeout: 1s}}, num_consumers: 64"
)


@dataclass(frozen=True)
class Figures:
    """What a run has come to."""

    spans_a_second: float
    cpu_microseconds: float
    peak_mib: float


def run(rounds: int) -> list[Goal]:
    """Send the same spans through each of them, in turns; then load for a while."""
    spans = chat_spans(SPANS)
    requests = [
        encode_spans(spans[start : start + SPANS_EACH]).SerializeToString()
        for start in range(0, SPANS, SPANS_EACH)
    ]
    rounds = min(rounds, 3)
    print(f"{SPANS} chat spans over OTLP to a server on this machine, on one core, {rounds} rounds")
    results: dict[str, list[Figures]] = {}
    with _sink() as sink:
        for _ in range(rounds):
            for name, forwarder in _forwarders(sink).items():
                results.setdefault(name, []).append(_through(forwarder, requests, sink))
            results.setdefault("bare aiohttp loop, logs", []).append(_bare(spans, sink))
    best = {
        name: max(figures, key=lambda one: one.spans_a_second) for name, figures in results.items()
    }
    for name, one in best.items():
        print(
            f"  {name:34} {one.spans_a_second:8.0f} spans a second"
            f" {one.cpu_microseconds:6.0f} µs each {one.peak_mib:6.0f} MiB"
        )
    ours, bare = best["otel-helicone bridge"], best["bare aiohttp loop, logs"]
    print(f"  the bridge: {ours.spans_a_second / bare.spans_a_second:.2f} of the bare loop")
    return _for_a_while()


@dataclass(frozen=True)
class Forwarder:
    """A process that takes OTLP on a port."""

    command: Sequence[str]
    port: int
    environment: dict[str, str]


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _forwarders(sink: str) -> dict[str, Forwarder]:
    port = _free_port()
    folder = Path(tempfile.mkdtemp(prefix="bench-bridge-"))
    found = {"otel-helicone bridge": _bridge(folder, port, sink)}
    collectors = sorted((ROOT / ".venvs").glob("collector-*/otelcol"))
    if collectors:
        for name, batch in (("Collector", ""), ("Collector, a request for each", EACH_SPAN)):
            file = folder / f"{len(found)}.yaml"
            text = COLLECTOR.replace("{batch}", batch).format(port=port, sink=sink)
            file.write_text(text, "utf-8")
            found[name] = Forwarder([str(collectors[-1]), "--config", str(file)], port, {})
    else:
        print("  the Collector is missing: scripts/collector builds it")
    rotel = sorted((ROOT / ".venvs").glob("bench-rivals-*/lib/*/site-packages/rotel/rotel-agent"))
    if rotel:
        listen = ["--otlp-http-endpoint", f"127.0.0.1:{port}"]
        listen += ["--otlp-grpc-endpoint", f"127.0.0.1:{_free_port()}"]
        send = ["--exporter", "otlp", "--otlp-exporter-protocol", "http"]
        send += ["--otlp-exporter-endpoint", sink]
        found["rotel"] = Forwarder([str(rotel[-1]), "start", *listen, *send], port, {})
    return found


def _bridge(folder: Path, port: int, sink: str, **more: str) -> Forwarder:
    spool = folder / f"spool-{time.time_ns()}.db"
    command = [sys.executable, "-m", "otel_helicone", "bridge", "--port", str(port)]
    command += ["--spool", str(spool), "--endpoint", sink, "--wait", "1"]
    return Forwarder(command, port, {"HELICONE_API_KEY": KEY, **more})


@contextmanager
def _sink() -> Iterator[str]:
    with subprocess.Popen(
        _on([sys.executable, "-c", SINK], CORES[0]), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def _on(command: Sequence[str], core: int) -> list[str]:
    taskset = shutil.which("taskset")
    return [taskset, "-c", str(core), *command] if taskset and len(CORES) > 1 else [*command]


@contextmanager
def _running(forwarder: Forwarder) -> Iterator[int]:
    with subprocess.Popen(
        _on(forwarder.command, CORES[-1]),
        env={**os.environ, **forwarder.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            deadline = time.monotonic() + 30
            while not _answers(forwarder.port):
                assert process.poll() is None, f"{forwarder.command[0]} ended by itself"
                assert time.monotonic() < deadline, f"{forwarder.command[0]} does not listen"
                time.sleep(0.05)
            yield process.pid
        finally:
            process.kill()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        connection.getresponse()
        return True
    except OSError:
        return False
    finally:
        connection.close()


def _count(sink: str) -> int:
    with urllib.request.urlopen(sink) as answer:
        return int(answer.read())


def _send(connection: http.client.HTTPConnection, body: bytes) -> None:
    while True:
        connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
        answer = connection.getresponse()
        answer.read()
        if answer.status == 200:
            return
        assert answer.status in (429, 503), answer.status
        time.sleep(0.05)


def _through(forwarder: Forwarder, requests: Sequence[bytes], sink: str) -> Figures:
    with _running(forwarder) as pid:
        before, cpu = _count(sink), _cpu_seconds(pid)
        connection = http.client.HTTPConnection("127.0.0.1", forwarder.port)
        started = time.perf_counter()
        for body in requests:
            _send(connection, body)
        deadline = time.monotonic() + 120
        while _count(sink) < before + SPANS:
            arrived = _count(sink) - before
            assert time.monotonic() < deadline, f"{forwarder.command[0]}: {arrived} arrived"
            time.sleep(0.02)
        took = time.perf_counter() - started
        connection.close()
        cpu = _cpu_seconds(pid) - cpu
        return Figures(SPANS / took, cpu / SPANS * 1e6, _peak_mib(pid))


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_mib(pid: int, what: str = "VmHWM") -> float:
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith(what):
            return int(line.split()[1]) / 1024
    return 0.0


def _bare(spans: Sequence[ReadableSpan], sink: str) -> Figures:
    records = Translator().records(spans)
    posts = [Post(one.path, one.to_bytes(5_000_000), one.request_id) for one in records]
    started, cpu = time.perf_counter(), time.process_time()
    asyncio.run(_post_all(posts, sink))
    took = time.perf_counter() - started
    cpu = time.process_time() - cpu
    return Figures(SPANS / took, cpu / SPANS * 1e6, _peak_mib(os.getpid()))


async def _post_all(posts: Sequence[Post], sink: str) -> None:
    left = iter(posts)
    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def work() -> None:
            for post in left:
                async with session.post(sink + post.path, data=post.body) as answer:
                    assert await answer.read() == b"ok"

        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


def _for_a_while() -> list[Goal]:
    """Load at a steady rate; memory and delivery time of the last third against the second."""
    seconds = int(os.environ.get("BENCH_BRIDGE_SECONDS", "45"))
    rate = 400
    print(f"{rate} spans a second for {seconds} s, traces forgotten after 3 s")
    memory: list[float] = []
    latency: list[float] = []
    with _sink() as sink, tempfile.TemporaryDirectory() as folder:
        forwarder = _bridge(Path(folder), _free_port(), sink, HELICONE_BRIDGE_MEMORY="3")
        with _running(forwarder) as pid:
            connection = http.client.HTTPConnection("127.0.0.1", forwarder.port)
            started = time.monotonic()
            last = (0.0, 0.0)
            while (now := time.monotonic() - started) < seconds:
                body = encode_spans(chat_spans(rate // 4)).SerializeToString()
                _send(connection, body)
                if len(memory) < now:
                    memory.append(_peak_mib(pid, "VmRSS"))
                    delivered = _delivery(forwarder.port)
                    latency.append((delivered[0] - last[0]) / max(delivered[1] - last[1], 1))
                    last = delivered
                time.sleep(max(0.0, 0.25 - (time.monotonic() - started - now)))
            connection.close()
    third = len(memory) // 3
    ratios = []
    for what, figures, unit in (("memory", memory, "MiB"), ("delivery time", latency, "s")):
        middle = statistics.median(figures[third : 2 * third])
        end = statistics.median(figures[-third:])
        ratios.append(end / middle)
        print(f"  {what:14} {middle:8.3f} {unit}, at the end {end:8.3f} {unit}: {end / middle:.2f}")
    return [
        Goal.at_most("the bridge's memory at the end of a steady load", ratios[0], 1.1),
        Goal.at_most("the bridge's delivery time at the end of it", ratios[1], 1.5),
    ]


def _delivery(port: int) -> tuple[float, float]:
    """Give the sum and the count of the delivery times."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    prefix = "otel_helicone_bridge_delivery_seconds"
    figures = {line.split()[0]: line.split()[1] for line in lines if line.startswith(prefix)}
    return float(figures[f"{prefix}_sum"]), float(figures[f"{prefix}_count"])
