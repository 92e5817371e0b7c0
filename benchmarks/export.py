"""Posts delivered a second, against a bare loop of the same HTTP client."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from uuid import uuid4

import httpx2

from benchmarks.measuring import Goal
from otel_helicone.delivery import Delivery, Post, judge_log

IN_FLIGHT = 16
BODY_BYTES = 2000
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
    print(f"Posts of {BODY_BYTES} bytes, {IN_FLIGHT} in flight: a second, and CPU for each")
    goals = []
    for name, delay, count in (("loopback", 0.0, 1500), ("50 ms away", 0.05, 600)):
        posts = [Post("/oai/v1/log", b"x" * BODY_BYTES, str(uuid4())) for _ in range(count)]
        with subprocess.Popen(
            [sys.executable, "-c", SERVER, str(delay)], stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            try:
                goals.append(_compare(name, url, posts, min(rounds, 5)))
            finally:
                server.kill()
    return goals


def _compare(name: str, url: str, posts: list[Post], rounds: int) -> Goal:
    delivery = Delivery(endpoint=url, api_key="k", judge=judge_log, max_in_flight=IN_FLIGHT)

    def deliver() -> None:
        outcome = delivery.send(posts, 120)
        assert outcome.is_complete, outcome

    works: dict[str, Callable[[], None]] = {
        "bare httpx2.AsyncClient": lambda: asyncio.run(_bare(url, posts)),
        "Delivery.send": deliver,
    }
    best: dict[str, tuple[float, float]] = {}
    for _ in range(rounds):
        for work_name, work in works.items():
            started, cpu = time.perf_counter(), time.process_time()
            work()
            took = time.perf_counter() - started, time.process_time() - cpu
            best[work_name] = min(best.get(work_name, took), took)
    delivery.shutdown(1)
    print(f"  {name}")
    for work_name, (seconds, cpu) in best.items():
        each = cpu / len(posts) * 1e6
        print(f"    {work_name:24} {len(posts) / seconds:7.0f} posts/s {each:7.0f} µs")
    bare, ours = (seconds for seconds, _ in best.values())
    return Goal(f"delivery, {name}: {bare / ours:.2f} of bare, at least 0.70", bare / ours >= 0.7)
