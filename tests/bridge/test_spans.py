"""Spans of OTLP: what is told of them at a glance, what is kept, and what they become again."""

from __future__ import annotations

import base64
import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as OTLPResource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OTLPSpan
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope as Scope
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, TraceFlags
from opentelemetry.trace.status import Status

from otel_helicone.bridge.otlp import JSON, decode
from otel_helicone.bridge.spans import (
    Arrival,
    Traits,
    arrivals_of,
    origin_of,
    readable,
    skeleton,
)

TRACE, SPAN, PARENT = bytes(range(1, 17)), bytes(range(1, 9)), bytes(range(11, 19))
REMOTE_KNOWN, REMOTE = 0x100, 0x200


def text(value: str) -> AnyValue:
    return AnyValue(string_value=value)


def attributes(**values: AnyValue) -> list[KeyValue]:
    return [KeyValue(key=key.replace("__", "."), value=value) for key, value in values.items()]


def span(**fields: Any) -> OTLPSpan:
    return OTLPSpan(**{"trace_id": TRACE, "span_id": SPAN, "name": "step", **fields})


def request(*spans: OTLPSpan, scope: str = "app") -> ExportTraceServiceRequest:
    scope_spans = ScopeSpans(scope=InstrumentationScope(name=scope, version="1.2"), spans=spans)
    resource = OTLPResource(attributes=attributes(service__name=text("shop")))
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=resource, scope_spans=[scope_spans])]
    )


def arrival(one: OTLPSpan, *, want_all: bool = False, scope: str = "app") -> Arrival:
    (found,) = arrivals_of(request(one, scope=scope), want_all=want_all)
    assert found is not None
    return found


def traits(**fields: Any) -> Traits:
    return Traits(arrival(span(**fields)).traits)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, Traits.ROOT, id="root"),
        pytest.param({"parent_span_id": bytes(8)}, Traits.ROOT, id="a parent of zeros is none"),
        pytest.param({"parent_span_id": b"short"}, Traits.ROOT, id="neither is a wrong id"),
        pytest.param({"parent_span_id": PARENT}, Traits(0), id="below another"),
        pytest.param({"kind": OTLPSpan.SPAN_KIND_CLIENT}, Traits.ROOT | Traits.CLIENT, id="client"),
    ],
)
def test_the_place_in_the_tree_shows_at_a_glance(fields: Any, expected: Traits) -> None:
    assert traits(**fields) == expected


@pytest.mark.parametrize(
    ("kind", "flags", "is_remote"),
    [
        ("SERVER", 0, True),
        ("CONSUMER", 0, True),
        ("INTERNAL", 0, False),
        ("CLIENT", 0, False),
        # Who says that it is remote without saying that it knows, says nothing.
        ("INTERNAL", REMOTE, False),
        ("SERVER", REMOTE_KNOWN, False),
        ("INTERNAL", REMOTE_KNOWN | REMOTE, True),
        ("SERVER", REMOTE_KNOWN | REMOTE, True),
    ],
)
def test_a_parent_in_another_process(kind: str, flags: int, *, is_remote: bool) -> None:
    number = OTLPSpan.SpanKind.Value(f"SPAN_KIND_{kind}")
    found = traits(kind=number, flags=flags | 1, parent_span_id=PARENT)
    assert bool(found & Traits.REMOTE) == is_remote
    assert not traits(kind=number, flags=flags | 1) & Traits.REMOTE  # a root has no parent


def test_a_stamp_is_both_session_and_path() -> None:
    session_id, path = text("s-1"), text("/a")
    both = attributes(helicone__session__id=session_id, helicone__session__path=path)
    assert traits(attributes=both) & Traits.STAMPED
    for one in both:
        assert not traits(attributes=[one]) & Traits.STAMPED


def test_a_span_that_speaks_of_genai_is_wanted_whole() -> None:
    one = span(attributes=attributes(gen_ai__request__model=text("gpt-4o"), other=text("x" * 9000)))
    found = arrival(one)
    assert found.traits & Traits.WANTED
    assert OTLPSpan.FromString(found.content) == one


def test_a_span_with_events_of_genai_alone_is_wanted() -> None:
    one = span(events=[OTLPSpan.Event(name="gen_ai.user.message")])
    assert arrival(one).traits & Traits.WANTED
    assert not arrival(span(events=[OTLPSpan.Event(name="exception")])).traits & Traits.WANTED


def test_litellm_needs_no_word_to_be_wanted() -> None:
    assert arrival(span(), scope="litellm").traits & Traits.WANTED
    assert not arrival(span(), scope="app").traits & Traits.WANTED


def test_everything_is_wanted_where_everything_is_included() -> None:
    one = span(attributes=attributes(other=text("x")))
    found = arrival(one, want_all=True)
    assert found.traits & Traits.WANTED
    assert OTLPSpan.FromString(found.content) == one


def test_of_a_span_that_is_not_wanted_its_place_is_kept_and_nothing_it_says() -> None:
    structural = attributes(
        helicone__session__id=text("s-1"), http__response__status_code=AnyValue(int_value=429)
    )
    secrets = attributes(enduser__note=text("a secret"), url__full=text("https://a.secret"))
    one = span(
        name="n" * 5000,
        parent_span_id=PARENT,
        kind=OTLPSpan.SPAN_KIND_CLIENT,
        flags=REMOTE_KNOWN | 1,
        attributes=[*structural, *secrets],
        events=[OTLPSpan.Event(name="a secret")],
        status={"code": 2, "message": "a secret"},
    )
    kept = OTLPSpan.FromString(arrival(one).content)
    assert b"secret" not in kept.SerializeToString()
    assert list(kept.attributes) == structural
    assert (kept.span_id, kept.parent_span_id, kept.kind, kept.flags) == (
        *(SPAN, PARENT, one.kind, one.flags),
    )
    assert kept.name == "n" * 1024


def test_of_a_span_that_was_logged_what_tells_the_call_is_kept_and_its_content_is_not() -> None:
    one = span(
        start_time_unix_nano=5,
        end_time_unix_nano=7,
        status={"code": 2, "message": "a secret"},
        events=[OTLPSpan.Event(name="a secret")],
        attributes=attributes(
            gen_ai__request__model=text("gpt-4o"),
            gen_ai__usage__input_tokens=AnyValue(int_value=3),
            gen_ai__input__messages=text("a secret " * 100),
            tags=AnyValue(array_value=ArrayValue(values=[text("a secret")] * 50)),
            raw=AnyValue(bytes_value=b"a secret" * 50),
        ),
    )
    kept = OTLPSpan.FromString(skeleton(one, structural=False))
    assert b"secret" not in kept.SerializeToString()
    names = [attribute.key for attribute in kept.attributes]
    assert names == ["gen_ai.request.model", "gen_ai.usage.input_tokens"]
    assert (kept.start_time_unix_nano, kept.end_time_unix_nano, kept.status.code) == (5, 7, 2)


def test_what_is_kept_of_very_many_attributes_is_little() -> None:
    many = [KeyValue(key=f"k{n}", value=AnyValue(int_value=n)) for n in range(10_000)]
    assert len(skeleton(span(attributes=many), structural=False)) < 2000


@pytest.mark.parametrize(
    ("trace_id", "span_id"),
    [
        (b"", SPAN),
        (TRACE, b""),
        (bytes(16), SPAN),
        (TRACE, bytes(8)),
        (TRACE[:15], SPAN),
        (TRACE + b"1", SPAN),
        (TRACE, SPAN[:7]),
        (TRACE, SPAN + b"1"),
    ],
)
def test_a_span_without_valid_ids_is_none(trace_id: bytes, span_id: bytes) -> None:
    wrong = span(trace_id=trace_id, span_id=span_id)
    found = list(arrivals_of(request(wrong, span()), want_all=True))
    assert found[0] is None
    assert found[1] is not None  # the one beside it is taken


texts = st.text(st.characters(codec="utf-8"), max_size=50)
simple = texts | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
values = (
    simple
    | st.lists(texts, max_size=4)
    | st.lists(st.booleans(), max_size=4)
    | st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4)
    | st.lists(st.floats(allow_nan=False), max_size=4)
)
mappings = st.dictionaries(texts, values, max_size=8)
named_mappings = st.dictionaries(texts.filter(bool), values, max_size=4)
times = st.integers(0, 2**64 - 1)
trace_ids, span_ids = st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1)


def as_tuples(given_values: Any) -> dict[str, Any]:
    return {
        key: tuple(value) if isinstance(value, (list, tuple)) else value
        for key, value in dict(given_values).items()
    }


@st.composite
def finished_spans(draw: st.DrawFn) -> ReadableSpan:
    trace_id = draw(trace_ids)
    code = draw(st.sampled_from(StatusCode))
    parent = draw(st.none() | st.builds(SpanContext, st.just(trace_id), span_ids, st.booleans()))
    return ReadableSpan(
        name=draw(texts),
        context=SpanContext(trace_id, draw(span_ids), False, TraceFlags(1)),
        parent=parent,
        resource=Resource(draw(named_mappings)),
        attributes=draw(mappings),
        events=[
            Event(draw(texts), draw(mappings), draw(times)) for _ in range(draw(st.integers(0, 3)))
        ],
        kind=draw(st.sampled_from(SpanKind)),
        instrumentation_scope=Scope(draw(texts), draw(texts)),
        status=Status(code, draw(texts.filter(bool)) if code is StatusCode.ERROR else None),
        start_time=draw(times),
        end_time=draw(times),
    )


def read_again(stored: Arrival) -> ReadableSpan:
    content = OTLPSpan.FromString(stored.content)
    return readable(content, stored.traits, origin_of(stored.origin))


@given(original=finished_spans())
def test_what_the_official_exporter_writes_is_read_as_it_was(original: ReadableSpan) -> None:
    written = encode_spans([original]).SerializeToString()
    sent = ExportTraceServiceRequest.FromString(written)
    (found,) = arrivals_of(sent, want_all=True)
    assert found is not None
    read = read_again(found)
    assert (read.name, read.kind) == (original.name, original.kind)
    assert read.context is not None
    assert original.context is not None
    assert (read.context.trace_id, read.context.span_id) == (
        *(original.context.trace_id, original.context.span_id),
    )
    assert read.parent == original.parent
    if read.parent is not None and original.parent is not None:
        assert read.parent.is_remote == original.parent.is_remote
    assert as_tuples(read.attributes) == as_tuples(original.attributes)
    assert [
        (event.name, as_tuples(event.attributes), event.timestamp) for event in read.events
    ] == [(event.name, as_tuples(event.attributes), event.timestamp) for event in original.events]
    assert (read.status.status_code, read.status.description) == (
        *(original.status.status_code, original.status.description),
    )
    assert (read.start_time, read.end_time) == (original.start_time, original.end_time)
    assert as_tuples(read.resource.attributes) == as_tuples(original.resource.attributes)
    assert read.instrumentation_scope is not None
    assert original.instrumentation_scope is not None
    assert (read.instrumentation_scope.name, read.instrumentation_scope.version) == (
        *(original.instrumentation_scope.name, original.instrumentation_scope.version),
    )


def value_of(value: AnyValue) -> Any:
    found = arrival(span(attributes=[KeyValue(key="k", value=value)]), want_all=True)
    read = read_again(found)
    return (read.attributes or {})["k"]


def array(*items: AnyValue) -> AnyValue:
    return AnyValue(array_value=ArrayValue(values=items))


def test_values_that_the_sdk_has_no_place_for() -> None:
    number, raw = AnyValue(int_value=1), AnyValue(bytes_value=b"\x00\xff")
    pair = AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="a", value=array(number, raw))]))
    assert value_of(AnyValue()) is None
    assert value_of(raw) == base64.b64encode(b"\x00\xff").decode()
    assert value_of(array(text("a"), number)) == ("a", 1)
    assert json.loads(value_of(array(number, AnyValue()))) == [1, None]
    assert json.loads(value_of(array(array(number), pair))) == [[1], {"a": [1, "AP8="]}]
    assert json.loads(value_of(pair)) == {"a": [1, "AP8="]}
    assert value_of(AnyValue(kvlist_value=KeyValueList())) == "{}"
    assert value_of(array()) == ()
    assert math.isnan(value_of(AnyValue(double_value=math.nan)))


def test_unknown_kinds_and_statuses_are_the_plain_ones() -> None:
    found = arrival(span(kind=99, status={"code": 77, "message": "?"}), want_all=True)
    read = read_again(found)
    assert read.kind is SpanKind.INTERNAL
    assert read.status.status_code is StatusCode.UNSET
    assert read.status.description is None


def in_json(**change: Any) -> bytes:
    """Write a request with one span as JSON, by the OTLP specification."""
    fields = {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "eee19b7ec3c1b174",
        "name": "step",
        "kind": 3,
        "startTimeUnixNano": "1544712660000000000",
        "attributes": [{"key": "n", "value": {"intValue": "-3"}}],
    }
    spans = [{**fields, **change}]
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({}, id="as the specification has it"),
        pytest.param({"traceId": "5B8EFFF798038103D269B633813FC60C"}, id="upper-case ids"),
        pytest.param({"parentSpanId": ""}, id="an empty parent"),
        pytest.param({"parentSpanId": None, "traceState": None}, id="null where nothing is"),
        pytest.param({"kind": "SPAN_KIND_CLIENT"}, id="an enum by its name"),
        pytest.param({"startTimeUnixNano": 1544712660000000000}, id="a number that is one"),
        pytest.param({"attributes": [{"key": "n", "value": {"intValue": -3}}]}, id="another"),
        pytest.param({"new": {"traceId": [7]}, "x": None}, id="fields of a later version"),
    ],
)
def test_ways_to_write_a_span_in_json(change: dict[str, Any]) -> None:
    expected = OTLPSpan(
        trace_id=bytes.fromhex("5b8efff798038103d269b633813fc60c"),
        span_id=bytes.fromhex("eee19b7ec3c1b174"),
        name="step",
        kind=OTLPSpan.SPAN_KIND_CLIENT,
        start_time_unix_nano=1544712660000000000,
        attributes=attributes(n=AnyValue(int_value=-3)),
    )
    written = in_json(**change)
    as_in_protobuf = re.sub(rb"[A-Z](?=[A-Za-z]*\":)", lambda c: b"_" + c[0].lower(), written)
    for body in (written, as_in_protobuf):
        assert decode(body, JSON).resource_spans[0].scope_spans[0].spans[0] == expected


def test_a_span_without_resource_and_scope_has_empty_ones() -> None:
    bare = ExportTraceServiceRequest()
    bare.resource_spans.add().scope_spans.add().spans.append(span())
    (found,) = arrivals_of(bare, want_all=True)
    assert found is not None
    origin = origin_of(found.origin)
    assert (dict(origin.resource.attributes), origin.scope.name) == ({}, "")


def test_what_the_sdk_of_a_span_has_dropped_is_told() -> None:
    wanted = attributes(gen_ai__system=text("openai"))
    sent = span(attributes=wanted, dropped_attributes_count=7, dropped_events_count=3)
    found = read_again(arrival(sent))
    assert (found.dropped_attributes, found.dropped_events) == (7, 3)


def test_where_a_span_started_is_kept_of_one_that_is_not_wanted() -> None:
    noted = "0" * 31 + "7-" + "0" * 15 + "9"
    kept = arrival(span(attributes=attributes(helicone__session__parent=text(noted))))
    assert dict(read_again(kept).attributes or {}) == {"helicone.session.parent": noted}
