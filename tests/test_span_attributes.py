"""Reading and writing the attributes of open spans, in the SDK's form and in an unknown one."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.trace import set_span_in_context

from otel_helicone import HeliconeSpanProcessor
from otel_helicone.primitives import span_attributes
from otel_helicone.primitives.span_attributes import replace_attribute, set_absent_attribute


@pytest.fixture(params=[True, False], ids=["known form", "public ways"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    known: bool = request.param
    monkeypatch.setattr(span_attributes, "IS_KNOWN_FORM", known)
    return known


def tracer_with(**limits: Any) -> Any:
    provider = TracerProvider(span_limits=SpanLimits(**limits), shutdown_on_exit=False)
    provider.add_span_processor(HeliconeSpanProcessor(inject=False))
    return provider.get_tracer("app")


def test_this_sdk_keeps_attributes_in_the_known_form() -> None:
    assert span_attributes.IS_KNOWN_FORM


def test_stamps_are_written_and_follow_a_rename(form: bool) -> None:
    tracer = tracer_with()
    root = tracer.start_span("GET")
    child = tracer.start_span("step", set_span_in_context(root))
    root.update_name("GET /chat")
    late = tracer.start_span("late", set_span_in_context(root))
    assert dict(child.attributes)["helicone.session.path"] == "/GET %2Fchat/step"
    assert dict(late.attributes)["helicone.session.name"] == "GET /chat"


def test_a_limit_on_values_cuts_stamps_and_nothing_else(form: bool) -> None:
    tracer = tracer_with(max_span_attribute_length=20)
    root: Any = tracer.start_span("a root span with a long name")
    assert len(root.attributes["helicone.session.id"]) == 20
    assert root.attributes["helicone.session.name"] == "a root span with a l"


def test_a_full_span_is_left_alone(form: bool) -> None:
    tracer = tracer_with(max_span_attributes=4)
    attributes = {"a": 1, "b": 2}
    span: Any = tracer.start_span("full", attributes=attributes)
    assert dict(span.attributes) == attributes


def test_what_the_application_has_set_is_not_replaced(form: bool) -> None:
    span: Any = tracer_with().start_span("s", attributes={"mine": "x"})
    assert not set_absent_attribute(span, "mine", "ours")
    assert set_absent_attribute(span, "free", "ours")
    assert set_absent_attribute(span, "free", "ours again", before="ours")
    assert replace_attribute(span, "mine", "not that", "ours") is None
    assert replace_attribute(span, "mine", "x", "y") == "y"
    span.end()
    assert not set_absent_attribute(span, "late", "ours")
    assert replace_attribute(span, "mine", "y", "z") is None
    assert dict(span.attributes)["mine"] == "y"


def test_an_attribute_on_a_full_span_takes_the_place_of_the_oldest_as_the_sdk_has_it() -> None:
    span: Any = tracer_with(max_span_attributes=2).start_span("s", attributes={"a": 1, "b": 2})
    assert set_absent_attribute(span, "c", "3")
    assert dict(span.attributes) == {"b": 2, "c": "3"}
    assert span.dropped_attributes == 1


def test_a_span_whose_attributes_this_thread_is_changing_is_not_waited_for() -> None:
    span: Any = tracer_with().start_span("root")
    # Held as by the thread itself, in a signal handler that has interrupted set_attribute(): by
    # another thread here, because in old releases of the SDK the lock may be taken again.
    held, looked = threading.Event(), threading.Event()

    def hold() -> None:
        with span._attributes._lock:
            held.set()
            looked.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    assert not set_absent_attribute(span, "free", "ours")
    assert replace_attribute(span, "helicone.session.path", "/root", "/other") == "/other"
    child: Any = tracer_with().start_span("child", set_span_in_context(span))
    looked.set()
    holder.join()
    assert child.attributes["helicone.session.path"] == "/root/child"
