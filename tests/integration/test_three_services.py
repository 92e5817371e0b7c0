"""Services in processes of their own share one session: FastAPI, Node, and a worker with a queue.

    trips (FastAPI) -> forwarder (Node, only OpenTelemetry) -> bookings (FastAPI) -> worker (Celery)

Each Python service makes one call of the real client through a local Helicone. What is asserted is
what arrived there: the id, the name and the path on each of these calls.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.records import RequestRecord
from tests.integration.conftest import HERE, missing, require
from tests.integration.three_services.programs import PROGRAMS
from tests.ports import free_port

# How long to wait for what is polled for: five processes start slowly on a busy machine.
SECONDS = 120


@dataclass
class Services:
    """The services, where they listen, and the local Helicone that their calls go to."""

    helicone: LocalHelicone
    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)

    def start(self, name: str, *command: str, **environment: str) -> None:
        """Run a service. What it writes, pytest shows with a test that fails."""
        others = ("HELICONE_", "OTEL_", "OPENAI_", "CELERY_", "NODE_")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        self.processes[name] = subprocess.Popen(
            command,
            cwd=self.folder,
            env={
                **clean,
                "PYTHONPATH": str(self.folder),
                # Logfire, which is there for other tests, is one, and takes seconds to import.
                "PYDANTIC_DISABLE_PLUGINS": "__all__",
                "OPENAI_API_KEY": "none",
                "OPENAI_BASE_URL": self.helicone.base_url,
                "TEST_QUEUE": str(self.folder / "queue"),
                **environment,
            },
            stdin=subprocess.DEVNULL,
        )

    def start_at(self, port: int, name: str, *command: str, **environment: str) -> None:
        """Run a service that listens on a port, which is the last argument of the command."""
        self.urls[name] = f"http://127.0.0.1:{port}"
        self.start(name, *command, str(port), **environment)

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=60)

    def check_that_all_run(self) -> None:
        ended = {name: process.poll() for name, process in self.processes.items()}
        assert set(ended.values()) == {None}, ended

    def wait_until_all_listen(self) -> None:
        deadline = time.monotonic() + SECONDS
        for name, url in self.urls.items():
            address = ("127.0.0.1", int(url.rpartition(":")[2]))
            while True:
                try:
                    socket.create_connection(address, timeout=1).close()
                    break
                except OSError:
                    self.check_that_all_run()
                    assert time.monotonic() < deadline, f"{name} does not listen"
                    time.sleep(0.05)

    def post(self, url: str) -> dict[str, Any]:
        answer = httpx2.post(url, timeout=SECONDS)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def trip(self, to: str, **options: bool) -> dict[str, Any]:
        """Ask for a trip, which calls the next service at the URL."""
        return self.post(f"{self.urls['trips']}/trip?{urlencode({'to': to, **options})}")

    def via_node(self, to: str) -> str:
        return f"{self.urls['forwarder']}/forward?{urlencode({'to': to})}"

    def bookings(self, *, library: bool = True) -> str:
        name = "bookings_with_the_library" if library else "bookings"
        return f"{self.urls[name]}/bookings"

    def rows(self, session_id: str, count: int) -> list[RequestRecord]:
        """Wait for the requests of a session, of which the worker's comes last."""
        deadline = time.monotonic() + SECONDS
        while len(rows := self.helicone.store.requests(session_id)) < count:
            self.check_that_all_run()
            assert time.monotonic() < deadline, rows
            time.sleep(0.05)
        assert self.helicone.settle()
        return self.helicone.store.requests(session_id)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Start everything once: each test sends requests, and reads those of their sessions."""
    for module in ("celery", "fastapi", "opentelemetry.instrumentation.celery"):
        require(module)
    node = shutil.which("node")
    if node is None or not (HERE / "node_modules" / "@opentelemetry" / "sdk-node").exists():
        missing("OpenTelemetry for Node (npm install --prefix tests/integration)")
    folder = tmp_path_factory.mktemp("services")
    (folder / "queue" / "control").mkdir(parents=True)
    for name, program in PROGRAMS.items():
        (folder / f"{name}.py").write_text(program, "utf-8")
    with LocalHelicone(folder / "requests.db", latency=0) as helicone:
        services = Services(helicone, folder)
        try:
            start_all(services, node)
            services.wait_until_all_listen()
            yield services
        finally:
            services.stop()


def start_all(services: Services, node: str) -> None:
    ports = [free_port() for _ in range(4)]
    library = {"HELICONE_GATEWAY_HOSTS": services.helicone.host}
    uvicorn = (sys.executable, "-m", "uvicorn", "--log-level", "warning")
    for name, more in (
        ("trips", library),
        ("bookings_with_the_library", library),
        ("bookings", {}),
    ):
        services.start_at(ports.pop(), name, *uvicorn, f"{name}:app", "--port", **more)
    celery = (sys.executable, "-m", "celery", "-A", "worker", "worker", "--pool", "solo")
    alone = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    services.start("worker", *celery, *alone, **library)
    nothing_leaves = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
    program = str(HERE / "three_services" / "service.cjs")
    services.start_at(ports.pop(), "forwarder", node, program, **nothing_leaves)


TREE = [
    "/POST %2Ftrip/plan",
    "/POST %2Ftrip/plan/POST %2Fbookings",
    "/POST %2Ftrip/plan/POST %2Fbookings/run%2Fbook/confirm",
]


def paths(rows: list[RequestRecord]) -> list[str | None]:
    return [row.session_path for row in rows]


def names(rows: list[RequestRecord]) -> set[str | None]:
    return {row.session_name for row in rows}


def test_a_service_that_only_forwards_context_hands_the_session_on_in_the_baggage(
    services: Services,
) -> None:
    answer = services.trip(services.via_node(services.bookings()), in_baggage=True, in_block=True)
    assert answer["came_with"] == ["traceparent", "baggage"]
    assert answer["session_id"] != answer["trace_id"]
    rows = services.rows(answer["session_id"], 3)
    assert paths(rows) == [
        "/Trip/plan",
        "/Trip/plan/POST %2Fbookings",
        "/Trip/plan/POST %2Fbookings/run%2Fbook/confirm",
    ]
    assert names(rows) == {"Trip"}


def test_spaces_in_names_pass_through_a_service_that_only_forwards_context(
    services: Services,
) -> None:
    answer = services.trip(services.via_node(services.bookings()), in_baggage=True)
    rows = services.rows(answer["trace_id"], 3)
    assert paths(rows) == TREE
    assert names(rows) == {"POST /trip"}


def test_the_header_alone_hands_the_session_to_the_next_service_and_to_the_worker(
    services: Services,
) -> None:
    answer = services.trip(services.bookings())
    assert answer["came_with"] == ["traceparent", "helicone-session"]
    rows = services.rows(answer["trace_id"], 3)
    assert paths(rows) == TREE
    assert names(rows) == {"POST /trip"}


# Both came in, and say the same here. What goes on to the worker differs: the baggage still holds
# the path of the first service, and the header that of the second, from which the worker goes on.
def test_the_header_is_read_before_the_baggage(services: Services) -> None:
    answer = services.trip(services.bookings(), in_baggage=True)
    assert answer["came_with"] == ["traceparent", "baggage", "helicone-session"]
    rows = services.rows(answer["trace_id"], 3)
    assert paths(rows) == TREE
    assert names(rows) == {"POST /trip"}


# Node drops the header. From there on nothing but the trace is known of what came before: names and
# paths start anew, and the worker continues those of the service that gave it the job.
def test_traceparent_alone_is_one_session_id_with_names_and_paths_of_each_side(
    services: Services,
) -> None:
    answer = services.trip(services.via_node(services.bookings()))
    assert answer["came_with"] == ["traceparent"]
    assert answer["session_id"] == answer["trace_id"]
    rows = services.rows(answer["trace_id"], 3)
    assert [(row.session_name, row.session_path) for row in rows] == [
        ("POST /trip", "/POST %2Ftrip/plan"),
        ("POST /bookings", "/POST %2Fbookings"),
        ("POST /bookings", "/POST %2Fbookings/run%2Fbook/confirm"),
    ]


def test_a_service_in_another_language_begins_a_session_with_plain_baggage(
    services: Services,
) -> None:
    session_id = f"tour-{uuid.uuid4()}"
    asked = urlencode({"to": services.bookings(), "id": session_id})
    answer = services.post(f"{services.urls['forwarder']}/night-tour?{asked}")
    assert answer["came_with"] == ["traceparent", "baggage"]
    rows = services.rows(session_id, 2)
    assert paths(rows) == [
        "/Night tour/POST %2Fbookings",
        "/Night tour/POST %2Fbookings/run%2Fbook/confirm",
    ]
    assert names(rows) == {"Night tour"}


# The service in between is no part of the tree, and its own call is in no session.
def test_a_service_without_the_library_forwards_the_session_in_the_baggage(
    services: Services,
) -> None:
    answer = services.trip(services.bookings(library=False), in_baggage=True)
    rows = services.rows(answer["trace_id"], 2)
    assert paths(rows) == ["/POST %2Ftrip/plan", "/POST %2Ftrip/plan/run%2Fbook/confirm"]
    assert names(rows) == {"POST /trip"}


def test_a_service_without_the_library_forwards_the_session_id_with_the_trace(
    services: Services,
) -> None:
    answer = services.trip(services.bookings(library=False))
    rows = services.rows(answer["trace_id"], 2)
    assert [(row.session_name, row.session_path) for row in rows] == [
        ("POST /trip", "/POST %2Ftrip/plan"),
        ("run/book", "/run%2Fbook/confirm"),
    ]


def test_requests_at_the_same_time_are_sessions_of_their_own(services: Services) -> None:
    count = 8
    with ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(services.trip, [services.bookings()] * count))
    ids = {answer["trace_id"] for answer in answers}
    assert len(ids) == count
    for session_id in ids:
        rows = services.rows(session_id, 3)
        assert paths(rows) == TREE
        assert names(rows) == {"POST /trip"}
