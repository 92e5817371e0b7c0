"""The time that the import of what an application uses adds to that of the OpenTelemetry SDK."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.measuring import Goal

PROGRAM = """
import time
import opentelemetry.sdk.trace
started = time.perf_counter()
from otel_helicone import HeliconeSpanProcessor, session, session_headers
print(time.perf_counter() - started)
"""


def run(rounds: int) -> list[Goal]:
    """Import it in fresh processes, the first of which may have to compile it."""
    environ = {key: text for key, text in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    seconds = min(
        float(
            subprocess.run(
                [sys.executable, "-c", PROGRAM],
                env=environ,
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for _ in range(rounds)
    )
    print("Import over opentelemetry.sdk.trace")
    print(f"  the processor, session() and session_headers()  {seconds * 1000:.1f} ms")
    return [Goal.at_most("import, in ms", seconds * 1000, 20)]
