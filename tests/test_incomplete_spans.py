"""Spans that have lost something to the limits of the SDK: what is left is logged as what it is.

``data/incomplete`` holds small traces; ``limits`` are those to set, and ``later`` what an
instrumentation sets after the start, in that order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OTLPSpan
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, set_span_in_context

from otel_helicone import HeliconeSpanProcessor
from otel_helicone.bridge.spans import arrivals_of, origin_of, readable
from otel_helicone.dialects.cut_json import CUT_MARK, parse_cut_json
from otel_helicone.dialects.describe import speaks_any
from otel_helicone.logs.record import LogRecord
from otel_helicone.logs.translating import Translator
from otel_helicone.session_context import finished

FOLDER = Path(__file__).parent / "data" / "incomplete"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def case(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return found


@pytest.fixture(autouse=True)
def _an_exporter_is_in_use() -> Iterator[None]:
    finished.want(speaks_any)
    yield
    finished.unwant(speaks_any)


class Traced:
    """An application whose spans have these limits."""

    def __init__(self, count: int | None = None, length: int | None = None, events: int = 128):
        limits = SpanLimits(
            max_span_attributes=count, max_span_attribute_length=length, max_events=events
        )
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(span_limits=limits, shutdown_on_exit=False)
        self.provider.add_span_processor(HeliconeSpanProcessor())
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def spans(self) -> list[ReadableSpan]:
        self.provider.shutdown()
        return list(self._exporter.get_finished_spans())

    def logs(self) -> list[LogRecord]:
        return list(Translator().records(self.spans()))


def played(name: str) -> Traced:
    described = case(name)
    traced = Traced(**described.get("limits") or {})
    open_spans: dict[str, Any] = {}
    for span in described["spans"]:
        above = open_spans.get(span["parent"])
        started = traced.provider.get_tracer(span["scope"]).start_span(
            span["name"],
            None if above is None else set_span_in_context(above),
            kind=SpanKind[span["kind"]],
            attributes=span["attributes"],
        )
        open_spans[span["id"]] = started
        for key, value in span.get("later", ()):
            started.set_attribute(key, value)
    for started in reversed(open_spans.values()):
        started.end()
    return traced


def messages(record: LogRecord) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = record.request["messages"]
    return found


def answer(record: LogRecord) -> str:
    found: str = record.response["choices"][0]["message"]["content"]
    return found


@pytest.mark.parametrize("name", [name for name in NAMES if "logs" in case(name)["expect"]])
def test_what_is_left_is_logged(name: str, caplog: pytest.LogCaptureFixture) -> None:
    expected = case(name)["expect"]
    (record,) = played(name).logs()
    asked = messages(record)
    if "model" in expected:
        assert record.response["model"] == expected["model"]
        assert record.path == "/oai/v1/log"
    if "usage" in expected:
        usage = record.response["usage"]
        told = (usage["prompt_tokens"], usage["completion_tokens"])
        assert told == (expected["usage"]["input"], expected["usage"]["output"])
    if "answer" in expected:
        assert answer(record) == expected["answer"]
    if "answer_starts" in expected:
        assert answer(record).startswith(expected["answer_starts"])
        assert answer(record).endswith(CUT_MARK)
    if "last_message" in expected:
        assert asked[-1] == expected["last_message"]
    assert expected.get("not_message") not in asked
    for message, wanted in zip(asked, expected.get("messages", ()), strict=False):
        assert message["role"] == wanted["role"]
        assert message["content"].startswith(wanted["starts"])
    assert len(asked) >= len(expected.get("messages", ()))
    said = [one.getMessage() for one in caplog.records if one.name.startswith("otel_helicone")]
    assert [expected["says"] in one for one in said] == [True] if "says" in expected else not said


def test_a_call_of_which_nothing_is_left_does_not_vanish_in_silence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert played("many-tools").logs() == []
    (said,) = [one for one in caplog.records if one.name.startswith("otel_helicone")]
    assert "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT" in said.getMessage()


def test_a_mark_tells_how_many_messages_are_missing() -> None:
    (record,) = played("many-messages-openinference").logs()
    mark, first, *_ = messages(record)
    number = int(mark["content"].removeprefix("[").split()[0])
    assert mark["role"] == "system"
    assert "messages before this one were dropped by the span's attribute limit" in mark["content"]
    assert first["content"] == f"turn {number}"


def test_what_is_left_of_a_message_without_its_role_stands_in_the_mark() -> None:
    (record,) = played("first-role-dropped").logs()
    assert messages(record)[0] == {
        "role": "system",
        "content": "[22 messages before this one were dropped by the span's attribute limit;"
        " what is left of one: It leaves at ten.]",
    }


def test_a_list_that_begins_with_one_has_lost_nothing() -> None:
    traced = Traced()
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.input_messages.1.message.role": "user",
        "llm.input_messages.1.message.content": "When?",
    }
    traced.provider.get_tracer("app").start_span("call", attributes=attributes).end()
    (record,) = traced.logs()
    assert messages(record) == [{"role": "user", "content": "When?"}]


def test_events_that_were_dropped_leave_a_mark_too(caplog: pytest.LogCaptureFixture) -> None:
    traced = Traced(events=128)
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
    span = traced.provider.get_tracer("app").start_span("chat", attributes=attributes)
    for number in range(200):
        span.add_event("gen_ai.user.message", {"content": f"turn {number}"})
    span.end()
    (record,) = traced.logs()
    mark, first, *_, last = messages(record)
    assert mark["content"] == "[Messages before this one were dropped by the span's event limit]"
    assert (first["content"], last["content"]) == ("turn 72", "turn 199")
    assert "OTEL_SPAN_EVENT_COUNT_LIMIT" in caplog.text


def test_a_span_that_only_has_many_attributes_is_no_call(caplog: pytest.LogCaptureFixture) -> None:
    traced = Traced(count=8)
    attributes = {f"app.{number}": number for number in range(20)}
    traced.provider.get_tracer("app").start_span("step", attributes=attributes).end()
    assert traced.logs() == []
    assert not [one for one in caplog.records if one.name.startswith("otel_helicone")]


def test_a_plain_text_is_marked_where_the_span_tells_its_limit() -> None:
    traced = Traced(length=300)
    attributes = {
        "llm.request.type": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "word " * 100,
    }
    traced.provider.get_tracer("app").start_span("openai.chat", attributes=attributes).end()
    (record,) = traced.logs()
    assert answer(record) == ("word " * 60 + CUT_MARK)


# --- JSON that was cut off ------------------------------------------------------------------------

MESSAGES = [
    {"role": "system", "parts": [{"type": "text", "content": 'Say "no" \\ \t é 😀 \u2028'}]},
    {"role": "user", "parts": [{"type": "text", "content": "When?\nWhere?"}]},
    {
        "role": "assistant",
        "parts": [{"type": "tool_call", "id": "c1", "name": "find", "arguments": {"n": 1250}}],
    },
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "ten"}]},
]


@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_a_cut_at_every_place_leaves_whole_messages_as_they_are(ensure_ascii: bool) -> None:
    whole = json.dumps(MESSAGES, ensure_ascii=ensure_ascii)
    for end in range(1, len(whole)):
        left = parse_cut_json(whole[:end])
        assert left is None or isinstance(left, list)
        messages = left or []
        for index, message in enumerate(messages):
            if index < len(messages) - 1:
                assert message == MESSAGES[index]
            else:
                assert message.get("role") in (None, MESSAGES[index]["role"])
                assert "1" not in str(message.get("arguments"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(JSON.filter(lambda value: isinstance(value, (dict, list))), st.data())
def test_any_beginning_of_json_is_read_without_a_failure(value: Any, data: st.DataObject) -> None:
    whole = json.dumps(value)
    end = data.draw(st.integers(0, len(whole) - 1))
    left = parse_cut_json(whole[:end])
    assert left is None or type(left) is type(value)


@given(st.text())
def test_a_text_that_is_not_the_beginning_of_json_is_left_alone(text: str) -> None:
    left = parse_cut_json(text)
    assert left is None or text[:1] in ("{", "[")


@pytest.mark.parametrize(
    "text", ["", "[1] see there", "{name} said", '{"a": 1}}', "plain", "[x", "{"]
)
def test_no_other_text_is_taken_for_it(text: str) -> None:
    assert parse_cut_json(text) is None


# --- through the bridge ---------------------------------------------------------------------------


def received(spans: list[ReadableSpan]) -> list[ReadableSpan]:
    """Return spans as the bridge has them, which were sent to it by OpenTelemetry's exporter."""
    return [
        readable(OTLPSpan.FromString(one.content), one.traits, origin_of(one.origin))
        for one in arrivals_of(encode_spans(spans), want_all=False)
        if one is not None
    ]


@pytest.mark.parametrize("name", [name for name in NAMES if "logs" in case(name)["expect"]])
def test_the_bridge_logs_what_is_left_too(name: str, caplog: pytest.LogCaptureFixture) -> None:
    expected = case(name)["expect"]
    (record,) = Translator().records(received(played(name).spans()))
    if "answer" in expected:
        assert answer(record) == expected["answer"]
        assert record.response["usage"]["completion_tokens"] == expected["usage"]["output"]
    if "answer_starts" in expected:
        assert answer(record).startswith(expected["answer_starts"])
        assert answer(record).endswith(CUT_MARK)
    if "last_message" in expected:
        assert messages(record)[-1] == expected["last_message"]
    assert expected.get("not_message") not in messages(record)
    assert expected.get("says", "") in caplog.text
