"""Spans of real instrumentations: which of them are the request, as far as their start tells.

``data/recorded_spans.json`` holds, for each role that a span plays in each instrumentation, its
scope, name and span kind, the attributes that it had when it was started, and whether it was the
current span when the HTTP request was sent.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from otel_helicone import default_segment

RECORDED: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data/recorded_spans.json").read_text("utf-8")
)
REQUESTS = [
    span
    for span in RECORDED
    if span["role"] in ("llm", "embedding") and span["current_at_send"] and not span["hijacked"]
]
STEPS = [
    span
    for span in RECORDED
    if span["role"] in ("agent", "tool", "retrieval")
    # The client's side of an RPC, and of a database, only carries what the step asks for.
    and span["scope"] not in ("mcp-python-sdk", "opentelemetry.instrumentation.qdrant")
]
APPLICATION = [span for span in RECORDED if span["scope"] in ("app.planner", "my.framework")]


def as_started(span: dict[str, Any]) -> ReadableSpan:
    attributes = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in (span["at_start"] or {}).items()
        if value is not None
    }
    return ReadableSpan(span["name"], attributes=attributes, kind=SpanKind[span["span_kind"]])


def identity(span: dict[str, Any]) -> str:
    return f"{span['source']}--{span['case']}: {span['name']}"[:80]


def test_there_is_something_to_look_at() -> None:
    assert len(REQUESTS) >= 15
    assert len(STEPS) >= 10
    assert len(APPLICATION) >= 10


@pytest.mark.parametrize("span", REQUESTS, ids=identity)
def test_the_span_that_is_the_request_adds_no_segment(span: dict[str, Any]) -> None:
    assert default_segment(as_started(span)) is None


@pytest.mark.parametrize("span", STEPS, ids=identity)
def test_agents_tools_and_retrievals_add_one(span: dict[str, Any]) -> None:
    tool = span["name"].removeprefix("execute_tool ")  # a tool adds its own name
    assert default_segment(as_started(span)) == tool


@pytest.mark.parametrize(
    "span", [span for span in APPLICATION if span["role"] == "other"], ids=identity
)
def test_the_applications_own_spans_add_one(span: dict[str, Any]) -> None:
    tool = span["name"].removeprefix("execute_tool ")  # a tool adds its own name
    assert default_segment(as_started(span)) == tool
