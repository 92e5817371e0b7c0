"""The end of a worker process: flushed by the library, which imports nothing for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from otel_helicone.local.server import LocalHelicone

KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"

BEGIN = """
import sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
import otel_helicone

CALL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini"}


def set_up(way):
    if way == "setup":
        otel_helicone.setup(export=True)
        return
    provider = TracerProvider()
    provider.add_span_processor(otel_helicone.HeliconeSpanProcessor())
    provider.add_span_processor(BatchSpanProcessor(otel_helicone.HeliconeSpanExporter()))
    trace.set_tracer_provider(provider)


def handle():
    with trace.get_tracer("app").start_as_current_span("job", attributes={"number": 1}):
        trace.get_tracer("app").start_span("chat gpt-4o-mini", attributes=CALL).end()
"""

NOTHING_IMPORTED = """
set_up(sys.argv[1])
handle()
trace.get_tracer_provider().force_flush()
assert not {"multiprocessing", "multiprocessing.util", "celery", "billiard"} & set(sys.modules)
"""

IMPORTED_LATER = """
set_up(sys.argv[1])
import multiprocessing

worker = multiprocessing.get_context("fork").Process(target=handle)
worker.start()
worker.join()
assert worker.exitcode == 0, worker.exitcode
"""


def run(helicone: LocalHelicone, program: str, way: str) -> None:
    environment = {
        **os.environ,
        "HELICONE_API_KEY": KEY,
        "HELICONE_ENDPOINT": helicone.url,
        "OTEL_BSP_SCHEDULE_DELAY": "3600000",
    }
    command = [sys.executable, "-c", BEGIN + program, way]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "otel-helicone" not in ended.stderr
    helicone.settle()
    assert [row.session_path for row in helicone.store.requests()] == ["/job"]


@pytest.mark.parametrize("way", ["setup", "own processors"])
def test_an_application_without_workers_imports_nothing_for_them(tmp_path: Path, way: str) -> None:
    with LocalHelicone(tmp_path / "requests.db", latency=0, api_keys=[KEY]) as helicone:
        run(helicone, NOTHING_IMPORTED, way)


# The SDK's private names that tell the processors of a provider are there in every version.
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("way", ["setup", "own processors"])
def test_a_forked_worker_sends_what_it_has_not_sent(tmp_path: Path, way: str) -> None:
    with LocalHelicone(tmp_path / "requests.db", latency=0, api_keys=[KEY]) as helicone:
        run(helicone, IMPORTED_LATER, way)
