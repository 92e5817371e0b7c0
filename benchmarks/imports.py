"""The time that ``import otel_helicone`` adds to that of the OpenTelemetry SDK."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.measuring import Goal

PROGRAM = """
import time
import opentelemetry.sdk.trace
started = time.perf_counter()
import otel_helicone
print(time.perf_counter() - started)
"""


def run(rounds: int) -> list[Goal]:
    """Import it in fresh processes."""
    seconds = min(
        float(
            subprocess.run(
                [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True
            ).stdout
        )
        for _ in range(rounds)
    )
    print(f"Import over opentelemetry.sdk.trace\n  otel_helicone  {seconds * 1000:.1f} ms")
    return [Goal.at_most("import, in ms", seconds * 1000, 20)]
