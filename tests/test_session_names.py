"""One name for one id: Helicone groups requests by both, and a second name is a second session."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from opentelemetry import context, trace
from opentelemetry.trace import Span, set_span_in_context

from otel_helicone import current_session, session, session_headers
from otel_helicone.session_context import finished, sent_names
from otel_helicone.session_context.current import context_of_finished
from tests.conftest import MakeTracing, Tracing

ID, NAME = "helicone.session.id", "helicone.session.name"


def sent_in(span: Span) -> tuple[str, str | None]:
    with trace.use_span(span):
        headers = session_headers()
    return headers["Helicone-Session-Id"], headers.get("Helicone-Session-Name")


def stamped(span: Any) -> tuple[str, str]:
    return span.attributes[ID], span.attributes[NAME]


def test_a_second_turn_of_a_conversation_keeps_the_name_of_the_first(tracing: Tracing) -> None:
    for root in ("POST /chat", "POST /chat/{id}/regenerate"):
        with tracing.tracer.start_as_current_span(root), session("conv-1"):
            with tracing.tracer.start_as_current_span("ask") as ask:
                assert session_headers()["Helicone-Session-Name"] == "POST /chat"
        assert stamped(ask) == ("conv-1", "POST /chat")


def test_so_it_does_where_an_attribute_sets_the_id(tracing: Tracing) -> None:
    for root in ("first", "second"):
        with tracing.tracer.start_as_current_span(root, attributes={ID: "conv-2"}) as span:
            assert sent_in(span) == ("conv-2", "first")
        assert stamped(span) == ("conv-2", "first")


def test_a_name_that_the_application_gives_goes_before_it_each_time(tracing: Tracing) -> None:
    with session("conv", name="Chat"), tracing.tracer.start_as_current_span("one") as one:
        assert sent_in(one)[1] == "Chat"
    with session("conv"), tracing.tracer.start_as_current_span("two") as two:
        assert sent_in(two)[1] == "Chat"
    with session("conv", name="Other"), tracing.tracer.start_as_current_span("three") as three:
        assert sent_in(three)[1] == "Other"
    with tracing.tracer.start_as_current_span(
        "four", attributes={ID: "conv", NAME: "Mine"}
    ) as four:
        assert sent_in(four)[1] == "Mine"


def test_two_requests_of_one_remote_trace_have_one_name(tracing: Tracing) -> None:
    parent = trace.SpanContext(7 << 64, 9, is_remote=True, trace_flags=trace.TraceFlags(1))
    within = set_span_in_context(trace.NonRecordingSpan(parent), context.Context())
    for root in ("POST /plan", "POST /book"):
        with tracing.tracer.start_as_current_span(root, context=within) as span:
            assert sent_in(span)[1] == "POST /plan"
        assert stamped(span)[1] == "POST /plan"


def test_two_traces_that_are_open_at_once_agree_with_the_first_request(tracing: Tracing) -> None:
    one = tracing.tracer.start_span("one", context.Context(), attributes={ID: "conv"})
    two = tracing.tracer.start_span("two", context.Context(), attributes={ID: "conv"})
    assert sent_in(two)[1] == "two"
    assert sent_in(one)[1] == "two"
    assert stamped(one) == stamped(two) == ("conv", "two")


def test_a_stamp_never_differs_from_the_header_of_a_request_in_its_span(tracing: Tracing) -> None:
    tracer = tracing.tracer
    root = tracer.start_span("root", attributes={NAME: "A"})
    middle = tracer.start_span("middle", set_span_in_context(root))
    low = tracer.start_span("low", set_span_in_context(middle), attributes={NAME: "B"})
    sibling = tracer.start_span("sibling", set_span_in_context(middle))
    assert sent_in(low)[1] == "B"  # the first that is sent
    later = tracer.start_span("later", set_span_in_context(middle))
    for span in (middle, sibling, later):
        assert stamped(span) == sent_in(span) == (stamped(root)[0], "B")


def test_a_name_attribute_that_is_set_late_reaches_the_stamps(tracing: Tracing) -> None:
    with tracing.tracer.start_as_current_span("root") as root:
        with tracing.tracer.start_as_current_span("step") as step:
            root.set_attribute(NAME, "Late")
            assert session_headers()["Helicone-Session-Name"] == "Late"
            assert stamped(step)[1] == "Late"


def test_the_log_of_a_span_has_that_name_too(make_tracing: MakeTracing) -> None:
    def wanted(_attributes: object) -> bool:
        return True

    tracer = make_tracing(stamp=False).tracer
    finished.want(wanted)
    try:
        for root in ("POST /chat", "POST /other"):
            with session("conv-3"), tracer.start_as_current_span(root) as span:
                pass
            own = span.get_span_context()
            node = finished.take(own.trace_id, own.span_id)
            assert node is not None
            assert context_of_finished(node, is_request=False).name == "POST /chat"
    finally:
        finished.unwant(wanted)


def test_looking_at_a_session_does_not_settle_its_name(tracing: Tracing) -> None:
    for root in ("one", "two"):
        with tracing.tracer.start_as_current_span(root), session("conv"):
            now = current_session()
            assert now is not None
            assert now.name == root


def test_the_names_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent_names, "_MAX_NAMES", 50)
    sent_names.first_name("kept", "name")
    for number in range(1000):
        assert sent_names.first_name(f"session {number}", "name") == "name"
        assert sent_names.first_name("kept", "another") == "name"  # it is asked for, so it stays
    assert sent_names.sent_name("session 0") is None
    assert len(sent_names._recent) + len(sent_names._older) <= 100
    gc.collect()
