"""OTLP/gRPC as a server: which status, details and message each request is answered with."""

from __future__ import annotations

import os
import resource
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from otel_helicone.bridge import grpc_reading, ingestion
from otel_helicone.bridge.bridge import PortTaken
from otel_helicone.local.server import LocalHelicone
from otel_helicone.settings.bridge import OFF, make_bridge_settings
from otel_helicone.settings.reading import SettingError
from tests.bridge.conftest import (
    EXPORT,
    KEY,
    MakeBridge,
    RunningBridge,
    Service,
    call,
    exporting,
    make_service,
    otlp,
    rows_of,
)
from tests.bridge.test_bridge import trip
from tests.bridge.test_http_receiver import LOCAL, large_call

MIB = 1024 * 1024


@pytest.fixture
def bridge(make_bridge: MakeBridge) -> Iterator[RunningBridge]:
    with make_bridge(grpc_port=0) as bridge:
        yield bridge


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def refusal_of(bridge: RunningBridge, body: bytes, **options: object) -> grpc.RpcError | None:
    """Send a message; give the error that it is answered with, None where it is taken."""
    try:
        bridge.export(body, **options)
    except grpc.RpcError as error:
        return error
    return None


def failure_of(bridge: RunningBridge, body: bytes, **options: object) -> grpc.RpcError:
    error = refusal_of(bridge, body, **options)
    assert error is not None
    return error


def retry_delay(error: grpc.RpcError) -> int | None:
    """Give how long the sender is asked to wait, in seconds; None where it is not to come again."""
    for one in error.trailing_metadata() or ():
        if one.key == "grpc-status-details-bin":
            assert isinstance(one.value, bytes)
            status = Status.FromString(one.value)
            assert (status.code, status.message) == (error.code().value[0], error.details())
            info = RetryInfo()
            assert status.details[0].Unpack(info)
            return int(info.retry_delay.seconds)
    return None


def test_grpc_and_http_come_to_the_same(
    bridge: RunningBridge, helicone: LocalHelicone, tmp_path: Path, service: Service
) -> None:
    trip(service)
    body = otlp(*service.take())
    assert bridge.export(body) == b""
    first = [asdict(row) for row in rows_of(helicone, 4)]
    assert len(first) == 4
    with LocalHelicone(tmp_path / "second.db", latency=0, api_keys=[KEY]) as second:
        with RunningBridge(second.url, tmp_path / "second spool.db") as other:
            other.post(body)
            assert [asdict(row) for row in rows_of(second, 4)] == first
    metrics = bridge.metrics()
    assert metrics['requests_total{status="OK"}'] == 1
    assert metrics["spans_received_total"] == 7


def test_a_message_may_be_empty(bridge: RunningBridge) -> None:
    assert bridge.export(b"") == b""


def test_spans_without_valid_ids_are_counted_and_the_others_are_taken(
    bridge: RunningBridge,
) -> None:
    request = ExportTraceServiceRequest()
    into = request.resource_spans.add().scope_spans.add().spans
    for trace_id in [bytes(range(16)), b"", bytes(16), b"ab"]:
        into.add(trace_id=trace_id, span_id=b"12345678", name="step")
    answer = bridge.export(request.SerializeToString())
    partial = ExportTraceServiceResponse.FromString(answer).partial_success
    assert partial.rejected_spans == 3
    assert partial.error_message == "spans without a valid trace id and span id can't be used"
    assert bridge.metrics()["spans_received_total"] == 1


@pytest.mark.parametrize("body", [b"\xff\xff", b"{}", b"\x1f\x8b\x08\x00", b"\x0a\x05abc"])
def test_what_cant_be_read_is_not_to_be_sent_again(bridge: RunningBridge, body: bytes) -> None:
    error = failure_of(bridge, body)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert retry_delay(error) is None
    metrics = bridge.metrics()
    assert metrics['requests_refused_total{reason="unreadable"}'] == 1
    assert metrics['requests_total{status="INVALID_ARGUMENT"}'] == 1


def test_gzip_is_understood_and_other_compression_is_refused(
    bridge: RunningBridge, helicone: LocalHelicone, service: Service
) -> None:
    call(service.tracer)
    body = otlp(*service.take())
    error = failure_of(bridge, body, compression=grpc.Compression.Deflate)
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert bridge.export(body, compression=grpc.Compression.Gzip) == b""
    assert len(rows_of(helicone, 1)) == 1


def test_a_message_that_gets_too_large_is_never_decompressed(make_bridge: MakeBridge) -> None:
    with make_bridge(grpc_port=0, max_request_mib=1) as bridge:
        error = failure_of(bridge, bytes(2 * MIB), compression=grpc.Compression.Gzip)
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert error.details() == "a request may have 1048576 bytes, decompressed too"
        # What is too large on the wire gRPC refuses by itself, as soon as its length has come.
        error = failure_of(bridge, bytes(2 * MIB))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert retry_delay(error) is None
        assert bridge.metrics()['requests_refused_total{reason="too-large"}'] == 1
        assert bridge.metrics()['requests_refused_total{reason="aborted"}'] == 1


def test_a_message_with_too_much_in_it_is_never_built(bridge: RunningBridge) -> None:
    empty_resources = b"\x0a\x00" * 2_100_000
    error = failure_of(bridge, empty_resources, compression=grpc.Compression.Gzip)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "a request may have 2000000 fields: send smaller batches"


def test_other_methods_are_not_there(bridge: RunningBridge) -> None:
    with grpc.insecure_channel(bridge.grpc_address) as channel:
        for method in (
            "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            "/",
            EXPORT[:-1],
        ):
            call_of: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
            assert call_of.future(b"", timeout=30).code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_token_is_asked_for(make_bridge: MakeBridge) -> None:
    with make_bridge(grpc_port=0, token="a-secret") as bridge:
        for given_token in (None, "Bearer wrong", "Basic a-secret", "a-secret"):
            metadata = [("authorization", given_token)] if given_token else []
            error = failure_of(bridge, b"", metadata=metadata)
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED
            assert error.details() == "a bearer token is needed"
        for right in ("Bearer a-secret", "bearer a-secret"):
            assert bridge.export(b"", metadata=[("authorization", right)]) == b""


def test_a_full_spool_sends_the_collector_away_until_there_is_room(
    make_bridge: MakeBridge, helicone: LocalHelicone
) -> None:
    with make_bridge(grpc_port=0, max_spool_mib=0.5, wait=1) as bridge:
        taken = 0
        while (error := refusal_of(bridge, large_call())) is None:
            taken += 1
        assert taken >= 2
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert (error.details(), retry_delay(error)) == ("the spool is full", 5)
        assert bridge.metrics()['requests_refused_total{reason="full"}'] == 1
        assert len(rows_of(helicone, taken)) == taken


def test_more_requests_than_can_be_stored_at_once_are_sent_away_for_a_while(
    bridge: RunningBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingestion, "_MAX_STORING", 0)
    error = failure_of(bridge, b"")
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert (error.details(), retry_delay(error)) == ("too many requests at once", 5)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Write a frame of HTTP/2."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


DATA, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE = 0, 1, 3, 4, 8


def frames(connection: socket.socket) -> Iterator[tuple[int, int, int, bytes]]:
    """Read frames of HTTP/2 until the other side hangs up: kind, flags, stream, payload."""
    reader = connection.makefile("rb")
    while len(head := reader.read(9)) == 9:
        length, stream = int.from_bytes(head[:3], "big"), int.from_bytes(head[5:], "big")
        yield head[3], head[4], stream, reader.read(length)


@contextmanager
def half_a_message(
    bridge: RunningBridge, length: int = 1000, sent: int = 10
) -> Iterator[socket.socket]:
    """Call ``Export``, and send no more than the beginning of the message."""
    host, _, port = bridge.grpc_address.rpartition(":")
    pairs = [(":method", "POST"), (":scheme", "http"), (":path", EXPORT), (":authority", "bridge")]
    pairs += [("content-type", "application/grpc"), ("te", "trailers")]
    # HPACK: literal header fields, with nothing indexed or compressed.
    headers = b"".join(
        b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in pairs
    )
    message = struct.pack(">BI", 0, length) + b" " * sent
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + frame(SETTINGS, 0, 0)
            + frame(HEADERS, 4, 1, headers)
            + frame(DATA, 0, 1, message)
        )
        yield connection


def answer_to(connection: socket.socket) -> bytes:
    """Wait for the headers that end the call."""
    for kind, flags, _, payload in frames(connection):
        if kind == HEADERS and flags & 1:
            return payload
    return b""


def is_told(connections: list[socket.socket], text: bytes) -> bool:
    """Return whether any of the callers is told something, once that has come or nothing more."""
    heard = dict.fromkeys(connections, b"")
    while not any(text in said for said in heard.values()):
        readable, _, _ = select.select(connections, [], [], 60)
        for connection in readable:
            received = connection.recv(65536)
            heard[connection] += received
            if not received:
                connections = [one for one in connections if one is not connection]
        if not readable:
            return False
    return True


def send_most_of_it(connection: socket.socket, length: int, deadline: float) -> int:
    """Send more of the message, as far as the bridge lets; give how much."""
    # The windows of HTTP/2, less what was sent with the call.
    windows = {0: 65535 - 15, 1: 65535 - 15}
    initial = 65535
    sent = 0
    read = frames(connection)
    try:
        while sent < length:
            size = min(*windows.values(), 16384, length - sent)
            if size > 0:
                connection.sendall(frame(DATA, 0, 1, bytes(size)))
                windows = {stream: window - size for stream, window in windows.items()}
                sent += size
                continue
            connection.settimeout(max(deadline - time.monotonic(), 0.01))
            kind, flags, stream, payload = next(read)
            if kind == WINDOW_UPDATE:
                windows[stream] += int.from_bytes(payload, "big")
            elif kind == SETTINGS and not flags & 1:
                connection.sendall(frame(SETTINGS, 1, 0))
                for at in range(0, len(payload), 6):
                    name, value = struct.unpack_from(">HI", payload, at)
                    if name == 4:
                        windows[1] += value - initial
                        initial = value
            else:
                assert kind != RST_STREAM
    except (OSError, StopIteration):
        pass
    return sent


def test_a_message_that_takes_too_long(
    bridge: RunningBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_reading, "_SECONDS_TO_READ", 0.2)
    with half_a_message(bridge) as connection:
        assert b"the request took too long to arrive" in answer_to(connection)
    assert bridge.metrics()['requests_refused_total{reason="slow"}'] == 1


def test_half_sent_messages_give_way_to_whole_ones(
    bridge: RunningBridge, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_reading, "_SECONDS_UNDISTURBED", 0.05)
    with ExitStack() as stack:
        slow = [stack.enter_context(half_a_message(bridge)) for _ in range(200)]
        for _ in range(10):
            # As senders do; on a slow machine even an empty message may take too long.
            while (error := refusal_of(bridge, b"")) is not None:
                assert error.code() is grpc.StatusCode.UNAVAILABLE
        # One of those that came first was asked to come again.
        assert is_told(slow, b"the request took too long to arrive")
        assert bridge.metrics()['requests_refused_total{reason="slow"}'] >= 1
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def memory() -> int:
    """Give how much memory the process has, in bytes."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_half_sent_large_messages_hold_no_more_memory_than_their_places(
    make_bridge: MakeBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_reading, "_SECONDS_UNDISTURBED", 60)
    senders, length = 120, 4 * MIB
    with make_bridge(grpc_port=0, max_request_mib=4) as bridge, ExitStack() as stack:
        before = memory()
        slow = [stack.enter_context(half_a_message(bridge, length)) for _ in range(senders)]
        deadline = time.monotonic() + 5
        with ThreadPoolExecutor(senders) as threads:
            sending = [
                threads.submit(send_most_of_it, one, length - 1000, deadline) for one in slow
            ]
            sent = sorted(one.result() for one in sending)
        places = grpc_reading._MAX_READING
        # All but those that have a place were stopped early.
        assert 0 < sum(size > 128 * 1024 for size in sent) <= places
        assert memory() - before < (places + 8) * length + senders * 256 * 1024


def test_more_calls_than_can_wait_are_sent_away(
    bridge: RunningBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_reading, "_MAX_WAITING", 1)
    with ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(half_a_message(bridge))
        until(lambda: bridge.metrics()['requests_refused_total{reason="busy"}'] > 0)
        assert bridge.export(b"") == b""


def test_a_sender_that_hangs_up_frees_nothing_that_is_in_memory_still(
    bridge: RunningBridge, service: Service
) -> None:
    call(service.tracer)
    body = otlp(*service.take())
    ingestion, bodies = bridge.bridge._ingestion, bridge.bridge._bodies
    with grpc.insecure_channel(bridge.grpc_address) as channel:
        with bridge.bridge._spool._database.mutex:  # so that nothing can be stored
            answer = exporting(channel).future(body, timeout=30)
            until(lambda: ingestion._storing == 1)
            answer.cancel()
            with half_a_message(bridge) as other:  # goes through the loop after the cancellation
                other.sendall(frame(DATA, 1, 1, b" " * 990))
                until(lambda: ingestion._storing == 2)
            assert bodies.size == len(body) + 1000
        until(lambda: ingestion._storing == 0)
    assert bodies.size == 0
    assert bridge.metrics()["spans_received_total"] == 1


def test_what_is_sent_is_answered_before_a_stop(make_bridge: MakeBridge) -> None:
    with make_bridge(grpc_port=0) as bridge:
        channel = grpc.insecure_channel(bridge.grpc_address)
        service = make_service()
        with service.tracer.start_as_current_span("root"):
            call(service.tracer, **{"gen_ai.input.messages": os.urandom(500_000).hex()})
        answers = [exporting(channel).future(otlp(*service.take()), timeout=30) for _ in range(8)]
        answers[0].result()
    codes = {answer.code() for answer in answers}
    assert codes <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    channel.close()


def test_a_port_that_is_taken(make_bridge: MakeBridge) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"can't listen on 127.0.0.1:{port}: Address already"):
            with make_bridge(grpc_port=port):
                pass


def test_a_collector_that_has_the_default_port_is_left_alone(
    make_bridge: MakeBridge, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        bridge = make_bridge(grpc_port=port)
        bridge.is_grpc_port_chosen = False
        with bridge:
            assert bridge.grpc_address == ""
            assert bridge.post(b"").status_code == 200
    assert [record.getMessage() for record in caplog.records] == [
        (
            "OTLP over gRPC is not taken: can't listen on 127.0.0.1:"
            f"{port}: Address already in use. --grpc-port names another port, or 'off' none."
        )
    ]


def test_grpc_is_where_sdks_send_to_by_default() -> None:
    default = make_bridge_settings(environ=LOCAL)
    assert (default.grpc_port, default.is_grpc_port_chosen) == (4317, False)
    off = make_bridge_settings(environ={**LOCAL, "HELICONE_BRIDGE_GRPC_PORT": "Off"})
    assert (off.grpc_port, off.is_grpc_port_chosen) == (OFF, True)
    assert make_bridge_settings(grpc_port=4317, environ=LOCAL).is_grpc_port_chosen
    for wrong in ("-1", "65536", "none", "80.5"):
        with pytest.raises(SettingError, match=r"^HELICONE_BRIDGE_GRPC_PORT="):
            make_bridge_settings(environ={**LOCAL, "HELICONE_BRIDGE_GRPC_PORT": wrong})


def test_random_messages(bridge: RunningBridge) -> None:
    service = make_service()
    trip(service)
    whole = otlp(*service.take())
    with grpc.insecure_channel(bridge.grpc_address) as channel:
        export = exporting(channel)

        @settings(
            max_examples=200,
            deadline=None,
            suppress_health_check=[HealthCheck.function_scoped_fixture],
        )
        @given(
            body=st.binary(max_size=200)
            | st.builds(
                lambda at, byte: whole[:at] + byte + whole[at + 1 :],
                st.integers(0, len(whole) - 1),
                st.binary(max_size=3),
            ),
            compression=st.sampled_from([grpc.Compression.NoCompression, grpc.Compression.Gzip]),
        )
        def check(body: bytes, compression: grpc.Compression) -> None:
            answer = export.future(body, timeout=30, compression=compression)
            assert answer.code() in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT)

        check()
        export(whole, timeout=30)
