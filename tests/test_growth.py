"""What a hook does depends on its own trace, never on the other spans of the process.

Calls of functions are counted, not time.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import context
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Tracer, set_span_in_context

from otel_helicone import session_headers
from otel_helicone.session_context.local_trace import open_spans
from tests.conftest import MakeTracing


def calls_of(work: Callable[[], object]) -> int:
    """Return how many functions a work calls, Python's and C's."""
    count = 0

    def note(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    work()  # what is only done once, is done
    gc.disable()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


def renamed_request(tracer: Tracer) -> None:
    server = tracer.start_span("GET", Context(), kind=SpanKind.SERVER)
    within = set_span_in_context(server)
    step = tracer.start_span("step", within)
    server.update_name("GET /chat")
    server.set_attribute("helicone.session.id", "conv")
    token = context.attach(set_span_in_context(step))
    assert session_headers()["Helicone-Session-Path"] == "/GET %2Fchat/step"
    context.detach(token)
    step.end()
    server.end()


@pytest.mark.parametrize("stamp", [True, False])
def test_a_rename_and_a_late_id_cost_the_same_among_many_open_spans(
    make_tracing: MakeTracing, stamp: bool
) -> None:
    tracer = make_tracing(inject=False, stamp=stamp).tracer
    alone = calls_of(lambda: renamed_request(tracer))
    others = []
    for _ in range(2_000):
        root = tracer.start_span("other", Context())
        others += [root, *(tracer.start_span("s", set_span_in_context(root)) for _ in range(4))]
    assert len(open_spans) >= 10_000
    assert calls_of(lambda: renamed_request(tracer)) == alone


@pytest.mark.parametrize("stamp", [True, False])
def test_the_first_header_of_a_deep_trace_is_linear_in_its_depth(
    make_tracing: MakeTracing, stamp: bool
) -> None:
    tracer = make_tracing(inject=False, stamp=stamp).tracer

    def first_header(depth: int) -> int:
        within, spans = Context(), []
        for level in range(depth):
            spans.append(tracer.start_span(f"level {level}", within))
            within = set_span_in_context(spans[-1])
        token = context.attach(within)
        count = 0

        def note(_frame: Any, event: str, _argument: Any) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(note)
        try:
            session_headers()
        finally:
            sys.setprofile(None)
            context.detach(token)
        return count

    first_header(10)
    shallow, deep = first_header(300), first_header(3000)
    assert deep < 11 * shallow


def test_nothing_is_left_of_a_trace_whose_spans_are_gone(make_tracing: MakeTracing) -> None:
    tracer = make_tracing(inject=False).tracer
    gc.collect()
    before = len(open_spans)
    root = tracer.start_span("root", Context())
    child = tracer.start_span("child", set_span_in_context(root))
    nodes = [
        weakref.ref(open_spans[span.get_span_context().span_id].trace) for span in (root, child)
    ]
    gc.disable()
    try:
        root.end()
        del root
        assert nodes[0]() is not None  # as long as a span below is there
        child.end()
        del child
        assert [node() for node in nodes] == [None, None]  # without the garbage collector
        assert len(open_spans) == before
    finally:
        gc.enable()
