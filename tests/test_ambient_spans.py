"""What runs inside of libraries that keep their spans to themselves is placed there all the same.

The library here is a made-up one. As LangChain's instrumentation does, it makes no span current,
gives each the one around it as an explicit parent, and knows by a context variable where it is.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from otel_helicone import current_session, in_current_session, session, session_headers, set_session
from otel_helicone.ambient_spans import adapter, langchain
from otel_helicone.ambient_spans.adapter import Adapter
from otel_helicone.logs.translating import Translator
from tests.conftest import GATEWAY, HELICONE_AUTH, MakeTracing, Recorder, Tracing

SCOPE = "loom"
PARENT = "helicone.session.parent"
NOTHING: Mapping[str, object] = {}


@dataclass
class Library:
    """The made-up library."""

    adapter: Adapter
    _current: ContextVar[Span | None]
    _call: ContextVar[Span | None]
    _known: ContextVar[Mapping[str, object]]

    @classmethod
    def make(cls, name: str = SCOPE) -> Library:
        current: ContextVar[Span | None] = ContextVar(f"{name}-span", default=None)
        call: ContextVar[Span | None] = ContextVar(f"{name}-call", default=None)
        known: ContextVar[Mapping[str, object]] = ContextVar(f"{name}-known", default=NOTHING)
        made = Adapter(
            library=name,
            scopes=frozenset({name}),
            current_span=current.get,
            current_call=call.get,
            attributes=known.get,
        )
        return cls(made, current, call, known)

    @contextmanager
    def run(self, name: str, tracer: Tracer, **known: object) -> Iterator[Span]:
        """Run one of its steps.

        Args:
            name: what it is called.
            tracer: makes the span.
            known: what it knows of the session inside of the step.
        """
        above = self._current.get()
        span = tracer.start_span(name, None if above is None else set_span_in_context(above))
        token = self._current.set(span)
        token_known = self._known.set(known or self._known.get())
        try:
            yield span
        finally:
            self._known.reset(token_known)
            self._current.reset(token)
            span.end()

    @contextmanager
    def call(self, name: str, tracer: Tracer, below: Span | None = None) -> Iterator[Span]:
        """Call a model, with a span that looks like any other until it ends.

        Args:
            name: what the model is called.
            tracer: makes the span.
            below: the parent; by default the step around it.
        """
        above = below or self._current.get()
        span = tracer.start_span(name, None if above is None else set_span_in_context(above))
        token = self._call.set(span)
        try:
            yield span
        finally:
            self._call.reset(token)
            span.set_attribute("openinference.span.kind", "LLM")
            span.end()

    def says(self, span: Span | None) -> None:
        """Have it tell a span, whatever it is."""
        self._current.set(span)


@contextmanager
def used(*adapters: Adapter) -> Iterator[None]:
    """Have adapters used, and no others."""
    before = adapter.in_use
    adapter.in_use = ()
    for each in adapters:
        adapter.use(each)
    try:
        yield
    finally:
        adapter.in_use = before


@pytest.fixture
def library() -> Iterator[Library]:
    library = Library.make()
    with used(library.adapter):
        yield library


@pytest.fixture
def own(tracing: Tracing) -> Tracer:
    """The tracer of the library's own spans."""
    return tracing.provider.get_tracer(SCOPE)


def path() -> str:
    found = current_session()
    assert found is not None
    assert session_headers()["Helicone-Session-Path"] == found.path
    return found.path


def key(span: Span) -> str:
    context = span.get_span_context()
    return f"{context.trace_id:032x}-{context.span_id:016x}"


def trace_id(span: Span) -> str:
    return f"{span.get_span_context().trace_id:032x}"


# Where a request is.


def test_a_request_is_placed_in_the_librarys_span(
    library: Library, own: Tracer, recorder: Recorder
) -> None:
    with library.run("agent", own) as agent, library.run("step", own):
        recorder.client(headers={"Helicone-Auth": HELICONE_AUTH}).get(GATEWAY)
    assert recorder.helicone_headers() == {
        "helicone-auth": HELICONE_AUTH,
        "helicone-session-id": trace_id(agent),
        "helicone-session-path": "/agent/step",
        "helicone-session-name": "agent",
    }


def test_the_answer_is_noted_on_the_librarys_span(
    library: Library, own: Tracer, tracing: Tracing, recorder: Recorder
) -> None:
    recorder.answers = [recorder.stack.Response(200, headers={"helicone-id": "r1"})]
    with tracing.tracer.start_as_current_span("request"), library.run("agent", own):
        recorder.client().get(GATEWAY)
    assert tracing.exported()["agent"]["helicone.request.id"] == "r1"
    assert "helicone.request.id" not in tracing.exported()["request"]


def test_below_the_applications_span_it_is_the_deeper_place(
    library: Library, own: Tracer, tracer: Tracer
) -> None:
    with tracer.start_as_current_span("request"), library.run("agent", own):
        assert path() == "/request/agent"


def test_above_the_applications_span_it_is_not(
    library: Library, own: Tracer, tracer: Tracer
) -> None:
    with library.run("agent", own), tracer.start_as_current_span("collect"):
        assert path() == "/agent/collect"
        with tracer.start_as_current_span("sources"):
            assert path() == "/agent/collect/sources"


def test_both_may_alternate(library: Library, own: Tracer, tracer: Tracer) -> None:
    with tracer.start_as_current_span("request") as root:
        with library.run("agent", own), tracer.start_as_current_span("collect"):
            with library.run("inner", own), tracer.start_as_current_span("source"):
                found = current_session()
                assert path() == "/request/agent/collect/inner/source"
        assert path() == "/request"
    assert found is not None
    assert (found.id, found.name) == (trace_id(root), "request")


def test_outside_of_its_spans_it_says_nothing(
    library: Library, own: Tracer, tracer: Tracer
) -> None:
    with library.run("agent", own):
        pass
    assert current_session() is None
    with tracer.start_as_current_span("request"):
        assert path() == "/request"


def test_a_span_of_another_trace_is_no_deeper_place(
    library: Library, own: Tracer, tracer: Tracer
) -> None:
    with library.run("agent", own):
        with tracer.start_as_current_span("apart", Context()) as apart:
            found = current_session()
            assert found is not None
            assert (found.id, found.path) == (trace_id(apart), "/apart")
            with tracer.start_as_current_span("inside"):
                assert path() == "/apart/inside"


def test_a_span_beside_the_current_one_is_no_deeper_place(
    library: Library, own: Tracer, tracer: Tracer
) -> None:
    with tracer.start_as_current_span("request"):
        beside = own.start_span("beside")
        with tracer.start_as_current_span("here"):
            library.says(beside)
            assert path() == "/request/here"
            library.says(None)


def test_a_span_that_has_ended_is_still_the_place_as_long_as_the_library_says_so(
    library: Library, own: Tracer, tracer: Tracer
) -> None:
    with tracer.start_as_current_span("request"):
        ended = own.start_span("agent")
        ended.end()
        library.says(ended)
        assert path() == "/request/agent"
        with tracer.start_as_current_span("afterwards"):
            assert path() == "/request/agent/afterwards"
        library.says(None)


def test_an_unsampled_span_tells_its_trace(library: Library, make_tracing: MakeTracing) -> None:
    tracing = make_tracing(sampler=ALWAYS_OFF)
    with library.run("agent", tracing.provider.get_tracer(SCOPE)) as agent:
        found = current_session()
    assert found is not None
    assert (found.id, found.path, found.name) == (trace_id(agent), "/", None)


def test_an_unsampled_span_of_another_trace_is_no_deeper_place(
    library: Library, make_tracing: MakeTracing, tracer: Tracer
) -> None:
    other = make_tracing(sampler=ALWAYS_OFF).provider.get_tracer(SCOPE)
    with tracer.start_as_current_span("request"):
        library.says(other.start_span("agent", Context()))
        assert path() == "/request"
        library.says(None)


def test_a_span_that_no_processor_has_seen_leaves_the_current_one_the_place(
    library: Library, tracer: Tracer
) -> None:
    unknown = TracerProvider(shutdown_on_exit=False).get_tracer(SCOPE)
    with tracer.start_as_current_span("request"):
        with library.run("agent", unknown):
            assert path() == "/request"


def test_of_two_libraries_the_deeper_one_counts(tracing: Tracing) -> None:
    one, two = Library.make("one"), Library.make("two")
    first, second = tracing.provider.get_tracer("one"), tracing.provider.get_tracer("two")
    with used(one.adapter, two.adapter):
        with one.run("crew", first), two.run("agent", second):
            assert path() == "/crew/agent"
            with one.run("task", first):
                assert path() == "/crew/agent/task"
        with two.run("agent", second), one.run("crew", first):
            assert path() == "/agent/crew"


# Which call it belongs to.


def test_a_call_that_is_being_made_adds_no_segment(
    library: Library, own: Tracer, tracing: Tracing
) -> None:
    with library.run("agent", own) as agent, library.call("ChatModel", own):
        assert path() == "/agent"
        with tracing.tracer.start_as_current_span("POST"):
            assert path() == "/agent/POST"
    stamps = tracing.exported()
    assert stamps["ChatModel"]["helicone.session.path"] == "/agent"
    assert stamps["POST"]["helicone.session.path"] == "/agent/POST"
    assert stamps["POST"]["helicone.session.id"] == trace_id(agent)


def test_with_nothing_around_it_its_own_trace_is_the_session(
    library: Library, own: Tracer, recorder: Recorder
) -> None:
    with library.call("ChatModel", own) as call:
        recorder.client().get(GATEWAY)
    assert recorder.helicone_headers() == {
        "helicone-session-id": trace_id(call),
        "helicone-session-path": "/",
        "helicone-session-name": "ChatModel",
    }


def test_it_counts_more_than_the_step_that_the_library_is_in(library: Library, own: Tracer) -> None:
    with library.run("chain", own) as chain, library.run("fallbacks", own):
        with library.call("ChatModel", own, below=chain):
            assert path() == "/chain"


def test_but_not_more_than_a_step_inside_of_it(
    library: Library, own: Tracer, tracer: Tracer
) -> None:
    with library.call("Router", own) as router:
        inner = own.start_span("agent", set_span_in_context(router))
        library.says(inner)
        assert path() == "/agent"
        library.says(None)
        with tracer.start_as_current_span("choose"):
            assert path() == "/choose"


def test_the_answer_is_noted_on_the_call(
    library: Library, own: Tracer, tracing: Tracing, recorder: Recorder
) -> None:
    recorder.answers = [recorder.stack.Response(200, headers={"helicone-id": "r1"})]
    with library.run("agent", own), library.call("ChatModel", own):
        recorder.client().get(GATEWAY)
    assert tracing.exported()["ChatModel"]["helicone.request.id"] == "r1"
    assert "helicone.request.id" not in tracing.exported()["agent"]
    assert list(Translator().records(tracing.exporter.get_finished_spans())) == []


@pytest.mark.parametrize("stamp", [True, False])
def test_an_applications_own_rule_is_not_asked_about_it(
    library: Library, make_tracing: MakeTracing, stamp: bool
) -> None:
    tracing = make_tracing(stamp=stamp, segment=lambda span: f"<{span.name}>")
    own = tracing.provider.get_tracer(SCOPE)
    with library.run("agent", own), library.call("ChatModel", own):
        assert path() == "/<agent>"
        with tracing.tracer.start_as_current_span("inside"):
            assert path() == "/<agent>/<inside>"


# What starts there.


def test_a_root_span_inside_of_the_librarys_belongs_to_its_session(
    library: Library, own: Tracer, tracing: Tracing
) -> None:
    with library.run("agent", own) as agent:
        with tracing.tracer.start_as_current_span("collect") as collect:
            assert collect.get_span_context().trace_id != agent.get_span_context().trace_id
    stamps = tracing.exported()["collect"]
    assert stamps["helicone.session.id"] == trace_id(agent)
    assert stamps["helicone.session.path"] == "/agent/collect"
    assert stamps["helicone.session.name"] == "agent"


def test_what_a_span_started_in_is_stamped_where_its_parent_is_another(
    library: Library, own: Tracer, tracing: Tracing
) -> None:
    tracer = tracing.tracer
    with tracer.start_as_current_span("request"), library.run("agent", own) as agent:
        with tracer.start_as_current_span("collect") as collect:
            with tracer.start_as_current_span("sources"), library.run("inner", own):
                pass
    with library.run("alone", own), library.run("below", own):
        pass
    exported = tracing.exported()
    assert exported["collect"][PARENT] == key(agent)
    assert exported["inner"][PARENT].startswith(trace_id(collect))
    without = ("request", "agent", "sources", "alone", "below")
    assert {name for name in exported if PARENT not in exported[name]} == {*without}


def test_without_stamps_nothing_is_written_and_the_place_is_the_same(
    library: Library, make_tracing: MakeTracing
) -> None:
    tracing = make_tracing(stamp=False)
    with library.run("agent", tracing.provider.get_tracer(SCOPE)):
        with tracing.tracer.start_as_current_span("collect"):
            assert path() == "/agent/collect"
    assert tracing.exported() == {"collect": {}, "agent": {}}


def test_an_explicit_parent_is_meant(library: Library, own: Tracer, tracing: Tracing) -> None:
    tracer = tracing.tracer
    with tracer.start_as_current_span("elsewhere") as elsewhere:
        pass
    with library.run("agent", own):
        tracer.start_span("there", set_span_in_context(elsewhere)).end()
        tracer.start_span("nowhere", Context()).end()
    exported = tracing.exported()
    assert exported["there"]["helicone.session.path"] == "/elsewhere/there"
    assert exported["nowhere"]["helicone.session.path"] == "/nowhere"
    assert PARENT not in exported["there"]
    assert PARENT not in exported["nowhere"]


def test_the_current_span_as_explicit_parent_is_as_if_none_were_given(
    library: Library, own: Tracer, tracing: Tracing
) -> None:
    with tracing.tracer.start_as_current_span("request") as request, library.run("agent", own):
        tracing.tracer.start_span("collect", set_span_in_context(request)).end()
    assert tracing.exported()["collect"]["helicone.session.path"] == "/request/agent/collect"


def test_a_span_of_another_service_is_no_root_here(
    library: Library, own: Tracer, tracing: Tracing
) -> None:
    caller = NonRecordingSpan(SpanContext(5, 6, True, TraceFlags(1)))
    with library.run("agent", own):
        tracing.tracer.start_span("GET /", set_span_in_context(caller)).end()
    stamps = tracing.exported()["GET /"]
    assert stamps["helicone.session.id"] == f"{5:032x}"
    assert stamps["helicone.session.path"] == "/GET %2F"


def test_a_rename_of_the_librarys_span_reaches_what_started_in_it(
    library: Library, own: Tracer, tracing: Tracing
) -> None:
    with library.run("agent", own) as agent, tracing.tracer.start_as_current_span("collect"):
        agent.update_name("expert")
        assert path() == "/expert/collect"
    assert tracing.exported()["collect"]["helicone.session.name"] == "expert"


def test_nothing_keeps_the_librarys_span_alive(library: Library, tracer: Tracer) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    with library.run("agent", provider.get_tracer(SCOPE)) as agent:
        with tracer.start_as_current_span("collect"):
            pass
    left = weakref.ref(agent)
    del agent
    gc.collect()
    assert left() is None
    provider.shutdown()


# One call, told of by the library and by the client's instrumentation.


def test_a_call_in_a_trace_of_its_own_is_logged_once_and_in_its_place(
    library: Library, own: Tracer, tracing: Tracing
) -> None:
    with library.run("agent", own):
        with library.run("ChatModel", own) as seen:
            client = tracing.provider.get_tracer("client").start_span("chat")
            client.set_attributes(
                {"gen_ai.operation.name": "chat", "gen_ai.usage.output_tokens": 5}
            )
            client.end()
            seen.set_attributes({"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o-mini"})
    spans = tracing.exporter.get_finished_spans()
    (record,) = Translator().records(spans)
    assert record.context.path == "/agent"
    assert record.response["model"] == "gpt-4o-mini"
    assert record.response["usage"]["completion_tokens"] == 5


# What runs at the same time.


def test_branches_in_threads_keep_apart(library: Library, own: Tracer, tracer: Tracer) -> None:
    names = [f"branch {number}" for number in range(8)]
    everybody_is_inside = threading.Barrier(len(names))

    def branch(name: str) -> str:
        with library.run(name, own), tracer.start_as_current_span("work"):
            everybody_is_inside.wait()
            return path()

    with library.run("graph", own), ThreadPoolExecutor(len(names)) as executor:
        waiting = [executor.submit(copy_context().run, branch, name) for name in names]
        found = [each.result() for each in waiting]
    assert found == [f"/graph/{name}/work" for name in names]


async def test_branches_in_tasks_keep_apart(library: Library, own: Tracer, tracer: Tracer) -> None:
    names = [f"branch {number}" for number in range(8)]
    inside = 0
    everybody_is_inside = asyncio.Event()

    async def branch(name: str) -> str:
        nonlocal inside
        with library.run(name, own), tracer.start_as_current_span("work"):
            inside += 1
            if inside == len(names):
                everybody_is_inside.set()
            await everybody_is_inside.wait()
            return path()

    with library.run("graph", own):
        found = await asyncio.gather(*map(branch, names))
    assert found == [f"/graph/{name}/work" for name in names]


def test_two_runs_at_once_are_two_sessions(library: Library, own: Tracer) -> None:
    def run(name: str) -> tuple[str, str]:
        with library.run(name, own) as span:
            found = current_session()
            assert found is not None
            return found.id, trace_id(span)

    with ThreadPoolExecutor(2) as executor:
        one, two = executor.map(run, ["one", "two"])
    assert one[0] == one[1] != two[0] == two[1]


def test_a_function_bound_to_the_session_takes_the_place_along(
    library: Library, own: Tracer, tracer: Tracer
) -> None:
    def ask() -> str:
        with tracer.start_as_current_span("ask"):
            return path()

    with ThreadPoolExecutor(1) as executor:
        with library.run("agent", own):
            in_agent = in_current_session(ask)
            with tracer.start_as_current_span("collect"):
                in_collect = in_current_session(ask)
                outside = executor.submit(ask).result()
        assert outside == "/ask"
        assert executor.submit(in_agent).result() == "/agent/ask"
        assert executor.submit(in_collect).result() == "/agent/collect/ask"
        assert executor.submit(ask).result() == "/ask"


def test_in_a_bound_function_a_deeper_span_of_the_library_counts(
    library: Library, own: Tracer
) -> None:
    def ask() -> str:
        with library.run("inner", own):
            return path()

    with library.run("agent", own):
        bound = in_current_session(ask)
    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(bound).result() == "/agent/inner"


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="signals of POSIX")
def test_a_signal_while_the_library_is_asked_does_no_harm(tracer: Tracer) -> None:
    known: ContextVar[Span | None] = ContextVar("known", default=None)
    handled: list[str] = []

    def current_span() -> Span | None:
        if not handled:
            signal.raise_signal(signal.SIGUSR1)
        return known.get()

    def handle(*_: object) -> None:
        handled.append("")
        with tracer.start_as_current_span("handler"):
            handled.append(path())

    made = Adapter(library=SCOPE, scopes=frozenset({SCOPE}), current_span=current_span)
    before = signal.signal(signal.SIGUSR1, handle)
    try:
        known.set(tracer.start_span("agent"))
        with used(made), tracer.start_as_current_span("collect"):
            assert path() == "/agent/collect"
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert handled == ["", "/agent/handler"]


# What the library knows of the session.


def test_the_library_may_know_the_session(library: Library, make_tracing: MakeTracing) -> None:
    tracing = make_tracing(
        session_id_attributes=["session.id"], property_attributes={"tenant": "tenant"}
    )
    own = tracing.provider.get_tracer(SCOPE)
    known = {"session.id": "thread-1", "user.id": "u1", "tenant": "acme", "more": "nobody asked"}
    for _ in range(2):
        with library.run("agent", own, **known), tracing.tracer.start_as_current_span("collect"):
            found = current_session()
            assert found is not None
            assert (found.id, found.user_id) == ("thread-1", "u1")
            assert dict(found.properties) == {"tenant": "acme"}
            assert session_headers()["Helicone-Session-Id"] == "thread-1"
    assert tracing.exported()["collect"]["helicone.session.id"] == "thread-1"


def test_it_is_not_asked_for_what_no_setting_names(library: Library, own: Tracer) -> None:
    with library.run("agent", own, **{"session.id": "thread-1"}) as agent:
        found = current_session()
    assert found is not None
    assert found.id == trace_id(agent)


def test_what_the_application_says_goes_before_it(
    library: Library, make_tracing: MakeTracing
) -> None:
    tracing = make_tracing(session_id_attributes=["session.id"])
    own = tracing.provider.get_tracer(SCOPE)

    def found() -> str:
        now = current_session()
        assert now is not None
        return now.id

    with library.run("agent", own, **{"session.id": "thread-1"}):
        said = {"session.id": "said"}
        with tracing.tracer.start_as_current_span("collect", attributes=said):
            assert found() == "said"
        said = {"helicone.session.id": "said by name"}
        with tracing.tracer.start_as_current_span("collect", attributes=said):
            assert found() == "said by name"
        with session("a block"):
            assert found() == "a block"
        set_session("from now on")
        assert found() == "from now on"


# What goes wrong.


def test_an_adapter_that_raises_is_logged_once_and_opentelemetrys_place_holds(
    make_tracing: MakeTracing, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Any:
        raise RuntimeError("a defect of the library")

    caplog.failures_are_expected = True  # type: ignore[attr-defined]
    tracing = make_tracing(session_id_attributes=["session.id"])
    working = Library.make("working")
    made = Adapter(library="Loom", current_span=broken, attributes=broken)
    with used(made, working.adapter):
        for _ in range(3):
            with tracing.tracer.start_as_current_span("request"):
                recorder.client().get(GATEWAY)
                assert recorder.path() == "/request"
                with working.run("agent", tracing.provider.get_tracer("working")):
                    assert in_current_session(path)() == "/request/agent"
    said = [r.getMessage() for r in caplog.records if "Loom" in r.getMessage()]
    assert len(said) == 2
    assert any("current span" in text for text in said)
    assert any("for the session" in text for text in said)


@pytest.mark.parametrize("told", ["a text", 7, object()], ids=["text", "number", "object"])
def test_an_adapter_that_tells_something_else_than_a_span_does_no_harm(
    tracer: Tracer, caplog: pytest.LogCaptureFixture, told: Any
) -> None:
    caplog.failures_are_expected = True  # type: ignore[attr-defined]
    made = Adapter(library="Loom", current_span=lambda: told, attributes=lambda: told)
    with used(made), tracer.start_as_current_span("request"):
        with tracer.start_as_current_span("step"):
            assert path() == "/request/step"


def test_an_adapter_is_used_once(library: Library) -> None:
    adapter.use(library.adapter)
    assert adapter.in_use == (library.adapter,)


# LangChain's adapter, with what LangChain and its instrumentation look like from outside.


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> ContextVar[Any]:
    module: Any = ModuleType("langchain_core.runnables.config")
    module.var_child_runnable_config = ContextVar("child_runnable_config", default=None)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    found: ContextVar[Any] = module.var_child_runnable_config
    return found


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"thread_id": "t"}, {"session.id": "t"}),
        ({"thread_id": 7, "conversation_id": "c"}, {"session.id": "c"}),
        ({"thread_id": "t", "conversation_id": "c", "session_id": "s"}, {"session.id": "s"}),
        ({"thread_id": 7, "session_id": ""}, {"session.id": "7"}),
        ({"tenant": "acme"}, {}),
        (None, {}),
    ],
)
def test_langchain_tells_the_session_as_its_instrumentation_does_later(
    config: ContextVar[Any], metadata: object, told: dict[str, str]
) -> None:
    assert langchain.ADAPTER.attributes() == {}
    config.set({"metadata": metadata})
    assert langchain.ADAPTER.attributes() == told


def test_langchain_tells_a_span_where_its_instrumentation_is_on(
    config: ContextVar[Any], monkeypatch: pytest.MonkeyPatch, tracer: Tracer
) -> None:
    span = tracer.start_span("RunnableSequence")
    is_on = False

    class Instrumentor:
        @property
        def is_instrumented_by_opentelemetry(self) -> bool:
            return is_on

    module: Any = ModuleType("openinference.instrumentation.langchain")
    module.LangChainInstrumentor = Instrumentor
    module.get_current_span = lambda: span
    config.set({"callbacks": None})
    assert langchain.ADAPTER.current_span() is None
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert langchain.ADAPTER.current_span() is None
    is_on = True
    assert langchain.ADAPTER.current_span() is span
    config.set(None)
    assert langchain.ADAPTER.current_span() is None


class Handler:
    """As LangChain's ``BaseCallbackHandler``."""


@dataclass
class LangChain:
    """What LangChain and its instrumentation look like, to the adapter of its calls."""

    adapter: Adapter
    handler: Any
    spans: dict[UUID, Span]

    def begin(self, run: UUID, span: Span, parent: UUID | None = None, **more: Any) -> None:
        self.handler.on_chat_model_start({}, [[]], run_id=run, parent_run_id=parent, **more)
        self.spans[run] = span


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> LangChain:
    hooks: list[ContextVar[Any]] = []
    spans: dict[UUID, Span] = {}

    class Instrumentor:
        is_instrumented_by_opentelemetry = True

        def get_span(self, run: UUID) -> Span | None:
            return spans.get(run)

    modules: dict[str, dict[str, Any]] = {
        "langchain_core.callbacks.base": {"BaseCallbackHandler": Handler},
        "langchain_core.tracers.context": {
            "register_configure_hook": lambda variable, inheritable: hooks.append(variable)
        },
        "openinference.instrumentation.langchain": {"LangChainInstrumentor": Instrumentor},
    }
    for name, attributes in modules.items():
        module = ModuleType(name)
        module.__dict__.update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    name = "otel_helicone.ambient_spans.langchain_calls"
    monkeypatch.delitem(sys.modules, name, raising=False)
    found = importlib.import_module(name)
    monkeypatch.delitem(sys.modules, name)
    (variable,) = hooks
    return LangChain(found.ADAPTER, variable.get(), spans)


def test_langchain_tells_the_run_of_a_model_until_its_first_token(
    calls: LangChain, tracer: Tracer
) -> None:
    run, span = uuid4(), tracer.start_span("ChatModel")
    assert calls.handler.run_inline
    assert not calls.handler.ignore_chat_model
    assert calls.handler.ignore_chain
    calls.begin(run, span, metadata={"thread_id": "t"})
    assert calls.adapter.current_call() is span
    assert calls.adapter.attributes() == {"session.id": "t"}
    calls.handler.on_llm_new_token("Hello", run_id=uuid4())
    assert calls.adapter.current_call() is span
    calls.handler.on_llm_new_token("Hello", run_id=run)
    assert calls.adapter.current_call() is None
    assert calls.adapter.attributes() == {}


@pytest.mark.parametrize("end", ["on_llm_end", "on_llm_error"])
def test_or_until_its_end(calls: LangChain, tracer: Tracer, end: str) -> None:
    run, span = uuid4(), tracer.start_span("ChatModel")
    calls.begin(run, span)
    getattr(calls.handler, end)(None, run_id=run)
    assert calls.adapter.current_call() is None


def test_a_run_that_has_ended_elsewhere_is_told_no_longer(calls: LangChain, tracer: Tracer) -> None:
    run = uuid4()
    calls.begin(run, tracer.start_span("ChatModel"), metadata={"thread_id": "t"})
    del calls.spans[run]
    assert calls.adapter.current_call() is None
    assert calls.adapter.attributes() == {}


def test_of_runs_that_begin_together_none_is_told(calls: LangChain, tracer: Tracer) -> None:
    for _ in range(3):
        calls.begin(uuid4(), tracer.start_span("ChatModel"))
    assert calls.adapter.current_call() is None


def test_a_model_inside_of_a_model_is_told(calls: LangChain, tracer: Tracer) -> None:
    outer, inner = uuid4(), uuid4()
    calls.begin(outer, tracer.start_span("Router"))
    span = tracer.start_span("ChatModel")
    calls.begin(inner, span, parent=outer)
    assert calls.adapter.current_call() is span


# Adapters come into use with their libraries.

PROGRAM = """
import sys

import httpx2
from opentelemetry.sdk.trace import TracerProvider

import otel_helicone
from otel_helicone.ambient_spans import adapter

if sys.argv[1] == "before":
    import langchain_core.runnables.config
provider = TracerProvider()
provider.add_span_processor(otel_helicone.HeliconeSpanProcessor())
with provider.get_tracer("app").start_as_current_span("request"):
    print(otel_helicone.current_session().path)
print([each.library for each in adapter.in_use])
if sys.argv[1] == "after":
    import langchain_core.runnables.config
elif sys.argv[1] == "blocked":
    sys.modules["langchain_core.runnables.config"] = None
print([each.library for each in adapter.in_use])
print(sorted(name for name in sys.modules if name.startswith("otel_helicone.ambient_spans.l")))
"""


@pytest.mark.parametrize(
    ("when", "then"),
    [
        ("before", ["['LangChain']", "['LangChain']", "['otel_helicone.ambient_spans.langchain']"]),
        ("after", ["[]", "['LangChain']", "['otel_helicone.ambient_spans.langchain']"]),
        ("never", ["[]", "[]", "[]"]),
        ("blocked", ["[]", "[]", "[]"]),
    ],
)
def test_an_adapter_is_loaded_and_used_with_its_library_alone(
    tmp_path: Path, when: str, then: list[str]
) -> None:
    module = tmp_path / "langchain_core" / "runnables" / "config.py"
    module.parent.mkdir(parents=True)
    module.write_text(
        "from contextvars import ContextVar\n"
        "var_child_runnable_config = ContextVar('child_runnable_config', default=None)\n",
        "utf-8",
    )
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, when],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.stderr, ended.stdout.splitlines()) == ("", ["/request", *then])
