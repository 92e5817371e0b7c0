"""Whatever happens to the spans of a trace: headers, stamps and logs say the same of each."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanKind, set_span_in_context

from otel_helicone import (
    HeliconeSpanProcessor,
    default_segment,
    session,
    session_headers,
    set_session,
)
from otel_helicone.primitives.escaping import escape_segment
from otel_helicone.session_context import finished
from otel_helicone.session_context.current import context_of_finished

ID, NAME, PATH = "helicone.session.id", "helicone.session.name", "helicone.session.path"
indexes = st.integers(0, 9)
texts = st.sampled_from(["a", "b", "c/d", "é"])
at_start = st.sampled_from(
    [
        None,
        {"app.note": 1},
        {"gen_ai.operation.name": "chat"},
        {"gen_ai.operation.name": "execute_tool"},
        {ID: "at start"},
        {NAME: "Named at start"},
    ]
)
late = st.sampled_from(
    [(ID, "late"), (NAME, "Named late"), ("user.id", "u"), ("openinference.span.kind", "LLM")]
)
kinds = st.sampled_from([SpanKind.INTERNAL, SpanKind.SERVER, SpanKind.CLIENT])
steps = st.one_of(
    st.tuples(st.just("start"), st.tuples(texts, kinds, at_start)),
    st.tuples(st.just("end"), st.none()),
    st.tuples(st.just("rename"), st.tuples(indexes, texts)),
    st.tuples(st.just("set"), st.tuples(indexes, late)),
    st.tuples(st.just("block"), st.tuples(texts, st.sampled_from([None, "Block"]))),
    st.tuples(st.just("leave"), st.none()),
    st.tuples(st.just("set session"), texts),
    st.tuples(st.just("request"), indexes),
)


class Ids(RandomIdGenerator):
    """Ids that do not repeat, although Hypothesis seeds ``random`` for each example."""

    def generate_span_id(self) -> int:
        return secrets.randbits(64) or 1

    def generate_trace_id(self) -> int:
        return secrets.randbits(128) or 1


def _every_span(_attributes: object) -> bool:
    return True


@pytest.fixture(scope="module", autouse=True)
def _spans_are_kept() -> Iterator[None]:
    finished.want(_every_span)
    yield
    finished.unwant(_every_span)


class World:
    """A trace with its open spans, and what requests have said of them."""

    def __init__(self, stamp: bool) -> None:
        self.provider = TracerProvider(id_generator=Ids(), shutdown_on_exit=False)
        self.provider.add_span_processor(HeliconeSpanProcessor(inject=False, stamp=stamp))
        self.tracer = self.provider.get_tracer("app")
        self.open: list[Any] = []
        self.ended: list[Any] = []
        self.sent: dict[int, dict[str, str]] = {}
        self.above: dict[int, Any] = {}
        self.frozen: dict[int, str | None] = {}
        self.blocks: list[session] = []
        self.stamp = stamp

    def start(self, name: str, kind: SpanKind, attributes: Any) -> None:
        within = set_span_in_context(self.open[-1]) if self.open else Context()
        span = self.tracer.start_span(name, within, kind=kind, attributes=attributes)
        self.above[id(span)] = self.open[-1] if self.open else None
        self.open.append(span)

    def expected_path(self, span: Any) -> str:
        """Return the path by the names of now, save for what a request has carried."""
        segments: list[str] = []
        while span is not None:
            if id(span) not in self.frozen:
                name = default_segment(span)
                self.frozen[id(span)] = None if name is None else escape_segment(name)
            segment = self.frozen[id(span)]
            segments += [] if segment is None else [segment]
            span = self.above[id(span)]
        return f"/{'/'.join(reversed(segments))}"

    def request(self, span: Any) -> None:
        expected = self.expected_path(span)
        with trace.use_span(span, end_on_exit=False):
            self.sent[id(span)] = headers = session_headers()
            assert session_headers() == headers
        assert headers["Helicone-Session-Path"] == expected
        # What the application has set itself stays as it is, on the span that it was set on.
        own = span.attributes
        said = {ID: "Session-Id", PATH: "Session-Path", NAME: "Session-Name"}
        if self.stamp and not self.blocks:
            for attribute, header in said.items():
                if own[attribute] not in ("at start", "late", "Named at start", "Named late"):
                    assert own[attribute] == headers[f"Helicone-{header}"]

    def check_logs(self) -> None:
        for span in self.ended:
            own = span.get_span_context()
            node = finished.take(own.trace_id, own.span_id)
            assert node is not None
            log = context_of_finished(node, is_request=False)
            headers = self.sent.get(id(span))
            if headers is not None and not self.blocks:
                assert log.path == headers["Helicone-Session-Path"]
            if self.stamp and headers is not None:
                assert span.attributes[PATH] == log.path


@given(st.lists(steps, max_size=30), st.booleans())
@settings(max_examples=250, deadline=None)
def test_headers_stamps_and_logs_agree(program: list[Any], stamp: bool) -> None:
    world = World(stamp)
    token = context.attach(Context())
    try:
        with ExitStack() as entered:
            world.start("root", SpanKind.SERVER, None)
            for step, argument in program:
                if step == "start":
                    world.start(*argument)
                elif step == "end" and len(world.open) > 1:
                    world.open[-1].end()
                    world.ended.append(world.open.pop())
                elif step == "rename":
                    world.open[argument[0] % len(world.open)].update_name(argument[1])
                elif step == "set":
                    world.open[argument[0] % len(world.open)].set_attribute(*argument[1])
                elif step == "block":
                    world.blocks.append(session(argument[0], name=argument[1]))
                    entered.enter_context(world.blocks[-1])
                elif step == "leave" and world.blocks:
                    world.blocks.pop().__exit__(None, None, None)
                elif step == "set session":
                    with trace.use_span(world.open[-1], end_on_exit=False):
                        set_session(argument)
                elif step == "request":
                    world.request(world.open[argument % len(world.open)])
            for span in reversed(world.open):
                span.end()
                world.ended.append(span)
            world.check_logs()
    finally:
        context.detach(token)
        world.provider.shutdown()
