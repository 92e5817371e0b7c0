"""The bridge as a process of its own, which a test may kill at any moment and start again."""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.integration.collectors import Process, free_port

KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"


class BridgeProcess(Process):
    """``otel-helicone bridge`` on loopback ports, which stay the same through every restart."""

    def __init__(
        self,
        spool: Path,
        helicone: str,
        *,
        wait: float = 60,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Describe the process; it starts when the context is entered.

        Args:
            spool: the spool's file; what the bridge writes to the terminal goes beside it.
            helicone: where the bridge logs to.
            wait: how long after its last span a trace is taken for complete, in seconds.
            environment: further variables, or others than these have here.
        """
        self.spool = spool
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.grpc_address = f"127.0.0.1:{free_port()}"
        self._waits_until_ready = True
        command = [sys.executable, "-W", "error", "-m", "otel_helicone", "bridge"]
        command += ["--port", str(self.port), "--spool", str(spool)]
        command += ["--grpc-port", self.grpc_address.rpartition(":")[2]]
        command += ["--endpoint", helicone, "--wait", str(wait)]
        ours = {"HELICONE_API_KEY": KEY, "PYTHONUNBUFFERED": "1", **(environment or {})}
        super().__init__(command, spool.parent, f"bridge-{self.port}", ours)

    def start(self, timeout: float = 120, *, until_ready: bool = True) -> None:
        """Start it; where it was killed or stopped before, again.

        Args:
            timeout: how long it may take, in seconds.
            until_ready: whether to wait until it takes spans.
        """
        self._waits_until_ready = until_ready
        super().start(timeout)

    def is_ready(self) -> bool:
        return not self._waits_until_ready or self._get("/readyz")[0] == 200

    def stop(self, timeout: float = 120) -> None:
        """Ask it to end, and see it end well."""
        process = self._process
        super().stop(timeout)
        assert process is None or process.returncode == 0, self.log

    def metrics(self) -> dict[str, float]:
        """Give what it tells of itself: names, with labels, without the common prefix."""
        lines = self._get("/metrics")[1].splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name.removeprefix("otel_helicone_bridge_"): float(value) for name, value in pairs}

    def memory_mib(self, *, peak: bool = False) -> float:
        """Give how much memory it has, or has had at most since it was started."""
        field = "VmHWM" if peak else "VmRSS"
        status = Path(f"/proc/{self._running().pid}/status").read_text("ascii")
        found = re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
        assert found is not None, status
        return int(found[1]) / 1024

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"{self.name} does not run"
        return self._process

    def _get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8")
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()
