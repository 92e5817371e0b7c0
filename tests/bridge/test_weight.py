"""What a request would become is known before it is built; small requests can't become large."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from otel_helicone.bridge import weight
from otel_helicone.bridge.otlp import JSON, PROTOBUF
from otel_helicone.bridge.weight import TooMuch, check_spans, check_weight
from otel_helicone.local.server import LocalHelicone
from tests.bridge.conftest import RunningBridge
from tests.bridge.test_hostile_input import MIB, check_well, llm, request, span, value
from tests.bridge.test_http_receiver import document, one_call, reason_of


def messages_in(message: Message) -> int:
    """Return how many messages a message is made of."""
    count = 1
    for field, content in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            inside = [content] if isinstance(content, Message) else content
            count += sum(messages_in(each) for each in inside)
    return count


plain = st.builds(lambda text: AnyValue(string_value=text), st.text(max_size=5))
values: st.SearchStrategy[AnyValue] = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda v: AnyValue(array_value=ArrayValue(values=v)))
        | st.lists(st.builds(lambda v: KeyValue(key="k", value=v), inner), max_size=3).map(
            lambda v: AnyValue(kvlist_value=KeyValueList(values=v))
        )
    ),
)
attributes = st.lists(st.builds(lambda v: KeyValue(key="a" * 200, value=v), values), max_size=3)


@st.composite
def requests(draw: st.DrawFn) -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    for _ in range(draw(st.integers(0, 2))):
        resource_spans = made.resource_spans.add(schema_url="a")
        resource_spans.resource.attributes.extend(draw(attributes))
        for _ in range(draw(st.integers(0, 2))):
            scope_spans = resource_spans.scope_spans.add()
            scope_spans.scope.attributes.extend(draw(attributes))
            for number in range(draw(st.integers(0, 2))):
                added = scope_spans.spans.add()
                added.CopyFrom(span(number + 1, attributes=draw(attributes)))
                added.events.add(name="e", attributes=draw(attributes))
                added.links.add(attributes=draw(attributes))
    return made


@given(requests())
def test_no_message_is_built_that_was_not_counted(made: ExportTraceServiceRequest) -> None:
    assert weight._fields_of_protobuf(made.SerializeToString()) >= messages_in(made) - 1


@given(st.binary(max_size=200), st.binary(max_size=20), requests())
def test_bytes_of_any_kind_are_counted_or_left_to_the_parser(
    before: bytes, group: bytes, made: ExportTraceServiceRequest
) -> None:
    weight._fields_of_protobuf(before)
    # What nobody knows may be in front of what is known, in groups too.
    unknown = b"\x7b\x0a" + bytes([len(group)]) + group + b"\x7c"
    for body in (before + made.SerializeToString(), unknown + made.SerializeToString()):
        try:
            parsed = ExportTraceServiceRequest.FromString(body)
        except DecodeError:
            continue
        assert weight._fields_of_protobuf(body) >= messages_in(parsed) - 1


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    ),
    st.booleans(),
)
def test_no_value_of_json_is_built_that_was_not_counted(document: Any, is_ascii: bool) -> None:
    def count(node: Any) -> Iterator[int]:
        inside = node.values() if isinstance(node, dict) else node
        yield 1
        if isinstance(node, (dict, list)):
            for each in inside:
                yield from count(each)

    body = json.dumps(document, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weight, "_MAX_FIELDS", 0)  # so that texts are left out
        counted = weight._fields_of_json(body)
    assert sum(count(document)) - 1 <= 2 * counted


def dense(count: int, **fields: Any) -> bytes:
    return request([llm(1, attributes=[KeyValue()] * count, **fields)])


def nested(count: int) -> bytes:
    array = AnyValue(array_value=ArrayValue(values=[AnyValue()] * count))
    return request([llm(1, attributes=[KeyValue(key="a", value=array)])])


SPANS = b'{"resourceSpans":[{"scopeSpans":[{"spans":[%s{}]}]}]}'
HOSTILE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "empty resources": (PROTOBUF, lambda: b"\n\0" * (16 * MIB)),
    "empty scopes": (PROTOBUF, lambda: b"\n\xfe\xff\xff\x07" + b"\x12\0" * (8 * MIB - 1)),
    "empty attributes": (PROTOBUF, lambda: dense(3_000_000)),
    "empty values": (PROTOBUF, lambda: nested(3_000_000)),
    "unknown fields": (PROTOBUF, lambda: b"\x78\0" * (16 * MIB)),
    "empty lists": (JSON, lambda: b'{"x":[' + b"[]," * (10 * MIB) + b"[]]}"),
    "numbers": (JSON, lambda: b'{"x":[' + b"1.5," * (7 * MIB) + b"1]}"),
    "texts": (JSON, lambda: b'{"x":[' + b'"",' * (10 * MIB) + b'""]}'),
    "spans": (JSON, lambda: SPANS % (b"{}," * (9 * MIB))),
}


@pytest.mark.parametrize(("form", "make"), HOSTILE.values(), ids=list(HOSTILE))
def test_what_would_become_too_much_is_refused_before_it_is_built(
    form: str, make: Callable[[], bytes]
) -> None:
    body = make()
    assert len(body) <= 32 * MIB
    with pytest.raises(TooMuch, match="a request may have 2000000 fields"):
        check_weight(body, form)


def test_a_small_request_that_unpacks_to_very_many_is_told_why(
    bridge: RunningBridge, helicone: LocalHelicone
) -> None:
    for form, make in (HOSTILE["empty resources"], HOSTILE["empty lists"]):
        packed = gzip.compress(make(), 9)
        assert len(packed) < 100_000
        answer = bridge.post(packed, Content_Encoding="gzip", Content_Type=form)
        assert answer.status_code == 413
        assert reason_of(answer, form).endswith("send smaller batches")
    assert bridge.metrics()['requests_refused_total{reason="too-large"}'] == 2
    check_well(bridge, helicone)


@pytest.mark.parametrize("place", ["attributes", "events", "attributes of events"])
@pytest.mark.parametrize("count", [20_000, 20_001])
def test_the_attributes_of_a_span_are_bounded(place: str, count: int) -> None:
    many = [KeyValue(key="k", value=value(1))] * count
    made = ExportTraceServiceRequest()
    into = made.resource_spans.add().scope_spans.add().spans.add()
    if place == "attributes":
        into.attributes.extend(many)
    elif place == "events":
        for _ in range(count):
            into.events.add()
    else:
        into.events.add(attributes=many[1:])
    if count <= 20_000:
        check_spans(made)
    else:
        with pytest.raises(TooMuch, match="a span may have 20000 attributes"):
            check_spans(made)


@pytest.mark.parametrize("what", ["resources and scopes", "spans"])
@pytest.mark.parametrize("count", [100_000, 100_001])
def test_the_spans_of_a_request_are_bounded(what: str, count: int) -> None:
    made = ExportTraceServiceRequest()
    scopes = made.resource_spans.add().scope_spans
    if what == "spans":
        spans = scopes.add().spans
        for _ in range(count):
            spans.add()
    else:
        for _ in range(count - 1):
            scopes.add()
    if count <= 100_000:
        check_spans(made)
    else:
        with pytest.raises(TooMuch, match=f"a request may have 100000 {what}"):
            check_spans(made)


def test_a_large_resource_is_not_stored_with_each_of_very_many_scopes(
    bridge: RunningBridge,
) -> None:
    made = ExportTraceServiceRequest()
    resource_spans = made.resource_spans.add()
    resource_spans.resource.attributes.add(key="k", value=value("x" * MIB))
    for number in range(100):
        scope_spans = resource_spans.scope_spans.add()
        scope_spans.scope.name = f"s{number}"
        scope_spans.spans.append(span(number + 1))
    answer = bridge.post(made.SerializeToString())
    assert answer.status_code == 413
    assert bridge.metrics()["spool_bytes"] < MIB


def test_what_a_collector_sends_is_taken() -> None:
    # Its default batch, of spans with three dozen attributes each.
    texts = [KeyValue(key=f"gen_ai.attribute.{n}", value=value("some value")) for n in range(36)]
    body = request(llm(n, attributes=texts) for n in range(1, 8193))
    assert len(body) > 8 * MIB
    check_weight(body, PROTOBUF)
    check_spans(ExportTraceServiceRequest.FromString(body))


def test_what_users_say_in_json_does_not_count_as_its_fields() -> None:
    said = {"key": "k", "value": {"stringValue": '{"a": [1, 2, {"b": "c\\\\"}]}, ' * 50_000}}
    body = document(*({**one_call(), "attributes": [said]} for _ in range(8)))
    assert body.count(b",") > 1_000_000
    assert weight._fields_of_json(body) < 200


@pytest.mark.parametrize("form", [PROTOBUF, JSON])
def test_others_are_served_while_large_requests_are_read(
    bridge: RunningBridge, helicone: LocalHelicone, form: str
) -> None:
    many = [{**one_call(), "spanId": f"{n:016x}", "traceId": "ab" * 16} for n in range(1, 1501)]
    large = document(*many)
    if form == PROTOBUF:
        large = request(llm(n, 9, trace=7, name="x" * 1200) for n in range(10, 4000))
    answers: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(bridge.post(large, Content_Type=form).status_code)
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert bridge.post(b"").status_code == 200
        assert httpx2.get(f"{bridge.url}/healthz").status_code == 200
        time.sleep(0.01)
    assert answers == [200] * 3
