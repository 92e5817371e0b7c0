"""Every Python snippet of the documents runs, in order, as a reader would paste it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from otel_helicone import HeliconeSpanProcessor
from otel_helicone.local.server import LocalHelicone

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def helicone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHelicone]:
    """Let the local Helicone answer for every host, since snippets name the real one."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    local = LocalHelicone(tmp_path / "requests.db", latency=0)
    for stack in _stacks():
        send = stack.HTTPTransport.handle_request

        def handle_request(self: Any, request: Any, send: Any = send) -> Any:
            host, _, port = local.host.partition(":")
            request.url = request.url.copy_with(scheme="http", host=host, port=int(port))
            request.headers["host"] = local.host
            return send(self, request)

        monkeypatch.setattr(stack.HTTPTransport, "handle_request", handle_request)
    with local:
        yield local


def _stacks() -> Iterator[Any]:
    import importlib

    for name in ("httpx2", "httpx"):
        yield importlib.import_module(name)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_snippets_run(
    document: Path, helicone: LocalHelicone, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[HeliconeSpanProcessor] = []
    make = HeliconeSpanProcessor.__init__

    def note(self: HeliconeSpanProcessor, **settings: Any) -> None:
        make(self, **settings)
        made.append(self)

    monkeypatch.setattr(HeliconeSpanProcessor, "__init__", note)
    monkeypatch.setattr(trace, "set_tracer_provider", lambda _provider: None)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(HeliconeSpanProcessor())
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    with openai.OpenAI(base_url="https://oai.helicone.ai/v1", api_key="none") as client:
        # What a page's reader has from the README.
        names: dict[str, Any] = {
            "client": client,
            "tracer": provider.get_tracer("my-app"),
            "openai": openai,
        }
        text = document.read_text("utf-8")
        clients = [client]
        for snippet in SNIPPET.findall(text):
            exec(compile(snippet, str(document), "exec"), names)
            if names["client"] is not clients[-1]:
                clients.append(names["client"])
        for one in clients[1:]:
            one.close()
    for processor in made:
        processor.shutdown()
    helicone.settle()
    if document.name == "README.md":
        assert [(row.session_name, row.session_path) for row in helicone.store.requests()] == [
            (None, None),  # the program that is to be started by `otel-helicone run`
            ("parent", "/parent/child"),
            ("Support chat", "/"),
        ]


def test_the_stacks_are_left_as_they_were() -> None:
    assert not hasattr(httpx2.Client._send_single_request, "__wrapped__")
