"""The bridge is killed at random moments while applications send, and loses and doubles nothing.

`OTEL_HELICONE_KILLS` says how often it is killed. Each test prints its seed; set as
`OTEL_HELICONE_SEED`, it makes the same traces and the same moments again.
"""

# ruff: noqa: T201 - pytest shows beside a failure what was printed.
from __future__ import annotations

import http.client
import json
import os
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
import pytest
from opentelemetry.propagate import extract, inject
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from benchmarks.chat_spans import chat_spans
from otel_helicone.local.server import LocalHelicone
from otel_helicone.logs.request_id import request_id_of
from tests.bridge.conftest import (
    PROTOBUF,
    Service,
    call,
    exporting,
    make_service,
    otlp,
    rows_of,
)
from tests.integration.bridge_process import KEY, BridgeProcess
from tests.integration.collectors import free_port
from tests.test_delivery_faults import OK, FaultServer

KILLS = int(os.environ.get("OTEL_HELICONE_KILLS", "20"))
# A test that waits for the end of a trace would not notice a root that was lost.
NEVER = 100_000
SENDERS = 8
MOST_SPANS_OF_A_REQUEST = 50

Place = tuple[str, str, str]
"""Where a row belongs: the session's id, the path, the session's name."""


@pytest.fixture
def seed() -> int:
    seed = int(os.environ.get("OTEL_HELICONE_SEED", random.randrange(10**9)))
    print(f"OTEL_HELICONE_SEED={seed}")
    return seed


class Traces:
    """Makes traces of two services at random, and knows the rows that they come to."""

    def __init__(self, dice: random.Random, *, have_keys: bool = False) -> None:
        self.rows: dict[str, Place] = {}
        # Which service each row is of.
        self.services: dict[str, str] = {}
        self._dice = dice
        self._shop, self._stock = (
            make_service(name, **({"helicone__api_key_name": name} if have_keys else {}))
            for name in ("shop", "stock")
        )
        self._count = 0

    def make(self) -> list[ReadableSpan]:
        """Make the finished spans of one trace."""
        self._count += 1
        name = f"order-{self._count}"
        with self._shop.tracer.start_as_current_span(name) as root:
            self._grow(self._shop, f"/{name}", 0)
        session_id = f"{root.get_span_context().trace_id:032x}"
        spans = [*self._shop.take(), *self._stock.take()]
        for span in spans:
            path = (span.attributes or {}).get("expected.path")
            if isinstance(path, str):
                key = (span.context.trace_id, span.context.span_id)
                self.rows[request_id_of(key)] = (session_id, path, name)
                service = span.resource.attributes["service.name"]
                self.services[request_id_of(key)] = str(service)
        return spans

    def _grow(self, service: Service, path: str, depth: int) -> None:
        for _ in range(self._dice.randint(1, 4)):
            kind = self._dice.choice(("call", "call", "tool", "step", "service"))
            # No two of a name: a tool inside of a tool of the same name would be the same call.
            self._count += 1
            step = f"{kind}-{self._count}"
            if kind == "call" or depth > 3:
                call(service.tracer, **{"expected.path": path})
            elif kind == "tool":
                name = f"execute_tool {step}"
                below = f"{path}/{step}"
                tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": step}
                tool["expected.path"] = below
                with service.tracer.start_as_current_span(name, attributes=tool):
                    self._grow(service, below, depth + 1)
            elif kind == "step":
                with service.tracer.start_as_current_span(step):
                    self._grow(service, f"{path}/{step}", depth + 1)
            else:
                carrier: dict[str, str] = {}
                inject(carrier)
                other = self._stock if service is self._shop else self._shop
                with other.tracer.start_as_current_span(
                    step, extract(carrier), kind=SpanKind.SERVER
                ):
                    self._grow(other, f"{path}/{step}", depth + 1)


def post(bridge: BridgeProcess, body: bytes) -> int:
    """Send spans to the bridge; give the status of its answer, 0 where there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", bridge.port, timeout=120)
    try:
        connection.request("POST", "/v1/traces", body, PROTOBUF)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def export(bridge: BridgeProcess, body: bytes) -> int:
    """Do the same over gRPC."""
    with grpc.insecure_channel(bridge.grpc_address) as channel:
        answer = exporting(channel).future(body, timeout=30)
        return 200 if answer.code() is grpc.StatusCode.OK else 0


class Load:
    """Applications that send all the time: a request is repeated until it is answered with 200.

    Spans of several traces are mixed, so that a trace is spread over requests that are sent at the
    same time.
    """

    def __init__(
        self,
        bridge: BridgeProcess,
        seed: int,
        ways: Sequence[Callable[[BridgeProcess, bytes], int]] = (post,),
        *,
        have_keys: bool = False,
    ) -> None:
        self.requests = self.attempts = self.spans = 0
        self._bridge = bridge
        self._dice = random.Random(seed)
        self._traces = Traces(self._dice, have_keys=have_keys)
        self._queue: queue.Queue[list[ReadableSpan] | None] = queue.Queue(2 * SENDERS)
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._produce)]
        self._threads += [
            threading.Thread(target=self._send, args=(ways[number % len(ways)],))
            for number in range(SENDERS)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    @property
    def rows(self) -> dict[str, Place]:
        """What Helicone has to have in the end, by request id."""
        return self._traces.rows

    @property
    def services(self) -> dict[str, str]:
        """Of which service each of them is."""
        return self._traces.services

    def _produce(self) -> None:
        waiting: list[ReadableSpan] = []
        while not self._is_over.wait(0.06):
            waiting += self._traces.make()
            self._dice.shuffle(waiting)
            while len(waiting) > 2 * MOST_SPANS_OF_A_REQUEST:
                size = self._dice.randint(1, MOST_SPANS_OF_A_REQUEST)
                self._queue.put(waiting[:size])
                del waiting[:size]
        if waiting:
            self._queue.put(waiting)
        for _ in range(SENDERS):
            self._queue.put(None)

    def _send(self, send: Callable[[BridgeProcess, bytes], int]) -> None:
        while (spans := self._queue.get()) is not None:
            body = otlp(*spans)
            attempts = 1
            while send(self._bridge, body) != 200:
                attempts += 1
                time.sleep(0.02)
            with self._lock:
                self.requests += 1
                self.attempts += attempts
                self.spans += len(spans)


def kill_at_random_moments(bridge: BridgeProcess, seed: int, times: int = KILLS) -> None:
    """Kill the bridge, which runs, so often: mostly at work, sometimes while it starts."""
    dice = random.Random(seed)
    for _ in range(times):
        time.sleep(dice.uniform(0, 0.4))
        bridge.kill()
        bridge.start(until_ready=dice.random() < 0.8)
    bridge.kill()
    bridge.start()


def until(there: Callable[[], bool], seconds: float = 600) -> None:
    """Wait until something holds, no longer than this."""
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.1)


def has_sent_everything(bridge: BridgeProcess) -> None:
    """Wait until nothing is left in the spool; the load may have been ahead by a lot."""

    def is_empty() -> bool:
        metrics = bridge.metrics()
        return metrics["spans_waiting"] == metrics["logs_waiting"] == 0

    until(is_empty, 60 + 5 * KILLS)


def report(load: Load, came: str) -> None:
    print(
        f"{KILLS} kills; {load.spans} spans in {load.requests} requests, which were sent"
        f" {load.attempts} times; {came}"
    )


def stored(helicone: LocalHelicone, expected: int) -> dict[str, Place]:
    """Wait until so many rows are there; give them all, having seen that none is there twice."""
    rows = rows_of(helicone, expected, seconds=600)
    assert [
        key for key, count in Counter(row.request_id for row in rows).items() if count > 1
    ] == []
    return {
        row.request_id: (str(row.session_id), str(row.session_path), str(row.session_name))
        for row in rows
    }


def logged(bodies: Iterable[bytes]) -> Iterator[tuple[str, Place]]:
    """Give the request id and the place that each log tells."""
    for body in bodies:
        meta = json.loads(body)["providerRequest"]["meta"]
        names = ("Request-Id", "Session-Id", "Session-Path", "Session-Name")
        request_id, *place = (meta[f"Helicone-{name}"] for name in names)
        yield request_id, (place[0], place[1], place[2])


def test_a_bridge_that_is_killed_again_and_again_loses_and_doubles_nothing(
    tmp_path: Path, seed: int
) -> None:
    with LocalHelicone(tmp_path / "requests.db", latency=0, api_keys=[KEY]) as helicone:
        with BridgeProcess(tmp_path / "spool.db", helicone.url, wait=NEVER) as bridge:
            with Load(bridge, seed) as load:
                kill_at_random_moments(bridge, seed)
            has_sent_everything(bridge)
            assert stored(helicone, len(load.rows)) == load.rows
            assert bridge.metrics()["logs_dead"] == 0
    report(load, f"{len(load.rows)} rows")


def test_senders_over_both_protocols_and_two_organizations_lose_and_double_nothing(
    tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    keys = {name: f"sk-helicone-{name}" for name in ("shop", "stock")}
    came_with: dict[str, set[str]] = {}

    def plan(request_id: str, _attempt: int) -> str:
        came_with.setdefault(request_id, set()).add(helicone.heads[-1]["authorization"])
        return f"late:{dice.uniform(0, 0.05)}" if dice.random() < 0.99 else "reset in body"

    environment = {"HELICONE_BRIDGE_KEYS": ",".join(f"{a}={b}" for a, b in keys.items())}
    spool = tmp_path / "spool.db"
    helicone = FaultServer(plan)
    with (
        helicone,
        BridgeProcess(spool, helicone.url, wait=NEVER, environment=environment) as bridge,
    ):
        with Load(bridge, seed, (post, export), have_keys=True) as load:
            kill_at_random_moments(bridge, seed)
        has_sent_everything(bridge)
        assert bridge.metrics()["logs_dead"] == bridge.metrics()["logs_without_key"] == 0
    assert {key: len(bodies) for key, bodies in helicone.bodies.items() if len(bodies) > 1} == {}
    assert dict(logged(next(iter(bodies)) for bodies in helicone.bodies.values())) == load.rows
    assert came_with == {row: {f"Bearer {keys[of]}"} for row, of in load.services.items()}
    report(load, f"{len(load.rows)} logs in {sum(helicone.seen.values())} attempts")


def test_a_log_that_was_in_flight_at_a_kill_is_sent_again_with_the_same_bytes(
    tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)

    def slow(_request_id: str, _attempt: int) -> str:
        return f"late:{dice.uniform(0, 0.2)}" if dice.random() < 0.99 else "reset in body"

    with FaultServer(slow) as helicone:
        with BridgeProcess(tmp_path / "spool.db", helicone.url, wait=NEVER) as bridge:
            with Load(bridge, seed) as load:
                kill_at_random_moments(bridge, seed)
            has_sent_everything(bridge)
    assert {key: len(bodies) for key, bodies in helicone.bodies.items() if len(bodies) > 1} == {}
    assert dict(logged(next(iter(bodies)) for bodies in helicone.bodies.values())) == load.rows
    # Otherwise this would have shown nothing.
    assert sum(helicone.seen.values()) > len(load.rows)
    report(load, f"{len(load.rows)} logs in {sum(helicone.seen.values())} attempts")


def test_what_a_stop_left_in_the_spool_is_sent_after_the_next_start(tmp_path: Path) -> None:
    traces = Traces(random.Random(1))
    spans = [span for _ in range(20) for span in traces.make()]
    random.Random(1).shuffle(spans)
    parts = [spans[number::4] for number in range(4)]
    helicone = LocalHelicone(tmp_path / "requests.db", free_port(), latency=0, api_keys=[KEY])
    with BridgeProcess(tmp_path / "spool.db", helicone.url, wait=NEVER) as bridge:
        # Some go while Helicone is away, and half of the traces has not come by then.
        for part in parts[:2]:
            assert post(bridge, otlp(*part)) == 200
            bridge.stop()
            bridge.start()
        with helicone:
            for part in parts[2:]:
                assert post(bridge, otlp(*part)) == 200
                bridge.stop()
                bridge.start()
            assert stored(helicone, len(traces.rows)) == traces.rows
    assert bridge.log.count("Stopped; what was not sent yet is in the spool.") == 5


def long_answers(spans: list[ReadableSpan], length: int) -> None:
    """Have the answers of these calls so many characters."""
    for span in spans:
        parts = [{"type": "text", "content": "x" * length}]
        answer = json.dumps([{"role": "assistant", "parts": parts}])
        span._attributes = {**(span.attributes or {}), "gen_ai.output.messages": answer}


@pytest.mark.parametrize(("calls", "length"), [(10_000, 10_000), (450, 700_000)])
def test_while_helicone_is_away_the_logs_are_on_disk_and_not_in_memory(
    tmp_path: Path, calls: int, length: int
) -> None:
    is_away = True
    attempts = 0

    def plan(_request_id: str, _attempt: int) -> str:
        nonlocal attempts
        attempts += 1
        # One in twenty is taken, but its answer gets lost, and so it is sent again.
        return "drop" if is_away else OK if attempts % 20 else "reset in body"

    with FaultServer(plan) as helicone:
        with BridgeProcess(tmp_path / "spool.db", helicone.url) as bridge:
            before = bridge.memory_mib()
            ids = set()
            of_a_request = min(500, 7_000_000 // length)
            for _ in range(calls // of_a_request):
                spans = chat_spans(of_a_request)
                long_answers(spans, length)
                ids |= {request_id_of((s.context.trace_id, s.context.span_id)) for s in spans}
                assert post(bridge, otlp(*spans)) == 200
            until(lambda: bridge.metrics()["logs_waiting"] == calls)
            until(lambda: attempts > 5)
            assert helicone.bodies == {}
            is_away = False
            has_sent_everything(bridge)
            grown = bridge.memory_mib(peak=True) - before
    assert helicone.bodies.keys() == ids
    assert {len(bodies) for bodies in helicone.bodies.values()} == {1}
    assert sum(helicone.seen.values()) > calls
    print(f"{calls * length / 2**20:.0f} MiB of answers took {grown:.0f} MiB of memory")
    # What is being read and sent is, and some MiB that Python and SQLite keep for later.
    assert grown < (100 if calls == 10_000 else 300)
