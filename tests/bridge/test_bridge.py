"""The bridge from end to end: spans go in as OTLP, and come out as sessions in Helicone."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.propagate import extract, inject
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from otel_helicone import HeliconeSpanProcessor, session
from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.records import RequestRecord
from tests.bridge.conftest import (
    MakeBridge,
    RunningBridge,
    Service,
    call,
    make_service,
    rows_of,
)

Tree = list[tuple[str, str, str]]


def tree_of(rows: list[RequestRecord]) -> Tree:
    return sorted(
        (str(row.session_id), str(row.session_path), str(row.session_name)) for row in rows
    )


def paths_of(rows: list[RequestRecord]) -> list[str]:
    return sorted(str(row.session_path) for row in rows)


def trip(service: Service) -> str:
    """Run a program of three calls and a tool; give its trace id."""
    tracer = service.tracer
    with tracer.start_as_current_span("Trip") as root:
        with tracer.start_as_current_span("plan"):
            call(tracer)
            with tracer.start_as_current_span("GET", kind=SpanKind.CLIENT):
                pass
        with tracer.start_as_current_span(
            "execute_tool weather",
            attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "weather"},
        ):
            call(tracer)
        call(tracer)
    return f"{root.get_span_context().trace_id:032x}"


TRIP = ["/Trip", "/Trip/plan", "/Trip/weather", "/Trip/weather"]


def test_a_trace_becomes_a_session(
    bridge: RunningBridge, helicone: LocalHelicone, service: Service
) -> None:
    trace_id = trip(service)
    bridge.send(*service.take())
    rows = rows_of(helicone, 4)
    assert paths_of(rows) == TRIP
    assert {(row.session_id, row.session_name) for row in rows} == {(trace_id, "Trip")}


@pytest.mark.parametrize("seed", range(5))
def test_spans_may_come_one_by_one_in_any_order(
    bridge: RunningBridge, helicone: LocalHelicone, service: Service, seed: int
) -> None:
    trip(service)
    spans = list(service.take())
    random.Random(seed).shuffle(spans)
    for span in spans:
        bridge.send(span)
    assert paths_of(rows_of(helicone, 4)) == TRIP


def test_the_tree_is_the_one_that_the_processor_gives(
    bridge: RunningBridge, helicone: LocalHelicone
) -> None:
    # The same spans with the stamps of the processor, and without them.
    stamped = make_service("shop", HeliconeSpanProcessor(inject=False))
    trip(stamped)
    for span in stamped.take():
        bridge.send(span)
    with_stamps = tree_of(rows_of(helicone, 4))
    bare = make_service("shop")
    trip(bare)
    bridge.send(*bare.take())
    both = tree_of(rows_of(helicone, 8))
    without = [row for row in both if row not in with_stamps]
    assert [row[1:] for row in without] == [row[1:] for row in with_stamps]


def test_a_stamped_span_does_not_wait_for_its_parents(
    bridge: RunningBridge, helicone: LocalHelicone
) -> None:
    service = make_service("shop", HeliconeSpanProcessor(inject=False))
    with session(id="s-1", name="Order"), service.tracer.start_as_current_span("order"):
        call(service.tracer)
        bridge.send(*service.take())
        (row,) = rows_of(helicone, 1)
    assert tree_of([row]) == [("s-1", "/order", "Order")]


def test_spans_of_another_service_continue_the_path_of_the_caller(
    bridge: RunningBridge, helicone: LocalHelicone
) -> None:
    front, back = make_service("front"), make_service("back")
    carrier: dict[str, str] = {}
    with front.tracer.start_as_current_span("GET /trip", kind=SpanKind.SERVER):
        with front.tracer.start_as_current_span("POST", kind=SpanKind.CLIENT):
            inject(carrier)
            context = extract(carrier)
            with back.tracer.start_as_current_span("POST /plan", context, kind=SpanKind.SERVER):
                call(back.tracer)
    bridge.send(*back.take())
    bridge.send(*front.take())
    (row,) = rows_of(helicone, 1)
    assert (row.session_path, row.session_name) == ("/GET %2Ftrip/POST %2Fplan", "GET /trip")


def test_a_service_without_the_processor_continues_one_that_has_it(
    bridge: RunningBridge, helicone: LocalHelicone
) -> None:
    front = make_service("front", HeliconeSpanProcessor(inject=False))
    back = make_service("back")
    with session(id="s-1", name="Trip"), front.tracer.start_as_current_span("plan"):
        with back.tracer.start_as_current_span("book"):
            call(back.tracer)
    bridge.send(*back.take())
    bridge.send(*front.take())
    (row,) = rows_of(helicone, 1)
    assert tree_of([row]) == [("s-1", "/plan/book", "Trip")]


def without_parent_spans(service: Service) -> list[ReadableSpan]:
    with service.tracer.start_as_current_span("root"):
        with service.tracer.start_as_current_span("lost"):
            with service.tracer.start_as_current_span("step"):
                call(service.tracer)
    return [span for span in service.take() if span.name not in ("root", "lost")]


def test_what_never_gets_a_root_goes_after_a_while_and_the_gap_shows(
    make_bridge: MakeBridge, helicone: LocalHelicone, service: Service
) -> None:
    spans = without_parent_spans(service)
    with make_bridge(wait=0.3) as bridge:
        bridge.send(*spans)
        (row,) = rows_of(helicone, 1)
    assert row.session_path == "/[missing]/step"
    assert row.session_name == "shop"


def test_a_remote_parent_that_never_comes_is_no_gap(
    make_bridge: MakeBridge, helicone: LocalHelicone, service: Service
) -> None:
    carrier = {"traceparent": f"00-{1:032x}-{2:016x}-01"}
    with service.tracer.start_as_current_span("GET /x", extract(carrier), kind=SpanKind.SERVER):
        call(service.tracer)
    with make_bridge(wait=0.3) as bridge:
        bridge.send(*service.take())
        (row,) = rows_of(helicone, 1)
    assert (row.session_path, row.session_name) == ("/GET %2Fx", "GET /x")


def test_a_late_span_finds_the_names_that_were_learned_before(
    bridge: RunningBridge, helicone: LocalHelicone, service: Service
) -> None:
    with service.tracer.start_as_current_span("root") as root:
        with service.tracer.start_as_current_span("step") as step:
            call(service.tracer)
    bridge.send(*service.take())
    rows_of(helicone, 1)
    call_in = trace.set_span_in_context(step)
    service.tracer.start_span(
        "late",
        call_in,
        SpanKind.CLIENT,
        {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"},
    ).end()
    bridge.send(*service.take())
    rows = rows_of(helicone, 2)
    assert paths_of(rows) == ["/root/step", "/root/step"]
    assert {row.session_name for row in rows} == {"root"}
    assert root.get_span_context().is_valid


def test_names_are_kept_through_a_restart(
    make_bridge: MakeBridge, helicone: LocalHelicone, service: Service
) -> None:
    spans = without_parent_spans(service)
    with make_bridge(wait=0.2) as bridge:
        bridge.send(*spans)
        rows_of(helicone, 1)
    with service.tracer.start_as_current_span(
        "later", trace.set_span_in_context(trace.NonRecordingSpan(spans[0].context))
    ) as later:
        call(service.tracer)
    assert later.get_span_context().trace_id == spans[0].context.trace_id
    with make_bridge(wait=0.2) as bridge:
        bridge.send(*service.take())
        rows = rows_of(helicone, 2)
    assert {row.session_name for row in rows} == {"shop"}


def test_one_call_that_two_instrumentations_saw_is_logged_once(
    bridge: RunningBridge, helicone: LocalHelicone
) -> None:
    service = make_service()
    outer = service.tracer.start_span(
        "ChatCompletion",
        attributes={"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o-mini"},
    )
    call_context = trace.set_span_in_context(outer)
    inner = service.tracer.start_span(
        "chat gpt-4o-mini",
        call_context,
        SpanKind.CLIENT,
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.model": "gpt-4o-mini",
        },
    )
    inner.end()
    outer.end()
    bridge.send(*service.take())
    assert len(rows_of(helicone, 2, seconds=0.7)) == 1
    assert bridge.metrics()['spans_skipped_total{reason="joined"}'] == 1


def test_the_second_span_of_a_call_is_recognised_after_a_restart(
    make_bridge: MakeBridge, helicone: LocalHelicone
) -> None:
    service = make_service("shop", HeliconeSpanProcessor(inject=False))
    with service.tracer.start_as_current_span("root"):
        with service.tracer.start_as_current_span(
            "ChatCompletion",
            attributes={"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o-mini"},
        ):
            call(service.tracer)
    inner, *others = service.take()
    with make_bridge() as bridge:
        bridge.send(inner)
        assert len(rows_of(helicone, 1)) == 1
    with make_bridge() as bridge:
        bridge.send(*others)
        assert len(rows_of(helicone, 2, seconds=0.7)) == 1


def test_a_repeated_request_changes_nothing(
    bridge: RunningBridge, helicone: LocalHelicone, service: Service
) -> None:
    trip(service)
    spans = service.take()
    for _ in range(3):
        bridge.send(*spans)
    rows_of(helicone, 4)
    assert len(rows_of(helicone, 5, seconds=0.5)) == 4
    assert bridge.metrics()['spans_skipped_total{reason="repeated"}'] == 2 * len(spans)


def test_calls_through_the_gateway_are_left_to_it(
    bridge: RunningBridge, helicone: LocalHelicone, service: Service
) -> None:
    with service.tracer.start_as_current_span("root"):
        call(service.tracer, **{"helicone.request.id": "3f2b8a44-6d42-4a2c-9f19-6a8c7a1f7a11"})
        call(service.tracer)
    bridge.send(*service.take())
    assert len(rows_of(helicone, 2, seconds=0.7)) == 1
    assert bridge.metrics()['spans_skipped_total{reason="gateway"}'] == 1


def test_a_failed_call_has_the_status_that_the_span_of_its_request_tells(
    bridge: RunningBridge, helicone: LocalHelicone, service: Service
) -> None:
    with service.tracer.start_as_current_span("root"):
        with service.tracer.start_as_current_span(
            "chat gpt-4o-mini",
            kind=SpanKind.CLIENT,
            attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini"},
        ) as failed:
            failed.set_status(StatusCode.ERROR, "Too many requests")
            service.tracer.start_span(
                "POST", kind=SpanKind.CLIENT, attributes={"http.response.status_code": 429}
            ).end()
    for span in service.take():
        bridge.send(span)
    (row,) = rows_of(helicone, 1)
    assert row.status == 429


def test_content_can_be_left_out(
    make_bridge: MakeBridge, helicone: LocalHelicone, service: Service
) -> None:
    with make_bridge(environ={"HELICONE_CAPTURE_CONTENT": "false"}) as bridge:
        call(
            service.tracer,
            **{
                "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text",'
                '"content":"a secret"}]}]'
            },
        )
        bridge.send(*service.take())
        (row,) = rows_of(helicone, 1)
    assert "a secret" not in str(row)


def test_everything_can_be_included(
    make_bridge: MakeBridge, helicone: LocalHelicone, service: Service
) -> None:
    with make_bridge(environ={"HELICONE_INCLUDE": "all"}) as bridge:
        with service.tracer.start_as_current_span("root"):
            with service.tracer.start_as_current_span("step"):
                pass
        bridge.send(*service.take())
        assert paths_of(rows_of(helicone, 2)) == ["/root", "/root/step"]


DAYS = 86_400.0


def orphan(service: Service) -> ReadableSpan:
    """Make a call whose parent never comes."""
    with service.tracer.start_as_current_span("never comes"):
        call(service.tracer)
    return service.take()[0]


@pytest.mark.parametrize("jump", [1000 * DAYS, -1000 * DAYS, 3600.0, -3600.0])
def test_a_clock_that_is_set_leaves_nothing_waiting(
    make_bridge: MakeBridge,
    helicone: LocalHelicone,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    jump: float,
) -> None:
    system = time.time
    with make_bridge(wait=0.3) as bridge:
        bridge.send(orphan(service))
        monkeypatch.setattr(time, "time", lambda: system() + jump)
        bridge.send(orphan(service))
        monkeypatch.setattr(time, "time", system)
        bridge.send(orphan(service))
        assert len(rows_of(helicone, 3)) == 3
        assert bridge.metrics()["spans_waiting"] == 0


@pytest.mark.parametrize("jump", [1000 * DAYS, -1000 * DAYS])
def test_a_clock_that_is_set_between_two_starts_leaves_nothing_waiting(
    make_bridge: MakeBridge,
    helicone: LocalHelicone,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    jump: float,
) -> None:
    system = time.time
    with make_bridge(wait=3) as bridge:
        bridge.send(orphan(service))
        assert 0 <= bridge.metrics()["spool_age_seconds"] < 60
    monkeypatch.setattr(time, "time", lambda: system() + jump)
    with make_bridge(wait=0.3) as bridge:
        bridge.send(orphan(service))
        assert len(rows_of(helicone, 2)) == 2
        # It was not taken for one of years ago, or of years to come, when it is forgotten.
        assert bridge.metrics()["spans_waiting"] == 0


def test_what_was_not_sent_is_sent_after_a_restart(
    make_bridge: MakeBridge, helicone: LocalHelicone, service: Service
) -> None:
    trip(service)
    *most, root = service.take()
    with make_bridge() as bridge:
        bridge.send(*most)
        assert bridge.metrics()["spans_waiting"] == 4
    assert rows_of(helicone, 1, seconds=0.1) == []
    with make_bridge() as bridge:
        assert bridge.metrics()["spans_waiting"] == 4
        bridge.send(root)
        assert paths_of(rows_of(helicone, 4)) == TRIP


def test_what_waits_outlives_the_deletion_of_the_spool(
    make_bridge: MakeBridge, service: Service, tmp_path: Path
) -> None:
    with make_bridge() as bridge:
        bridge.send(orphan(service))
        spool = tmp_path / "spool.db"
        spool.unlink()
        deadline = time.monotonic() + 120
        while not spool.exists():  # though nothing comes in
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert bridge.metrics()["spans_waiting"] == 1
    with make_bridge() as bridge:
        assert bridge.metrics()["spans_waiting"] == 1


def test_the_settings_of_the_session_context_hold_here_too(
    make_bridge: MakeBridge,
    helicone: LocalHelicone,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HELICONE_SESSION_ID_FORMAT", "uuid")
    with make_bridge() as bridge:
        trace_id = trip(service)
        bridge.send(*service.take())
        rows = rows_of(helicone, 4)
    assert {str(row.session_id).replace("-", "") for row in rows} == {trace_id}
    assert {str(row.session_id).count("-") for row in rows} == {4}
