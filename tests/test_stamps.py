"""The session context on spans: stamped at the start, never over what the application set."""

from __future__ import annotations

from opentelemetry.sdk.trace import SpanLimits, TracerProvider

from otel_helicone import HeliconeSpanProcessor
from tests.conftest import MakeTracing, Tracing


def test_every_span_is_stamped(tracing: Tracing) -> None:
    with tracing.tracer.start_as_current_span("root") as root:
        with tracing.tracer.start_as_current_span("leaf"):
            pass
    assert tracing.exported()["leaf"] == {
        "helicone.session.id": f"{root.get_span_context().trace_id:032x}",
        "helicone.session.path": "/root/leaf",
        "helicone.session.name": "root",
    }


def test_stamps_can_be_switched_off(make_tracing: MakeTracing) -> None:
    tracing = make_tracing(stamp=False)
    with tracing.tracer.start_as_current_span("root"), tracing.tracer.start_as_current_span("leaf"):
        pass
    assert tracing.exported() == {"root": {}, "leaf": {}}


def test_what_the_application_set_is_never_overwritten(tracing: Tracing) -> None:
    own = {"helicone.session.path": "/mine", "helicone.session.name": "my name"}
    with tracing.tracer.start_as_current_span("root", attributes=own) as root:
        root.update_name("renamed")
        root.set_attribute("helicone.session.id", "my id")
        with tracing.tracer.start_as_current_span("leaf"):
            pass
    assert tracing.exported()["renamed"] == {**own, "helicone.session.id": "my id"}


def test_a_stamp_that_the_application_replaced_stays_replaced(tracing: Tracing) -> None:
    with tracing.tracer.start_as_current_span("root") as root:
        root.set_attribute("helicone.session.path", "/mine")
        root.update_name("renamed")
        with tracing.tracer.start_as_current_span("leaf"):
            pass
    assert tracing.exported()["renamed"]["helicone.session.path"] == "/mine"
    assert tracing.exported()["leaf"]["helicone.session.path"] == "/renamed/leaf"


def test_a_span_that_is_nearly_full_keeps_the_applications_attributes(tracing: Tracing) -> None:
    attributes = {f"app.{number}": number for number in range(126)}
    with tracing.tracer.start_as_current_span("full", attributes=attributes):
        pass
    assert tracing.exported()["full"] == attributes


def test_stamps_evicted_by_the_application_are_not_missed(make_tracing: MakeTracing) -> None:
    provider = TracerProvider(span_limits=SpanLimits(max_span_attributes=3), shutdown_on_exit=False)
    provider.add_span_processor(HeliconeSpanProcessor(inject=False))
    tracer = provider.get_tracer("app")
    with tracer.start_as_current_span("root") as root:
        root.set_attributes({"a": 1, "b": 2, "c": 3})
        with tracer.start_as_current_span("leaf") as leaf:
            assert leaf.attributes["helicone.session.path"] == "/root/leaf"  # type: ignore[attr-defined]
    assert dict(root.attributes) == {"a": 1, "b": 2, "c": 3}  # type: ignore[attr-defined]
    provider.shutdown()
