"""Delivery as its caller sees it: verdicts, limits, retries, the key, metrics, other libraries."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, context
from opentelemetry.instrumentation import httpx as http_instrumentation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_helicone.delivery import Delivery, Outcome, Post, Verdict, judge_log, judge_score
from otel_helicone.delivery.connection import proxy_for
from otel_helicone.delivery.drop_log import DropLog
from otel_helicone.delivery.retry_after import backoff, parse_retry_after
from tests.conftest import MakeTracing
from tests.test_delivery_faults import OK, FaultServer, Make, make, some_posts

__all__ = ["make"]  # a fixture

POST = Post("/oai/v1/log", b"{}", "11111111-1111-4111-8111-111111111111")
ID = {"helicone-id": POST.request_id}


@pytest.mark.parametrize(
    ("status", "headers", "body", "verdict", "wrong_key"),
    [
        (200, ID, b"ok", Verdict.TAKEN, False),
        (200, {}, b"ok", Verdict.REFUSED, False),
        (200, ID, b"", Verdict.REFUSED, False),
        (200, ID, b'{"error":"Auth failed! Cannot coerce"}', Verdict.REFUSED, True),
        (200, ID, b'{"error":"Error logging"}', Verdict.REFUSED, False),
        (401, {}, b"Unauthorized", Verdict.REFUSED, True),
        (403, {}, b"", Verdict.REFUSED, True),
        (400, {}, b"Payload too large", Verdict.REFUSED, False),
        (302, {"location": "https://elsewhere.example"}, b"", Verdict.REFUSED, False),
        (404, {}, b"invalid path", Verdict.REFUSED, False),
        (408, {}, b"", Verdict.RETRY, False),
        (429, {}, b"", Verdict.RETRY, False),
        (500, {}, b"oops", Verdict.RETRY, False),
        (500, {}, b'{"helicone-message": "... Invalid header value."}', Verdict.REFUSED, False),
        (500, {}, b'{"details": "request entity too large"}', Verdict.REFUSED, False),
        (503, {}, b"Invalid header name", Verdict.RETRY, False),
    ],
)
def test_what_an_answer_to_a_log_means(
    status: int, headers: dict[str, str], body: bytes, verdict: Verdict, wrong_key: bool
) -> None:
    judgement = judge_log(POST, status, headers, body)
    assert (judgement.verdict, judgement.wrong_key) == (verdict, wrong_key)


def test_what_an_answer_to_a_score_means() -> None:
    assert judge_score(POST, 201, {}, b"").verdict is Verdict.TAKEN
    assert judge_score(POST, 500, {}, b"score must be an integer").verdict is Verdict.REFUSED
    assert judge_score(POST, 500, {}, b"").verdict is Verdict.RETRY
    assert judge_score(POST, 401, {}, b"").wrong_key


@given(st.integers(0, 10**9))
def test_retry_after_in_seconds(seconds: int) -> None:
    assert parse_retry_after(f" {seconds} ", None, 0) == seconds


@given(st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)), st.integers(-(10**6), 10**6))
def test_retry_after_as_a_date(when: datetime, difference: int) -> None:
    date = when.replace(tzinfo=UTC, microsecond=0)
    header = format_datetime(date, usegmt=True)
    now = date.timestamp() - difference
    assert parse_retry_after(header, None, now) == max(difference, 0)
    # The server's own clock counts, where it is told.
    assert parse_retry_after(header, header, now) == 0


@given(st.text())
def test_any_other_retry_after_is_harmless(text: str) -> None:
    wait = parse_retry_after(text, text, 0)
    assert wait is None or wait >= 0


@given(st.integers(1, 10**6))
def test_waits_are_bounded(failures: int) -> None:
    assert 0 <= backoff(failures) <= min(5, 0.2 * 2 ** min(failures - 1, 10))


def test_importing_it_imports_no_http_client() -> None:
    program = "import sys, otel_helicone.delivery; print('httpx2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert done.stdout.strip() == b"False"


def test_making_one_imports_the_http_client_before_another_thread_can_see_half_of_it() -> None:
    program = (
        "import sys\n"
        "from otel_helicone.delivery import Delivery, judge_log\n"
        "Delivery(endpoint='http://localhost', api_key='k', judge=judge_log)\n"
        "sys.modules['httpx2'].Timeout\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    "wrong",
    [{"endpoint": "ftp://x"}, {"endpoint": "http://"}, {"api_key": ""}, {"api_key": "a\nb"},
     {"max_in_flight": 0}],
)  # fmt: skip
def test_wrong_arguments_raise_without_the_key(wrong: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"endpoint": "http://h", "api_key": "k", "judge": judge_log}
    with pytest.raises(ValueError, match="must be") as caught:
        Delivery(**(arguments | wrong))
    assert "a\nb" not in str(caught.value)


def test_the_request_on_the_wire(make: Make) -> None:
    with FaultServer(lambda *_: OK) as server:
        delivery = make(server)
        assert delivery.send(some_posts(3), 5) == Outcome(3, 0, 0)
        head = server.heads[0]
        assert head["authorization"] == "Bearer sk-secret"
        assert head["content-type"] == "application/json"
        assert head["user-agent"].startswith("otel-helicone/")
        assert not {"content-encoding", "transfer-encoding", "expect"} & head.keys()
        assert "secret" not in repr(delivery)


def test_a_generator_is_pulled_only_as_far_as_there_is_room(make: Make) -> None:
    most = 0
    done = 0

    def plan(*_: object) -> str:
        nonlocal done
        done += 1
        return "late:0.02"

    def posts() -> Iterator[Post]:
        nonlocal most
        for number, post in enumerate(some_posts(40)):
            most = max(most, number + 1 - done)
            assert threading.current_thread() is threading.main_thread()
            yield post

    with FaultServer(plan) as server:
        assert make(server, max_in_flight=4).send(posts(), 5) == Outcome(40, 0, 0)
        assert most <= 8
        assert server.connections <= 4


def test_bytes_in_flight_are_limited_and_a_large_one_goes_alone(make: Make) -> None:
    with FaultServer(lambda *_: "late:0.01") as server:
        delivery = make(server, max_in_flight_bytes=1000)
        assert delivery.send(some_posts(3, 5000), 5) == Outcome(3, 0, 0)
        assert server.connections == 1


def test_a_generator_that_raises_is_logged_and_the_rest_not_sent(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.failures_are_expected = True  # type: ignore[attr-defined]

    def posts() -> Iterator[Post]:
        yield from some_posts(2)
        raise RuntimeError("broken")

    with FaultServer(lambda *_: OK) as server:
        assert make(server).send(posts(), 5).taken == 2
    assert "failed while making logs" in caplog.text


@pytest.mark.parametrize("header", ["Retry-After: 1", "date"])
def test_retry_after_pauses_everything(make: Make, header: str) -> None:
    asked = False

    def plan(*_: object) -> str:
        nonlocal asked
        first, asked = not asked, True
        if not first:
            return OK
        if header == "date":
            now = datetime.now(UTC).timestamp() + 1.99
            date = format_datetime(datetime.fromtimestamp(now, UTC), usegmt=True)
            return f"status:429:slow|Retry-After: {date}"
        return f"status:429:slow|{header}"

    with FaultServer(plan) as server:
        assert make(server, max_in_flight=1).send(some_posts(4), 6) == Outcome(4, 0, 0)
        assert server.times[1] - server.times[0] > 0.9


def test_a_retry_after_past_the_deadline_is_not_waited_for(make: Make) -> None:
    with FaultServer(lambda *_: "status:503:busy|Retry-After: 60") as server:
        started = time.monotonic()
        outcome = make(server, max_in_flight=2).send(some_posts(50), 5)
        assert (outcome.taken, outcome.expired) == (0, 50)
        assert time.monotonic() - started < 1
        assert sum(server.seen.values()) <= 4


def test_a_wrong_key_is_said_once_and_then_not_sent(
    make: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = 'status:200:{"error":"Auth failed! no"}'
    with FaultServer(lambda *_: answer) as server:
        delivery = make(server, max_in_flight=1)
        assert delivery.send(some_posts(30), 5) == Outcome(0, 30, 0)
        assert delivery.send(some_posts(3), 5) == Outcome(0, 3, 0)
        assert sum(server.seen.values()) == 1
        assert len(caplog.records) == 1
        assert "HELICONE_API_KEY" in caplog.text
        assert "sk-secret" not in caplog.text
        answer = OK
        delivery._key._next_probe = 0.0
        assert delivery.send(some_posts(3), 5) == Outcome(3, 0, 0)


def test_drops_are_logged_once_for_each_cause_and_in_total(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    with FaultServer(lambda *_: "status:400:Payload too large") as server:
        delivery = make(server)
        assert delivery.send(some_posts(7), 5) == Outcome(0, 7, 0)
        assert len(caplog.records) == 1
        delivery.shutdown(1)
    assert "7 logs dropped" in caplog.text
    assert "7 refused (400 Payload too large)" in caplog.text


def test_totals_hold_few_causes(caplog: pytest.LogCaptureFixture) -> None:
    drops = DropLog("http://h")
    assert [drops.note("refused", str(n)) for n in range(30)] == [True] + [False] * 29
    drops.log_totals()
    drops.log_totals()
    totals = [r.getMessage() for r in caplog.records if "30 logs dropped" in r.getMessage()]
    assert len(totals) == 1
    assert "10 refused" in totals[0]


def test_an_idle_connection_that_the_server_closed_costs_no_wait(make: Make) -> None:
    with FaultServer(lambda _, attempt: OK) as server:
        delivery = make(server, max_in_flight=1)
        delivery.send(some_posts(1), 5)
        server.plan = lambda _, attempt: "drop" if attempt == 1 else OK
        started = time.monotonic()
        assert delivery.send(some_posts(1), 5) == Outcome(1, 0, 0)
        assert time.monotonic() - started < 0.1


def _note_send(delivery: Delivery, outcomes: list[Outcome]) -> None:
    outcomes.append(delivery.send(some_posts(4), 9))


def test_shutdown_lets_sends_end_and_then_cancels(make: Make) -> None:
    plan: Callable[..., str]
    for plan, taken in ((lambda *_: "late:0.2", 4), (lambda *_: "hang", 0)):
        with FaultServer(plan) as server:
            delivery = make(server)
            outcomes: list[Outcome] = []
            sender = threading.Thread(target=_note_send, args=(delivery, outcomes))
            sender.start()
            time.sleep(0.1)
            started = time.monotonic()
            delivery.shutdown(0.5)
            delivery.shutdown(0.5)
            sender.join(1)
            assert time.monotonic() - started < 1
            assert outcomes == [Outcome(taken, 0, 4 - taken)]
            assert delivery.send(some_posts(3), 5) == Outcome(0, 0, 3, exhausted=False)


def test_its_thread_ends_with_a_delivery_that_nobody_holds() -> None:
    with FaultServer(lambda *_: OK) as server:
        delivery = Delivery(endpoint=server.url, api_key="k", judge=judge_log)
        delivery.send(some_posts(1), 5)
        assert delivery._engine is not None
        thread = delivery._engine.thread._thread
        assert thread is not None
        del delivery
        thread.join(2)
        assert not thread.is_alive()


def test_own_posts_are_not_traced_and_get_no_session(make: Make, make_tracing: MakeTracing) -> None:
    # Older versions know httpx alone: then nothing but this library's own injection is on.
    instrumentor: Any = getattr(
        http_instrumentation,
        "HTTPX2ClientInstrumentor",
        http_instrumentation.HTTPXClientInstrumentor,
    )()
    with FaultServer(lambda *_: OK) as server:
        tracing = make_tracing(gateway_hosts=[server.url.removeprefix("http://")])
        instrumentor.instrument(tracer_provider=tracing.provider)
        token = context.attach(baggage.set_baggage("a", "b"))
        try:
            with tracing.tracer.start_as_current_span("app"):
                assert make(server).send(some_posts(3), 5).taken == 3
        finally:
            context.detach(token)
            instrumentor.uninstrument()
        assert list(tracing.exported()) == ["app"]
        for head in server.heads:
            assert not [name for name in head if name.startswith(("helicone", "trace", "bagg"))]


def test_metrics_tell_what_became_of_the_logs(make: Make) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    with FaultServer(lambda _, attempt: "status:500:x" if attempt == 1 else OK) as server:
        delivery = make(server, meter_provider=provider)
        assert delivery.send(some_posts(4, 64), 5).taken == 4
        server.plan = lambda *_: "status:400:no"
        assert delivery.send(some_posts(3), 5).refused == 3
    data = reader.get_metrics_data()
    assert data is not None
    points: dict[tuple[str, Any], Any] = {}
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        name = metric.name.removeprefix("otel_helicone.exporter.")
        for point in metric.data.data_points:
            points[name, (point.attributes or {}).get("error.type")] = point
    values = {key: getattr(point, "value", None) for key, point in points.items()}
    assert values["log.inflight", None] == 0
    assert values["log.exported", None] == 4
    assert values["log.exported", "400"] == 3
    assert values["log.dropped", "400"] == 3
    assert values["log.retries", None] == 4
    assert values["log.size", None] == 400
    attributes = points["operation.duration", "500"].attributes or {}
    assert attributes["http.response.status_code"] == 500
    assert str(attributes["otel.component.name"]).startswith("helicone_span_exporter/")
    provider.shutdown()


def test_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert proxy_for("http://h.example") is None
    monkeypatch.setenv("http_proxy", "proxy:3128")
    assert proxy_for("http://h.example/") == "http://proxy:3128"
    monkeypatch.setenv("no_proxy", "example")
    assert proxy_for("http://h.example/") is None
