"""Signal handlers, finalizers and forks in the middle of a hook: nothing waits for itself.

Each program runs in a process of its own until it was interrupted often enough. A hook that waits
for a lock of its own thread never ends; the time limit is there only for that.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals and forks of POSIX")

PROGRAM = """
import gc, json, os, signal, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind

import otel_helicone

MODE, ENOUGH = sys.argv[1], int(sys.argv[2])
KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.system": "openai"}


class Helicone(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    taken = 0

    def do_POST(self):
        log = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Helicone.taken += 1
        request_id = log["providerRequest"]["meta"]["Helicone-Request-Id"]
        head = f"HTTP/1.1 200 OK\\r\\nhelicone-id: {request_id}\\r\\nContent-Length: 2\\r\\n\\r\\n"
        self.wfile.write(head.encode() + b"ok")

    def log_message(self, *_):
        pass


provider = TracerProvider()
provider.add_span_processor(otel_helicone.HeliconeSpanProcessor())
if MODE == "export":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Helicone)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    exporter = otel_helicone.HeliconeSpanExporter(
        api_key=KEY, endpoint=f"http://127.0.0.1:{server.server_port}", timeout=60
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
tracer = provider.get_tracer("app")
paths = []


def answer(request):
    paths.append(request.headers["helicone-session-path"])
    return httpx2.Response(200, headers={"helicone-id": "x"})


client = httpx2.Client(
    transport=httpx2.MockTransport(answer), headers={"Helicone-Auth": f"Bearer {KEY}"}
)
calls = {"main": 0, "inside": 0}


def call(where):
    with tracer.start_as_current_span(where, attributes={"user.id": "u"}) as span:
        span.set_attribute("app.note", "x")
        if MODE == "export":
            tracer.start_span("chat m", kind=SpanKind.CLIENT, attributes=CHAT).end()
        else:
            client.post("https://oai.helicone.ai/v1/x")
    calls[where] += 1


inside = False


def interrupted(*_):
    global inside
    if not inside:
        inside = True
        try:
            call("inside")
        finally:
            inside = False
    if MODE != "finalizer":
        # Not at an interval: a handler that takes longer than that would leave no time between.
        signal.setitimer(signal.ITIMER_REAL, 0.001 + calls["inside"] % 7 * 0.0003)


class Finalized:
    def __del__(self):
        interrupted()


def fork():
    pid = os.fork()
    if pid == 0:
        signal.setitimer(signal.ITIMER_REAL, 0)
        call("main")
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


signal.signal(signal.SIGALRM, interrupted)
if MODE != "finalizer":
    signal.setitimer(signal.ITIMER_REAL, 0.002)
while calls["inside"] < ENOUGH:
    call("main")
    if MODE == "finalizer":
        cycle = Finalized()
        cycle.itself = cycle
        del cycle
        if calls["main"] % 7 == 0:
            gc.collect()
    if MODE == "fork" and calls["main"] % 50 == 0:
        fork()
signal.setitimer(signal.ITIMER_REAL, 0)
if MODE == "export":
    assert exporter.force_flush()
    print(json.dumps({"logged": Helicone.taken, "calls": sum(calls.values())}))
else:
    print(json.dumps({"paths": sorted(set(paths))}))
provider.shutdown()
"""


@pytest.mark.parametrize(
    ("mode", "times"), [("signal", 300), ("finalizer", 300), ("fork", 200), ("export", 100)]
)
def test_a_hook_that_is_interrupted_by_itself_never_waits(mode: str, times: int) -> None:
    import json

    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, mode, str(times)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "failed while" not in ended.stderr
    said = json.loads(ended.stdout.splitlines()[-1])
    if mode == "export":
        assert said["logged"] == said["calls"]
    else:
        # The span that is current in the handler is the one that it has interrupted.
        assert {*said["paths"]} <= {"/main", "/inside", "/main/inside"}
        assert mode == "finalizer" or "/main/inside" in said["paths"]


SHUTDOWN = """
import os, signal, sys, threading, time
from http.server import BaseHTTPRequestHandler, HTTPServer

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

import otel_helicone

asked = threading.Event()


class Silent(BaseHTTPRequestHandler):
    def do_POST(self):
        asked.set()
        threading.Event().wait()

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Silent)
threading.Thread(target=server.serve_forever, daemon=True).start()
exporter = otel_helicone.HeliconeSpanExporter(
    api_key="k", endpoint=f"http://127.0.0.1:{server.server_port}", timeout=600
)
provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(otel_helicone.HeliconeSpanProcessor())
provider.add_span_processor(SimpleSpanProcessor(exporter))
started = time.monotonic()


def stop(*_):
    exporter.shutdown(timeout_millis=500)
    print("shut down")
    sys.stdout.flush()
    os._exit(0)


signal.signal(signal.SIGTERM, stop)


def kill():
    asked.wait()
    os.kill(os.getpid(), signal.SIGTERM)


threading.Thread(target=kill, daemon=True).start()
attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.system": "x"}
provider.get_tracer("app").start_span("chat", attributes=attributes).end()
"""


def test_a_signal_handler_may_shut_the_exporter_down_that_it_has_interrupted() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SHUTDOWN], capture_output=True, text=True, timeout=240, check=False
    )
    assert ended.stdout == "shut down\n", ended.stderr
