"""The demo's application, against the local Helicone, gives the course that Helicone recorded."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import openai
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from examples.space_course import course
from examples.space_course.__main__ import CALLS, below_the_root
from otel_helicone import HeliconeSpanProcessor
from otel_helicone.local.server import LocalHelicone

ROOT = Path(__file__).parents[2]
RECORDED: list[str] = json.loads(
    (ROOT / "tests/data/recorded/space_course_paths.json").read_text("utf-8")
)


async def paths_of(contents: course.Contents | None, store: Path) -> list[tuple[str, str, int]]:
    """Run the course and give name, path and status of each row, in the order of their start."""
    provider = TracerProvider(shutdown_on_exit=False)
    with LocalHelicone(store, latency=0) as helicone:
        provider.add_span_processor(
            HeliconeSpanProcessor(gateway_hosts=[helicone.host], segment=below_the_root)
        )
        tracer, course.tracer = course.tracer, provider.get_tracer("space-course")
        try:
            async with openai.AsyncOpenAI(base_url=helicone.base_url, api_key="none") as client:
                await course.write_course(client, contents)
        finally:
            course.tracer = tracer
            provider.shutdown()
        helicone.settle()
        rows = helicone.store.requests()
        assert len({row.session_id for row in rows}) == 1
        return [(row.session_name or "", row.session_path or "", row.status) for row in rows]


async def test_the_recorded_course_row_by_row(tmp_path: Path) -> None:
    contents: dict[str, list[str]] = {}
    for path in RECORDED:
        _, *segments = path.split("/")
        if len(segments) > 1:
            contents.setdefault(segments[1], []).extend(segments[2:])
    rows = await paths_of(contents, tmp_path / "requests.db")
    # Recorded one call after the other; here chapters and sections are asked for at once.
    assert Counter(path for _, path, _ in rows) == Counter(RECORDED)
    assert [path for _, path, _ in rows][:3] == RECORDED[:3]
    assert {(name, status) for name, _, status in rows} == {("Space Course", 200)}


async def test_the_demos_course_is_helicones_example(tmp_path: Path) -> None:
    rows = Counter(path for _, path, _ in await paths_of(None, tmp_path / "requests.db"))
    expected = Counter({"/abstract": 2, "/outline": 1})
    for chapter in course.CHAPTERS:
        expected[f"/outline/{chapter}"] += 1
        for section in course.SECTIONS:
            expected[f"/outline/{chapter}/{section}"] += 1
    assert rows == expected
    assert sum(rows.values()) == CALLS == 39


def test_the_application_knows_nothing_of_helicone() -> None:
    source = (ROOT / "examples/space_course/course.py").read_text("utf-8")
    code = source.partition('"""')[2].partition('"""')[2]
    assert "helicone" not in code.lower()
    assert trace.get_tracer("x") is not None


def run_demo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    ours = ("HELICONE_", "OTEL_", "OPENAI_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(
        [sys.executable, "-m", "examples.space_course", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**clean, "PYTHONUTF8": "1", **environment},
        check=False,
    )


def test_the_demo_prints_the_tree_the_headers_and_what_to_type_next(tmp_path: Path) -> None:
    done = run_demo("--store", str(tmp_path / "requests.db"))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "39 requests, 0 errors" in done.stdout
    assert "├─ abstract" in done.stdout
    assert len(re.findall("Key Technologies(?: [*])? +gpt-4o-mini", done.stdout)) == 6
    for header in ("Id", "Path: /outline/", "Name: Space Course"):
        assert f"Helicone-Session-{header}" in done.stdout
    assert "sessions" in done.stdout.partition("What to type next")[2]


def outline(printed: str) -> list[str]:
    """Give the lines of the tree, without the columns that differ from run to run."""
    tree = printed.partition("PATH")[2].partition("\n* on the critical path")[0].splitlines()[1:]
    lines = [line.replace(" * ", "   ") for line in tree]
    return [re.sub(r"  .*?(gpt-4o-mini|$).*", r" \1", line) for line in lines]


@pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry.instrumentation.genai") is None,
    reason="the instrumentation needs newer versions than these",
)
def test_logs_give_the_same_tree_as_the_gateway(tmp_path: Path) -> None:
    printed = []
    for mode in ("gateway", "export"):
        done = run_demo("--store", str(tmp_path / f"{mode}.db"), "--mode", mode)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        assert "39 requests, 0 errors" in done.stdout
        printed.append(done.stdout)
    assert len(outline(printed[0])) == 47
    assert outline(printed[0]) == outline(printed[1])


def test_the_real_api_needs_a_key() -> None:
    done = run_demo("--upstream", "openai")
    assert done.returncode == 2
    assert "OPENAI_API_KEY" in done.stderr
