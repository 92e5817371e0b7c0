"""Runs a program of a framework as its user would, and reads what Helicone shows of it."""

from __future__ import annotations

import json
import os
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.records import RequestRecord
from tests.integration.frameworks.model_server import ModelServer
from tests.integration.frameworks.programs.run_program import CITIES

__all__ = ["KEY", "PROGRAMS", "Framework", "run_program", "session_trees"]

KEY: Final = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
PROGRAMS: Final = Path(__file__).parent / "programs"


@dataclass(frozen=True)
class Framework:
    """A framework's Python environment."""

    python: Path
    instrumentors: frozenset[str]
    """The names of all instrumentors that are installed there."""


def run_program(
    framework: Framework,
    program: str,
    instrumentors: Sequence[str],
    helicone: LocalHelicone,
    model: ModelServer,
    folder: Path,
    **variables: str,
) -> None:
    """Run a program under ``opentelemetry-instrument``, once for both ways to Helicone.

    Args:
        framework: where it runs.
        program: the name of a file in ``programs``.
        instrumentors: the instrumentors that are on, besides this library's.
        helicone: the gateway of the one way, and where finished spans are logged, on both ways.
        model: what answers, behind the gateway and without it.
        folder: the current folder for it.
        variables: more environment variables.
    """
    unknown = set(instrumentors) - framework.instrumentors
    assert not unknown, f"not installed: {unknown}"
    disabled = framework.instrumentors - {*instrumentors, "helicone"}
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HELICONE_", "OTEL_", "OPENAI_", "PYTHON", "VIRTUAL_ENV", "LANG"))
    }
    bin_folder = framework.python.parent
    ended = subprocess.run(
        [
            *(str(bin_folder / "opentelemetry-instrument"), str(framework.python)),
            *(str(PROGRAMS / "run_program.py"), program, helicone.base_url, f"{model.url}/v1"),
        ],
        env={
            **clean,
            "PATH": f"{bin_folder}{os.pathsep}{clean.get('PATH', '')}",
            "HOME": str(folder),
            "HELICONE_API_KEY": KEY,
            "HELICONE_ENDPOINT": helicone.url,
            "HELICONE_GATEWAY_HOSTS": helicone.host,
            "OPENAI_API_KEY": "none",
            "ANTHROPIC_API_KEY": "none",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # it would fetch the newest at its import
            "OTEL_TRACES_EXPORTER": "helicone",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "span_only",
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ",".join(sorted(disabled)),
            **variables,
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout
    complaints = [line for line in ended.stderr.splitlines() if "helicone" in line.lower()]
    assert not complaints, ended.stderr
    helicone.settle()


def session_trees(rows: Iterable[RequestRecord], *, figures: bool = True) -> dict[str, list[str]]:
    """Return each session as text, and for each text how its sessions came to Helicone.

    A text has the session's name, then a line for each row, by its path and then by its time; the
    cities, in which the runs differ, are taken out.

    Args:
        rows: what is stored.
        figures: whether models and tokens are part of the text.
    """
    sessions: dict[tuple[str | None, str | None], list[RequestRecord]] = defaultdict(list)
    for row in rows:
        sessions[row.session_id, row.session_name].append(row)
    ways: dict[str, list[str]] = defaultdict(list)
    for (_, name), session in sessions.items():
        ordered = sorted(session, key=lambda row: (str(row.session_path), row.started_at))
        lines = [f"{row.session_path}  {_line(row, figures=figures)}" for row in ordered]
        text = "\n".join([str(name), *(f"  {line}" for line in lines)])
        for city in CITIES:
            text = text.replace(city, "CITY")
        calls = [row for row in session if row.kind == "llm"]
        logged = [row for row in calls if "log" in row.target_path]
        way = "exported" if len(logged) == len(calls) else "mixed" if logged else "gateway"
        ways[text].append(way)
    return {text: sorted(of_text) for text, of_text in sorted(ways.items())}


def _line(row: RequestRecord, *, figures: bool) -> str:
    request, response = json.loads(row.request_body), json.loads(row.response_body)
    request = request.get("providerRequest", {}).get("json", request)
    response = response.get("providerResponse", {}).get("json", response)
    if row.kind == "tool":
        output = response.get("output", response)
        return f"tool {request.get('toolName')}({_short(request.get('input'))}) -> {_short(output)}"
    if row.kind == "vector_db":
        return f"retrieval {_short(request.get('text', request))} -> {_short(response)}"
    error = f" status {row.status}" if row.status != 200 else ""
    tokens = f"{row.prompt_tokens}+{row.completion_tokens}"
    model = f"{row.model} {tokens}" if figures else "call"
    return f"{model}{error} -> {_said(response)}"


def _said(response: Any) -> str:
    if response.get("streamed"):  # as the gateway assembles it
        calls = [f"{call['name']}({call['arguments']})" for call in response.get("tool_calls", ())]
        return ", ".join(calls) or _short(response.get("text"))
    if response.get("object") == "list":
        return "embedding"
    if "error" in response:
        return "error"
    if "output" in response:
        return _items_said(response["output"])
    if isinstance(response.get("content"), list):
        return _items_said(response["content"])
    choices = response.get("choices") or [{}]
    message = choices[0].get("message") or {}
    calls = [
        f"{call['function']['name']}({_short(call['function']['arguments'])})"
        for call in message.get("tool_calls") or ()
    ]
    return ", ".join(calls) or _short(message.get("content", response))


def _items_said(items: list[dict[str, Any]]) -> str:
    """Return what the items of a Responses answer say, or the blocks of one of Anthropic's."""
    calls = [
        f"{item['name']}({_short(item.get('arguments', item.get('input')))})"
        for item in items
        if item.get("type") in ("function_call", "tool_use")
    ]
    texts = [
        part["text"] for item in items for part in item.get("content", [item]) if "text" in part
    ]
    return ", ".join(calls) or _short("".join(texts))


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(text.split())[:160]
