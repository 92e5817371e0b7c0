"""One call that several spans tell of is logged once, in one batch or in several."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from opentelemetry.sdk.trace import Event, ReadableSpan

from otel_helicone.logs.translating import Translator
from tests.timed_spans import ROOT, call, logged, span


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
    for _ in range(36):  # 10,800 in all
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


def started_in(above: ReadableSpan, path: str, **more: Any) -> ReadableSpan:
    """Return a client's span in a trace of its own, whose place the span processor has noted."""
    assert above.context is not None
    noted = {
        "helicone__session__id": f"{above.context.trace_id:032x}",
        "helicone__session__path": path,
        "helicone__session__parent": (
            f"{above.context.trace_id:032x}-{above.context.span_id:016x}"
        ),
    }
    return call(20, 90, **{"scope": "two", "trace": 8, **noted, **more})


def test_a_call_whose_place_only_a_library_knew_is_one_without_the_answers_id() -> None:
    node = span("node", 0, 200)
    framework = call(10, 100, below=node)
    client = started_in(node, "/node")
    for batches in ([[client, framework, node]], [[client], [framework], [node]]):
        (record,) = logged(*batches)
        assert (record.context.id, record.context.path) == (f"{7:032x}", "/node")


def test_also_below_a_span_of_the_applications_that_started_there() -> None:
    node = span("node", 0, 200)
    framework = call(10, 100, below=node)
    step = started_in(node, "/node/step", gen_ai__operation__name="invoke_agent")
    client = call(30, 80, scope="two", trace=8, below=step)
    assert len(logged([client, step, framework, node])) == 1


def test_calls_in_the_same_place_at_other_times_stay_apart() -> None:
    node = span("node", 0, 200)
    framework = call(100, 150, below=node)
    client = started_in(node, "/node")
    assert len(logged([client, framework, node])) == 2


@pytest.mark.parametrize("noted", ["", "-", "7-1", f"{7:032x}-{1:016x}x", 7])
def test_a_place_that_cannot_be_read_is_as_none(noted: object) -> None:
    node = span("node", 0, 200)
    client = call(20, 90, scope="two", trace=8, helicone__session__parent=noted)
    assert len(logged([client, node])) == 1


def _handed_out(start: int, handed_out: int, first_token: int, **more: Any) -> ReadableSpan:
    """Make a span of a stream as LlamaIndex ends it, and an event of what came out later."""
    made = call(start, handed_out, below=ROOT, scope="framework", **more)
    event = Event("First Token Stream Event", timestamp=first_token * 1_000_000)
    return ReadableSpan(
        made.name,
        context=made.context,
        parent=made.parent,
        attributes=made.attributes,
        events=(event,),
        kind=made.kind,
        start_time=made.start_time,
        end_time=made.end_time,
        resource=made.resource,
        instrumentation_scope=made.instrumentation_scope,
    )


def test_a_stream_whose_span_ends_when_it_is_handed_out_is_one_call_with_the_clients() -> None:
    stream = _handed_out(10, 20, 50)
    client = call(30, 90, below=ROOT, scope="client", gen_ai__response__id="r1")
    (record,) = logged([stream, client])
    assert (record.start, record.end) == (10_000_000, 90_000_000)
    assert len(logged([client], [stream])) == 1


def test_the_next_call_is_another_one() -> None:
    first, second = _handed_out(10, 20, 50), call(60, 90, below=ROOT, scope="client")
    assert len(logged([first, second])) == 2


def test_an_event_after_the_end_moves_the_end_of_what_is_logged() -> None:
    (record,) = logged([_handed_out(10, 20, 50)])
    assert record.end == 50_000_000
