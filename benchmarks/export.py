"""Logs delivered a second, against a bare loop of the same HTTP client and Helicone's own loggers.

Everybody sends the same calls to the same server. The bare loop, and the delivery alone, post
bodies that were made before; the exporter makes them of spans, as it does in an application.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable

import httpx2

from benchmarks.chat_spans import chat_spans
from benchmarks.measuring import Goal
from otel_helicone import HeliconeSpanExporter
from otel_helicone.delivery import Delivery, Post, judge_log
from otel_helicone.logs.translating import Translator

IN_FLIGHT = 16
KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
# What a batch span processor hands over at once.
BATCH = 512
# A process of its own, so that its CPU is not counted as the client's.
SERVER = """
import asyncio, sys
DELAY = float(sys.argv[1])
ANSWER = b"HTTP/1.1 200 OK\\r\\nhelicone-id: x\\r\\ncontent-length: 2\\r\\n\\r\\nok"

class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.received = transport, b""

    def data_received(self, data):
        self.received += data
        end = self.received.find(b"\\r\\n\\r\\n") + 4
        if end < 4:
            return
        head = self.received[:end].lower()
        length = int(head.split(b"content-length:", 1)[1].split(b"\\r\\n", 1)[0])
        if len(self.received) >= end + length:
            self.received = b""
            asyncio.get_running_loop().call_later(DELAY, self.answer) if DELAY else self.answer()

    def answer(self):
        if not self.transport.is_closing():
            self.transport.write(ANSWER)

async def main():
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


async def _bare(url: str, posts: list[Post]) -> None:
    headers = {"Authorization": "Bearer k", "Content-Type": "application/json"}
    limits = httpx2.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    async with httpx2.AsyncClient(headers=headers, limits=limits) as client:
        left = iter(posts)

        async def work() -> None:
            for post in left:
                answer = await client.post(url + post.path, content=post.body)
                assert answer.content == b"ok"

        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


def run(rounds: int) -> list[Goal]:
    """Deliver at once and with 50 ms between a post and its answer."""
    print(f"Logs of chat calls, {IN_FLIGHT} in flight: a second, and CPU for each")
    goals = []
    for name, delay, count in (("loopback", 0.0, 1500), ("50 ms away", 0.05, 600)):
        with subprocess.Popen(
            [sys.executable, "-c", SERVER, str(delay)], stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            try:
                goals += _compare(name, url, count, min(rounds, 5))
                _rivals(url, 300 if delay == 0 else 40)
            finally:
                server.kill()
    return goals


def _compare(name: str, url: str, count: int, rounds: int) -> list[Goal]:
    spans = chat_spans(count)
    posts = [
        Post(record.path, record.to_bytes(5_000_000), record.request_id)
        for record in Translator().records(spans)
    ]
    assert len(posts) == count
    exporter = HeliconeSpanExporter(endpoint=url, api_key=KEY, timeout=120, max_in_flight=IN_FLIGHT)
    delivery = Delivery(endpoint=url, api_key="k", judge=judge_log, max_in_flight=IN_FLIGHT)

    def deliver() -> None:
        outcome = delivery.send(posts, 120)
        assert outcome.is_complete, outcome

    def export() -> None:
        for start in range(0, count, BATCH):
            assert exporter.export(spans[start : start + BATCH]).name == "SUCCESS"

    works: dict[str, Callable[[], None]] = {
        "bare httpx2.AsyncClient": lambda: asyncio.run(_bare(url, posts)),
        "Delivery.send": deliver,
        "HeliconeSpanExporter": export,
    }
    best: dict[str, tuple[float, float]] = {}
    for _ in range(rounds):
        for work_name, work in works.items():
            started, cpu = time.perf_counter(), time.process_time()
            work()
            took = time.perf_counter() - started, time.process_time() - cpu
            best[work_name] = min(best.get(work_name, took), took)
    delivery.shutdown(1)
    exporter.shutdown(1000)
    print(f"  {name}")
    for work_name, (seconds, cpu) in best.items():
        each = cpu / len(posts) * 1e6
        print(f"    {work_name:24} {len(posts) / seconds:7.0f} a second {each:7.0f} µs")
    bare, *ours = (seconds for seconds, _ in best.values())
    return [
        Goal(f"{what}, {name}: {bare / took:.2f} of bare, at least 0.70", bare / took >= 0.7)
        for what, took in zip(("delivery", "exporter"), ours, strict=True)
    ]


def _rivals(url: str, count: int) -> None:
    """Time Helicone's own loggers, which live in an environment of their own."""
    python = os.environ.get("BENCH_RIVALS_PYTHON")
    if not python:
        print("    helicone-helpers and helicone-async: scripts/bench makes their environment")
        return
    for name in ("helicone-helpers", "helicone-async"):
        done = subprocess.run(
            [python, "-m", "benchmarks.rivals", name, url, str(count)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "TRACELOOP_TELEMETRY": "false"},
        )
        if done.returncode:
            print(f"    {name:24} failed: {done.stderr.strip().splitlines()[-1:]}")
        else:
            seconds, cpu = map(float, done.stdout.split()[-2:])
            print(f"    {name:24} {count / seconds:7.0f} a second {cpu / count * 1e6:7.0f} µs")
