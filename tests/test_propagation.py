"""A session goes on in the next service: one id, one name, paths that continue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, attach, detach
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_helicone import HeliconePropagator, current_session, session, session_headers
from tests.conftest import MakeTracing, Tracing

PROPAGATOR = CompositePropagator([TraceContextTextMapPropagator(), HeliconePropagator()])
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@contextmanager
def served(tracing: Tracing, carrier: dict[str, str], name: str = "GET /next") -> Iterator[Any]:
    """Handle a request as an instrumentation of a server does."""
    context = PROPAGATOR.extract(carrier, Context())
    token = attach(context)
    try:
        with tracing.tracer.start_as_current_span(name, kind=SpanKind.SERVER) as span:
            yield span
    finally:
        detach(token)


def called(tracing: Tracing) -> dict[str, str]:
    """Send a request as an instrumentation of a client does; give its headers."""
    carrier: dict[str, str] = {}
    with tracing.tracer.start_as_current_span("GET", kind=SpanKind.CLIENT):
        PROPAGATOR.inject(carrier)
    return carrier


def test_the_next_service_continues_the_session(make_tracing: MakeTracing) -> None:
    one, two = make_tracing(), make_tracing()
    with one.tracer.start_as_current_span("Trip"), one.tracer.start_as_current_span("plan"):
        carrier = called(one)
        first = session_headers()
    with served(two, carrier), two.tracer.start_as_current_span("answer"):
        second = session_headers()
    assert second["Helicone-Session-Id"] == first["Helicone-Session-Id"]
    assert second["Helicone-Session-Name"] == "Trip"
    assert first["Helicone-Session-Path"] == "/Trip/plan"
    assert second["Helicone-Session-Path"] == "/Trip/plan/GET %2Fnext/answer"
    stamped = two.exported()["answer"]
    assert stamped["helicone.session.path"] == second["Helicone-Session-Path"]
    assert stamped["helicone.session.name"] == "Trip"
    assert two.exported()["GET /next"]["helicone.session.id"] == first["Helicone-Session-Id"]


def test_the_header_is_documented(tracing: Tracing) -> None:
    with session("a,b=c", name="Tour à Zürich"), tracing.tracer.start_as_current_span("x y"):
        carrier = called(tracing)
    assert carrier["helicone-session"] == (
        "id=a%2Cb%3Dc,path=/x%20y,name=Tour%20%25C3%25A0%20Z%25C3%25BCrich"
    )
    assert HeliconePropagator().fields == {"helicone-session"}


def test_names_are_fixed_once_they_were_handed_on(tracing: Tracing) -> None:
    with tracing.tracer.start_as_current_span("before") as span:
        carrier = called(tracing)
        span.update_name("after")
        headers = session_headers()
    assert carrier["helicone-session"].endswith("path=/before,name=before")
    assert headers["Helicone-Session-Name"] == "before"


def test_without_the_header_the_trace_is_the_session(tracing: Tracing) -> None:
    with served(tracing, {"traceparent": TRACEPARENT}):
        headers = session_headers()
    assert headers["Helicone-Session-Id"] == TRACEPARENT[3:35]
    assert headers["Helicone-Session-Name"] == "GET /next"


def test_services_in_other_languages_may_use_baggage(tracing: Tracing) -> None:
    carrier = {
        "traceparent": TRACEPARENT,
        "baggage": "helicone.session.id=trip-1,helicone.session.path=%2FTrip,"
        "helicone.session.name=Trip,other=1",
    }
    with served(tracing, carrier):
        headers = session_headers()
    assert headers["Helicone-Session-Id"] == "trip-1"
    assert headers["Helicone-Session-Path"] == "/Trip/GET %2Fnext"


def test_spaces_in_baggage_may_be_written_so_that_every_language_keeps_them(
    tracing: Tracing,
) -> None:
    carrier = {
        "baggage": "helicone.session.id=i,helicone.session.path=%2FPOST%2520%252Ftrip,"
        "helicone.session.name=POST%2520%2Ftrip"
    }
    context = HeliconePropagator().extract(carrier, Context())
    with tracing.tracer.start_as_current_span("next", context):
        now = current_session()
    assert now is not None
    assert (now.path, now.name) == ("/POST %2Ftrip/next", "POST /trip")


def test_baggage_that_another_propagator_has_read_counts_too(tracing: Tracing) -> None:
    carrier = {"baggage": "helicone.session.id=i,helicone.session.path=/p,helicone.session.name=n"}
    context = W3CBaggagePropagator().extract(carrier, Context())
    token = attach(HeliconePropagator().extract({}, context))
    try:
        session_now = current_session()
    finally:
        detach(token)
    assert session_now is not None
    assert (session_now.id, session_now.path, session_now.name) == ("i", "/p", "n")


def test_the_header_wins_over_baggage(tracing: Tracing) -> None:
    carrier = {
        "helicone-session": "id=header,path=/,name=n",
        "baggage": "helicone.session.id=i,helicone.session.path=/p,helicone.session.name=n",
    }
    with served(tracing, carrier):
        assert session_headers()["Helicone-Session-Id"] == "header"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "id=a",
        "id=a,path=/p",
        "id=,path=/p,name=n",
        "id=a,path=p,name=n",
        "id=a,path=/p/,name=n",
        "id=a,path=//p,name=n",
        "id=a,id=b,path=/p,name=n",
        "id=a,path=/p,name=%20n",
        "id=a,path=/p,name=%0d%0aX: y",
        "id=a,path=/p,name=%C3%BC",
        "id=a,path=/p,name=%ff",
        f"id={'x' * 300},path=/p,name=n",
        f"id=a,path=/{'x' * 9000},name=n",
        "nonsense",
    ],
)
def test_what_is_partial_or_malformed_is_ignored_whole(tracing: Tracing, header: str) -> None:
    with served(tracing, {"traceparent": TRACEPARENT, "helicone-session": header}):
        headers = session_headers()
    assert headers["Helicone-Session-Id"] == TRACEPARENT[3:35]
    assert headers["Helicone-Session-Path"] == "/GET %2Fnext"


def test_a_header_that_came_twice_is_ignored(tracing: Tracing) -> None:
    carrier: dict[str, Any] = {"helicone-session": ["id=a,path=/p,name=n", "id=b,path=/p,name=n"]}
    assert HeliconePropagator().extract(carrier, Context()) == Context()


def test_a_caller_that_is_not_sampled_still_hands_on_what_came_in(
    make_tracing: MakeTracing,
) -> None:
    unsampled = make_tracing(sampler=ALWAYS_OFF)
    header = "id=trip-1,path=/Trip,name=Trip"
    with served(unsampled, {"traceparent": TRACEPARENT[:-1] + "0", "helicone-session": header}):
        assert session_headers() == {
            "Helicone-Session-Id": "trip-1",
            "Helicone-Session-Path": "/Trip",
            "Helicone-Session-Name": "Trip",
        }
        assert called(unsampled)["helicone-session"] == header


def test_an_unsampled_trace_of_its_own_hands_on_nothing(make_tracing: MakeTracing) -> None:
    unsampled = make_tracing(sampler=ALWAYS_OFF)
    with unsampled.tracer.start_as_current_span("Trip"):
        assert "helicone-session" not in called(unsampled)


def test_what_is_nearer_wins(make_tracing: MakeTracing) -> None:
    """A block, then an attribute on a span, then what was sent, then listed attributes."""
    tracing = make_tracing(session_id_attributes=["app.chat"])
    carrier = {"helicone-session": "id=sent,path=/Trip,name=Trip"}
    with served(tracing, carrier) as span:
        span.set_attribute("app.chat", "listed")
        assert session_headers()["Helicone-Session-Id"] == "sent"
        with session("block"):
            assert session_headers()["Helicone-Session-Id"] == "block"
        span.set_attribute("helicone.session.id", "own")
        assert session_headers()["Helicone-Session-Id"] == "own"
    with served(tracing, {}) as span:
        span.set_attribute("app.chat", "listed")
        assert session_headers()["Helicone-Session-Id"] == "listed"


def test_three_services_draw_one_tree(make_tracing: MakeTracing) -> None:
    one, two, three = make_tracing(), make_tracing(), make_tracing()
    with one.tracer.start_as_current_span("Trip"):
        carrier = called(one)
    with served(two, carrier, "GET /two"):
        carrier = called(two)
    with served(three, carrier, "GET /three"):
        headers = session_headers()
    assert headers["Helicone-Session-Path"] == "/Trip/GET %2Ftwo/GET %2Fthree"
    assert headers["Helicone-Session-Name"] == "Trip"


def test_a_request_of_another_session_at_the_same_time_is_not_touched(tracing: Tracing) -> None:
    with served(tracing, {"helicone-session": "id=a,path=/A,name=A"}):
        with served(tracing, {"helicone-session": "id=b,path=/B,name=B"}):
            assert session_headers()["Helicone-Session-Id"] == "b"
        assert session_headers()["Helicone-Session-Id"] == "a"
    with tracing.tracer.start_as_current_span("later"):
        assert session_headers()["Helicone-Session-Path"] == "/later"


@given(st.text(max_size=400), st.lists(st.text(max_size=20), max_size=5), st.text(max_size=300))
def test_whatever_a_session_is_called_the_next_service_reads_it(
    session_id: str, names: list[str], name: str
) -> None:
    with session(session_id or "x", name=name or "x", path="/" + "/".join(names)):
        carrier: dict[str, str] = {}
        HeliconePropagator().inject(carrier)
        here = current_session()
    assert here is not None
    if here.name is None:
        assert carrier == {}
        return
    assert carrier["helicone-session"].isascii()
    token = attach(HeliconePropagator().extract(carrier, Context()))
    try:
        there = current_session()
    finally:
        detach(token)
    assert there is not None
    assert (there.id, there.path, there.name) == (here.id, here.path, here.name)


@given(st.text(max_size=60))
def test_no_header_raises(header: str) -> None:
    HeliconePropagator().extract({"helicone-session": header, "baggage": header}, Context())
