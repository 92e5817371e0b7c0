"""Delivery against a server with faults, over real sockets."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import socket
import struct
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

import pytest

from otel_helicone.delivery import Delivery, Outcome, Post, judge_log

OK = "ok"
Plan = Callable[[str, int], str]
"""What to do with an attempt: the request id and the number of the attempt, from 1."""


class FaultServer:
    """Answers as it is told, and keeps what it has processed."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.seen: Counter[str] = Counter()
        self.bodies: dict[str, set[bytes]] = {}
        self.heads: list[dict[str, str]] = []
        self.connections = 0
        self.times: list[float] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> FaultServer:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0.01)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = {
            name.lower(): value
            for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:] if line)
        }
        body = await reader.readexactly(int(headers["content-length"]))
        # A log tells its id; the posts of these tests begin with theirs.
        start = body.find(b'"Helicone-Request-Id":"') + 23
        request_id = body[start : start + 36].decode() if start > 22 else body[:36].decode()
        self.heads.append(headers)
        self.times.append(time.monotonic())
        self.seen[request_id] += 1
        what = self.plan(request_id, self.seen[request_id])
        name, _, argument = what.partition(":")
        if name in ("ok", "late", "reset in body"):
            self.bodies.setdefault(request_id, set()).add(body)
        if name == "late":
            await asyncio.sleep(float(argument))
        if name in ("ok", "late"):
            writer.write(_answer(200, "ok", f"helicone-id: {request_id}\r\n"))
        elif name == "status":
            status, _, more = argument.partition(":")
            text, _, header = more.partition("|")
            writer.write(_answer(int(status), text, f"{header}\r\n" if header else ""))
        elif name == "drop":
            return False
        elif name == "hang":
            await asyncio.sleep(float(argument or 60))
            return False
        elif name == "headers only":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
            await asyncio.sleep(60)
        elif name == "drip":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 600\r\n\r\n")
            for _ in range(600):
                writer.write(b"o")
                await asyncio.sleep(0.2)
        elif name == "endless":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
            while True:
                writer.write(b"o" * 65536)
                await writer.drain()
        elif name == "reset in body":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 200\r\n\r\nok")
            await writer.drain()
            sock: socket.socket = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        await writer.drain()
        return True


def _answer(status: int, body: str, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\n{headers}content-length: {len(body)}\r\n\r\n{body}".encode()


def some_posts(count: int, size: int = 0) -> list[Post]:
    ids = [str(uuid.uuid4()) for _ in range(count)]
    return [Post("/oai/v1/log", id_.encode() + b"x" * size, id_) for id_ in ids]


@pytest.fixture
def make() -> Iterator[Callable[..., Delivery]]:
    made: list[Delivery] = []

    def deliver_to(server: FaultServer | str, **options: object) -> Delivery:
        url = server if isinstance(server, str) else server.url
        made.append(Delivery(endpoint=url, api_key="sk-secret", judge=judge_log, **options))  # type: ignore[arg-type]
        return made[-1]

    yield deliver_to
    for delivery in made:
        delivery.shutdown(0)


Make = Callable[..., Delivery]


@pytest.mark.parametrize("fault", ["hang", "headers only", "drip"])
def test_a_send_ends_in_time_whatever_the_server_does(make: Make, fault: str) -> None:
    with FaultServer(lambda *_: fault) as server:
        delivery = make(server)
        delivery.send([], 1)
        started = time.monotonic()
        assert delivery.send(some_posts(3), 0.5) == Outcome(0, 0, 3)
        assert time.monotonic() - started < 30  # a hung answer takes twice that


def test_a_connect_that_hangs_ends_in_time(make: Make) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(address)
            started = time.monotonic()
            outcome = make(f"http://127.0.0.1:{address[1]}").send(some_posts(20), 0.6)
            assert outcome.taken == 0
            assert outcome.expired == 20
            assert time.monotonic() - started < 30
        finally:
            for filler in fillers:
                filler.close()


def test_an_endless_answer_is_not_read_to_its_end(make: Make) -> None:
    with FaultServer(lambda *_: "endless") as server:
        assert make(server).send(some_posts(1), 60) == Outcome(0, 1, 0)


@pytest.mark.parametrize(
    "fault",
    [
        "drop",
        "reset in body",
        "status:500:oops",
        "status:429:slow",
        "status:408:late",
        "status:503:",
    ],
)
def test_a_passing_trouble_is_tried_again_with_the_same_bytes(make: Make, fault: str) -> None:
    with FaultServer(lambda _, attempt: fault if attempt <= 2 else OK) as server:
        posts = some_posts(5, 100)
        assert make(server).send(posts, 60) == Outcome(5, 0, 0)
        assert server.bodies == {post.request_id: {post.body} for post in posts}


def test_an_attempt_that_hangs_is_tried_again_within_the_deadline(make: Make) -> None:
    with FaultServer(lambda _, attempt: "hang" if attempt == 1 else OK) as server:
        assert make(server).send(some_posts(2), 6) == Outcome(2, 0, 0)


def test_nobody_is_there(make: Make) -> None:
    started = time.monotonic()
    outcome = make("http://127.0.0.1:9").send(some_posts(40), 0.5)
    assert (outcome.taken, outcome.refused, outcome.expired) == (0, 0, 40)
    assert time.monotonic() - started < 30


def test_thousands_of_posts_through_a_bad_server(make: Make) -> None:
    send_through_a_bad_server(make, 2500)


def send_through_a_bad_server(make: Make, count: int) -> None:
    dice = random.Random(7)

    def plan(_: str, attempt: int) -> str:
        roll = dice.random()
        faults = (
            (0.0010, "status:429:x|Retry-After: 0"),
            (0.0040, "status:500:x"),
            (0.0070, "status:503:x"),
            (0.0100, "drop"),
            (0.0110, "reset in body"),
            (0.0113, "hang:5"),
            (0.0116, "late:2"),
        )
        return next((fault for below, fault in faults if roll < below), OK)

    with FaultServer(plan) as server:
        posts = some_posts(count, 200)
        delivery = make(server)
        outcomes: list[Outcome] = []
        senders = [
            threading.Thread(target=lambda part=part: outcomes.append(delivery.send(part, 900)))
            for part in (posts[: count // 3], posts[count // 3 :])
        ]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        assert sum(outcome.taken for outcome in outcomes) == len(posts)
        assert server.bodies == {post.request_id: {post.body} for post in posts}


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_sends_its_own_and_nothing_of_its_parents(make: Make) -> None:
    with FaultServer(lambda *_: "late:0.01") as server:
        delivery = make(server)
        posts = some_posts(600)
        outcomes: list[Outcome] = []
        sender = threading.Thread(target=lambda: outcomes.append(delivery.send(posts, 120)))
        sender.start()
        while sum(server.seen.values()) < 20:  # in the midst of it
            time.sleep(0.01)
        of_child = some_posts(20)
        children = []
        for _ in range(3):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    code = 0 if delivery.send(of_child, 60) == Outcome(20, 0, 0) else 2
                    delivery.shutdown(1)
                finally:
                    os._exit(code)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
        sender.join()
        assert outcomes == [Outcome(600, 0, 0)]
        assert delivery.send(some_posts(10), 60) == Outcome(10, 0, 0)
        assert all(server.seen[post.request_id] == 1 for post in posts)
        assert all(server.seen[post.request_id] == 3 for post in of_child)


def _send_elsewhere(url: str, result: Connection) -> None:
    delivery = Delivery(endpoint=url, api_key="k", judge=judge_log)
    result.send(delivery.send(some_posts(5), 60).taken)
    delivery.shutdown(1)


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_processes_of_multiprocessing_send(make: Make, method: str) -> None:
    if method == "forkserver":
        pytest.skip("is spawn, as far as this is concerned")
    with FaultServer(lambda *_: OK) as server:
        assert make(server).send(some_posts(2), 60).taken == 2
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context(method).Process(  # type: ignore[attr-defined]
            target=_send_elsewhere, args=(server.url, theirs)
        )
        process.start()
        assert ours.poll(60)
        assert ours.recv() == 5
        process.join(60)
        assert process.exitcode == 0
        ours.close()
        theirs.close()


EXITING = """
import atexit, os, sys, uuid
from otel_helicone.delivery import Delivery, Post, judge_log
delivery = Delivery(endpoint=sys.argv[1], api_key="k", judge=judge_log)
def send():
    id = str(uuid.uuid4())
    outcome = delivery.send([Post("/oai/v1/log", id.encode(), id)], 60)
    assert outcome.taken == 1, outcome
if sys.argv[2] == "at exit":
    atexit.register(send)
else:
    send()
    if sys.argv[2] == "fork" and not os.fork():
        send()
print("done")
"""


@needs_fork
@pytest.mark.parametrize("how", ["at exit", "plain", "fork"])
def test_a_process_ends_at_once_and_in_silence(how: str) -> None:
    import subprocess

    with FaultServer(lambda *_: OK) as server:
        done = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", EXITING, server.url, how],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert sum(server.seen.values()) == (2 if how == "fork" else 1)
