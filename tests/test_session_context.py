"""The rules of the session context: id, path, name, user and properties of the current span."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from otel_helicone import (
    HeliconeSpanProcessor,
    SessionContext,
    current_session,
    session_headers,
)
from tests.conftest import MakeTracing, Tracing


def current() -> SessionContext:
    session = current_session()
    assert session is not None
    return session


# --- id ------------------------------------------------------------------------------------------


def test_the_session_id_is_the_trace_id_as_backends_show_it(tracer: Tracer) -> None:
    with tracer.start_as_current_span("root") as span:
        assert current().id == trace.format_trace_id(span.get_span_context().trace_id)


def test_the_session_id_is_a_uuid_on_request(make_tracing: MakeTracing) -> None:
    tracing = make_tracing(session_id_format="uuid")
    with tracing.tracer.start_as_current_span("root") as span:
        assert UUID(current().id).int == span.get_span_context().trace_id
    assert tracing.exported()["root"]["helicone.session.id"] == str(
        UUID(int=span.get_span_context().trace_id)
    )


def test_an_attribute_of_the_span_or_its_nearest_ancestor_sets_the_id(tracing: Tracing) -> None:
    tracer = tracing.tracer
    with tracer.start_as_current_span("root", attributes={"helicone.session.id": "far"}):
        with tracer.start_as_current_span("middle", attributes={"helicone.session.id": "near"}):
            with tracer.start_as_current_span("leaf"):
                assert current().id == "near"
        with tracer.start_as_current_span("other"):
            assert current().id == "far"
    exported = tracing.exported()
    assert exported["leaf"]["helicone.session.id"] == "near"
    assert exported["other"]["helicone.session.id"] == "far"


def test_an_id_that_is_set_later_counts_from_then_on(tracing: Tracing) -> None:
    with tracing.tracer.start_as_current_span("root") as root:
        with tracing.tracer.start_as_current_span("before"):
            pass
        root.set_attribute("helicone.session.id", "conversation-1")
        assert current().id == "conversation-1"
        with tracing.tracer.start_as_current_span("after"):
            assert current().id == "conversation-1"
    exported = tracing.exported()
    assert exported["root"]["helicone.session.id"] == "conversation-1"
    assert exported["after"]["helicone.session.id"] == "conversation-1"
    assert exported["before"]["helicone.session.id"] != "conversation-1"


def test_an_id_set_far_above_reaches_the_spans_still_open_with_the_first_request(
    tracing: Tracing,
) -> None:
    tracer = tracing.tracer
    with tracer.start_as_current_span("root"):
        with tracer.start_as_current_span("middle") as middle:
            with tracer.start_as_current_span("low"), tracer.start_as_current_span("leaf"):
                middle.set_attribute("helicone.session.id", "late")
                assert session_headers()["Helicone-Session-Id"] == "late"
    exported = tracing.exported()
    assert exported["leaf"]["helicone.session.id"] == "late"
    assert exported["low"]["helicone.session.id"] == "late"


def test_listed_attributes_supply_the_id_and_helicones_own_goes_first(
    make_tracing: MakeTracing,
) -> None:
    tracer = make_tracing(session_id_attributes=["gen_ai.conversation.id", "session.id"]).tracer
    with tracer.start_as_current_span("root", attributes={"session.id": "s1"}):
        assert current().id == "s1"
        with tracer.start_as_current_span("agent", attributes={"gen_ai.conversation.id": "c1"}):
            assert current().id == "c1"
            with tracer.start_as_current_span("leaf"):
                assert current().id == "c1"
    with tracer.start_as_current_span("root", attributes={"helicone.session.id": "h1"}):
        with tracer.start_as_current_span("leaf", attributes={"session.id": "s1"}):
            assert current().id == "h1"


def test_no_attribute_supplies_the_id_by_default(tracer: Tracer) -> None:
    with tracer.start_as_current_span("root", attributes={"session.id": "browser-session"}) as span:
        assert current().id == trace.format_trace_id(span.get_span_context().trace_id)


# --- path ----------------------------------------------------------------------------------------


def test_the_path_is_the_ancestry_root_first(tracer: Tracer) -> None:
    with tracer.start_as_current_span("parent"):
        assert current().path == "/parent"
        with tracer.start_as_current_span("child"):
            assert current().path == "/parent/child"
        assert current().path == "/parent"


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        (SpanKind.CLIENT, {}),
        (SpanKind.CLIENT, {"http.request.method": "POST"}),
        (SpanKind.CLIENT, {"db.system.name": "postgresql"}),
        (SpanKind.CLIENT, {"rpc.system": "grpc"}),
        (SpanKind.PRODUCER, {"messaging.system": "kafka"}),
        (SpanKind.INTERNAL, {"asgi.event.type": "http.response.start"}),
        (SpanKind.CLIENT, {"gen_ai.operation.name": "chat"}),
        (SpanKind.INTERNAL, {"gen_ai.operation.name": "embeddings"}),
        (SpanKind.INTERNAL, {"openinference.span.kind": "LLM"}),
        (SpanKind.CLIENT, {"llm.request.type": "chat"}),
        (SpanKind.INTERNAL, {"gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o"}),
    ],
)
def test_a_span_that_is_or_only_carries_the_request_adds_no_segment(
    tracing: Tracing, kind: SpanKind, attributes: dict[str, Any]
) -> None:
    with tracing.tracer.start_as_current_span("parent"):
        with tracing.tracer.start_as_current_span("call", kind=kind, attributes=attributes):
            assert current().path == "/parent"
    assert tracing.exported()["call"]["helicone.session.path"] == "/parent"


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        (SpanKind.SERVER, {"http.request.method": "POST"}),
        (SpanKind.CONSUMER, {"messaging.system": "kafka"}),
        (SpanKind.INTERNAL, {"gen_ai.operation.name": "execute_tool"}),
        (SpanKind.CLIENT, {"gen_ai.operation.name": "invoke_agent"}),
        (SpanKind.CLIENT, {"gen_ai.operation.name": "retrieval"}),
        (SpanKind.INTERNAL, {"openinference.span.kind": "AGENT"}),
        (SpanKind.INTERNAL, {"traceloop.span.kind": "workflow"}),
        (SpanKind.INTERNAL, {"gen_ai.request.model": "gpt-4o"}),
        (SpanKind.INTERNAL, {"http.url": "https://example.com", "my.own": 1}),
    ],
)
def test_servers_agents_tools_and_the_applications_steps_add_one(
    tracer: Tracer, kind: SpanKind, attributes: dict[str, Any]
) -> None:
    with tracer.start_as_current_span("parent"):
        with tracer.start_as_current_span("step", kind=kind, attributes=attributes):
            assert current().path == "/parent/step"


def test_a_trace_of_nothing_but_a_client_span_has_the_root_path(tracer: Tracer) -> None:
    with tracer.start_as_current_span("call", kind=SpanKind.CLIENT):
        assert current().path == "/"
        assert current().name == "call"


def test_the_applications_rule_replaces_the_default(make_tracing: MakeTracing) -> None:
    tracer = make_tracing(
        segment=lambda span: None if span.parent is None else f"<{span.name}>"
    ).tracer
    with tracer.start_as_current_span("root"):
        assert current().path == "/"
        with tracer.start_as_current_span("a/b"):
            assert current().path == "/<a%2Fb>"
        assert current().name == "root"


def test_a_rule_may_ask_for_the_current_session_and_start_spans(
    make_tracing: MakeTracing,
) -> None:
    def rule(span: ReadableSpan) -> str:
        current_session()
        session_headers()
        if span.name != "from the rule":
            tracing.tracer.start_span("from the rule").end()
        return f"<{span.name}>"

    tracing = make_tracing(segment=rule)
    with tracing.tracer.start_as_current_span("root"):
        with tracing.tracer.start_as_current_span("leaf"):
            assert current().path.endswith("/<leaf>")


def test_a_rule_that_raises_is_logged_once_and_the_default_holds(
    make_tracing: MakeTracing, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.failures_are_expected = True  # type: ignore[attr-defined]
    tracer = make_tracing(segment=lambda span: span.no_such_thing).tracer
    for _ in range(2):
        with tracer.start_as_current_span("root"):
            assert current().path == "/root"
    assert len([r for r in caplog.records if "segment rule" in r.getMessage()]) == 1


@given(names=st.lists(st.one_of(st.text(), st.integers()), min_size=1, max_size=6))
@settings(max_examples=50)
def test_any_span_name_makes_a_path_that_can_be_sent(names: list[Any]) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    processor = HeliconeSpanProcessor(inject=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("app")
    within = context.Context()
    spans = []
    for name in names:
        spans.append(tracer.start_span(name, context=within))
        within = set_span_in_context(spans[-1], within)
    token = context.attach(within)
    try:
        path = current().path
    finally:
        context.detach(token)
        provider.shutdown()
    assert path.isascii()
    assert path.isprintable()
    assert path.count("/") == len(names)
    assert path == path.strip()
    assert spans[-1].attributes["helicone.session.path"] == path  # type: ignore[attr-defined]


def test_a_trace_ten_thousand_levels_deep(tracing: Tracing) -> None:
    within = context.Context()
    spans = []
    for level in range(10_000):
        spans.append(tracing.tracer.start_span(f"level {level}", context=within))
        within = set_span_in_context(spans[-1])
    token = context.attach(within)
    try:
        path = session_headers()["Helicone-Session-Path"]
    finally:
        context.detach(token)
    assert path.startswith("/level 0/level 1/")
    assert path.endswith("/level 9998/level 9999")
    assert "more ...]" in path
    assert spans[-1].attributes is not None  # type: ignore[attr-defined]
    assert spans[-1].attributes["helicone.session.path"] == path  # type: ignore[attr-defined]


# --- name ----------------------------------------------------------------------------------------


def test_the_name_is_that_of_the_local_root(tracer: Tracer) -> None:
    with tracer.start_as_current_span("root"), tracer.start_as_current_span("leaf"):
        assert current().name == "root"


def test_an_attribute_sets_the_name(tracing: Tracing) -> None:
    with tracing.tracer.start_as_current_span(
        "root", attributes={"helicone.session.name": "Support chat"}
    ):
        with tracing.tracer.start_as_current_span("leaf"):
            assert current().name == "Support chat"
            assert session_headers()["Helicone-Session-Name"] == "Support chat"
    assert tracing.exported()["leaf"]["helicone.session.name"] == "Support chat"
    assert tracing.exported()["root"]["helicone.session.name"] == "Support chat"


def test_a_rename_before_the_first_request_counts_also_on_open_spans(tracing: Tracing) -> None:
    tracer = tracing.tracer
    with tracer.start_as_current_span("GET") as server:
        with tracer.start_as_current_span("middleware"), tracer.start_as_current_span("handler"):
            sibling = tracer.start_span("sibling")
            assert current().name == "GET"  # looking does not fix it
            server.update_name("GET /chat")
            headers = session_headers()
            sibling.end()
    assert headers["Helicone-Session-Name"] == "GET /chat"
    assert headers["Helicone-Session-Path"] == "/GET %2Fchat/middleware/handler"
    exported = tracing.exported()
    assert exported["handler"]["helicone.session.path"] == "/GET %2Fchat/middleware/handler"
    assert exported["middleware"]["helicone.session.path"] == "/GET %2Fchat/middleware"
    assert exported["sibling"]["helicone.session.path"] == "/GET %2Fchat/middleware/handler/sibling"
    assert exported["GET /chat"]["helicone.session.path"] == "/GET %2Fchat"
    assert {attributes["helicone.session.name"] for attributes in exported.values()} == {
        "GET /chat"
    }


def test_a_rename_of_the_parent_or_the_root_is_seen_when_a_child_starts(tracing: Tracing) -> None:
    tracer = tracing.tracer
    with tracer.start_as_current_span("GET") as server:
        with tracer.start_as_current_span("middleware"):
            server.update_name("GET /chat")
            with tracer.start_as_current_span("handler"):
                pass
    assert (
        tracing.exported()["handler"]["helicone.session.path"] == "/GET %2Fchat/middleware/handler"
    )


def test_a_rename_after_a_request_leaves_the_text_as_it_was_sent(tracing: Tracing) -> None:
    tracer = tracing.tracer
    with tracer.start_as_current_span("first name") as root:
        with tracer.start_as_current_span("one"):
            sent = session_headers()
        root.update_name("second name")
        with tracer.start_as_current_span("two"):
            again = session_headers()
    assert sent["Helicone-Session-Name"] == again["Helicone-Session-Name"] == "first name"
    assert again["Helicone-Session-Path"] == "/first name/two"
    assert tracing.exported()["two"]["helicone.session.path"] == "/first name/two"


def test_headers_taken_from_a_session_context_fix_the_name_too(tracer: Tracer) -> None:
    with tracer.start_as_current_span("first") as root:
        assert current().headers()["Helicone-Session-Name"] == "first"
        root.update_name("second")
        assert current().name == "first"


def test_a_rename_at_the_end_reaches_spans_that_outlive_the_parent(tracing: Tracing) -> None:
    tracer = tracing.tracer
    root = tracer.start_span("GET")
    task = tracer.start_span("background", context=set_span_in_context(root))
    root.update_name("GET /chat")
    root.end()
    del root
    with trace.use_span(task, end_on_exit=True):
        assert session_headers()["Helicone-Session-Path"] == "/GET %2Fchat/background"
    assert tracing.exported()["background"]["helicone.session.path"] == "/GET %2Fchat/background"


# --- user and properties -------------------------------------------------------------------------


def test_the_user_comes_from_the_nearest_span_that_names_one(tracer: Tracer) -> None:
    with tracer.start_as_current_span("root", attributes={"enduser.id": "root user"}) as root:
        assert current().user_id == "root user"
        root.set_attribute("user.id", "müller")
        with tracer.start_as_current_span("leaf"):
            assert session_headers()["Helicone-User-Id"] == "m%C3%BCller"


def test_properties_are_static_or_from_spans(make_tracing: MakeTracing) -> None:
    tracer = make_tracing(
        properties={"Env": "prod"},
        property_attributes={"app.tenant": "Tenant", "retries": "retries"},
        user_id_attributes=[],
    ).tracer
    with tracer.start_as_current_span("root", attributes={"app.tenant": "acme", "user.id": "u"}):
        with tracer.start_as_current_span("leaf", attributes={"retries": 3}):
            headers = session_headers()
    assert headers["Helicone-Property-env"] == "prod"
    assert headers["Helicone-Property-tenant"] == "acme"
    assert headers["Helicone-Property-retries"] == "3"
    assert "Helicone-User-Id" not in headers


# --- what spans are found ------------------------------------------------------------------------


def test_outside_of_every_span_and_block_there_is_no_session() -> None:
    assert current_session() is None
    assert session_headers() == {}


def test_an_unsampled_trace_still_has_its_id(make_tracing: MakeTracing) -> None:
    tracer = make_tracing(sampler=ALWAYS_OFF).tracer
    with tracer.start_as_current_span("unseen") as span:
        session = current()
    assert session == SessionContext(f"{span.get_span_context().trace_id:032x}", "/")
    assert "Helicone-Session-Name" not in session.headers()


def remote_parent(sampled: bool = True) -> tuple[context.Context, int]:
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    parent = SpanContext(0xA1B2 << 80, 0xC3D4, is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(parent), context.Context()), parent.trace_id


def test_below_a_remote_parent_id_is_shared_and_path_and_name_start_here(tracer: Tracer) -> None:
    within, trace_id = remote_parent()
    with tracer.start_as_current_span("POST /plan", context=within, kind=SpanKind.SERVER):
        with tracer.start_as_current_span("step"):
            assert current() == SessionContext(
                f"{trace_id:032x}", "/POST %2Fplan/step", "POST /plan"
            )


def test_an_unsampled_remote_parent_leaves_the_id(make_tracing: MakeTracing) -> None:
    from opentelemetry.sdk.trace.sampling import ParentBased

    tracer = make_tracing(sampler=ParentBased(ALWAYS_OFF)).tracer
    within, trace_id = remote_parent(sampled=False)
    with tracer.start_as_current_span("POST /plan", context=within):
        assert current().id == f"{trace_id:032x}"


def test_links_are_not_ancestors(tracer: Tracer) -> None:
    other = tracer.start_span("other")
    with tracer.start_as_current_span("root", links=[Link(other.get_span_context())]):
        assert current().path == "/root"


def test_an_explicit_parent_counts_and_an_explicitly_empty_one_starts_anew(tracer: Tracer) -> None:
    with tracer.start_as_current_span("current"):
        explicit = tracer.start_span("explicit", context=context.Context())
        child = tracer.start_span("child", context=set_span_in_context(explicit, context.Context()))
        with trace.use_span(child):
            assert current().path == "/explicit/child"
            assert current().name == "explicit"


def test_a_wrapper_around_the_span_is_the_span(tracer: Tracer) -> None:
    class Wrapper(NonRecordingSpan):
        """What logfire and OpenInference put into the context, seen from outside."""

    with tracer.start_as_current_span("root") as root:
        wrapped = Wrapper(root.get_span_context())
        with trace.use_span(wrapped), tracer.start_as_current_span("child") as child:
            with trace.use_span(Wrapper(child.get_span_context())):
                assert current().path == "/root/child"


def test_spans_of_several_providers_make_one_path(make_tracing: MakeTracing) -> None:
    one, two = make_tracing().tracer, make_tracing().tracer
    with one.start_as_current_span("one"), two.start_as_current_span("two"):
        with one.start_as_current_span("three"):
            assert current().path == "/one/two/three"


def test_a_span_of_a_provider_without_the_processor_leaves_a_gap_in_the_path(
    tracer: Tracer,
) -> None:
    foreign = TracerProvider(shutdown_on_exit=False).get_tracer("foreign")
    with tracer.start_as_current_span("root") as root:
        with foreign.start_as_current_span("foreign"):
            session = current()
            with tracer.start_as_current_span("leaf"):
                leaf = current()
    trace_id = f"{root.get_span_context().trace_id:032x}"
    assert (session.id, session.path, session.name) == (trace_id, "/root", "root")
    assert (leaf.id, leaf.path, leaf.name) == (trace_id, "/root/leaf", "root")


def test_a_trace_of_another_provider_alone_has_its_id(tracer: Tracer) -> None:
    foreign = TracerProvider(shutdown_on_exit=False).get_tracer("foreign")
    with foreign.start_as_current_span("foreign") as span:
        assert current() == SessionContext(f"{span.get_span_context().trace_id:032x}", "/")


def test_two_processors_on_one_provider_are_as_one(tracing: Tracing) -> None:
    tracing.provider.add_span_processor(HeliconeSpanProcessor())
    with tracing.tracer.start_as_current_span("root"), tracing.tracer.start_as_current_span("leaf"):
        assert current().path == "/root/leaf"


def test_live_spans_of_one_id_in_two_traces_are_told_apart(tracer: Tracer) -> None:
    from otel_helicone.session_context.local_trace import node_of

    with tracer.start_as_current_span("root") as span:
        own = span.get_span_context()
        twin = SpanContext(own.trace_id + 1, own.span_id, is_remote=False)
        assert node_of(NonRecordingSpan(own)) is not None
        assert node_of(NonRecordingSpan(twin)) is None
        with tracer.start_as_current_span(
            "child", context=set_span_in_context(NonRecordingSpan(twin))
        ):
            assert current().path == "/child"
            assert current().name == "child"


def test_many_threads_at_once_never_mix_their_sessions(tracer: Tracer) -> None:
    wrong: list[str] = []

    def work(number: int) -> None:
        for turn in range(50):
            name = f"thread {number} turn {turn}"
            with tracer.start_as_current_span(name) as root:
                with tracer.start_as_current_span("step"):
                    headers = session_headers()
                if headers != {
                    "Helicone-Session-Id": f"{root.get_span_context().trace_id:032x}",
                    "Helicone-Session-Path": f"/{name}/step",
                    "Helicone-Session-Name": name,
                }:
                    wrong.append(name)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_rename_in_a_race_with_requests_gives_one_text(tracer: Tracer) -> None:
    for _ in range(50):
        with tracer.start_as_current_span("before") as root:
            within = set_span_in_context(root)
            seen: set[str] = set()

            def call(within: context.Context = within, seen: set[str] = seen) -> None:
                token = context.attach(within)
                seen.add(session_headers()["Helicone-Session-Path"])
                context.detach(token)

            threads = [threading.Thread(target=call) for _ in range(4)]
            for thread in threads:
                thread.start()
            root.update_name("after")
            for thread in threads:
                thread.join()
            assert len(seen) == 1


def test_without_any_processor_blocks_and_trace_ids_still_make_sessions() -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("app")
    with tracer.start_as_current_span("root") as span:
        assert current().id == f"{span.get_span_context().trace_id:032x}"


def test_the_lock_may_be_taken_again_by_a_finalizer_or_a_signal_handler(tracer: Tracer) -> None:
    from otel_helicone.session_context import texts

    with tracer.start_as_current_span("root"), texts._freezing:
        assert session_headers()["Helicone-Session-Path"] == "/root"


@pytest.mark.parametrize("part", ["stamp_at_start", "getrefcount"])
def test_an_exception_inside_the_library_is_logged_once_and_swallowed(
    tracing: Tracing, part: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from otel_helicone import processor

    def broken(*_arguments: object) -> None:
        raise RuntimeError("a defect of the library")

    monkeypatch.setattr(processor, part, broken)
    caplog.failures_are_expected = True  # type: ignore[attr-defined]
    for _ in range(3):
        with tracing.tracer.start_as_current_span("root"):
            with tracing.tracer.start_as_current_span("leaf"):
                assert current().path == "/root/leaf"
    assert len([r for r in caplog.records if "failed while" in r.getMessage()]) == 1
    assert len(tracing.exporter.get_finished_spans()) == 6
