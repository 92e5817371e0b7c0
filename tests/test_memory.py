"""Nothing is held: not the span, not its node, once the application has let go of it."""

from __future__ import annotations

import gc
import weakref

import pytest
from opentelemetry import context, trace
from opentelemetry.trace import Tracer, set_span_in_context

from otel_helicone import current_session, session, session_headers
from otel_helicone.session_context.local_trace import open_spans
from tests.conftest import MakeTracing


@pytest.fixture(params=[True, False], ids=["stamping", "not stamping"])
def tracer(request: pytest.FixtureRequest, make_tracing: MakeTracing) -> Tracer:
    tracing = make_tracing(stamp=request.param)
    # An exporter that keeps finished spans is not what is looked at here.
    tracing.exporter.shutdown()
    gc.collect()
    return tracing.tracer


def test_nothing_is_kept_of_spans_that_ended(tracer: Tracer) -> None:
    before = len(open_spans)
    gc.disable()
    try:
        for _ in range(100):
            with tracer.start_as_current_span("root"), tracer.start_as_current_span("leaf"):
                session_headers()
        # No cycle is left for the garbage collector either.
        assert len(open_spans) == before
    finally:
        gc.enable()


def test_a_span_that_is_never_ended_costs_nothing_once_it_is_let_go(tracer: Tracer) -> None:
    before = len(open_spans)
    spans = [tracer.start_span("never ended") for _ in range(10)]
    assert len(open_spans) == before + 10
    gone = weakref.ref(spans[0])
    del spans
    assert len(open_spans) == before
    assert gone() is None


def test_a_child_keeps_its_parents_text_but_not_its_parent(tracer: Tracer) -> None:
    parent = tracer.start_span("parent", attributes={"user.id": "u1"})
    child = tracer.start_span("child", context=set_span_in_context(parent))
    parent.end()
    gone = weakref.ref(parent)
    del parent
    assert gone() is None
    with trace.use_span(child):
        session = current_session()
    assert session is not None
    assert session.path == "/parent/child"
    assert session.user_id == "u1"


def test_a_parent_let_go_without_an_end_is_remembered_too(tracer: Tracer) -> None:
    parent = tracer.start_span("parent")
    child = tracer.start_span("child", context=set_span_in_context(parent))
    del parent
    with trace.use_span(child):
        session = current_session()
    assert session is not None
    assert session.path == "/parent/child"


def test_a_child_started_after_its_parents_end_is_still_below_it(tracer: Tracer) -> None:
    parent = tracer.start_span("parent")
    within = set_span_in_context(parent)
    parent.end()
    child = tracer.start_span("child", context=within)
    del parent, within
    with trace.use_span(child):
        session = current_session()
    assert session is not None
    assert session.path == "/parent/child"


def test_a_block_keeps_no_span(tracer: Tracer) -> None:
    with tracer.start_as_current_span("root") as root, session("s1"):
        child = tracer.start_span("child")
    gone = weakref.ref(root)
    del root
    assert gone() is None
    with trace.use_span(child):
        assert current_session() is not None


def test_a_deep_chain_is_let_go_without_deep_recursion(tracer: Tracer) -> None:
    before = len(open_spans)
    within = context.Context()
    for _ in range(50_000):
        within = set_span_in_context(tracer.start_span("step", context=within), context.Context())
    del within
    assert len(open_spans) == before
