"""The environment with the frameworks, and what their programs talk to."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_helicone.local.server import LocalHelicone
from tests.integration.conftest import missing
from tests.integration.frameworks.model_server import ModelServer, serve_model
from tests.integration.frameworks.running import KEY, Framework

LIST_INSTRUMENTORS = (
    "from importlib.metadata import entry_points as found\n"
    "print(*{each.name for each in found(group='opentelemetry_instrumentor')})"
)


@pytest.fixture(scope="session")
def framework() -> Framework:
    """Find the environment with the frameworks; ``scripts/frameworks`` makes it, and names it."""
    named = os.environ.get("OTEL_HELICONE_FRAMEWORKS")
    if named is None:
        missing("the environment of the frameworks (scripts/frameworks)")
    listed = subprocess.run(
        [named, "-c", LIST_INSTRUMENTORS], capture_output=True, text=True, check=True
    )
    return Framework(Path(named), frozenset(listed.stdout.split()))


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with serve_model() as server:
        yield server


@pytest.fixture
def helicone(tmp_path: Path, model: ModelServer) -> Iterator[LocalHelicone]:
    store = tmp_path / "requests.db"
    with LocalHelicone(store, upstream=model.url, latency=0, api_keys=[KEY]) as helicone:
        yield helicone
