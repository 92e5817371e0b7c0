"""The configurations of examples/collector/, run by the real Collector.

The spans come from OpenTelemetry's own exporter for Python. Unless a test says otherwise there are
1,000 in 100 traces, and each trace is spread over ten requests. A small server stands for the
bridge.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import set_span_in_context

from tests.integration.collectors import CONFIGURATIONS, Collector, KafkaBroker, free_port
from tests.integration.conftest import require
from tests.integration.otlp_sink import GRPCSink, OTLPSink

TRACES, SPANS_OF_EACH = 100, 10
ALL = TRACES * SPANS_OF_EACH
# The Collector's own wait would make the tests long.
QUICKLY = {"OTEL_HELICONE_RETRY_INITIAL": "100ms", "OTEL_HELICONE_RETRY_MAX": "500ms"}


def make_spans(traces: int = TRACES, of_each: int = SPANS_OF_EACH) -> list[list[ReadableSpan]]:
    """Give one list for each request, with one span of every trace."""
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("test")
    roots = [tracer.start_span(f"trace {number}") for number in range(traces)]
    for index in range(1, of_each):
        for root in roots:
            tracer.start_span(f"span {index}", context=set_span_in_context(root)).end()
    for root in roots:
        root.end()
    spans = memory.get_finished_spans()
    provider.shutdown()
    return [list(spans[start : start + traces]) for start in range(0, len(spans), traces)]


def lengthen(requests: Sequence[Sequence[ReadableSpan]], size: int) -> None:
    """Give each span an attribute as long as a conversation with an LLM may get."""
    for spans in requests:
        for span in spans:
            span._attributes = {"gen_ai.input.messages": "x" * size}


def identities(requests: Sequence[Sequence[ReadableSpan]]) -> Counter[tuple[str, str]]:
    """Give the ids of the spans, each once."""
    return Counter(
        (f"{context.trace_id:032x}", f"{context.span_id:016x}")
        for spans in requests
        for span in spans
        if (context := span.get_span_context()) is not None
    )


def send(requests: Sequence[Sequence[ReadableSpan]], *urls: str, timeout: float = 30) -> None:
    """Export the spans as an application does, to the Collectors in turn."""
    http = require("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    sdk = require("opentelemetry.sdk.trace.export")
    exporters = [http.OTLPSpanExporter(endpoint=url, timeout=timeout) for url in urls]
    try:
        for index, spans in enumerate(requests):
            result = exporters[index % len(exporters)].export(spans)
            assert result is sdk.SpanExportResult.SUCCESS
    finally:
        for exporter in exporters:
            exporter.shutdown()


def in_file(path: Path) -> Counter[tuple[str, str]]:
    """Give how often each span is in what the file exporter wrote."""
    return Counter(
        (span["traceId"], span["spanId"])
        for line in path.read_text("utf-8").splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    )


def wait_until(holds: Callable[[], bool], timeout: float = 120) -> None:
    end = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < end, f"not so in {timeout} s"
        time.sleep(0.05)


def traces_of(sink: OTLPSink | GRPCSink) -> set[str]:
    return {span.trace_id for span in sink.spans()}


@pytest.fixture(autouse=True)
def _exporter() -> None:
    require("opentelemetry.exporter.otlp.proto.http.trace_exporter")


@pytest.fixture
def sink() -> Iterator[OTLPSink]:
    with OTLPSink() as server:
        yield server


def test_every_configuration_is_tested_and_described() -> None:
    files = {path.name for path in CONFIGURATIONS.glob("*.yaml")}
    tests, readme = (
        Path(__file__).read_text("utf-8"),
        (CONFIGURATIONS / "README.md").read_text("utf-8"),
    )
    assert files
    assert {name for name in files if f'"{name}"' not in tests} == set()
    assert {name for name in files if f"`{name}`" not in readme} == set()


class TestBridge:
    def test_each_span_comes_once(self, sink: OTLPSink, tmp_path: Path) -> None:
        requests = make_spans()
        with Collector("bridge.yaml", tmp_path, {"OTEL_HELICONE_BRIDGE": sink.url}) as collector:
            send(requests, collector.traces_url)
            sink.wait_for_spans(ALL)
            wait_until(lambda: collector.metrics().get("otelcol_exporter_sent_spans", 0) == 2 * ALL)
            metrics = collector.metrics()
        assert sink.counts() == identities(requests)
        assert in_file(tmp_path / "traces.jsonl") == identities(requests)
        assert metrics["otelcol_receiver_accepted_spans"] == ALL
        for problem in (
            "otelcol_exporter_send_failed_spans",
            "otelcol_exporter_enqueue_failed_spans",
            "otelcol_receiver_refused_spans",
        ):
            assert metrics.get(problem, 0) == 0
        headers = sink.requests[0].headers
        assert headers["content-type"] == "application/x-protobuf"
        assert headers["content-encoding"] == "gzip"

    def test_a_bridge_that_is_busy_loses_nothing_and_holds_nothing_back(
        self, sink: OTLPSink, tmp_path: Path
    ) -> None:
        requests = make_spans()
        sink.refusing, sink.retry_after = 503, "1"
        environment = {**QUICKLY, "OTEL_HELICONE_BRIDGE": sink.url}
        with Collector("bridge.yaml", tmp_path, environment) as collector:
            send(requests, collector.traces_url)
            other = tmp_path / "traces.jsonl"
            wait_until(lambda: other.exists() and in_file(other) == identities(requests))
            sink.wait_for_refused(2)
            sink.refusing = None
            sink.wait_for_spans(ALL)
        assert sink.counts() == identities(requests)

    def test_it_waits_as_long_as_retry_after_says(self, sink: OTLPSink, tmp_path: Path) -> None:
        sink.refusing, sink.retry_after = 429, "2"
        environment = {**QUICKLY, "OTEL_HELICONE_BRIDGE": sink.url}
        with Collector("bridge.yaml", tmp_path, environment) as collector:
            send(make_spans(1, 1), collector.traces_url)
            sink.wait_for_refused(2)
            sink.refusing = None
            sink.wait_for_spans(1)
        first, second = sink.refused_at
        assert second - first > 1.9

    @pytest.mark.parametrize("status", [400, 408, 413, 429, 500, 502, 503, 504])
    def test_which_answers_it_tries_again(
        self, status: int, sink: OTLPSink, tmp_path: Path
    ) -> None:
        sink.refusing = status
        environment = {**QUICKLY, "OTEL_HELICONE_BRIDGE": sink.url}
        with Collector("bridge.yaml", tmp_path, environment) as collector:
            send(make_spans(1, 1), collector.traces_url)
            sink.wait_for_refused(1)
            sink.refusing = None
            if status in (429, 502, 503, 504):
                sink.wait_for_spans(1)
            else:
                failed = "otelcol_exporter_send_failed_spans"
                wait_until(lambda: collector.metrics().get(failed, 0) == 1)
                assert sink.spans() == []

    def test_requests_stay_below_32_mib(self, sink: OTLPSink, tmp_path: Path) -> None:
        requests = make_spans(4, 15)
        lengthen(requests, 1_000_000)
        environment = {**QUICKLY, "OTEL_HELICONE_BRIDGE": sink.url}
        with Collector("bridge.yaml", tmp_path, environment) as collector:
            send(requests, collector.traces_url)
            sink.wait_for_spans(60)
        assert sink.counts() == identities(requests)
        assert max(request.size for request in sink.requests) < 32 * 1024 * 1024


class TestPersistentQueue:
    def test_a_killed_collector_loses_nothing(self, tmp_path: Path) -> None:
        requests = make_spans()
        port = free_port()
        environment = {**QUICKLY, "OTEL_HELICONE_BRIDGE": f"http://127.0.0.1:{port}"}
        with Collector("persistent-queue.yaml", tmp_path, environment) as collector:
            send(requests[:5], collector.traces_url)
            collector.kill()
            collector.start()
            with OTLPSink(port) as sink:
                sink.refusing = 503
                send(requests[5:], collector.traces_url)
                sink.wait_for_refused(1)
                collector.kill()
                collector.start()
                sink.refusing = None
                sink.wait_for_spans(ALL)
                # At least once, as the configuration says.
                assert set(sink.counts()) == set(identities(requests))

    def test_a_stopped_collector_loses_nothing(self, sink: OTLPSink, tmp_path: Path) -> None:
        requests = make_spans()
        sink.refusing, sink.retry_after = 503, "1"
        environment = {**QUICKLY, "OTEL_HELICONE_BRIDGE": sink.url}
        with Collector("persistent-queue.yaml", tmp_path, environment) as collector:
            send(requests, collector.traces_url)
            sink.wait_for_refused(1)
            collector.stop()
            sink.refusing = None
            collector.start()
            sink.wait_for_spans(ALL)
        assert set(sink.counts()) == set(identities(requests))

    def test_a_full_queue_lets_the_application_wait(self, sink: OTLPSink, tmp_path: Path) -> None:
        requests = make_spans()
        # 10 MB in all.
        lengthen(requests, 10_000)
        sink.refusing = 503
        environment = {
            **QUICKLY,
            "OTEL_HELICONE_BRIDGE": sink.url,
            "OTEL_HELICONE_QUEUE_BYTES": "4000000",
        }
        with Collector("persistent-queue.yaml", tmp_path, environment) as collector:
            sender = threading.Thread(target=send, args=(requests, collector.traces_url))
            sender.start()
            sink.wait_for_refused(5)
            assert sender.is_alive()
            assert collector.metrics()["otelcol_receiver_accepted_spans"] < ALL
            sink.refusing = None
            sink.wait_for_spans(ALL)
            sender.join()
            assert collector.metrics().get("otelcol_receiver_refused_spans", 0) == 0
        assert sink.counts() == identities(requests)


def test_group_by_trace_sends_a_trace_at_once(sink: OTLPSink, tmp_path: Path) -> None:
    requests = make_spans()
    environment = {
        **QUICKLY,
        "OTEL_HELICONE_BRIDGE": sink.url,
        "OTEL_HELICONE_TRACE_WAIT": "2s",
    }
    sink.refusing, sink.retry_after = 503, "1"
    with Collector("group-by-trace.yaml", tmp_path, environment) as collector:
        send(requests[:5], collector.traces_url)
        # For longer than the queue waits for what it joins.
        time.sleep(0.5)
        send(requests[5:], collector.traces_url)
        sink.wait_for_refused(1)
        sink.refusing = None
        sink.wait_for_spans(ALL)
    assert sink.counts() == identities(requests)
    came_in: dict[str, int] = defaultdict(int)
    for request in sink.requests:
        for trace in {span.trace_id for span in request.spans}:
            came_in[trace] += 1
    assert set(came_in.values()) == {1}


def test_load_balancing_keeps_a_trace_at_one_bridge(tmp_path: Path) -> None:
    requests = make_spans()
    with GRPCSink() as first, GRPCSink() as second:
        first.is_refusing = True
        addresses = {
            f"OTEL_HELICONE_BRIDGE_{number}": sink.address
            for number, sink in enumerate((first, second), 1)
        }
        with (
            # Two of them, which have to choose alike.
            Collector("load-balancing.yaml", tmp_path, {**QUICKLY, **addresses}) as front,
            Collector("load-balancing.yaml", tmp_path, {**QUICKLY, **addresses}) as front_too,
        ):
            send(requests, front.traces_url, front_too.traces_url)
            wait_until(lambda: first.refused > 0)
            first.is_refusing = False
            wait_until(lambda: len(first.spans()) + len(second.spans()) >= ALL)
    assert first.counts() + second.counts() == identities(requests)
    assert not traces_of(first) & traces_of(second)
    # Not all at one, either.
    assert min(len(traces_of(first)), len(traces_of(second))) > TRACES / 5


class TestKafka:
    @pytest.fixture
    def broker(self, tmp_path: Path) -> Iterator[KafkaBroker]:
        with KafkaBroker(tmp_path) as broker:
            yield broker

    def test_nothing_is_lost_while_the_bridge_is_away(
        self, broker: KafkaBroker, sink: OTLPSink, tmp_path: Path
    ) -> None:
        requests = make_spans()
        sink.refusing, sink.retry_after = 503, "1"
        environment = {**QUICKLY, "OTEL_HELICONE_KAFKA": broker.address}
        behind = Collector(
            "kafka-back.yaml", tmp_path, {**environment, "OTEL_HELICONE_BRIDGE": sink.url}
        )
        with Collector("kafka-front.yaml", tmp_path, environment) as front:
            # Nobody reads yet.
            send(requests[:5], front.traces_url)
            with behind:
                # Each of the four partitions twice, and one once more: that takes two seconds, and
                # what counts as read is written down every second.
                sink.wait_for_refused(9)
                behind.kill()
                send(requests[5:], front.traces_url)
                sink.refusing = None
                behind.start()
                sink.wait_for_spans(ALL)
        # At least once, as the configuration says.
        assert set(sink.counts()) == set(identities(requests))

    def test_two_readers_share_the_traces(self, broker: KafkaBroker, tmp_path: Path) -> None:
        requests = make_spans()
        environment = {**QUICKLY, "OTEL_HELICONE_KAFKA": broker.address}
        with OTLPSink() as first, OTLPSink() as second:
            to_first, to_second = (
                {**environment, "OTEL_HELICONE_BRIDGE": sink.url} for sink in (first, second)
            )
            with (
                Collector("kafka-front.yaml", tmp_path, environment) as front,
                Collector("kafka-back.yaml", tmp_path, to_first) as one,
                Collector("kafka-back.yaml", tmp_path, to_second) as other,
            ):
                # Two of the four partitions each.
                wait_until(lambda: partitions(one) == partitions(other) == 2)
                send(requests, front.traces_url)
                wait_until(lambda: len(first.spans()) + len(second.spans()) >= ALL)
        assert first.counts() + second.counts() == identities(requests)
        assert not traces_of(first) & traces_of(second)
        assert traces_of(first)
        assert traces_of(second)

    def test_a_message_that_is_refused_for_good_stops_nothing(
        self, broker: KafkaBroker, sink: OTLPSink, tmp_path: Path
    ) -> None:
        sink.refusing = 400
        environment = {
            **QUICKLY,
            "OTEL_HELICONE_KAFKA": broker.address,
            "OTEL_HELICONE_BRIDGE": sink.url,
        }
        with (
            Collector("kafka-front.yaml", tmp_path, environment) as front,
            Collector("kafka-back.yaml", tmp_path, environment),
        ):
            [[refused], [taken]] = make_spans(1, 2)
            send([[refused]], front.traces_url)
            sink.wait_for_refused(1)
            sink.refusing = None
            # The same trace, and so the same partition.
            send([[taken]], front.traces_url)
            sink.wait_for_spans(1)
        assert sink.counts() == identities([[taken]])


def partitions(collector: Collector) -> float:
    """Give how many partitions the Collector reads."""
    metrics = collector.metrics()
    started = metrics.get("otelcol_kafka_receiver_partition_start", 0)
    return started - metrics.get("otelcol_kafka_receiver_partition_close", 0)
