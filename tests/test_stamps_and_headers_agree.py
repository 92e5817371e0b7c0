"""Whatever happens to spans between two requests, stamps and headers say the same."""

from __future__ import annotations

import secrets
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Tracer

from otel_helicone import HeliconeSpanProcessor, current_session, session, session_headers
from tests.conftest import MakeTracing, Tracing

names = st.sampled_from(["a", "b", "c/d", "é", ""])
steps = st.one_of(
    st.tuples(st.just("start"), names),
    st.tuples(st.just("end"), st.none()),
    st.tuples(st.just("rename"), st.tuples(st.integers(0, 9), names)),
    st.tuples(st.just("set id"), st.tuples(st.integers(0, 9), st.sampled_from(["x", "y"]))),
    st.tuples(st.just("request"), st.none()),
    st.tuples(st.just("look"), st.none()),
)


class Ids(RandomIdGenerator):
    """Ids that do not repeat, although Hypothesis seeds ``random`` for each example."""

    def generate_span_id(self) -> int:
        return secrets.randbits(64) or 1

    def generate_trace_id(self) -> int:
        return secrets.randbits(128) or 1


def stamps(span: Any) -> dict[str, str]:
    return {
        name.rpartition(".")[2]: text
        for name, text in span.attributes.items()
        if name.startswith("helicone.session.")
    }


def resolved(span: Any) -> dict[str, str]:
    with trace.use_span(span):
        now = current_session()
    assert now is not None
    said = {"id": now.id, "path": now.path}
    return said if now.name is None else {**said, "name": now.name}


@given(st.lists(steps, max_size=25))
@settings(max_examples=150, deadline=None)
def test_after_a_request_every_open_span_is_stamped_with_what_is_sent(program: list[Any]) -> None:
    provider = TracerProvider(id_generator=Ids(), shutdown_on_exit=False)
    provider.add_span_processor(HeliconeSpanProcessor(inject=False))
    tracer = provider.get_tracer("app")
    stack: list[Any] = [tracer.start_span("root")]
    fixed: dict[int, str] = {}
    for step, argument in [*program, ("request", None)]:
        if step == "start":
            within = trace.set_span_in_context(stack[-1])
            stack.append(tracer.start_span(argument, context=within))
            assert stamps(stack[-1])
        elif step == "end" and len(stack) > 1:
            stack.pop().end()
        elif step == "rename":
            stack[argument[0] % len(stack)].update_name(argument[1])
        elif step == "set id":
            stack[argument[0] % len(stack)].set_attribute("helicone.session.id", argument[1])
        elif step == "look":
            assert resolved(stack[-1])["path"].count("/") == len(stack)
        elif step == "request":
            with trace.use_span(stack[-1]):
                headers = session_headers()
            assert headers["Helicone-Session-Path"] == resolved(stack[-1])["path"]
            for span in stack:
                assert stamps(span) == resolved(span)
                # What a request has carried stays.
                path = resolved(span)["path"]
                assert fixed.setdefault(span.get_span_context().span_id, path) == path
    provider.shutdown()


def test_a_request_on_a_step_and_then_a_step_below_it(tracing: Tracing) -> None:
    tracer = tracing.tracer
    with tracer.start_as_current_span("root"), tracer.start_as_current_span("step"):
        session_headers()
        with tracer.start_as_current_span("sub"):
            pass
    assert tracing.exported()["sub"]["helicone.session.path"] == "/root/step/sub"


def test_two_processors_with_other_rules_follow_that_of_the_local_root(
    make_tracing: MakeTracing,
) -> None:
    one = make_tracing(session_id_format="uuid")
    two = make_tracing(segment=lambda span: "X")
    with one.tracer.start_as_current_span("root"), two.tracer.start_as_current_span("child"):
        headers = session_headers()
    stamped = two.exported()["child"]
    assert headers["Helicone-Session-Path"] == stamped["helicone.session.path"] == "/root/child"
    assert headers["Helicone-Session-Id"] == stamped["helicone.session.id"]
    assert "-" in headers["Helicone-Session-Id"]


def test_a_limit_on_the_length_of_attributes_does_not_reach_the_headers() -> None:
    provider = TracerProvider(
        span_limits=SpanLimits(max_span_attribute_length=20), shutdown_on_exit=False
    )
    provider.add_span_processor(HeliconeSpanProcessor(inject=False))
    tracer: Tracer = provider.get_tracer("app")
    name = "a root span with a long name"
    with tracer.start_as_current_span(name) as root, tracer.start_as_current_span("leaf"):
        headers = session_headers()
    assert headers["Helicone-Session-Id"] == f"{root.get_span_context().trace_id:032x}"
    assert headers["Helicone-Session-Name"] == name
    provider.shutdown()


def test_a_session_without_a_name_keeps_the_one_it_was_first_sent_with(tracing: Tracing) -> None:
    # Helicone groups by id and name: a second name would be a second session.
    with session("conversation"):
        for turn in ("turn 1", "turn 2"):
            with tracing.tracer.start_as_current_span(turn):
                assert session_headers()["Helicone-Session-Name"] == "turn 1"
        with session(path="/deeper"), tracing.tracer.start_as_current_span("turn 3"):
            assert session_headers()["Helicone-Session-Name"] == "turn 1"
    assert tracing.exported()["turn 2"]["helicone.session.name"] == "turn 1"


def test_headers_of_a_session_context_are_those_that_the_next_request_carries(
    tracing: Tracing,
) -> None:
    with tracing.tracer.start_as_current_span("first") as root:
        looked = current_session()
        root.update_name("second")
        assert looked is not None
        assert looked.path == "/first"
        assert looked.headers() == session_headers()


def test_a_rule_that_asks_for_headers_fixes_nothing(make_tracing: MakeTracing) -> None:
    def rule(span: Any) -> str:
        session_headers()
        return f"<{span.name}>"

    tracing = make_tracing(segment=rule)
    with tracing.tracer.start_as_current_span("a"), tracing.tracer.start_as_current_span("b"):
        assert session_headers()["Helicone-Session-Path"] == "/<a>/<b>"


def test_an_id_on_the_current_span_is_stamped_on_others_once(
    tracing: Tracing, monkeypatch: Any
) -> None:
    from otel_helicone.session_context import texts
    from otel_helicone.session_context.local_trace import LocalTrace

    restamps: list[object] = []
    refresh = texts.refresh

    def counted(local_trace: LocalTrace) -> None:
        restamps.append(local_trace)
        refresh(local_trace)

    monkeypatch.setattr(texts, "refresh", counted)
    with tracing.tracer.start_as_current_span("root") as root:
        root.set_attribute("helicone.session.id", "conversation")
        for _ in range(5):
            assert session_headers()["Helicone-Session-Id"] == "conversation"
    assert len(restamps) <= 1
