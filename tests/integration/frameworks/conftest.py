"""The environment with the frameworks, and what their programs talk to."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_helicone.local.server import LocalHelicone
from tests.integration.conftest import missing
from tests.integration.frameworks.model_server import ModelServer, serve_model
from tests.integration.frameworks.running import KEY, Framework

ROOT = Path(__file__).parents[3]
REQUIREMENTS = ROOT / "requirements" / "frameworks.txt"
LIST_INSTRUMENTORS = (
    "from importlib.metadata import entry_points as found\n"
    "print(*{each.name for each in found(group='opentelemetry_instrumentor')})"
)


@pytest.fixture(scope="session")
def framework() -> Framework:
    """Make the environment, once for each state of its requirements: it takes a minute."""
    made = b"".join(file.read_bytes() for file in (REQUIREMENTS, ROOT / "pyproject.toml"))
    key = hashlib.sha256(made + sys.version.encode()).hexdigest()[:12]
    folder = ROOT / ".venvs" / f"frameworks-{key}"
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not (folder / "complete").exists():
        _make(folder, python)
    listed = subprocess.run(
        [str(python), "-c", LIST_INSTRUMENTORS], capture_output=True, text=True, check=True
    )
    return Framework(python, frozenset(listed.stdout.split()))


def _make(folder: Path, python: Path) -> None:
    uv = shutil.which("uv") or next(map(str, (ROOT / ".venvs").glob("tools-*/bin/uv")), None)
    if uv is None:
        missing("uv, which makes the environment of the frameworks")
    for command in (
        ["venv", "--clear", "--python", sys.executable, str(folder)],
        ["pip", "install", "--python", str(python), "--require-hashes", "-r", str(REQUIREMENTS)],
        [
            *("pip", "install", "--python", str(python), "--no-deps", "--no-build-isolation"),
            *("-e", str(ROOT)),
        ],
    ):
        done = subprocess.run(
            [uv, *command[:1], "--quiet", *command[1:]], capture_output=True, text=True, check=False
        )
        if done.returncode:
            missing(f"what the frameworks need ({done.stderr[-2000:]})")
    (folder / "complete").touch()


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with serve_model() as server:
        yield server


@pytest.fixture
def helicone(tmp_path: Path, model: ModelServer) -> Iterator[LocalHelicone]:
    store = tmp_path / "requests.db"
    with LocalHelicone(store, upstream=model.url, latency=0, api_keys=[KEY]) as helicone:
        yield helicone
