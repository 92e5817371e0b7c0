"""Functions, jobs and workers: what a process has done is logged before it is frozen or gone.

The programs export once an hour by themselves, so that what arrives was sent by a flush: by that
of an instrumentation, of the library at the end of a worker, or of the program.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import httpx2
import pytest

from otel_helicone.local.server import LocalHelicone
from tests.integration.conftest import require

KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
WAYS = ["setup", "own processors", "no code"]
# What takes longer hangs, on however slow a machine.
SECONDS_TO_HANG = 300
# Those of other tests; opentelemetry-instrument would import what each of them instruments.
UNUSED = {
    entry.name
    for entry in entry_points(group="opentelemetry_instrumentor")
    if entry.name not in ("aws-lambda", "helicone")
}

APPLICATION = '''
import json, os
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

import otel_helicone
from otel_helicone import HeliconeSpanExporter, HeliconeSpanProcessor

if os.environ["TEST_WAY"] == "setup":
    helicone = otel_helicone.setup(export=True)
elif os.environ["TEST_WAY"] == "own processors":
    provider = TracerProvider()
    provider.add_span_processor(HeliconeSpanProcessor())
    provider.add_span_processor(BatchSpanProcessor(HeliconeSpanExporter()))
    trace.set_tracer_provider(provider)

tracer = trace.get_tracer("app")
CALL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini"}
MESSAGES = [{"role": "user", "parts": [{"type": "text", "content": "Hello"}]}]


def ask(attributes):
    tracer.start_span("chat gpt-4o-mini", kind=SpanKind.CLIENT, attributes=attributes).end()


def handle(name):
    """Make the spans of two calls, one of them without its content."""
    with tracer.start_as_current_span(f"handle {name}"):
        ask({**CALL, "gen_ai.input.messages": json.dumps(MESSAGES)})
        with tracer.start_as_current_span("and again"):
            ask(CALL)
'''


def both(*names: str) -> Counter[tuple[str | None, str | None]]:
    """Give the rows of each name, those of both its calls, each once."""
    return Counter(
        (f"handle {name}", f"/handle {name}{step}") for name in names for step in ("", "/and again")
    )


@dataclass
class Jobs:
    """A local Helicone, and programs in a folder with the application."""

    local: LocalHelicone
    folder: Path

    def environment(self, way: str, **more: str) -> dict[str, str]:
        return {
            **os.environ,
            "HELICONE_API_KEY": KEY,
            "HELICONE_ENDPOINT": self.local.url,
            "OTEL_BSP_SCHEDULE_DELAY": "3600000",
            "OTEL_TRACES_EXPORTER": "helicone",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ",".join(sorted(UNUSED)),
            "PYTHONPATH": str(self.folder),
            "PYTHONFAULTHANDLER": "1",
            "TEST_FOLDER": str(self.folder),
            "TEST_WAY": way,
            **more,
        }

    def write(self, **modules: str) -> None:
        for name, text in modules.items():
            (self.folder / f"{name}.py").write_text(text, "utf-8")

    @contextmanager
    def running(
        self, *arguments: str, way: str = "setup", **environment: str
    ) -> Iterator[subprocess.Popen[str]]:
        """Run a program, in a process group of its own, that is killed at the end."""
        command = [sys.executable, *arguments]
        if way == "no code":
            command.insert(0, str(Path(sys.executable).with_name("opentelemetry-instrument")))
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment(way, **environment),
            start_new_session=True,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.communicate(timeout=30)

    def run(
        self, program: str, *arguments: str, way: str = "setup", code: int = 0, **environment: str
    ) -> str:
        """Run a program to its end, and give what it wrote to stderr."""
        self.write(program=program)
        with self.running("program.py", *arguments, way=way, **environment) as process:
            _, said = process.communicate(timeout=SECONDS_TO_HANG)
            assert process.returncode == code, said
            assert "otel-helicone failed" not in said, said
        return said

    def wait_for_rows(self, count: int) -> None:
        deadline = time.monotonic() + SECONDS_TO_HANG
        while len(self.local.store.requests()) < count and time.monotonic() < deadline:
            time.sleep(0.05)

    def rows(self) -> Counter[tuple[str | None, str | None]]:
        self.local.settle()
        return Counter((row.session_name, row.session_path) for row in self.local.store.requests())


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    with LocalHelicone(tmp_path / "requests.db", latency=0, api_keys=[KEY]) as local:
        made = Jobs(local, tmp_path)
        made.write(application=APPLICATION)
        yield made


@pytest.fixture
def deaf() -> Iterator[str]:
    """Give the URL of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


# --- scripts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "end", "code"),
    [
        ("setup", "", 0),
        ("own processors", "import sys; sys.exit(3)", 3),
        ("no code", "raise ValueError", 1),
    ],
    ids=WAYS,
)
def test_a_script_that_ends_has_sent_everything(jobs: Jobs, way: str, end: str, code: int) -> None:
    jobs.run(f"from application import handle\nhandle('r1')\n{end}", way=way, code=code)
    assert jobs.rows() == both("r1")


TERMINATED = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
from application import handle
handle("r1")
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_sigterm_loses_nothing_where_it_ends_the_script_in_order(jobs: Jobs) -> None:
    jobs.run(TERMINATED)
    assert jobs.rows() == both("r1")


FLUSHED = """
import os, sys
from opentelemetry import trace
from application import handle

handle("r1")
trace.get_tracer_provider().force_flush()
handle("lost")
"""


@pytest.mark.parametrize(
    ("way", "end"),
    [
        ("setup", "os._exit(0)"),
        ("own processors", "os.execv('/bin/true', ['true'])"),
        ("no code", "pid = os.fork()\nif pid: os.waitpid(pid, 0)\nhandle('lost'); os._exit(0)"),
    ],
    ids=["os._exit", "os.exec", "fork"],
)
def test_an_end_without_notice_loses_only_what_was_not_flushed(
    jobs: Jobs, way: str, end: str
) -> None:
    jobs.run(FLUSHED + end, way=way)
    assert jobs.rows() == both("r1")


# --- workers of multiprocessing -------------------------------------------------------------------

PROCESSES = """
import multiprocessing, sys
from application import handle

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    handle("r0")
    workers = [context.Process(target=handle, args=(f"r{number}",)) for number in (1, 2)]
    for worker in workers:
        worker.start()
    handle("r3")
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0, worker.exitcode
"""

EXECUTOR = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from application import handle

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        list(executor.map(handle, ["r0", "r1", "r2", "r3"]))
"""

POOL = """
import multiprocessing, sys
from application import handle

if __name__ == "__main__":
    pool = multiprocessing.get_context(sys.argv[1]).Pool(2)
    pool.map(handle, ["r0", "r1", "r2", "r3"])
    pool.close()  # leaving a `with` block would terminate the workers
    pool.join()
"""


@pytest.mark.parametrize(
    ("program", "method", "way"),
    [
        pytest.param(program, method, way, id=f"{name}-{method}-{way}")
        for name, program, method, way in (
            ("Process", PROCESSES, "fork", "setup"),
            ("Process", PROCESSES, "forkserver", "setup"),
            ("Process", PROCESSES, "spawn", "setup"),
            ("Process", PROCESSES, "fork", "own processors"),
            ("Process", PROCESSES, "fork", "no code"),
            ("Process", PROCESSES, "forkserver", "no code"),
            ("Process", PROCESSES, "spawn", "no code"),
            ("ProcessPoolExecutor", EXECUTOR, "fork", "setup"),
            ("ProcessPoolExecutor", EXECUTOR, "spawn", "own processors"),
            ("Pool", POOL, "fork", "setup"),
            ("Pool", POOL, "forkserver", "own processors"),
        )
    ],
)
def test_workers_of_multiprocessing_lose_nothing(
    jobs: Jobs, program: str, method: str, way: str
) -> None:
    jobs.run(program, method, way=way)
    assert jobs.rows() == both("r0", "r1", "r2", "r3")


FAILING = """
import multiprocessing, sys

def work(end):
    from application import handle  # the exporter is made in the worker
    handle(end)
    if end == "exception":
        raise ValueError
    sys.exit(3)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    for end, code in (("exception", 1), ("sys.exit", 3)):
        worker = context.Process(target=work, args=(end,))
        worker.start()
        worker.join()
        assert worker.exitcode == code, worker.exitcode
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_workers_that_set_up_themselves_and_fail_lose_nothing(jobs: Jobs, method: str) -> None:
    jobs.run(FAILING, method)
    assert jobs.rows() == both("exception", "sys.exit")


WORKERS_OF_WORKERS = """
import multiprocessing
from application import handle

context = multiprocessing.get_context("fork")

def work(depth):
    handle(f"r{depth}")
    if depth:
        worker = context.Process(target=work, args=(depth - 1,))
        worker.start()
        worker.join()

if __name__ == "__main__":
    work(2)
"""


def test_workers_of_workers_lose_nothing(jobs: Jobs) -> None:
    jobs.run(WORKERS_OF_WORKERS)
    assert jobs.rows() == both("r2", "r1", "r0")


NOT_GLOBAL = """
import multiprocessing
import otel_helicone
from opentelemetry.sdk.trace import TracerProvider
import application

provider = TracerProvider()
otel_helicone.setup(export=True, tracer_provider=provider)
application.tracer = provider.get_tracer("app")
worker = multiprocessing.get_context("fork").Process(target=application.handle, args=("r1",))
worker.start()
worker.join()
"""


def test_a_provider_that_setup_was_given_is_flushed_too(jobs: Jobs) -> None:
    jobs.run(NOT_GLOBAL, way="neither")
    assert jobs.rows() == both("r1")


BESIDE_OTHERS = """
import multiprocessing, os
from opentelemetry import trace
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from application import handle

class Other(SpanExporter):
    def export(self, spans):
        os._exit(7)

trace.get_tracer_provider().add_span_processor(BatchSpanProcessor(Other()))
worker = multiprocessing.get_context("fork").Process(target=handle, args=("r1",))
worker.start()
worker.join()
os._exit(worker.exitcode)
"""


def test_exporters_of_others_are_left_alone(jobs: Jobs) -> None:
    jobs.run(BESIDE_OTHERS)
    assert jobs.rows() == both("r1")


WITHOUT_AN_ANSWER = """
import multiprocessing, os
from application import handle

workers = [multiprocessing.get_context("fork").Process(target=handle, args=("r",)) for _ in "12"]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
    assert worker.exitcode == 0, worker.exitcode
os._exit(0)
"""


def test_a_worker_ends_though_helicone_does_not_answer(jobs: Jobs, deaf: str) -> None:
    jobs.run(WITHOUT_AN_ANSWER, HELICONE_ENDPOINT=deaf, HELICONE_TIMEOUT="0.5")


# --- servers that are stopped ---------------------------------------------------------------------

WSGI = """
from application import handle


def app(environ, start_response):
    handle(environ["PATH_INFO"].strip("/"))
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""

ASGI = """
import asyncio
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from application import handle, helicone


def ask(request):
    handle(request.path_params["name"])
    return PlainTextResponse("ok")


@asynccontextmanager
async def lifespan(app):
    yield
    await asyncio.to_thread(helicone.force_flush)


app = Starlette(routes=[Route("/{name}", ask)], lifespan=lifespan)
"""


@pytest.mark.parametrize(
    ("program", "command"),
    [
        (WSGI, "gunicorn -b 127.0.0.1:PORT program:app"),
        (ASGI, "uvicorn program:app --port PORT"),
        (ASGI, "gunicorn -k uvicorn_worker.UvicornWorker -b 127.0.0.1:PORT program:app"),
    ],
    ids=["gunicorn", "uvicorn", "gunicorn with uvicorn's worker"],
)
def test_a_server_that_is_stopped_loses_nothing(jobs: Jobs, program: str, command: str) -> None:
    require("gunicorn")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    jobs.write(program=program)
    quiet = {"GUNICORN_CMD_ARGS": "--no-control-socket"}
    with jobs.running("-m", *command.replace("PORT", port).split(), **quiet) as process:
        while True:
            assert process.poll() is None, "the server ended by itself"
            try:
                httpx2.get(f"http://127.0.0.1:{port}/r1", timeout=SECONDS_TO_HANG)
                break
            except httpx2.ConnectError:
                time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=SECONDS_TO_HANG)
    assert jobs.rows() == both("r1")


# --- Celery ---------------------------------------------------------------------------------------

TASKS = """
import os
from pathlib import Path
from celery import Celery

if os.environ.get("TEST_LATE"):
    from celery.signals import worker_process_init

    @worker_process_init.connect
    def begin(**_):
        import application
else:
    import application

folder = Path(os.environ["TEST_FOLDER"], "broker")
app = Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": str(folder), "data_folder_out": str(folder),
    "control_folder": str(folder / "control"),
}
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_hijack_root_logger = False


@app.task
def ask(name):
    from application import handle
    handle(name)
    (folder.parent / f"done-{name}").touch()
"""

SEND = """
from tasks import ask
for number in range(4):
    ask.delay(f"r{number}")
"""


@contextmanager
def celery_worker(
    jobs: Jobs, *options: str, way: str = "setup", **more: str
) -> Iterator[subprocess.Popen[str]]:
    """Run a worker of Celery that has done four tasks."""
    require("celery")
    (jobs.folder / "broker" / "control").mkdir(parents=True)
    jobs.write(tasks=TASKS, send=SEND)
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    command = ["-m", "celery", "-A", "tasks", "worker", *quiet, *options]
    with jobs.running(*command, way=way, **more) as process:
        subprocess.run(
            [sys.executable, "send.py"],
            cwd=jobs.folder,
            env=jobs.environment("neither"),
            check=True,
            timeout=SECONDS_TO_HANG,
        )
        done = [jobs.folder / f"done-r{number}" for number in range(4)]
        while not all(file.exists() for file in done):
            assert process.poll() is None, "the worker ended by itself"
            time.sleep(0.05)
        yield process


@pytest.mark.parametrize(
    ("pool", "way", "late"),
    [
        ("prefork", "setup", ""),
        ("prefork", "own processors", "late"),
        ("prefork", "no code", ""),
        ("threads", "setup", ""),
        ("solo", "setup", ""),
    ],
)
def test_a_worker_of_celery_that_is_stopped_loses_nothing(
    jobs: Jobs, pool: str, way: str, late: str
) -> None:
    options = ["--pool", pool, "-c", "2"]
    with celery_worker(jobs, *options, way=way, TEST_LATE=late) as process:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=SECONDS_TO_HANG)
    assert jobs.rows() == both("r0", "r1", "r2", "r3")


def test_a_process_of_celery_that_has_done_its_tasks_loses_nothing(jobs: Jobs) -> None:
    options = ["--pool", "prefork", "-c", "2", "--max-tasks-per-child", "1"]
    with celery_worker(jobs, *options):
        jobs.wait_for_rows(8)
    assert jobs.rows() == both("r0", "r1", "r2", "r3")


# --- AWS Lambda -----------------------------------------------------------------------------------

FUNCTION = """
from application import handle


def handler(event, context):
    handle(event["name"])
    if event["name"] == "failing":
        raise ValueError
    return {"statusCode": 200}
"""

# As the function's code does it, and as OpenTelemetry's layer for Python does, which makes the
# provider before it imports the function.
INSTRUMENTED = """
from opentelemetry.instrumentation.aws_lambda import AwsLambdaInstrumentor
AwsLambdaInstrumentor().instrument()
"""
LAYER = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.instrumentation.aws_lambda import AwsLambdaInstrumentor
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(InMemorySpanExporter()))
trace.set_tracer_provider(provider)
AwsLambdaInstrumentor().instrument()
"""

# Lambda's runtime: it freezes the environment as soon as the handler has returned.
RUNTIME = """
import os, signal
import function


class Context:
    function_name = "weather"
    aws_request_id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:weather"


for name in ("first", "failing", "second"):
    try:
        function.handler({"name": name}, Context())
    except ValueError:
        pass
    os.kill(os.getpid(), signal.SIGSTOP)
"""


def wait_until_frozen(process: subprocess.Popen[str]) -> None:
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), status


def in_function(*names: str) -> Counter[tuple[str | None, str | None]]:
    """Give the rows of some invocations: the root is the span of the function."""
    return Counter(
        ("weather", f"/weather/handle {name}{step}")
        for name in names
        for step in ("", "/and again")
    )


@pytest.mark.parametrize(
    ("way", "begin"),
    [
        ("setup", INSTRUMENTED),
        ("setup", LAYER),
        ("own processors", INSTRUMENTED),
        ("no code", ""),
    ],
    ids=["setup", "layer", "own processors", "no code"],
)
def test_a_function_has_sent_everything_when_it_is_frozen(jobs: Jobs, way: str, begin: str) -> None:
    require("opentelemetry.instrumentation.aws_lambda")
    jobs.write(function=FUNCTION, program=begin + RUNTIME)
    lambdas = {"AWS_LAMBDA_FUNCTION_NAME": "weather", "_HANDLER": "function.handler"}
    with jobs.running("program.py", way=way, **lambdas) as process:
        wait_until_frozen(process)
        assert jobs.rows() == in_function("first")
        process.send_signal(signal.SIGCONT)
        wait_until_frozen(process)
        assert jobs.rows() == in_function("first", "failing")
        process.send_signal(signal.SIGCONT)
        wait_until_frozen(process)
        assert jobs.rows() == in_function("first", "failing", "second")


def test_a_function_returns_though_helicone_does_not_answer(jobs: Jobs, deaf: str) -> None:
    require("opentelemetry.instrumentation.aws_lambda")
    jobs.write(function=FUNCTION, program=INSTRUMENTED + RUNTIME)
    lambdas = {"AWS_LAMBDA_FUNCTION_NAME": "weather", "_HANDLER": "function.handler"}
    unanswered = {"HELICONE_ENDPOINT": deaf, "HELICONE_TIMEOUT": "0.5"}
    with jobs.running("program.py", **lambdas, **unanswered) as process:
        wait_until_frozen(process)


# --- frozen between requests ----------------------------------------------------------------------

FROZEN = """
import os, signal
from application import handle, helicone, tracer

with tracer.start_as_current_span("request"):
    handle("r1")
    helicone.force_flush()
    os.kill(os.getpid(), signal.SIGSTOP)  # while the root is open, and nothing of it has come
"""


def test_a_flush_before_the_answer_sends_the_calls_of_a_request(jobs: Jobs) -> None:
    jobs.write(program=FROZEN)
    with jobs.running("program.py") as process:
        wait_until_frozen(process)
        assert sum(jobs.rows().values()) == 2
