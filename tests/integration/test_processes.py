"""Servers and workers of several processes: after a fork nothing hangs, is lost or is sent twice.

Each program makes the processor and the exporter where its kind of server has it: in the parent,
which then forks, or in each worker. What they sent is read back from a local Helicone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from otel_helicone.local.server import LocalHelicone
from tests.integration.conftest import require
from tests.ports import free_port

APPLICATION = '''
import os
import httpx2
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind
from otel_helicone import HeliconeSpanExporter, HeliconeSpanProcessor

HELICONE = os.environ["TEST_HELICONE"]
provider = TracerProvider()
provider.add_span_processor(HeliconeSpanProcessor(gateway_hosts=[HELICONE.removeprefix("http://")]))
exporter = HeliconeSpanExporter(endpoint=HELICONE, api_key=os.environ["TEST_KEY"])
provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=100))
tracer = provider.get_tracer("app")
AUTH = {"Helicone-Auth": "Bearer " + os.environ["TEST_KEY"]}
CALL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini"}


def handle(name):
    """Send one call through the gateway, and make the span of one that goes elsewhere."""
    message = {"role": "user", "content": name}
    body = {"model": "gpt-4o-mini", "messages": [message]}
    with tracer.start_as_current_span(f"handle {name}"):
        with tracer.start_as_current_span("ask"):
            # A client of its own: an open connection is not to be shared with a forked process.
            url = HELICONE + "/v1/chat/completions"
            httpx2.post(url, json=body, headers=AUTH, timeout=120).raise_for_status()
        with tracer.start_as_current_span("ask elsewhere"):
            tracer.start_span("chat gpt-4o-mini", kind=SpanKind.CLIENT, attributes=CALL).end()
    return str(os.getpid())


# Used before any fork, so that there is something to inherit: threads, sockets, a queue.
if os.environ.get("TEST_START"):
    handle("start")
    assert provider.force_flush()
'''

ASGI = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from application import handle


def ask(request):
    return PlainTextResponse(handle(request.path_params["name"]))


app = Starlette(routes=[Route("/{name}", ask)])
"""

CELERY = """
import os
from celery import Celery
from application import handle

folder = os.environ["TEST_FOLDER"]
app = Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": folder, "data_folder_out": folder, "control_folder": folder + "/control"
}
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_hijack_root_logger = False


@app.task
def ask(name):
    return handle(name)
"""

GEVENT = """
from gevent import monkey
monkey.patch_all()
import gevent
from application import handle, provider

greenlets = [gevent.spawn(handle, f"r{number}") for number in range(8)]
gevent.joinall(greenlets, raise_error=True)
provider.shutdown()
"""

MULTIPROCESSING = """
import multiprocessing, sys
from application import handle, provider


def work(name):
    handle(name)
    assert provider.force_flush()  # a child process ends without its atexit functions


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    handle("r0")
    children = [context.Process(target=work, args=(f"r{number}",)) for number in (1, 2)]
    for child in children:
        child.start()
    handle("r3")
    for child in children:
        child.join(30)
        assert child.exitcode == 0, child.exitcode
    provider.shutdown()
"""

FORK_DURING_AN_IMPORT = """
import importlib.abc, os, sys, threading, time

importing = threading.Event()


class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "anyio._backends._asyncio":
            importing.set()
            time.sleep(0.5)


sys.meta_path.insert(0, Slow())
from application import handle, provider

handle("r1")
importing.wait(5)  # by the exporter's thread, for its first post
pid = os.fork()
if not pid:
    handle("r2")
    provider.force_flush(5000)
    os._exit(0)
handle("r3")
assert os.waitpid(pid, 0)[1] == 0
provider.shutdown()
"""

FORK_IN_A_SPAN = """
import os
from application import handle, provider, tracer

with tracer.start_as_current_span("job"):
    pid = os.fork()
    if not pid:
        handle("r1")
        provider.shutdown()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    handle("r2")
provider.shutdown()
"""


@dataclass
class Helicone:
    """A local Helicone, and the folder and environment of a program that sends to it."""

    local: LocalHelicone
    folder: Path

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **os.environ,
            "TEST_HELICONE": self.local.url,
            "TEST_KEY": "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd",
            "PYTHONPATH": str(self.folder),
            "PYTHONFAULTHANDLER": "1",
            **more,
        }

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, *arguments]

    def run(self, program: str, *arguments: str, **environment: str) -> None:
        """Run a program to its end."""
        (self.folder / "program.py").write_text(program, "utf-8")
        subprocess.run(
            self.command("program.py", *arguments),
            cwd=self.folder,
            env=self.environment(**environment),
            check=True,
            timeout=120,
        )

    @contextmanager
    def running(self, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a server in a process group of its own, and end it as an operator would."""
        process = subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(**environment),
            start_new_session=True,
        )
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=120)  # nothing hangs at the end either
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(timeout=60)

    def wait_for_rows(self, count: int) -> None:
        deadline = time.monotonic() + 120
        while len(self.local.store.requests()) < count and time.monotonic() < deadline:
            time.sleep(0.05)

    def rows(self) -> Counter[tuple[str | None, str | None, bool]]:
        """Count what is stored by name, path, and whether it was logged from a span."""
        self.local.settle()
        return Counter(
            (row.session_name, row.session_path, "/log" in row.target_path)
            for row in self.local.store.requests()
        )

    def check_sessions(self) -> None:
        """Each name is one session, which holds the call and the log."""
        ids: dict[str | None, set[str | None]] = {}
        for row in self.local.store.requests():
            ids.setdefault(row.session_name, set()).add(row.session_id)
        assert all(len(found) == 1 for found in ids.values()), ids
        assert len(set.union(*ids.values())) == len(ids)


def both(*names: str) -> Counter[tuple[str | None, str | None, bool]]:
    """Give the rows of each name, the call and the log, each once."""
    return Counter(
        (f"handle {name}", f"/handle {name}/{step}", logged)
        for name in names
        for step, logged in (("ask", False), ("ask elsewhere", True))
    )


@pytest.fixture
def helicone(tmp_path: Path) -> Iterator[Helicone]:
    (tmp_path / "application.py").write_text(APPLICATION, "utf-8")
    (tmp_path / "server.py").write_text(ASGI, "utf-8")
    (tmp_path / "tasks.py").write_text(CELERY, "utf-8")
    with LocalHelicone(tmp_path / "requests.db", latency=0) as local:
        yield Helicone(local, tmp_path)


@pytest.fixture
def port() -> int:
    return free_port()


def ask_until_two_have_answered(port: int, process: subprocess.Popen[bytes]) -> list[str]:
    """Send requests until each of the two workers has answered some; give their names."""
    names: list[str] = []
    workers: set[str] = set()
    deadline = time.monotonic() + 120
    while (len(workers) < 2 or len(names) < 10) and time.monotonic() < deadline:
        assert process.poll() is None, "the server ended by itself"
        name = f"r{len(names)}"
        try:
            # Each on a connection of its own, for whichever worker takes it.
            answer = httpx2.get(f"http://127.0.0.1:{port}/{name}", timeout=120)
        except httpx2.ConnectError:
            time.sleep(0.1)
            continue
        assert answer.status_code == 200, answer.text
        names.append(name)
        workers.add(answer.text)
    assert len(workers) == 2, workers
    return names


@pytest.mark.parametrize("preload", [True, False], ids=["preload", "no preload"])
def test_gunicorn(helicone: Helicone, port: int, preload: bool) -> None:
    require("gunicorn")
    require("uvicorn_worker")
    options = ["-k", "uvicorn_worker.UvicornWorker", "-w", "2", "-b", f"127.0.0.1:{port}"]
    preloading = ["--preload"] if preload else []
    command = ["-m", "gunicorn", *options, *preloading, "--no-control-socket", "server:app"]
    with helicone.running(*command, TEST_START="1" if preload else "") as process:
        names = ask_until_two_have_answered(port, process)
        expected = both(*names, *(["start"] if preload else []))
        helicone.wait_for_rows(expected.total())
    assert helicone.rows() == expected
    helicone.check_sessions()


def test_uvicorn_workers(helicone: Helicone, port: int) -> None:
    command = ["-m", "uvicorn", "server:app", "--workers", "2", "--port", str(port)]
    with helicone.running(*command) as process:
        names = ask_until_two_have_answered(port, process)
        helicone.wait_for_rows(2 * len(names))
    assert helicone.rows() == both(*names)
    helicone.check_sessions()


def test_celery_prefork(helicone: Helicone, monkeypatch: pytest.MonkeyPatch) -> None:
    require("celery")
    broker = helicone.folder / "broker"
    (broker / "control").mkdir(parents=True)
    options = ["--pool", "prefork", "-c", "2", "--without-gossip", "--without-mingle"]
    command = ["-m", "celery", "-A", "tasks", "worker", *options, "--without-heartbeat"]
    names = [f"r{number}" for number in range(6)]
    with helicone.running(*command, TEST_FOLDER=str(broker), TEST_START="1"):
        send = f"from tasks import ask\nfor name in {names!r}: ask.delay(name)"
        (helicone.folder / "send.py").write_text(send, "utf-8")
        subprocess.run(
            helicone.command("send.py"),
            cwd=helicone.folder,
            env=helicone.environment(TEST_FOLDER=str(broker)),
            check=True,
            timeout=120,
        )
        expected = both("start", *names)
        helicone.wait_for_rows(expected.total())
    assert helicone.rows() == expected
    helicone.check_sessions()


def test_a_program_that_gevent_has_patched(helicone: Helicone) -> None:
    require("gevent")
    helicone.run(GEVENT)
    assert helicone.rows() == both(*(f"r{number}" for number in range(8)))
    helicone.check_sessions()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(helicone: Helicone, method: str) -> None:
    helicone.run(MULTIPROCESSING, method)
    assert helicone.rows() == both("r0", "r1", "r2", "r3")
    helicone.check_sessions()


def test_a_fork_inside_of_a_span_stays_in_its_session(helicone: Helicone) -> None:
    helicone.run(FORK_IN_A_SPAN, TEST_START="1")
    expected = both("start")
    for name in ("r1", "r2"):
        expected["job", f"/job/handle {name}/ask", False] += 1
        expected["job", f"/job/handle {name}/ask elsewhere", True] += 1
    assert helicone.rows() == expected
    helicone.check_sessions()


# In a forked process the lock of a module that another thread was importing is held for good. The
# exporter's thread imports what anyio loads at the first connection.
def test_a_fork_during_the_first_export(helicone: Helicone) -> None:
    environment = {"HELICONE_TIMEOUT": "3"}
    helicone.run(FORK_DURING_AN_IMPORT, **environment)
    assert helicone.rows() == both("r1", "r2", "r3")
