"""The real components that these tests run against; in CI none of them may be missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import httpx2
import pytest

from tests.ports import free_port

HERE = Path(__file__).parent
FIXTURES = {
    "fixtures": [
        {"match": {"endpoint": "embedding"}, "response": {"embedding": [0.1, 0.2]}},
        {"match": {}, "response": {"content": "The capital of France is Paris."}},
    ]
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)


def missing(what: str) -> NoReturn:
    """Skip a test for want of a component; fail where all of them have to be there."""
    if os.environ.get("OTEL_HELICONE_REQUIRE_INTEGRATION") == "1":
        pytest.fail(f"{what} is missing, and OTEL_HELICONE_REQUIRE_INTEGRATION=1 asks for it")
    pytest.skip(f"{what} is not installed")


def require(module: str) -> Any:
    """Import a component, or skip the test."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        missing(module)


@pytest.fixture(autouse=True)
def _openai_as_it_was() -> Iterator[None]:
    """Take back what an instrumentation leaves on openai's classes when it is removed.

    OpenLLMetry leaves its wrappers there; they would see the calls of every later test.
    """
    from openai.resources import chat, embeddings, responses

    patched: list[type] = [
        chat.Completions,
        chat.AsyncCompletions,
        embeddings.Embeddings,
        embeddings.AsyncEmbeddings,
        responses.Responses,
        responses.AsyncResponses,
    ]
    before = [(owner, dict(vars(owner))) for owner in patched]
    yield
    for owner, methods in before:
        for name, method in methods.items():
            if callable(method) and vars(owner).get(name) is not method:
                setattr(owner, name, method)


@dataclass(frozen=True)
class LLMServer:
    """An OpenAI-compatible server that keeps a journal of the requests it got."""

    host: str
    seen: set[str] = field(default_factory=set)

    @property
    def base_url(self) -> str:
        return f"http://{self.host}/v1"

    def requests(self) -> list[dict[str, Any]]:
        """Give the requests since the last call, headers in lower case as they arrived."""
        journal: list[dict[str, Any]] = httpx2.get(f"http://{self.host}/__aimock/journal").json()
        new = [request for request in journal if request["id"] not in self.seen]
        self.seen.update(request["id"] for request in new)
        return new

    def session_headers(self) -> list[dict[str, str]]:
        """Give the ``Helicone-*`` headers of each request since the last call.

        A header that arrived twice would show up as ``a, b``.
        """
        return [
            {name: text for name, text in request["headers"].items() if "helicone" in name}
            for request in self.requests()
        ]


@pytest.fixture(scope="session")
def server_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LLMServer]:
    program = HERE / "node_modules" / ".bin" / "llmock"
    if not program.exists() or shutil.which("node") is None:
        missing("aimock (npm install --prefix tests/integration)")
    fixtures = tmp_path_factory.mktemp("aimock") / "fixtures.json"
    fixtures.write_text(json.dumps(FIXTURES), "utf-8")
    port = free_port()
    host = f"127.0.0.1:{port}"
    command = [str(program), "-p", str(port), "-h", "127.0.0.1", "-f", str(fixtures)]
    process = subprocess.Popen([*command, "--log-level", "silent"])
    try:
        for _ in range(2400):
            try:
                httpx2.get(f"http://{host}/__aimock/journal")
                break
            except httpx2.TransportError:
                assert process.poll() is None, "aimock ended by itself"
                time.sleep(0.05)
        yield LLMServer(host)
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture
def server(server_process: LLMServer) -> LLMServer:
    server_process.requests()
    return server_process
