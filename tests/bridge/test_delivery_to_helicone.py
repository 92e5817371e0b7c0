"""What the bridge does when Helicone fails, throttles, refuses, hangs or is not there."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.instrumentation.utils import is_http_instrumentation_enabled
from opentelemetry.propagate import inject
from opentelemetry.sdk.trace import ReadableSpan

from otel_helicone import session
from otel_helicone.bridge import history, pace, sender
from otel_helicone.bridge.bridge import Bridge
from otel_helicone.cli import main
from otel_helicone.local.server import LocalHelicone
from otel_helicone.logs.request_id import request_id_of
from otel_helicone.settings.bridge import make_bridge_settings
from tests.bridge.conftest import KEY, PROTOBUF, RunningBridge, call, make_service, otlp, rows_of
from tests.conftest import MakeTracing
from tests.integration.collectors import free_port
from tests.test_delivery_faults import OK, FaultServer, Plan

UNKNOWN_KEY = 'status:200:{"error":"Auth failed! Cannot coerce"}'


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


def bridge_to(helicone: FaultServer | str, spool: Path, **environ: str) -> RunningBridge:
    """Make a bridge, with environment variables as arguments, in front of a server."""
    url = helicone if isinstance(helicone, str) else helicone.url
    return RunningBridge(url, spool, environ={"HELICONE_TIMEOUT": "1", **environ})


def calls(count: int, **attributes: Any) -> Sequence[ReadableSpan]:
    """Make the spans of so many calls, each a trace of its own."""
    service = make_service()
    for _ in range(count):
        call(service.tracer, **attributes)
    return service.take()


def ids_of(spans: Sequence[ReadableSpan]) -> list[str]:
    return [request_id_of((span.context.trace_id, span.context.span_id)) for span in spans]


def until(there: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits after failures, which grow to five seconds."""
    for module in (sender, pace):
        monkeypatch.setattr(module, "backoff", lambda _failures: 0.02)
    monkeypatch.setattr(sender, "_WAITS_AFTER_REFUSAL", 1)


def check_all_arrive(helicone: FaultServer, spans: Sequence[ReadableSpan]) -> None:
    """See that every call arrives, and each attempt at it with the same bytes."""
    until(lambda: helicone.bodies.keys() >= set(ids_of(spans)))
    assert {len(bodies) for bodies in helicone.bodies.values()} == {1}


def refusing(poison: Collection[str], answer: str) -> Plan:
    """Plan an answer for some logs, and that others are taken."""
    return lambda request_id, _attempt: answer if request_id in poison else OK


def send_until_given_up(bridge: RunningBridge, count: int) -> None:
    """Send calls that are taken, until so many logs are given up."""
    deadline = time.monotonic() + 120
    while bridge.metrics()["logs_dead"] < count:
        assert time.monotonic() < deadline
        bridge.send(*calls(2))
    until(lambda: bridge.metrics()["logs_waiting"] == 0)


def at_first(fault: str, attempts: int) -> Plan:
    """Plan a fault for so many attempts, and that all is well afterwards."""
    faults = iter([fault] * attempts)
    return lambda *_: next(faults, OK)


@pytest.mark.parametrize(
    "fault",
    [
        "status:500:oops",
        "status:503:busy",
        "status:429:slow down",
        "status:408:late",
        "drop",
        "reset in body",
        "hang",
        "headers only",
        "status:200:ok|content-encoding: gzip",
        "status:200:ok|transfer-encoding: chunked",
    ],
)
def test_after_a_passing_trouble_everything_arrives(spool: Path, fault: str) -> None:
    spans = calls(12)
    with FaultServer(at_first(fault, 4)) as helicone, bridge_to(helicone, spool) as bridge:
        bridge.send(*spans)
        check_all_arrive(helicone, spans)
        until(lambda: bridge.metrics()["logs_waiting"] == 0)
        metrics = bridge.metrics()
    assert sum(helicone.seen.values()) == 12 + 4
    assert (metrics["logs_sent_total"], metrics["logs_dead"]) == (12, 0)
    assert metrics["retries_total"] == 4


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_nothing_is_sent_before_the_time_that_a_429_asks_for(spool: Path, form: str) -> None:
    attempts = 0

    def plan(*_: object) -> str:
        nonlocal attempts
        attempts += 1
        if attempts > 8:
            return "late:0.5"
        # The header has whole seconds.
        then = datetime.fromtimestamp(time.time() + 1.999, UTC)
        wait = "1" if form == "seconds" else format_datetime(then, usegmt=True)
        return f"status:429:slow down|Retry-After: {wait}"

    spans = calls(12)
    with FaultServer(plan) as helicone:
        with bridge_to(helicone, spool, HELICONE_MAX_IN_FLIGHT="8", HELICONE_TIMEOUT="9") as bridge:
            bridge.send(*spans)
            check_all_arrive(helicone, spans)
    before, after = helicone.times[:8], helicone.times[8:]
    # Eight at once, and whoever comes again had been answered after the first of them.
    assert after[0] - before[0] > 0.95
    # Half as many as before: none of them is answered within half a second.
    assert len([moment for moment in after if moment < after[0] + 0.4]) <= 4


def test_helicone_may_be_away_and_come_back(
    tmp_path: Path, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quickly(monkeypatch)
    helicone = LocalHelicone(tmp_path / "requests.db", free_port(), latency=0, api_keys=[KEY])
    spans = calls(60)
    with bridge_to(helicone.url, spool) as bridge:

        def send_while_it_is_away(some: Sequence[ReadableSpan]) -> None:
            tried = bridge.metrics()["retries_total"]
            bridge.send(*some)
            until(lambda: bridge.metrics()["retries_total"] >= tried + 3)
            assert bridge.metrics()["logs_waiting"] == 30

        send_while_it_is_away(spans[:30])
        with helicone:
            until(lambda: bridge.metrics()["logs_waiting"] == 0)
        send_while_it_is_away(spans[30:])
        with helicone:
            rows = rows_of(helicone, 60, seconds=30)
    assert sorted(row.request_id for row in rows) == sorted(ids_of(spans))


@pytest.mark.parametrize("answer", ["status:401:Unauthorized", UNKNOWN_KEY])
def test_logs_wait_for_a_right_key(
    spool: Path, answer: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "_SECONDS_BETWEEN_KEYS", 0.3)
    spans = calls(20)
    is_known = False
    with FaultServer(lambda *_: OK if is_known else answer) as helicone:
        with bridge_to(helicone, spool, HELICONE_MAX_IN_FLIGHT="2") as bridge:
            bridge.send(*spans)
            until(lambda: len(helicone.times) > 10)
            # Two at a time, and then nothing for a while.
            assert helicone.times[10] - helicone.times[0] > 0.55
            assert bridge.metrics()["logs_waiting"] == 20
            is_known = True
            check_all_arrive(helicone, spans)
    (record,) = caplog.records
    assert "HELICONE_API_KEY" in record.getMessage()
    assert KEY not in caplog.text


def dead(*arguments: str | Path) -> int:
    return main(["bridge", "dead", *map(str, arguments)])


def test_what_helicone_refuses_for_good_is_listed_retried_or_dropped(
    spool: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    quickly(monkeypatch)
    spans = calls(3)
    poison = set(ids_of(spans))
    with FaultServer(refusing(poison, "status:400:Payload too large")) as helicone:
        with bridge_to(helicone, spool) as bridge:
            bridge.send(*spans)
            send_until_given_up(bridge, 3)
            assert dead("list", "--spool", spool, "--json") == 0
            listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
            assert {entry["reason"] for entry in listed} == {"400 Payload too large"}
            assert {entry["request_id"] for entry in listed} == poison
            first, second, third = (str(entry["number"]) for entry in listed)
            ids = [entry["request_id"] for entry in listed]
            poison.clear()
            assert dead("drop", "--spool", spool, first) == 0
            assert dead("retry", "--spool", spool, second) == 0
            until(lambda: ids[1] in helicone.bodies)
            assert ids[2] not in helicone.bodies
            assert dead("retry", "--spool", spool, "--all") == 0
            until(lambda: ids[2] in helicone.bodies)
            until(lambda: bridge.metrics()["logs_waiting"] == bridge.metrics()["logs_dead"] == 0)
            assert ids[0] not in helicone.bodies
            assert dead("retry", "--spool", spool, third) == 1
            assert dead("list", "--spool", spool) == 0
    assert f"No refused logs in {spool}" in capsys.readouterr().out


def test_dead_letters_are_those_of_the_spool_that_is_named_before_the_command(
    spool: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    quickly(monkeypatch)
    (bad,) = calls(1)
    with FaultServer(refusing(ids_of([bad]), "status:400:no")) as helicone:
        with bridge_to(helicone, spool) as bridge:
            bridge.send(bad)
            send_until_given_up(bridge, 1)
            assert main(["bridge", "--spool", str(spool), "dead", "list"]) == 0
    assert "400 no" in capsys.readouterr().out


# What a proxy that is set up wrongly, a login page or a load balancer gives to every log.
FOREIGN = {
    "login page": "status:302:moved|location: https://login.example/",
    "other address": "status:308:moved|location: https://www.example/",
    "foreign 200": "status:200:<html>Welcome</html>",
    "empty 200": "status:200:",
    "204": "status:204:",
    "not found": "status:404:404 page not found",
    "not allowed": "status:405:Method Not Allowed",
    "gone": "status:410:Gone",
    "plain HTTP": "status:400:The plain HTTP request was sent to HTTPS port",
    "too large for it": "status:413:<html>nginx</html>",
    "500 with a final text": "status:500:Invalid header value",
}


@pytest.mark.parametrize("answer", FOREIGN.values(), ids=list(FOREIGN))
def test_what_every_log_is_answered_makes_no_dead_letters(
    spool: Path, answer: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    quickly(monkeypatch)
    spans = calls(8)
    is_broken = True
    with FaultServer(lambda *_: answer if is_broken else OK) as helicone:
        with bridge_to(helicone, spool) as bridge:
            bridge.send(*spans)
            # Each was tried several times.
            until(lambda: len(helicone.seen) == 8 and min(helicone.seen.values()) >= 3)
            metrics = bridge.metrics()
            assert (metrics["logs_dead"], metrics["logs_waiting"]) == (0, 8)
            assert metrics["logs_in_flight"] <= 1
            is_broken = False
            check_all_arrive(helicone, spans)
            until(lambda: bridge.metrics()["logs_waiting"] == 0)
            assert bridge.metrics()["logs_dead"] == 0
    (record,) = caplog.records
    assert helicone.url in record.getMessage()


@pytest.mark.parametrize("answer", ["status:404:none", "status:502:bad", "drop"])
def test_one_of_two_backends_that_is_broken_makes_no_dead_letters(
    spool: Path, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quickly(monkeypatch)
    turns = itertools.count()
    spans = calls(30)
    with FaultServer(lambda *_: answer if next(turns) % 2 else OK) as helicone:
        with bridge_to(helicone, spool) as bridge:
            bridge.send(*spans)
            check_all_arrive(helicone, spans)
            until(lambda: bridge.metrics()["logs_waiting"] == 0)
            assert bridge.metrics()["logs_dead"] == 0


@pytest.mark.parametrize("answer", ["status:500:oops", "status:404:none", "status:400:no"])
def test_trouble_that_begins_at_work_makes_no_dead_letters(
    spool: Path, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Others were taken before, and after.
    monkeypatch.setattr(history, "_MAX_UNCLEAR_FAULTS", 2)
    quickly(monkeypatch)
    spans = calls(60)
    attempts = itertools.count()

    with FaultServer(lambda *_: answer if 20 <= next(attempts) < 80 else OK) as helicone:
        with bridge_to(helicone, spool, HELICONE_MAX_IN_FLIGHT="4") as bridge:
            bridge.send(*spans)
            check_all_arrive(helicone, spans)
            until(lambda: bridge.metrics()["logs_waiting"] == 0)
            assert bridge.metrics()["logs_dead"] == 0


def test_refused_logs_hold_nobody_up(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quickly(monkeypatch)
    bad, good = calls(12), calls(10)
    with FaultServer(refusing(set(ids_of(bad)), "status:400:no")) as helicone:
        with bridge_to(helicone, spool, HELICONE_MAX_IN_FLIGHT="4") as bridge:
            bridge.send(*bad, *good)
            check_all_arrive(helicone, good)
            send_until_given_up(bridge, 12)


def answer_of(length: int) -> dict[str, str]:
    """Give the attribute of an answer that has so many characters."""
    parts = [{"type": "text", "content": "x" * length}]
    return {"gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": parts}])}


# As many as may be in flight, and more than is read into memory at once.
@pytest.mark.parametrize(("count", "length"), [(4, 1), (8, 3_000_000)], ids=["short", "long"])
def test_logs_that_always_fail_hold_nobody_up_and_end_as_dead_letters(
    spool: Path, monkeypatch: pytest.MonkeyPatch, count: int, length: int
) -> None:
    monkeypatch.setattr(history, "_MAX_UNCLEAR_FAULTS", 3)
    quickly(monkeypatch)
    bad, good = calls(count, **answer_of(length)), calls(40)
    with FaultServer(refusing(set(ids_of(bad)), "status:500:oops")) as helicone:
        with bridge_to(helicone, spool, HELICONE_MAX_IN_FLIGHT="4") as bridge:
            bridge.send(*bad)
            until(lambda: len(helicone.seen) >= 4)
            bridge.send(*good)
            check_all_arrive(helicone, good)
            send_until_given_up(bridge, count)


def test_a_log_that_alone_is_forbidden_holds_nobody_up(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A firewall before Helicone may answer 403 to what a prompt says, whatever the key.
    monkeypatch.setattr(history, "_MAX_UNCLEAR_FAULTS", 3)
    monkeypatch.setattr(sender, "_SECONDS_BETWEEN_KEYS", 0.5)
    quickly(monkeypatch)
    (bad,), good = calls(1), calls(40)
    with FaultServer(refusing(ids_of([bad]), "status:403:Forbidden")) as helicone:
        with bridge_to(helicone, spool, HELICONE_MAX_IN_FLIGHT="4") as bridge:
            bridge.send(bad, *good)
            check_all_arrive(helicone, good)
            send_until_given_up(bridge, 1)


def test_a_key_that_is_revoked_at_work_makes_no_dead_letters(
    spool: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(history, "_MAX_UNCLEAR_FAULTS", 3)
    monkeypatch.setattr(sender, "_SECONDS_BETWEEN_KEYS", 0.5)
    spans = calls(60)
    is_known = False

    def plan(*_: object) -> str:
        return OK if is_known or len(helicone.times) <= 20 else "status:401:Unauthorized"

    with FaultServer(plan) as helicone:
        with bridge_to(helicone, spool, HELICONE_MAX_IN_FLIGHT="4") as bridge:
            bridge.send(*spans)
            until(lambda: len(helicone.bodies) == 20)
            time.sleep(2)
            # Each of those that wait would have been refused a few times by now.
            assert len(helicone.times) < 20 + 40
            assert bridge.metrics()["logs_dead"] == 0
            assert "HELICONE_API_KEY" in caplog.text
            is_known = True
            check_all_arrive(helicone, spans)


def test_a_long_log_is_sent_as_well(spool: Path) -> None:
    spans = calls(3, **answer_of(2_000_000))
    with FaultServer(lambda *_: OK) as helicone, bridge_to(helicone, spool) as bridge:
        bridge.send(*spans)
        check_all_arrive(helicone, spans)
        until(lambda: bridge.metrics()["logs_waiting"] == 0)


def test_redirects_are_not_followed(spool: Path) -> None:
    spans = calls(3)
    with FaultServer(lambda *_: OK) as elsewhere:
        plan = at_first(f"status:307:moved|location: {elsewhere.url}/oai/v1/log", 5)
        with FaultServer(plan) as helicone, bridge_to(helicone, spool) as bridge:
            bridge.send(*spans)
            check_all_arrive(helicone, spans)
    # The key would have gone there.
    assert elsewhere.heads == []


@pytest.mark.parametrize("answer", ["status:401:Unauthorized", "status:400:bad Bearer {key}"])
def test_the_key_is_nowhere_but_in_the_requests_to_helicone(
    spool: Path, answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    # A proxy that shows what it got is told the key.
    answer = answer.format(key=KEY)
    with FaultServer(lambda *_: answer) as helicone, bridge_to(helicone, spool) as bridge:
        bridge.send(*calls(3))
        until(lambda: len(helicone.heads) >= 3)
        until(lambda: bool(caplog.records))
        time.sleep(0.2)
        metrics = httpx2.get(f"{bridge.url}/metrics").text
        files = [path.read_bytes() for path in spool.parent.iterdir()]
    assert {head["authorization"] for head in helicone.heads} == {f"Bearer {KEY}"}
    assert KEY not in caplog.text
    assert KEY not in metrics
    assert [name for name in files if KEY.encode() in name] == []


def traced_aiohttp(tracer: trace.Tracer) -> Callable[..., None]:
    """Trace every session of aiohttp, as OpenTelemetry's instrumentation of it does."""
    begin = aiohttp.ClientSession.__init__

    async def on_start(
        _session: Any, _context: Any, start: aiohttp.TraceRequestStartParams
    ) -> None:
        if is_http_instrumentation_enabled():
            tracer.start_span(start.method).end()
            inject(start.headers)

    def init(self: aiohttp.ClientSession, *arguments: Any, **options: Any) -> None:
        tracing = aiohttp.TraceConfig()
        tracing.on_request_start.append(on_start)
        begin(self, *arguments, **options, trace_configs=[tracing])

    return init


async def test_own_posts_are_not_traced_and_get_no_session(
    spool: Path, make_tracing: MakeTracing, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = otlp(*calls(3))
    with FaultServer(lambda *_: OK) as helicone:
        tracing = make_tracing(gateway_hosts=[helicone.url.removeprefix("http://")])
        token = context.attach(baggage.set_baggage("a", "b"))
        monkeypatch.setattr(aiohttp.ClientSession, "__init__", traced_aiohttp(tracing.tracer))
        settings = make_bridge_settings(
            port=0, api_key=KEY, endpoint=helicone.url, spool=str(spool), environ={}
        )
        with session(id="s-1"), tracing.tracer.start_as_current_span("app"):
            bridge = Bridge(settings)
            await bridge.start()
            async with aiohttp.ClientSession() as http:
                # What is not the bridge's is seen.
                await http.post(f"{helicone.url}/x", data=b"x" * 40)
            url = f"{bridge.url}/v1/traces"
            answer = await asyncio.to_thread(httpx2.post, url, content=body, headers=PROTOBUF)
            assert answer.status_code == 200
            await asyncio.to_thread(until, lambda: len(helicone.heads) == 4)
            await bridge.stop()
        context.detach(token)
    seen, *own = helicone.heads
    assert {"traceparent", "baggage"} <= seen.keys()
    for head in own:
        assert not [name for name in head if name.startswith(("helicone", "trace", "bagg"))]
    assert [span.name for span in tracing.exporter.get_finished_spans()].count("POST") == 1
