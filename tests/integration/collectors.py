"""The real OpenTelemetry Collector, and a Kafka broker in memory, as processes of a test.

`scripts/collector` builds both.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2

from tests.integration.conftest import missing
from tests.ports import free_port as free_port

REPOSITORY = Path(__file__).parents[2]
CONFIGURATIONS = REPOSITORY / "examples" / "collector"
# The Collector tells nobody about its own work but whoever asks; by the names its documents use.
OWN_METRICS = """yaml:service:
  telemetry:
    metrics:
      readers:
        - pull:
            exporter:
              prometheus:
                host: 127.0.0.1
                port: {port}
                without_type_suffix: true
                without_units: true
                without_scope_info: true
"""
SAMPLE = re.compile(r"^(?P<name>\w+)(?:\{.*\})? (?P<value>\S+)$")


def find_collector() -> Path:
    """Give the Collector that `scripts/collector` built, or that OTEL_HELICONE_COLLECTOR names."""
    named = os.environ.get("OTEL_HELICONE_COLLECTOR")
    if named:
        return Path(named)
    built = list((REPOSITORY / ".venvs").glob("collector-*/otelcol"))
    if not built:
        missing("the OpenTelemetry Collector (scripts/collector)")
    return max(built, key=lambda path: path.stat().st_mtime)


def find_kafka() -> Path:
    """Give the Kafka broker, which is built beside the Collector."""
    broker = find_collector().with_name("kafka")
    if not broker.exists():
        missing("the Kafka broker (scripts/collector)")
    return broker


class Process:
    """A program that runs until it is stopped, and can be started again."""

    def __init__(
        self, command: list[str], directory: Path, name: str, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self._command = command
        self._directory = directory
        self._environment = {**os.environ, **environment}
        self._log = directory / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.kill()

    @property
    def log(self) -> str:
        """All that it wrote, of every start."""
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    def start(self, timeout: float = 120) -> None:
        """Start it, and wait till it is ready."""
        assert self._process is None, f"{self.name} runs already"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        end = time.monotonic() + timeout
        while not self.is_ready():
            ended = self._process.poll()
            assert ended is None, f"{self.name} ended by itself with {ended}:\n{self.log}"
            assert time.monotonic() < end, f"{self.name} was not ready in {timeout} s:\n{self.log}"
            time.sleep(0.05)

    def is_ready(self) -> bool:
        raise NotImplementedError

    def stop(self, timeout: float = 120) -> None:
        """Ask it to end, and wait till it did."""
        self._end(signal.SIGTERM, timeout)

    def kill(self) -> None:
        """End it at once: it can write nothing down any more."""
        self._end(signal.SIGKILL, 20)

    def _end(self, how: signal.Signals, timeout: float) -> None:
        process = self._process
        if process is None:
            return
        process.send_signal(how)
        process.wait(timeout)
        self._process = None


class Collector(Process):
    """The Collector with one of the configurations of examples/collector/, or a file of one's own.

    It runs in the folder that it is given, and listens on free ports.
    """

    def __init__(
        self,
        configuration: str | Path,
        directory: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        file = CONFIGURATIONS / configuration
        self.http_port, self.grpc_port = free_port(), free_port()
        self._health_port, self._metrics_port = free_port(), free_port()
        command = [str(find_collector()), "--config", str(file), "--config"]
        command.append(OWN_METRICS.format(port=self._metrics_port))
        ours = {
            "OTEL_HELICONE_COLLECTOR_HTTP": f"127.0.0.1:{self.http_port}",
            "OTEL_HELICONE_COLLECTOR_GRPC": f"127.0.0.1:{self.grpc_port}",
            "OTEL_HELICONE_COLLECTOR_HEALTH": f"127.0.0.1:{self._health_port}",
        }
        # Two Collectors of one test may have the same configuration.
        name = f"{file.stem}-{self.http_port}"
        super().__init__(command, directory, name, {**ours, **(environment or {})})

    @property
    def traces_url(self) -> str:
        """Where applications send to, over HTTP."""
        return f"http://127.0.0.1:{self.http_port}/v1/traces"

    def is_ready(self) -> bool:
        try:
            return httpx2.get(f"http://127.0.0.1:{self._health_port}/").status_code == 200
        except httpx2.TransportError:
            return False

    def metrics(self) -> dict[str, float]:
        """Give its own metrics, the parts of each added up.

        A counter is there once it counted something: use ``.get(name, 0)``.
        """
        text = httpx2.get(f"http://127.0.0.1:{self._metrics_port}/metrics").text
        sums: dict[str, float] = {}
        for line in text.splitlines():
            sample = SAMPLE.match(line)
            if sample:
                name = sample["name"]
                sums[name] = sums.get(name, 0.0) + float(sample["value"])
        return sums


class KafkaBroker(Process):
    """A Kafka broker that keeps messages in memory, with the topic ``otlp_spans``."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        super().__init__([str(find_kafka()), str(self.port)], directory, "kafka", {})

    def is_ready(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True
