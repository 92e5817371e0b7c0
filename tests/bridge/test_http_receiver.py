"""OTLP/HTTP as a server: which status, headers and body each request is answered with."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx2
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from otel_helicone.bridge import ingestion, reading
from otel_helicone.local.server import LocalHelicone
from otel_helicone.settings.bridge import make_bridge_settings
from otel_helicone.settings.reading import SettingError
from tests.bridge.conftest import (
    KEY,
    MakeBridge,
    RunningBridge,
    Service,
    call,
    make_service,
    otlp,
    rows_of,
)
from tests.bridge.test_bridge import trip
from tests.bridge.test_replay import as_json

JSON, PROTOBUF = "application/json", "application/x-protobuf"
NO_SPANS = {JSON: b"{}", PROTOBUF: b""}
Answer = httpx2.Response

both_forms = pytest.mark.parametrize("form", [PROTOBUF, JSON])


def reason_of(answer: Answer, form: str) -> str:
    """Read the ``google.rpc.Status`` of a failure, which has the form of its request."""
    assert answer.headers["Content-Type"].split(";")[0] == form
    if form == JSON:
        return str(answer.json()["message"])
    return str(Status.FromString(answer.content).message)


def rejected_by(answer: Answer, form: str) -> tuple[int, str]:
    """Read the answer to a request that was taken: how many spans were not, and why."""
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, form)
    if form == JSON:
        partial = answer.json().get("partialSuccess", {})
        return int(partial.get("rejectedSpans", 0)), partial.get("errorMessage", "")
    read = ExportTraceServiceResponse.FromString(answer.content).partial_success
    return read.rejected_spans, read.error_message


def one_call() -> dict[str, Any]:
    """Give the span of an LLM call as it is in JSON."""
    attributes = {
        "gen_ai.operation.name": {"stringValue": "chat"},
        "gen_ai.request.model": {"stringValue": "gpt-4o-mini"},
        "gen_ai.usage.input_tokens": {"intValue": "3"},
        "gen_ai.usage.output_tokens": {"intValue": 4},
    }
    return {
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "eee19b7ec3c1b174",
        "name": "chat gpt-4o-mini",
        "kind": 3,
        "startTimeUnixNano": "1544712660000000000",
        "endTimeUnixNano": 1544712661000000000,
        "attributes": [{"key": key, "value": value} for key, value in attributes.items()],
    }


def document(*spans: dict[str, Any]) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()


def test_json_and_protobuf_come_to_the_same(
    bridge: RunningBridge, helicone: LocalHelicone, tmp_path: Path, service: Service
) -> None:
    trip(service)
    more: dict[str, Any] = {"gen_ai.request.stop_sequences": ["a"], "n": -(2**62), "x": 1.5}
    call(service.tracer, **more)
    spans = service.take()
    bridge.post(otlp(*spans))
    first = [asdict(row) for row in rows_of(helicone, 5)]
    with LocalHelicone(tmp_path / "second.db", latency=0, api_keys=[KEY]) as second:
        with RunningBridge(second.url, tmp_path / "second spool.db") as other:
            other.post(as_json(spans), Content_Type="application/json; charset=utf-8")
            assert [asdict(row) for row in rows_of(second, 5)] == first


@both_forms
def test_spans_without_valid_ids_are_counted_and_the_others_are_taken(
    bridge: RunningBridge, helicone: LocalHelicone, form: str
) -> None:
    wrong = ["", "00" * 16, "5b8e", "xyz", "5b8efff798038103d269b633813fc60", "é" * 16]
    body = document(one_call(), *({**one_call(), "traceId": trace_id} for trace_id in wrong))
    if form == PROTOBUF:
        request = ExportTraceServiceRequest()
        into = request.resource_spans.add().scope_spans.add().spans
        for trace_id in [bytes(range(16)), b"", bytes(16), b"ab", b"a" * 15, b"a" * 17, b"x"]:
            into.add(trace_id=trace_id, span_id=b"12345678", name="step")
        body = request.SerializeToString()
    rejected, reason = rejected_by(bridge.post(body, Content_Type=form), form)
    assert rejected == 6
    assert reason == "spans without a valid trace id and span id can't be used"
    metrics = bridge.metrics()
    assert metrics["spans_received_total"] == 1
    assert metrics['spans_refused_total{reason="no-id"}'] == 6


@pytest.mark.parametrize(
    ("form", "body", "reason"),
    [
        (PROTOBUF, b"\xff\xff", "the body is no ExportTraceServiceRequest in protobuf"),
        (PROTOBUF, b'{"resource": []}', "the body is no ExportTraceServiceRequest in protobuf"),
        (JSON, b"", "the body is not JSON"),
        (JSON, b"{", "the body is not JSON"),
        (JSON, b'{"\xff": 1}', "the body is not JSON"),
        (JSON, b"[]", "the JSON is not an object"),
        (JSON, b'{"resourceSpans": 7}', "the JSON is no ExportTraceServiceRequest"),
        (JSON, b"[" * 100_000, "the JSON is nested too deeply"),
    ],
)
def test_what_cant_be_read_is_not_to_be_sent_again(
    bridge: RunningBridge, form: str, body: bytes, reason: str
) -> None:
    answer = bridge.post(body, Content_Type=form)
    assert (answer.status_code, reason_of(answer, form)) == (400, reason)
    assert "Retry-After" not in answer.headers
    assert bridge.metrics()['requests_refused_total{reason="unreadable"}'] == 1


@both_forms
def test_other_paths_and_methods_are_told_so_in_the_same_form(
    bridge: RunningBridge, form: str
) -> None:
    headers = {"Content-Type": form}
    for path in ("/v1/metrics", "/v1/logs", "/"):
        answer = httpx2.post(bridge.url + path, headers=headers)
        assert (answer.status_code, reason_of(answer, form)) == (404, "Not Found")
    for method in ("GET", "PUT"):
        answer = httpx2.request(method, f"{bridge.url}/v1/traces", headers=headers)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
        assert reason_of(answer, form) == "Method Not Allowed"


@both_forms
def test_a_token_is_asked_for_everywhere_but_in_probes(make_bridge: MakeBridge, form: str) -> None:
    with make_bridge(token="a-secret") as bridge:
        for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic a-secret"}):
            answer = bridge.post(NO_SPANS[form], Content_Type=form, **given)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert reason_of(answer, form) == "a bearer token is needed"
        right = {"Authorization": "Bearer a-secret"}
        answer = bridge.post(NO_SPANS[form], Content_Type=form, **right)
        assert rejected_by(answer, form) == (0, "")
        # The name of the scheme may be in any letter case (RFC 9110).
        again = bridge.post(NO_SPANS[form], Content_Type=form, Authorization="bearer a-secret")
        assert again.status_code == 200
        assert httpx2.get(f"{bridge.url}/metrics").status_code == 401
        assert httpx2.get(f"{bridge.url}/metrics", headers=right).status_code == 200
        for probe in ("healthz", "readyz"):
            answer = httpx2.get(f"{bridge.url}/{probe}")
            assert (answer.status_code, answer.text) == (200, "ok\n")


def large_call() -> bytes:
    """Give a request of 100 kB with one call, whose root never comes."""
    service = make_service()
    with service.tracer.start_as_current_span("never ends"):
        call(service.tracer, **{"gen_ai.input.messages": os.urandom(50_000).hex()})
    return otlp(service.take()[0])


@both_forms
def test_a_full_spool_sends_the_collector_away_until_there_is_room(
    make_bridge: MakeBridge, helicone: LocalHelicone, form: str
) -> None:
    with make_bridge(max_spool_mib=0.5, wait=1) as bridge:
        taken = 0
        while (answer := bridge.post(large_call())).status_code == 200:
            taken += 1
        assert taken >= 2
        answer = bridge.post(b" " * 200_000, Content_Type=form)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert reason_of(answer, form) == "the spool is full"
        assert bridge.metrics()['requests_refused_total{reason="full"}'] == 2
        # Once they have waited long enough for the rest of their traces, they go.
        assert len(rows_of(helicone, taken)) == taken
        deadline = time.monotonic() + 120
        while bridge.post(large_call()).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert httpx2.get(f"{bridge.url}/readyz").status_code == 200
    with make_bridge(max_spool_mib=0.05) as bridge:
        ready = httpx2.get(f"{bridge.url}/readyz")
        assert (ready.status_code, ready.text) == (503, "the spool is full\n")


@contextmanager
def half_a_request(bridge: RunningBridge, length: int = 1000) -> Iterator[socket.socket]:
    """Begin a request, and send no more than 10 bytes of its body."""
    url = httpx2.URL(bridge.url)
    with socket.create_connection((url.host, url.port), timeout=60) as connection:
        connection.sendall(
            b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n"
            b"Content-Type: application/json\r\n\r\n          " % length
        )
        yield connection


def test_a_request_that_takes_too_long(
    bridge: RunningBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_SECONDS_TO_READ", 0.2)
    with half_a_request(bridge) as connection:
        # Not 408, on which the Collector drops the spans.
        head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503")
        assert b"Retry-After: 5" in head
        body = body or connection.recv(65536)
        assert json.loads(body)["message"] == "the request took too long to arrive"


def test_half_sent_requests_give_way_to_whole_ones(
    bridge: RunningBridge, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_MAX_READING", 20)
    with ExitStack() as stack:
        slow = [stack.enter_context(half_a_request(bridge)) for _ in range(200)]
        for _ in range(10):
            assert bridge.post(b"").status_code == 200
        # The one that came first was asked to come again.
        assert slow[0].recv(65536).startswith(b"HTTP/1.1 503")
        assert bridge.metrics()['requests_refused_total{reason="slow"}'] >= 180
        # One that gets no further place is served as soon as it is whole.
        slow[-1].sendall(b" " * 988 + b"{}")
        assert slow[-1].recv(65536).startswith(b"HTTP/1.1 200")
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_large_requests_that_are_sent_slowly_give_way(make_bridge: MakeBridge) -> None:
    with make_bridge(max_request_mib=1) as bridge, ExitStack() as stack:
        slow = [stack.enter_context(half_a_request(bridge, 1_000_000)) for _ in range(5)]
        for connection in slow:
            try:
                connection.sendall(b" " * 999_000)
            except ConnectionError:
                pass  # it was sent away
        for _ in range(10):
            assert bridge.post(b" " * 900_000, Content_Type=JSON).status_code == 400
        assert bridge.bridge._bodies.size <= 2 * 1024 * 1024
    assert bridge.bridge._bodies.size == 0


def test_more_requests_than_can_be_stored_at_once_are_sent_away_for_a_while(
    bridge: RunningBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingestion, "_MAX_STORING", 0)
    answer = bridge.post(b"")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert reason_of(answer, PROTOBUF) == "too many requests at once"


def test_the_metrics_tell_what_became_of_spans(
    make_bridge: MakeBridge, helicone: LocalHelicone, service: Service
) -> None:
    trip(service)
    *most, root = service.take()
    with make_bridge() as bridge:
        bridge.send(*most)
        waiting = bridge.metrics()
        bridge.send(root)
        rows_of(helicone, 4)
        bridge.post(b"\xff")
        deadline = time.monotonic() + 120
        while (metrics := bridge.metrics())["logs_waiting"] and time.monotonic() < deadline:
            time.sleep(0.05)
        answer = httpx2.get(f"{bridge.url}/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4"
    assert waiting["spans_waiting"] == 4
    assert 0 < waiting["spool_age_seconds"] < 60
    expected = {
        "spans_received_total": 7,
        "spans_waiting": 0,
        "logs_sent_total": 4,
        "logs_waiting": 0,
        "logs_in_flight": 0,
        "logs_dead": 0,
        "spool_age_seconds": 0,
        "delivery_seconds_count": 4,
        "retries_total": 0,
        'requests_total{status="200"}': 2,
        'requests_total{status="400"}': 1,
        'requests_refused_total{reason="unreadable"}': 1,
        'spans_skipped_total{reason="filtered"}': 3,
        'spans_skipped_total{reason="unreadable"}': 0,
        'attempt_seconds_count{outcome="200"}': 4,
    }
    assert {name: metrics[name] for name in expected} == expected
    for name in ("spool_bytes", "logs_sent_bytes_total", "delivery_seconds_sum"):
        assert metrics[name] > 0


def test_requests_that_arrive_slowly_hold_no_more_memory_than_two(make_bridge: MakeBridge) -> None:
    with make_bridge(max_request_mib=1) as bridge, ExitStack() as stack:
        slow = [stack.enter_context(half_a_request(bridge, 1_000_000)) for _ in range(30)]
        for connection in slow:
            try:
                connection.sendall(b" " * 999_000)
            except ConnectionError:
                pass  # it was sent away
        time.sleep(0.3)
        assert bridge.bridge._bodies.size <= 2 * 1024 * 1024


SPOOL = {"HELICONE_BRIDGE_SPOOL": "/tmp/spool.db"}
LOCAL = {"HELICONE_ENDPOINT": "http://127.0.0.1:8787", **SPOOL}


def test_by_default_it_listens_on_this_machine_alone() -> None:
    settings = make_bridge_settings(environ=LOCAL)
    assert (settings.host, settings.port, settings.token) == ("127.0.0.1", 4319, None)


def test_helicones_cloud_needs_a_key() -> None:
    with pytest.raises(SettingError, match="HELICONE_API_KEY is not set: set it to a key"):
        make_bridge_settings(environ=SPOOL)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "bridge.example.com"])
def test_beyond_this_machine_it_takes_a_token_or_a_flag(host: str) -> None:
    with pytest.raises(SettingError, match="set HELICONE_BRIDGE_TOKEN"):
        make_bridge_settings(environ={"HELICONE_BRIDGE_HOST": host, **LOCAL})
    assert make_bridge_settings(host=host, allow_anonymous=True, environ=LOCAL).host == host
    token = {"HELICONE_BRIDGE_TOKEN": "a-secret"}
    assert "a-secret" not in repr(make_bridge_settings(host=host, environ={**LOCAL, **token}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("PORT", value) for value in ("-1", "65536", "80.5", "http", "nan", "inf")),
        *(("WAIT", value) for value in ("0", "-1", "soon", "nan", "inf")),
        *(("MEMORY", "0"), ("MAX_SPOOL_MIB", "0"), ("MAX_REQUEST_MIB", "much")),
        *(("TOKEN", "two words"), ("TOKEN", "gehe\u00efm")),
    ],
)
def test_settings_that_cant_be_used(name: str, value: str) -> None:
    variable = f"HELICONE_BRIDGE_{name}"
    with pytest.raises(SettingError, match=f"^{variable}="):
        make_bridge_settings(environ={**LOCAL, variable: value})


@contextmanager
def started(*arguments: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    own = {k: v for k, v in os.environ.items() if not k.startswith(("HELICONE_", "OTEL_"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "otel_helicone", "bridge", *arguments],
        env={**own, "HELICONE_API_KEY": KEY, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def failure_of(*arguments: str, **environ: str) -> tuple[int, str]:
    with started(*arguments, **environ) as process:
        out, error = process.communicate(timeout=120)
    assert out == ""
    return process.returncode, error


def test_the_command_runs_until_it_is_told_to_stop(
    helicone: LocalHelicone, tmp_path: Path, service: Service
) -> None:
    call(service.tracer)
    spool, other = str(tmp_path / "spool.db"), str(tmp_path / "other.db")
    arguments = ["--grpc-port", "0", "--endpoint", helicone.url, "--spool"]
    with started("--port", "0", "--wait", "0.5", *arguments, spool) as running:
        assert running.stdout is not None
        greeting = [running.stdout.readline().split() for _ in range(6)]
        url = greeting[1][1]
        port = str(httpx2.URL(url).port)
        assert greeting[0][:4] == ["The", "bridge", "is", "running;"]
        assert (greeting[4][2], greeting[5][1]) == (helicone.url, spool)
        body = otlp(*service.take())
        assert httpx2.post(url, content=body, headers={"Content-Type": PROTOBUF}).is_success
        assert len(rows_of(helicone, 1)) == 1
        code, error = failure_of("--port", "0", *arguments, spool)
        assert code == 1
        assert error.startswith(f"otel-helicone: the spool {spool} is in use by another bridge")
        code, error = failure_of("--port", port, *arguments, other)
        assert code == 1
        assert error.startswith(f"otel-helicone: can't listen on 127.0.0.1:{port}: ")
        code, error = failure_of("--port", "0", *arguments, other, HELICONE_BRIDGE_WAIT="soon")
        assert code == 2
        assert error.startswith("otel-helicone: HELICONE_BRIDGE_WAIT='soon' can't be used: ")
        running.send_signal(signal.SIGTERM)
        out, error = running.communicate(timeout=120)
    assert (running.returncode, error) == (0, "")
    assert out == "Stopped; what was not sent yet is in the spool.\n"
