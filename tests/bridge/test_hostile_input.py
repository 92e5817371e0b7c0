"""Input that no application sends: it is answered, it costs little, and the bridge goes on."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx2
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OTLPSpan

from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.records import RequestRecord
from tests.bridge.conftest import CALL, MakeBridge, RunningBridge, rows_of
from tests.bridge.test_http_receiver import document, one_call

MIB = 1024 * 1024
SPANS = int(os.environ.get("OTEL_HELICONE_HOSTILE_SPANS", "20000"))
NOW = 1_750_000_000_000_000_000

# One bridge is to live through all examples.
fuzzed = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def value(plain: str | int) -> AnyValue:
    return AnyValue(string_value=plain) if isinstance(plain, str) else AnyValue(int_value=plain)


CALL_ATTRIBUTES = [KeyValue(key=name, value=value(given)) for name, given in CALL.items()]


def span(number: int, parent: int = 0, trace: int = 1, **fields: Any) -> OTLPSpan:
    named = {"name": f"step {number}", "start_time_unix_nano": NOW, "end_time_unix_nano": NOW + 1}
    return OTLPSpan(
        trace_id=trace.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        parent_span_id=parent.to_bytes(8, "big") if parent else b"",
        **{**named, **fields},
    )


def llm(number: int, parent: int = 0, trace: int = 1, **fields: Any) -> OTLPSpan:
    return span(number, parent, trace, **{"attributes": CALL_ATTRIBUTES, **fields})


def request(spans: Iterable[OTLPSpan]) -> bytes:
    written = ExportTraceServiceRequest()
    written.resource_spans.add().scope_spans.add().spans.extend(spans)
    return written.SerializeToString()


def send(bridge: RunningBridge, *spans: OTLPSpan) -> None:
    assert bridge.post(request(spans)).status_code == 200


def check_well(bridge: RunningBridge, helicone: LocalHelicone) -> None:
    """See that an ordinary call still comes through."""
    send(bridge, llm(1, trace=2**100))
    deadline = time.monotonic() + 120
    while not (found := helicone.store.requests(f"{2**100:032x}")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert found[0].session_path == "/"


def paths(rows: Iterable[RequestRecord]) -> list[str]:
    return sorted(str(row.session_path) for row in rows)


Answers = Callable[[bytes, str, str], None]


@pytest.fixture
def answers(bridge: RunningBridge, helicone: LocalHelicone) -> Iterator[Answers]:
    """See that requests are answered with success or as unreadable, and all is well afterwards."""
    with httpx2.Client() as client:  # one connection for all of them

        def check(body: bytes, form: str, encoding: str) -> None:
            headers = {"Content-Type": f"application/{form}", "Content-Encoding": encoding}
            answer = client.post(f"{bridge.url}/v1/traces", content=body, headers=headers)
            assert answer.status_code in (200, 400)

        yield check
    check_well(bridge, helicone)


def test_random_bytes(answers: Answers) -> None:
    @fuzzed
    @given(
        body=st.binary(max_size=300),
        form=st.sampled_from(["x-protobuf", "json"]),
        encoding=st.sampled_from(["", "gzip", "deflate", "zstd"]),
    )
    def check(body: bytes, form: str, encoding: str) -> None:
        answers(body, form, encoding)

    check()


def test_protobuf_that_was_tampered_with(answers: Answers) -> None:
    whole = request([span(1), llm(2, 1), span(3, 1, events=[OTLPSpan.Event(name="e")])])

    @fuzzed
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        body = bytearray(whole)
        for place in data.draw(st.lists(st.integers(0, len(body) - 1), max_size=8)):
            body[place] = data.draw(st.integers(0, 255))
        start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(body))] * 2)))
        if data.draw(st.booleans()):
            body[start:end] = body[start:end] * 2
        elif data.draw(st.booleans()):
            del body[start:end]
        answers(bytes(body), "x-protobuf", "")

    check()


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the way to everything inside a JSON document."""
    yield path
    if isinstance(node, (dict, list)):
        for key, below in node.items() if isinstance(node, dict) else enumerate(node):
            yield from places(below, (*path, key))


def replaced(node: Any, path: tuple[Any, ...], new: object) -> Any:
    if not path:
        return new
    copy = dict(node) if isinstance(node, dict) else list(node)
    copy[path[0]] = replaced(node[path[0]], path[1:], new)
    return copy


WHOLE = {
    **one_call(),
    "parentSpanId": "00" * 8,
    "flags": 257,
    "traceState": "a=b",
    "droppedAttributesCount": 1,
    "status": {"code": 2, "message": "no"},
    "events": [{"timeUnixNano": "1", "name": "e", "attributes": [{"key": "k", "value": {}}]}],
    "links": [{"traceId": "01" * 16, "spanId": "02" * 8, "attributes": []}],
}
ATTRIBUTES: list[dict[str, Any]] = [
    {"key": "gen_ai.input.messages", "value": {"arrayValue": {"values": [{"intValue": 1}]}}},
    {"key": "gen_ai.usage.details", "value": {"kvlistValue": {"values": [{"key": "a"}]}}},
    {"key": "x", "value": {"bytesValue": "AP8="}},
    {"key": "y", "value": {"doubleValue": 1.5}},
]
DOCUMENT = json.loads(document(WHOLE, {**WHOLE, "spanId": "03" * 8, "attributes": ATTRIBUTES}))
PLACES = [path for path in places(DOCUMENT) if path]
strange = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**31, 2**32, 2**63, 2**64, -(2**63) - 1, 10**400, -1])
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["\ud800", "\x00", "zz", "-1", "1e3", "Infinity", "AP8", "SPAN_KIND_X"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["stringValue", "intValue", "arrayValue", "values", "traceId", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


def test_json_with_wrong_types_at_any_place(answers: Answers) -> None:
    @fuzzed
    @given(changes=st.lists(st.tuples(st.sampled_from(PLACES), strange), min_size=1, max_size=3))
    def check(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
        changed = DOCUMENT
        for path, new in changes:
            try:
                changed = replaced(changed, path, new)
            except (KeyError, IndexError, TypeError):
                pass  # an earlier change has taken that place away
        answers(json.dumps(changed).encode(), "json", "")

    check()


def any_value(content: bytes) -> AnyValue:
    """Give the value whose Protobuf these bytes are, or else the bytes as text."""
    # Old parsers let unknown fields pass that cannot be copied, so that they show only here.
    try:
        return AnyValue.FromString(AnyValue.FromString(content).SerializeToString())
    except DecodeError:
        return AnyValue(string_value=content.decode("utf-8", "replace"))


def test_genai_attributes_of_any_kind(bridge: RunningBridge, helicone: LocalHelicone) -> None:
    names = [*CALL, "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.tool.definitions"]
    names += ["helicone.session.id", "helicone.session.path", "helicone.session.name", "user.id"]
    names += ["llm.input_messages.0.message.role", "traceloop.span.kind", "gen_ai.system"]
    raw = st.binary(max_size=40)
    numbers = iter(range(1, 10**6))

    @fuzzed
    @given(pairs=st.lists(st.tuples(st.sampled_from(names), raw), max_size=8))
    def check(pairs: list[tuple[str, bytes]]) -> None:
        attributes = list(CALL_ATTRIBUTES)
        for name, content in pairs:
            attributes.append(KeyValue(key=name, value=any_value(content)))
        send(bridge, llm(next(numbers), attributes=attributes))

    check()
    check_well(bridge, helicone)
    metrics = bridge.metrics()
    assert metrics['spans_skipped_total{reason="unreadable"}'] == 0
    assert metrics["spans_waiting"] == 0


def peak_mib() -> float:
    """Give the most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, 0),
        (2**64 - 1, 2**64 - 1),
        (NOW, 0),
        (0, NOW),
        (NOW + 10**9, NOW),
        (0, 2**64 - 1),
        (1, 1_000_000),
        (16_725_225_600 * 10**9, 16_725_225_601 * 10**9),
    ],
    ids=["none", "the last", "no end", "no start", "backwards", "both ends", "1970", "2500"],
)
def test_clocks_that_are_years_off(
    bridge: RunningBridge, helicone: LocalHelicone, start: int, end: int
) -> None:
    send(bridge, span(1), llm(2, 1, start_time_unix_nano=start, end_time_unix_nano=end))
    (row,) = rows_of(helicone, 1)
    assert row.session_path == "/step 1"
    assert row.latency_ms == max(end // 10**6 - start // 10**6, 0)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "\x00",
        "a\x00b",
        "\u202e\ufeff",
        "/",
        "\r\nHelicone-Auth: x",
        "é" * 500_000,
        "\U0010ffff",
    ],
    ids=["none", "nul", "nul inside", "marks", "slash", "line break", "1 MB", "last"],
)
def test_strange_names(bridge: RunningBridge, helicone: LocalHelicone, name: str) -> None:
    send(bridge, span(1, name=name), llm(2, 1, name=name))
    (row,) = rows_of(helicone, 1)
    assert str(row.session_path).count("/") == 1
    assert len(str(row.session_path)) < 2000


def test_lone_surrogates_in_json(answers: Answers) -> None:
    # JavaScript that cuts a text in two writes them.
    body = document(one_call()).replace(b"chat gpt-4o-mini", b"chat \\ud800")
    answers(body, "json", "")


def test_huge_and_very_many_attributes(bridge: RunningBridge, helicone: LocalHelicone) -> None:
    many = [KeyValue(key=f"k{n}", value=value("v")) for n in range(10_000)]
    text = [KeyValue(key="gen_ai.input.messages", value=value("x" * 5_000_000))]
    key = [KeyValue(key="gen_ai." + "k" * 1_000_000, value=value(1))]
    send(
        bridge,
        span(1, attributes=many),
        llm(2, 1, attributes=CALL_ATTRIBUTES + many),
        llm(3, 1, attributes=CALL_ATTRIBUTES + text),
        llm(4, 1, attributes=CALL_ATTRIBUTES + key),
    )
    assert paths(rows_of(helicone, 3)) == ["/step 1"] * 3


def test_a_span_longer_than_what_is_read_at_once(
    bridge: RunningBridge, helicone: LocalHelicone
) -> None:
    text = [KeyValue(key="gen_ai.input.messages", value=value("x" * 20 * MIB))]
    send(bridge, llm(2, 1), llm(3, 1, attributes=CALL_ATTRIBUTES + text), llm(4, 1))
    send(bridge, span(1))
    assert paths(rows_of(helicone, 3)) == ["/step 1"] * 3


def test_a_thousand_resources_in_one_request(
    bridge: RunningBridge, helicone: LocalHelicone
) -> None:
    written = ExportTraceServiceRequest()
    for number in range(1, 1001):
        resource_spans = written.resource_spans.add()
        resource_spans.resource.attributes.add(key="service.name").value.string_value = f"s{number}"
        kept = llm(number, trace=number) if number % 100 == 0 else span(number, trace=number)
        resource_spans.scope_spans.add().spans.append(kept)
    assert bridge.post(written.SerializeToString()).status_code == 200
    assert len(rows_of(helicone, 10)) == 10


@pytest.mark.parametrize("depth", [90, 150, 100_000])
def test_values_inside_of_values(answers: Answers, depth: int) -> None:
    inner = '{"arrayValue":{"values":[' * depth + "]}}" * depth
    body = document(one_call()).replace(b'{"stringValue": "chat"}', inner.encode())
    answers(body, "json", "")


def test_cycles_of_parents(make_bridge: MakeBridge, helicone: LocalHelicone) -> None:
    with make_bridge(wait=0.3) as bridge:
        send(bridge, llm(1, 1, trace=1))  # its own parent
        send(bridge, span(1, 2, trace=2), llm(2, 1, trace=2))
        send(bridge, span(1, 3, trace=3), span(2, 1, trace=3), span(3, 2, trace=3), llm(4, 3, 3))
        rows = rows_of(helicone, 3)
        check_well(bridge, helicone)
    assert paths(rows) == [
        *("/[missing]", "/[missing]/step 1", "/[missing]/step 1/step 2/step 3"),
    ]


def test_the_first_of_two_spans_with_one_id_is_the_one(
    bridge: RunningBridge, helicone: LocalHelicone
) -> None:
    send(bridge, llm(2, 1, name="first"), llm(2, 1, name="second"), llm(2, 7, name="third"))
    send(bridge, llm(2, name="fourth"), span(1, name="root"), span(1, name="other root"))
    assert paths(rows_of(helicone, 1)) == ["/root"]
    assert len(rows_of(helicone, 2, seconds=0.5)) == 1
    assert bridge.metrics()['spans_skipped_total{reason="repeated"}'] == 4


def test_spans_that_never_get_a_root(make_bridge: MakeBridge, helicone: LocalHelicone) -> None:
    with make_bridge(wait=0.3) as bridge:
        send(bridge, *(llm(n, 2**40 + n, trace=n) for n in range(1, 301)))
        assert paths(rows_of(helicone, 300)) == ["/[missing]"] * 300
        assert bridge.metrics()["spans_waiting"] == 0


def chain(length: int) -> list[OTLPSpan]:
    """Make spans one below the other, the deepest last, each hundredth a call."""
    return [(span if n % 100 else llm)(n, n - 1) for n in range(1, length + 1)]


@pytest.mark.parametrize("order", ["root first", "root last"])
def test_a_very_deep_chain(make_bridge: MakeBridge, helicone: LocalHelicone, order: str) -> None:
    spans = chain(20_000)
    with make_bridge(wait=2) as bridge:
        send(bridge, *(spans if order == "root first" else reversed(spans)))
        rows = rows_of(helicone, 200)
    assert len(rows) == 200
    assert max(len(path) for path in paths(rows)) < 2000


def part_of_a_big_trace(n: int, size: int) -> OTLPSpan:
    """Make a span of a trace of three levels with 20,000 calls at most."""
    if n <= 101:
        return span(n, min(n - 1, 1))
    return (span if n % max(size // 20_000, 20) else llm)(n, 2 + n % 100)


@pytest.mark.parametrize("order", ["root first", "root last"])
def test_very_many_spans_in_one_trace(
    make_bridge: MakeBridge, helicone: LocalHelicone, order: str
) -> None:
    numbers = range(1, SPANS + 1) if order == "root first" else range(SPANS, 0, -1)
    calls = sum(n % max(SPANS // 20_000, 20) == 0 for n in range(102, SPANS + 1))
    before, started = peak_mib(), time.monotonic()
    with make_bridge() as bridge:
        for at in range(0, SPANS, 10_000):
            send(bridge, *(part_of_a_big_trace(n, SPANS) for n in numbers[at : at + 10_000]))
        received = time.monotonic() - started
        while (metrics := bridge.metrics())["logs_sent_total"] < calls:
            assert time.monotonic() - started < 60 + SPANS / 500
            time.sleep(0.1)
        took = time.monotonic() - started
    sys.stdout.write(
        f"{SPANS} spans, {calls} calls, {order}: received in {received:.1f} s, all sent after"
        f" {took:.1f} s, peak of the process {peak_mib():.0f} MiB, {before:.0f} MiB before\n"
    )
    assert metrics["spans_received_total"] == SPANS
    # The local Helicone stores them at its own pace, the slower the more often it is asked.
    while len(rows := rows_of(helicone, calls, seconds=0)) < calls:
        assert time.monotonic() - started < 120 + SPANS / 500
        time.sleep(SPANS / 100_000)
    assert {str(row.session_path).count("/") for row in rows} == {2}
