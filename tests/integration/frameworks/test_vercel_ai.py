"""Vercel's AI SDK, whose spans go to the bridge: the tree of an agent, whole and streamed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from otel_helicone.local.server import LocalHelicone
from tests.bridge.conftest import RunningBridge, rows_of
from tests.integration.conftest import HERE, missing
from tests.integration.frameworks.model_server import ModelServer
from tests.integration.frameworks.programs.run_program import CITIES
from tests.integration.frameworks.running import PROGRAMS, session_trees

TREES = Path(__file__).parent / "trees"


@pytest.mark.parametrize("telemetry", ["OpenTelemetry", "LegacyOpenTelemetry"])
def test_the_bridge_has_the_tree_of_an_agent(
    helicone: LocalHelicone, model: ModelServer, tmp_path: Path, telemetry: str
) -> None:
    node = shutil.which("node")
    if node is None or not (HERE / "node_modules" / "@ai-sdk" / "otel").exists():
        missing("Vercel's AI SDK (npm install --prefix tests/integration)")
    with RunningBridge(helicone.url, tmp_path / "spool.db") as bridge:
        others = ("HELICONE_", "OPENAI_", "OTEL_", "NODE_")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        ended = subprocess.run(
            [node, str(PROGRAMS / "vercel_agent.mjs"), f"{model.url}/v1", telemetry],
            env={
                **clean,
                "OTEL_TRACES_EXPORTER": "otlp",
                "OTEL_METRICS_EXPORTER": "none",
                "OTEL_LOGS_EXPORTER": "none",
                "OTEL_EXPORTER_OTLP_ENDPOINT": bridge.url,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert json.loads(ended.stdout) == [[f"It is sunny in {city}."] * 2 for city in CITIES]
        rows = rows_of(helicone, 20)
    trees = session_trees(rows)
    expected = (TREES / f"vercel_agent_{telemetry}.txt").read_text("utf-8")
    assert "\n\n".join(trees) + "\n" == expected
    assert sum(map(len, trees.values())) == 4
