"""``otel-helicone run`` in a fresh environment: servers, modules, crashes and signals.

There is no distribution of OpenTelemetry and no instrumentation: what a user has who has installed
this library, OpenAI's client, and a web framework.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import httpx2
import pytest

from otel_helicone.local.storage.store import Store
from tests.integration.conftest import missing

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("openai", "fastapi", "uvicorn", "uvicorn-worker", "gunicorn", "pytest")
BIN: Final = "Scripts" if os.name == "nt" else "bin"

CALL: Final = 'client.chat.completions.create(model="gpt-4o-mini", messages=[])'
FILES: Final = {
    "shop.py": f"import openai\nclient = openai.OpenAI()\n{CALL}\nprint('done')\n",
    "crash.py": f"import openai\nclient = openai.OpenAI()\n{CALL}\n1 / 0\n",
    "waiting.py": f"""
import openai, signal, sys, time
client = openai.OpenAI()
{CALL}
print("ready", flush=True)
time.sleep(600)
""",
    "threads.py": f"""
import threading
import openai
client = openai.OpenAI()
thread = threading.Thread(target=lambda: {CALL})
thread.start()
thread.join()
""",
    "app.py": f"""
import os
import fastapi
import openai
from opentelemetry import trace

app = fastapi.FastAPI()
client = openai.OpenAI()
tracer = trace.get_tracer("app")

@app.get("/ask")
def ask() -> int:
    with tracer.start_as_current_span("answer"):
        {CALL}
    return os.getpid()
""",
    "test_shop.py": f"import openai\ndef test_it():\n    client = openai.OpenAI()\n    {CALL}\n",
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("environment")
    pins = (ROOT / "requirements" / "integration.txt").read_text("utf-8")
    constraints = folder / "constraints.txt"
    # Without the hashes, which would be asked of the checkout too.
    constraints.write_text("\n".join(re.findall(r"^\w\S*==\S+", pins, re.MULTILINE)), "utf-8")
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    installed = subprocess.run(
        [
            *(str(venv / BIN / "python"), "-m", "pip", "install", "--quiet"),
            *("--disable-pip-version-check", "-c", str(constraints), f"{ROOT}[local]", *PACKAGES),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode:
        missing(f"what a fresh environment needs ({installed.stderr[-2000:]})")
    return venv


class Runner:
    """Runs programs in a folder, each with a local Helicone of its own."""

    def __init__(self, environment: Path, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder / "requests.db")
        self._command = str(environment / BIN / "otel-helicone")
        for name, text in FILES.items():
            (folder / name).write_text(text, "utf-8")
        self._environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HELICONE_", "OTEL_", "OPENAI_", "PYTHON", "VIRTUAL_ENV"))
        }

    def start(self, *program: str) -> subprocess.Popen[str]:
        server = ("--port", "0", "--latency", "0", "--store", str(self.store.path))
        return subprocess.Popen(
            [self._command, "run", *server, *program],
            cwd=self.folder,
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *program: str) -> tuple[int, str, str]:
        process = self.start(*program)
        out, errors = process.communicate(timeout=120)
        return process.returncode, out, errors

    def sessions(self) -> list[tuple[str, int]]:
        return [(one.session_name, one.requests) for one in self.store.sessions()]


@pytest.fixture
def runner(environment: Path, tmp_path: Path) -> Runner:
    return Runner(environment, tmp_path)


def answers(url: str, process: subprocess.Popen[str]) -> httpx2.Response:
    while True:
        assert process.poll() is None, process.communicate()
        try:
            return httpx2.get(url, trust_env=False, timeout=60)
        except httpx2.TransportError:
            time.sleep(0.05)


def test_a_script_is_one_session(runner: Runner) -> None:
    code, out, errors = runner.run("shop.py")
    assert (code, out) == (0, "done\n"), errors
    assert runner.sessions() == [("shop.py", 1)]
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("program", "name"),
    [
        (("-m", "shop"), "shop"),
        (("python", "shop.py"), "shop.py"),
        (("python", "-m", "shop"), "shop"),
        (("threads.py",), "threads.py"),
        (("pytest", "-q", "test_shop.py"), "pytest"),
        (("--", "shop.py"), "shop.py"),
    ],
)
def test_modules_threads_and_tests_are_one_session_each(
    runner: Runner, program: tuple[str, ...], name: str
) -> None:
    code, _, errors = runner.run(*program)
    assert code == 0, errors
    assert runner.sessions() == [(name, 1)]


def test_a_crash_shows_its_traceback_its_session_and_its_status(runner: Runner) -> None:
    code, _, errors = runner.run("crash.py")
    assert code == 1
    assert "ZeroDivisionError" in errors
    assert "The program's exit status is 1." in errors
    assert runner.sessions() == [("crash.py", 1)]


@pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")
@pytest.mark.parametrize("to_all", [True, False], ids=["from a terminal", "to the run alone"])
def test_ctrl_c_ends_the_program_and_shows_its_session(runner: Runner, to_all: bool) -> None:
    process = runner.start("waiting.py")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    # Without a terminal nothing else sends it to the program: the run passes it on.
    process.send_signal(signal.SIGINT)
    if to_all:
        os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.count("Traceback") <= 2  # the program's own
    assert "waiting.py" in errors
    assert runner.sessions() == [("waiting.py", 1)]


@pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")
@pytest.mark.parametrize(
    ("server", "workers"),
    [
        ("uvicorn --port {port} app:app", 1),
        ("gunicorn -w 2 -b 127.0.0.1:{port} -k uvicorn_worker.UvicornWorker app:app", 2),
    ],
    ids=["uvicorn", "gunicorn"],
)
def test_servers_show_the_sessions_of_all_their_processes(
    runner: Runner, free_port: int, server: str, workers: int
) -> None:
    process = runner.start(*server.format(port=free_port).split())
    calls, seen = 0, set[str]()
    while len(seen) < workers or calls < 7:
        seen.add(answers(f"http://127.0.0.1:{free_port}/ask", process).text)
        calls += 1
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    # uvicorn raises the signal again once it has shut down; gunicorn ends with 0.
    assert process.returncode in (0, 128 + signal.SIGTERM), errors
    rows = runner.store.requests()
    assert len(rows) == len({row.session_id for row in rows}) == calls
    assert all(str(row.session_path).endswith("/answer") for row in rows)
    assert errors.count("└─ answer") == 5
    assert f"and {calls - 5} more sessions: `otel-helicone sessions`" in errors


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
