"""The official clients for Node, unchanged, against the local Helicone: only the host is another.

The openai package in two versions, and Helicone's manual logger.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.records import RequestRecord
from tests.integration.conftest import HERE, missing

KEY = "sk-helicone-1234567-abcdefg-7654321-gfedcba"


@pytest.fixture
def helicone(tmp_path: Path) -> Iterator[LocalHelicone]:
    with LocalHelicone(tmp_path / "requests.db", latency=0, api_keys=[KEY]) as server:
        yield server


def run(*arguments: str) -> dict[str, Any]:
    node = shutil.which("node")
    if node is None or not (HERE / "node_modules" / "@helicone" / "helpers").exists():
        missing("the clients for Node (npm install --prefix tests/integration)")
    others = ("HELICONE_", "OPENAI_", "NODE_")
    ended = subprocess.run(
        [node, str(HERE / "clients.cjs"), *arguments],
        env={name: value for name, value in os.environ.items() if not name.startswith(others)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


def by_path(helicone: LocalHelicone) -> dict[str | None, RequestRecord]:
    assert helicone.settle()
    requests = helicone.store.requests("node-1", "Node")
    assert len(requests) == len(helicone.store.requests()) == 6
    return {request.session_path: request for request in requests}


@pytest.mark.parametrize("version", ["openai", "openai-6"])
def test_the_openai_client_works_through_the_gateway(helicone: LocalHelicone, version: str) -> None:
    told = run("openai", version, helicone.base_url)
    rows = by_path(helicone)
    assert told["vectors"] == 2
    # The text of a stream is stored as the client put it together.
    assert json.loads(rows["/stream"].response_body)["text"] == told["stream"] != ""
    for path, text in (("/chat", told["chat"]), ("/responses", told["response"])):
        assert text
        assert text in rows[path].response_body
    assert told["error"] == "NotFoundError"
    assert told["raw"] == ["gpt-4o-mini", rows["/raw"].request_id, "MISS"]
    assert {path: (row.model, row.status, row.provider) for path, row in rows.items()} == {
        "/chat": ("gpt-4o-mini", 200, "OPENAI"),
        "/stream": ("gpt-4o-mini", 200, "OPENAI"),
        "/embeddings": ("text-embedding-3-small", 200, "OPENAI"),
        "/responses": ("gpt-4o-mini", 200, "OPENAI"),
        "/error": (None, 404, "OPENAI"),
        "/raw": ("gpt-4o-mini", 200, "OPENAI"),
    }
    streamed = {path for path, row in rows.items() if row.time_to_first_token_ms is not None}
    assert streamed == {"/stream"}
    for path in ("/chat", "/stream", "/responses"):
        row = rows[path]
        assert min(row.prompt_tokens, row.completion_tokens) > 0
        priced = row.prompt_tokens * 0.15e-6 + row.completion_tokens * 0.6e-6
        assert row.cost_usd == pytest.approx(priced)
    assert rows["/embeddings"].cost_usd == pytest.approx(rows["/embeddings"].prompt_tokens * 2e-8)
    assert rows["/error"].cost_usd is None


def test_helicones_manual_logger_works_through_the_log_api(helicone: LocalHelicone) -> None:
    assert run("helpers", KEY, helicone.url) == {"request": "done"}
    rows = by_path(helicone)
    told = {
        path: (row.provider, row.model, row.status, row.prompt_tokens, row.completion_tokens)
        for path, row in rows.items()
    }
    assert told == {
        "/request": ("OPENAI", "gpt-4o-mini", 200, 1000, 500),
        "/tool": ("CUSTOM", "tool:weather", 200, 0, 0),
        "/stream": ("CUSTOM", "gpt-4o-mini", 200, 1000, 500),
        "/single": ("CUSTOM", "gpt-4o-mini", 200, 1000, 500),
        "/builder": ("CUSTOM", "gpt-4o-mini", 200, 1000, 500),
        "/failed": ("CUSTOM", None, 500, 0, 0),
    }
    assert rows["/request"].cost_usd == pytest.approx(0.00045)
    # As in Helicone, what is logged as CUSTOM has no price.
    assert rows["/single"].cost_usd is None
    assert rows["/single"].latency_ms == 1500
    assert rows["/tool"].kind == "tool"
    for path in ("/stream", "/builder"):
        assert json.loads(rows[path].response_body)["text"] == "To Rome."
    # The other one's clock stops before it reads its stream.
    assert (rows["/builder"].time_to_first_token_ms or 0) >= 15
    assert "no way to Rome" in rows["/failed"].response_body
    assert {(row.user_id, row.properties["env"]) for row in rows.values()} == {("ann", "test")}
