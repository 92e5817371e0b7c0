"""One call that several spans tell of is logged once, in one batch or in several."""

from __future__ import annotations

import gc
import os
import warnings
import weakref
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from otel_helicone import HeliconeSpanExporter
from otel_helicone.exporter import _Alarm
from otel_helicone.local.server import LocalHelicone
from otel_helicone.logs.holding import MAX_SECONDS_HELD, HeldCalls
from otel_helicone.logs.record import LogRecord
from otel_helicone.logs.translating import Translator

# One for all: the SDK asks the machine for each one that it makes itself.
RESOURCE = Resource({})
NUMBERS = count(1)


def span(
    name: str,
    start: int,
    end: int,
    *,
    below: ReadableSpan | None = None,
    scope: str = "one",
    trace: int = 7,
    kind: SpanKind = SpanKind.INTERNAL,
    **attributes: Any,
) -> ReadableSpan:
    """Make a finished span; its times are in milliseconds."""
    return ReadableSpan(
        name,
        context=SpanContext(trace, next(NUMBERS), False, TraceFlags(1)),
        parent=None if below is None else below.context,
        attributes={key.replace("__", "."): value for key, value in attributes.items()},
        kind=kind,
        start_time=start * 1_000_000,
        end_time=end * 1_000_000,
        resource=RESOURCE,
        instrumentation_scope=InstrumentationScope(scope),
    )


def call(start: int, end: int, **more: Any) -> ReadableSpan:
    given = {"gen_ai__operation__name": "chat", "gen_ai__request__model": "gpt-4o-mini", **more}
    return span("chat", start, end, **given)


def logged(*batches: list[ReadableSpan]) -> list[LogRecord]:
    translator = Translator()
    return [record for batch in batches for record in translator.records(batch)]


ROOT = span("root", 0, 1000)


def test_the_innermost_span_stands_for_the_call_and_learns_from_the_others() -> None:
    outer = call(10, 100, below=ROOT, gen_ai__provider__name="openai", gen_ai__request__seed=7)
    middle = span("chain", 15, 95, below=outer)
    inner = call(20, 90, below=middle, scope="two", gen_ai__usage__input_tokens=5)
    (record,) = logged([inner, middle, outer, ROOT])
    assert (record.start, record.end) == (20_000_000, 90_000_000)
    assert record.path == "/oai/v1/log"
    assert record.request["seed"] == 7
    assert record.response["usage"]["prompt_tokens"] == 5


def test_also_where_they_come_in_several_batches() -> None:
    outer = call(10, 100, below=ROOT)
    middle = span("chain", 15, 95, below=outer)
    inner = call(20, 90, below=middle, scope="two")
    assert len(logged([inner], [middle], [outer], [ROOT])) == 1


def test_spans_side_by_side_are_one_call_where_the_answers_id_says_so() -> None:
    first = call(20, 90, below=ROOT, gen_ai__response__id="r1")
    second = call(10, 100, below=ROOT, scope="two", gen_ai__response__id="r1")
    assert len(logged([first, second])) == 1
    assert len(logged([first], [second])) == 1


def test_or_where_one_saw_the_other_begin_and_end() -> None:
    first = call(20, 90, below=ROOT)
    second = call(10, 100, below=ROOT, scope="two")
    assert len(logged([first, second])) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {}),
        ({"scope": "two"}, {"gen_ai__request__model": "gpt-4o"}),
        ({"scope": "two", "gen_ai__response__id": "a"}, {"gen_ai__response__id": "b"}),
        ({"gen_ai__response__id": "a"}, {"gen_ai__response__id": "a"}),
    ],
    ids=["one instrumentation", "another model", "another answer", "an answer repeated"],
)
def test_calls_at_the_same_time_stay_two(one: dict[str, Any], other: dict[str, Any]) -> None:
    spans = [call(20, 90, below=ROOT, **one), call(10, 100, below=ROOT, **other)]
    assert len(logged(spans)) == 2


def test_an_answer_from_a_cache_is_a_call_of_its_own() -> None:
    """It repeats the id of the answer, later."""
    first = call(10, 20, below=ROOT, gen_ai__response__id="r1")
    second = call(30, 40, below=ROOT, scope="two", gen_ai__response__id="r1")
    assert len(logged([first, second])) == 2


def test_what_sums_up_the_calls_below_it_is_not_logged() -> None:
    total = call(0, 100, below=ROOT, gen_ai__usage__input_tokens=30, gen_ai__usage__output_tokens=3)
    calls = [
        call(
            start,
            start + 10,
            below=total,
            scope="two",
            gen_ai__usage__input_tokens=tokens,
            gen_ai__usage__output_tokens=tokens // 10,
        )
        for start, tokens in ((10, 10), (30, 20))
    ]
    records = logged([*calls, total])
    assert [record.response["usage"]["prompt_tokens"] for record in records] == [10, 20]


def test_a_call_that_a_tool_made_inside_another_call_is_logged_too() -> None:
    outer = call(0, 100, below=ROOT, gen_ai__response__id="a", gen_ai__usage__output_tokens=9)
    tool = span("tool", 10, 90, below=outer, gen_ai__operation__name="execute_tool")
    inner = call(20, 80, below=tool, gen_ai__response__id="b", gen_ai__usage__output_tokens=4)
    assert len(logged([inner, tool, outer])) == 3


def test_a_tool_that_two_instrumentations_saw_is_logged_once() -> None:
    tool: dict[str, Any] = {
        "gen_ai__operation__name": "execute_tool",
        "gen_ai__tool__name": "weather",
    }
    outer = span("MCP send", 0, 100, below=ROOT, gen_ai__tool__call__arguments="{}", **tool)
    inner = span("weather", 10, 90, below=outer, **tool)
    (record,) = logged([inner, outer])
    assert record.start == 10_000_000
    assert record.request["input"] == {}


def test_a_tool_that_calls_itself_is_logged_each_time() -> None:
    tool: dict[str, Any] = {
        "gen_ai__operation__name": "execute_tool",
        "gen_ai__tool__name": "search",
    }
    outer = span("search", 0, 100, below=ROOT, gen_ai__tool__call__arguments='{"depth": 1}', **tool)
    inner = span("search", 9, 90, below=outer, gen_ai__tool__call__arguments='{"depth": 2}', **tool)
    assert len(logged([inner, outer])) == 2


def test_the_second_span_of_a_stream_is_enough_when_it_comes_later() -> None:
    """Logfire's first span of a stream ends with the headers of the answer."""
    about: dict[str, Any] = {
        "scope": "logfire.openai",
        "gen_ai__system": "openai",
        "gen_ai__request__model": "gpt-4o-mini",
        "logfire__msg_template": "streaming response from {request_data[model]!r}",
    }
    first = span("Chat", 0, 10, below=ROOT, logfire__span_type="span", **about)
    second = span(
        "streaming response",
        500,
        500,
        below=ROOT,
        logfire__span_type="log",
        duration=0.4,
        gen_ai__usage__output_tokens=17,
        **about,
    )
    (record,) = logged([first], [second])
    assert (record.start // 1_000_000, record.end // 1_000_000) == (100, 500)
    (record,) = logged([first, second])
    assert (record.start, record.end // 1_000_000) == (0, 500)
    assert record.response["usage"]["completion_tokens"] == 17


def test_what_is_remembered_is_bounded() -> None:
    translator = Translator()
    for _ in range(60):
        below = [span("open", 0, 1) for _ in range(300)]
        list(translator.records([call(1, 2, below=parent) for parent in below]))
    joiner = translator._joiner
    assert len(joiner._below) <= 10_000


def test_a_framework_whose_spans_are_never_current_saw_the_same_call() -> None:
    """LangChain's span of a call lies below spans of its own; the client's does not."""
    agent = span("agent", 5, 200, below=ROOT)
    model = span("model", 8, 190, below=agent)
    of_client = call(20, 90, below=ROOT, gen_ai__response__id="r1")
    of_framework = call(10, 100, below=model, scope="two", gen_ai__response__id="r1")
    assert len(logged([of_client, of_framework, model, agent])) == 1
    assert len(logged([of_client], [of_framework], [model, agent])) == 1


def test_elsewhere_in_the_trace_only_what_is_beyond_doubt_is_one_call() -> None:
    one, two = span("one", 0, 200, below=ROOT), span("two", 0, 200, below=ROOT)
    calls = [call(20, 90, below=one), call(10, 100, below=two, scope="two")]
    assert len(logged([*calls, one, two])) == 2


def test_what_was_said_in_a_call_is_not_kept_once_it_is_logged() -> None:
    translator = Translator()
    outer = call(0, 10)
    inner = call(1, 9, below=outer, scope="two", gen_ai__response__id="r")
    gone = weakref.ref(inner)
    assert len(list(translator.records([inner]))) == 1
    del inner
    gc.collect()
    assert gone() is None
    # The call itself is: another span of it is recognised.
    assert list(translator.records([outer])) == []


@pytest.mark.parametrize("end", [100, 101, 400])
def test_what_is_inside_of_a_call_may_end_with_it_or_after_it(end: int) -> None:
    """Two clock readings apart, or because the outer one ended with the headers of a stream."""
    outer = call(10, 100, below=ROOT)
    middle = span("step", 15, end, below=outer)
    inner = call(20, end, below=middle, gen_ai__usage__output_tokens=4)
    for batch in ([outer, middle, inner], [inner, middle, outer], [middle, inner, outer]):
        (record,) = logged(batch)
        assert record.start == 20_000_000
        assert record.response["usage"]["completion_tokens"] == 4
    assert len(logged([outer], [inner, middle])) == 1


def test_what_began_after_a_call_had_ended_is_another_one_though_it_is_below_it() -> None:
    first = call(10, 100, below=ROOT)
    second = call(150, 200, below=first)
    assert len(logged([first, second])) == 2
    assert len(logged([first], [second])) == 2


def test_tools_that_end_before_what_is_inside_of_them_are_logged_once_too() -> None:
    tool: dict[str, Any] = {
        "gen_ai__operation__name": "execute_tool",
        "gen_ai__tool__name": "weather",
    }
    outer = span("MCP send", 0, 90, below=ROOT, **tool)
    inner = span("weather", 10, 91, below=outer, **tool)
    assert len(logged([outer, inner])) == len(logged([outer], [inner])) == 1


def test_one_span_may_count_thinking_and_cached_tokens_apart_and_the_other_not() -> None:
    inner = call(
        20,
        90,
        below=ROOT,
        gen_ai__usage__input_tokens=1000,
        gen_ai__usage__output_tokens=50,
        gen_ai__usage__reasoning_tokens=40,
        gen_ai__usage__cache_read__input_tokens=900,
    )
    outer = call(
        10,
        100,
        below=ROOT,
        scope="two",
        gen_ai__usage__input_tokens=100,
        gen_ai__usage__output_tokens=10,
    )
    (record,) = logged([inner, outer])
    assert record.response["usage"]["prompt_tokens"] == 1000


def in_two_traces(**inner: Any) -> list[ReadableSpan]:
    """Return a framework's span of a call, and a client's that knows nothing of it."""
    chain = span("chain", 0, 200)
    given = {"scope": "two", "trace": 8, "gen_ai__response__id": "r1", **inner}
    start, end = given.pop("start", 20), given.pop("end", 90)
    return [
        call(start, end, **given),
        call(10, 100, below=chain, gen_ai__response__id="r1"),
        chain,
    ]


def test_a_call_in_two_traces_is_one_where_the_answer_and_the_time_say_so() -> None:
    (record,) = logged(in_two_traces())
    assert (record.context.id, record.context.path) == (f"{7:032x}", "/chain")
    client, *framework = in_two_traces()
    assert len(logged([client], framework)) == 1


def test_also_where_neither_is_below_anything() -> None:
    framework = call(10, 100, gen_ai__response__id="r1")
    client = call(20, 90, scope="two", trace=8, gen_ai__response__id="r1")
    (record,) = logged([framework, client])
    assert record.context.id == f"{7:032x}"


@pytest.mark.parametrize(
    "inner",
    [
        {"gen_ai__response__id": "r2"},
        {"scope": "one"},
        {"start": 110, "end": 120},
        {"start": 50, "end": 150},
        {"below": span("request", 0, 200, trace=8)},
    ],
    ids=["another answer", "one instrumentation", "out of a cache", "not inside", "no root"],
)
def test_calls_in_two_traces_stay_two_otherwise(inner: dict[str, Any]) -> None:
    assert len(logged(in_two_traces(**inner))) == 2


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Exporting:
    """Exports in which calls without content wait."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.held = HeldCalls(self.clock)
        self.translator = Translator(held=self.held)

    def export(self, *spans: ReadableSpan) -> list[LogRecord]:
        return list(self.translator.records(list(spans)))

    def due(self, *, release_all: bool = False) -> list[LogRecord]:
        return list(self.translator.due_records(release_all=release_all))


SAID: dict[str, Any] = {"scope": "two", "gen_ai__output__messages": '["Rain."]'}


def answer(record: LogRecord) -> Any:
    return record.response["choices"][0]["message"]["content"]


def test_a_call_without_content_waits_for_what_is_around_it() -> None:
    app = Exporting()
    outer = call(10, 100, below=ROOT, **SAID)
    inner = call(20, 90, below=outer)
    assert app.export(inner) == []
    (record,) = app.export(outer)
    assert (answer(record), record.start) == ("Rain.", 20_000_000)
    assert (app.export(ROOT), app.due(release_all=True)) == ([], [])


def test_also_through_another_one_without_content() -> None:
    for batches in ([[0], [1], [2]], [[0, 1], [2]], [[0], [1, 2]]):
        app = Exporting()
        outer = call(10, 100, below=ROOT, **SAID)
        middle = call(15, 95, below=outer, scope="three")
        spans = [call(20, 90, below=middle), middle, outer]
        records = [r for batch in batches for r in app.export(*(spans[n] for n in batch))]
        assert [answer(record) for record in records] == ["Rain."]


def test_and_for_what_is_beside_it() -> None:
    """As the spans of Anthropic's SDK beside those of OpenLLMetry, which are never current."""
    app = Exporting()
    assert app.export(call(20, 90, below=ROOT)) == []
    (record,) = app.export(call(10, 100, below=ROOT, **SAID))
    assert answer(record) == "Rain."


def test_tools_wait_too() -> None:
    app = Exporting()
    tool: dict[str, Any] = {"gen_ai__operation__name": "execute_tool", "gen_ai__tool__name": "sky"}
    outer = span("sky", 0, 100, below=ROOT, gen_ai__tool__call__result="rain", **tool)
    assert app.export(span("tools/call sky", 10, 90, below=outer, **tool)) == []
    (record,) = app.export(outer)
    assert record.response["output"] == "rain"


def test_what_is_around_a_call_lets_it_go_whatever_it_is() -> None:
    app = Exporting()
    step = span("step", 10, 100, below=ROOT)
    assert app.export(call(20, 90, below=step)) == []
    assert len(app.export(step)) == 1


@pytest.mark.parametrize(
    "spans",
    [
        [call(20, 90)],
        [call(20, 90, below=ROOT), ROOT],
        [call(20, 90, below=ROOT, **SAID)],
        [call(20, 90, below=ROOT), call(10, 100, below=ROOT, **SAID)],
    ],
    ids=["no parent", "its parent is there", "it has content", "one beside it has"],
)
def test_nothing_else_waits(spans: list[ReadableSpan]) -> None:
    assert len(Exporting().export(*spans)) == 1


def test_a_call_whose_parent_came_before_it_does_not_wait() -> None:
    app = Exporting()
    step = span("step", 10, 80, below=ROOT)
    app.export(step)
    assert len(app.export(call(20, 90, below=step))) == 1


def test_no_call_waits_for_long() -> None:
    app = Exporting()
    assert app.translator.seconds_until_due() is None
    assert app.export(call(20, 90, below=ROOT)) == []
    app.clock.now += MAX_SECONDS_HELD - 1
    assert app.due() == []
    assert app.translator.seconds_until_due() == 1
    app.clock.now += 1
    assert app.translator.seconds_until_due() == 0
    assert len(app.due()) == 1
    assert app.translator.seconds_until_due() is None


def test_nor_past_a_later_export() -> None:
    app = Exporting()
    assert app.export(call(20, 90, below=ROOT)) == []
    app.clock.now += MAX_SECONDS_HELD
    assert len(app.export(span("other", 0, 1, trace=9))) == 1


def test_only_so_many_wait_at_once() -> None:
    app = Exporting()
    calls = [call(1, 2, below=span("open", 0, 9)) for _ in range(1200)]
    assert len(app.export(*calls)) == 200
    assert len(app.held) == 1000
    assert len(app.due(release_all=True)) == 1000


def test_an_instrumentation_whose_calls_wait_in_vain_is_waited_for_no_longer() -> None:
    app = Exporting()
    for _ in range(20):
        step = span("step", 10, 100, below=ROOT)
        assert app.export(call(20, 90, below=step)) == []
        assert len(app.export(step)) == 1
    assert len(app.export(call(20, 90, below=span("step", 10, 100, below=ROOT)))) == 1


def test_until_content_comes_too_late_for_one_of_them() -> None:
    app = Exporting()
    for _ in range(20):
        app.export(call(20, 90, below=span("open", 10, 100, below=ROOT)))
    app.clock.now += MAX_SECONDS_HELD
    assert len(app.due()) == 20
    outer = call(10, 100, below=ROOT, **SAID)
    assert len(app.export(call(20, 90, below=outer))) == 1
    assert app.export(outer) == []
    again = call(10, 100, below=ROOT, **SAID)
    assert app.export(call(20, 90, below=again)) == []
    (record,) = app.export(again)
    assert answer(record) == "Rain."


def test_a_call_that_waits_keeps_the_status_that_only_its_request_has() -> None:
    app = Exporting()
    outer = span("step", 10, 100, below=ROOT)
    inner = call(20, 90, below=outer, error__type="Failed")
    told: dict[str, Any] = {"http__response__status_code": 503}
    request = span("POST", 30, 80, below=inner, kind=SpanKind.CLIENT, **told)
    assert app.export(request, inner) == []
    (record,) = app.export(outer)
    assert record.status == 503


@given(
    st.lists(
        st.tuples(
            st.integers(0, 7),  # the parent, by its number, if it has one
            st.sampled_from(["one", "two"]),
            st.booleans(),
            st.booleans(),
            st.integers(0, 3),  # the export
        ),
        max_size=8,
    )
)
@settings(deadline=None)
def test_whatever_waits_is_logged_once_in_the_end(
    described: list[tuple[int, str, bool, bool, int]],
) -> None:
    made: list[ReadableSpan] = [ROOT]
    exports: dict[int, list[ReadableSpan]] = {}
    for parent, scope, is_call, has_content, export in described:
        given_: dict[str, Any] = {"below": made[parent % len(made)], "scope": scope}
        if has_content and is_call:
            given_["gen_ai__output__messages"] = f'["{len(made)}"]'
        one = call(10, 90, **given_) if is_call else span("step", 10, 90, **given_)
        made.append(one)
        exports.setdefault(export, []).append(one)
    app = Exporting()
    ids = [r.request_id for batch in sorted(exports) for r in app.export(*exports[batch])]
    ids += [record.request_id for record in app.due(release_all=True)]
    assert len(app.held) == 0
    assert len(ids) == len(set(ids))
    if any(is_call for _, _, is_call, _, _ in described):
        assert ids


def test_an_alarm_rings_once_for_those_that_wait() -> None:
    rung = Event()

    class Owner:
        def ring(self) -> None:
            rung.set()

    owner = Owner()
    alarm = _Alarm(owner.ring)
    alarm.set(0)
    alarm.set(0)
    assert rung.wait(30)
    rung.clear()
    alarm.set(3600)
    alarm.cancel()
    alarm.set(0)
    assert rung.wait(30)


def test_an_alarm_keeps_nothing_alive() -> None:
    class Owner:
        def __init__(self) -> None:
            self.alarm = _Alarm(self.ring)

        def ring(self) -> None:
            raise AssertionError

    owner = Owner()
    owner.alarm.set(3600)
    alarm, gone = owner.alarm, weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None
    alarm._ring()
    alarm.cancel()


def test_calls_that_were_held_too_long_are_logged_without_another_export(tmp_path: Path) -> None:
    with LocalHelicone(tmp_path / "requests.db", latency=0) as helicone:
        key = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
        exporter = HeliconeSpanExporter(endpoint=helicone.url, api_key=key)
        clock = Clock()
        assert exporter._translator is not None
        exporter._translator._held = HeldCalls(clock)
        exporter.export([call(20, 90, below=ROOT)])
        assert exporter._alarm._timer is not None
        exporter._release_due()
        helicone.settle()
        assert list(helicone.store.requests()) == []
        clock.now += MAX_SECONDS_HELD
        exporter._release_due()
        helicone.settle()
        assert len(list(helicone.store.requests())) == 1
        exporter.shutdown()
        assert exporter._alarm._timer is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_the_child_of_a_fork_leaves_those_that_wait_to_its_parent() -> None:
    app = Exporting()
    inner, other = call(20, 90, below=ROOT), call(20, 90, below=ROOT, **SAID)
    assert app.export(inner) == []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        child = os.fork()
    if child == 0:
        alone = app.due(release_all=True) == [] and len(app.export(other)) == 1
        os._exit(0 if alone and len(app.held) == 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(app.due(release_all=True)) == 1
