"""Requests to a Helicone gateway carry the session; requests to anybody else do not."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import Tracer

from otel_helicone import HeliconeSpanProcessor, session
from otel_helicone.injection.headers import add_session_headers
from tests.conftest import GATEWAY, HELICONE_AUTH, MakeTracing, Recorder, Tracing

AUTH = {"Helicone-Auth": HELICONE_AUTH}


def test_a_request_inside_spans_carries_id_path_and_name(
    tracer: Tracer, recorder: Recorder
) -> None:
    with recorder.client(headers=AUTH) as client:
        with tracer.start_as_current_span("parent") as parent:
            with tracer.start_as_current_span("child"):
                client.post(f"{GATEWAY}/chat/completions")
    assert recorder.helicone_headers() == {
        "helicone-auth": HELICONE_AUTH,
        "helicone-session-id": f"{parent.get_span_context().trace_id:032x}",
        "helicone-session-path": "/parent/child",
        "helicone-session-name": "parent",
    }


async def test_async_clients_carry_it_too(tracer: Tracer, recorder: Recorder) -> None:
    async with recorder.async_client(headers=AUTH) as client:
        with tracer.start_as_current_span("parent"):
            await client.post(f"{GATEWAY}/chat/completions")
    assert recorder.path() == "/parent"


def test_a_client_made_before_the_processor_is_covered(
    recorder: Recorder, make_tracing: MakeTracing
) -> None:
    client = recorder.client(headers=AUTH)
    tracer = make_tracing().tracer
    with tracer.start_as_current_span("late"):
        client.get(GATEWAY)
    assert recorder.path() == "/late"


def test_outside_of_spans_only_static_properties_are_added(
    make_tracing: MakeTracing, recorder: Recorder
) -> None:
    make_tracing(properties={"Env": "test"})
    recorder.client(headers=AUTH).get(GATEWAY)
    assert recorder.helicone_headers() == {
        "helicone-auth": HELICONE_AUTH,
        "helicone-property-env": "test",
    }


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1/chat/completions",
        "https://helicone.ai.evil.example/",
        "https://evil-helicone.ai/",
        "https://evilhelicone.ai/",
        "https://helicone.ai@evil.example/",
        "https://evil.example/?u=https://oai.helicone.ai/v1",
        "https://evil.example/oai.helicone.ai",
        "https://hconeai.com.example/",
        "https://oai.helicone.ai:8443/v1",
        "http://oai.helicone.ai:443/v1",
        "http://127.0.0.1:8787/v1",
    ],
)
def test_other_hosts_get_nothing(tracer: Tracer, recorder: Recorder, url: str) -> None:
    with tracer.start_as_current_span("parent"):
        recorder.client().get(url)
    assert recorder.helicone_headers() == {}


@pytest.mark.parametrize(
    "url",
    [
        "https://helicone.ai/",
        "https://oai.helicone.ai/v1/embeddings",
        "https://OAI.Helicone.AI/v1",
        "https://oai.helicone.ai./v1",
        "https://eu.ai-gateway.helicone.ai:443/v1",
        "http://oai.hconeai.com/v1",
    ],
)
def test_helicone_hosts_and_their_subdomains_get_headers(
    tracer: Tracer, recorder: Recorder, url: str
) -> None:
    with tracer.start_as_current_span("parent"):
        recorder.client(headers=AUTH).get(url)
    assert recorder.path() == "/parent"


def test_further_hosts_come_by_setting_with_their_port(
    make_tracing: MakeTracing, recorder: Recorder
) -> None:
    tracer = make_tracing(gateway_hosts=["localhost:8787", "[::1]:9000", "*.corp.example"]).tracer
    client = recorder.client()
    with tracer.start_as_current_span("parent"):
        for url in ("http://localhost:8787/v1", "http://[::1]:9000/", "http://a.corp.example/"):
            client.get(url, headers=AUTH)
            assert recorder.path() == "/parent", url
        for url in ("http://localhost:8788/v1", "http://localhost/", "http://[::1]/"):
            client.get(url)
            assert recorder.helicone_headers() == {}, url


@pytest.mark.parametrize(
    "name", ["Helicone-Session-Path", "HELICONE-SESSION-PATH", "helicone-session-path"]
)
def test_a_header_of_the_caller_stays_as_it_is(
    tracer: Tracer, recorder: Recorder, name: str
) -> None:
    given = {name: "/mine", **AUTH}
    with tracer.start_as_current_span("parent"):
        recorder.client().get(GATEWAY, headers=given)
    assert recorder.path() == "/mine"
    assert recorder.helicone_headers()["helicone-session-name"] == "parent"
    assert given == {name: "/mine", **AUTH}


def test_an_empty_header_of_the_caller_is_not_doubled(tracer: Tracer, recorder: Recorder) -> None:
    with tracer.start_as_current_span("parent"):
        recorder.client(headers=AUTH).get(GATEWAY, headers={"Helicone-Session-Id": ""})
    assert recorder.helicone_headers()["helicone-session-id"] == ""


def test_the_same_request_object_sent_again_carries_the_session_of_the_moment(
    tracer: Tracer, recorder: Recorder
) -> None:
    client = recorder.client(headers=AUTH)
    request = client.build_request("GET", GATEWAY, headers={"Helicone-Session-Name": "mine"})
    for name in ("first", "second"):
        with tracer.start_as_current_span(name):
            client.send(request)
        assert recorder.path() == f"/{name}"
        assert recorder.helicone_headers()["helicone-session-name"] == "mine"


def test_headers_are_added_after_the_applications_event_hooks(
    tracer: Tracer, recorder: Recorder
) -> None:
    def hook(request: Any) -> None:
        request.headers["Helicone-Session-Path"] = "/from-a-hook"

    with recorder.client(headers=AUTH, event_hooks={"request": [hook]}) as client:
        with tracer.start_as_current_span("parent"):
            client.get(GATEWAY)
    assert recorder.path() == "/from-a-hook"


# --- redirects ---------------------------------------------------------------------------------


def redirect(stack: Any, to: str) -> Any:
    return stack.Response(307, headers={"Location": to})


def test_a_redirect_to_another_host_loses_every_helicone_header(
    tracer: Tracer, recorder: Recorder, stack: Any
) -> None:
    recorder.answers = [redirect(stack, "https://elsewhere.example/v1")]
    with recorder.client(follow_redirects=True) as client:
        with tracer.start_as_current_span("parent"):
            client.post(GATEWAY, headers={**AUTH, "HELICONE-cache-enabled": "true", "X-Mine": "1"})
    assert recorder.helicone_headers(0)["helicone-session-path"] == "/parent"
    assert recorder.helicone_headers(1) == {}
    assert recorder.requests[1].headers["x-mine"] == "1"


async def test_an_async_redirect_to_another_host_loses_them_too(
    tracer: Tracer, recorder: Recorder, stack: Any
) -> None:
    recorder.answers = [redirect(stack, "https://elsewhere.example/v1")]
    async with recorder.async_client(follow_redirects=True, headers=AUTH) as client:
        with tracer.start_as_current_span("parent"):
            await client.post(GATEWAY)
    assert recorder.helicone_headers(1) == {}


def test_a_redirect_the_caller_follows_by_hand_loses_them_too(
    tracer: Tracer, recorder: Recorder, stack: Any
) -> None:
    recorder.answers = [redirect(stack, "https://elsewhere.example/v1")]
    with tracer.start_as_current_span("parent"):
        response = recorder.client(headers=AUTH).post(GATEWAY)
    assert "helicone-auth" not in response.next_request.headers


def test_a_redirect_within_one_origin_keeps_them(
    tracer: Tracer, recorder: Recorder, stack: Any
) -> None:
    recorder.answers = [redirect(stack, "/v2")]
    with recorder.client(follow_redirects=True, headers=AUTH) as client:
        with tracer.start_as_current_span("parent"):
            client.post(GATEWAY)
    assert recorder.helicone_headers(1) == recorder.helicone_headers(0)


@pytest.mark.parametrize(
    ("target", "carries_session"),
    [
        ("https://eu.helicone.ai/v1", True),
        ("http://oai.helicone.ai/v1", True),
        ("https://oai.helicone.ai:4444/v1", False),
        ("https://attacker-tenant.helicone.ai:4444/v1", False),
    ],
)
def test_a_redirect_to_another_origin_of_helicones_loses_what_the_caller_set(
    tracer: Tracer, recorder: Recorder, stack: Any, target: str, carries_session: bool
) -> None:
    recorder.answers = [redirect(stack, target)]
    given = {**AUTH, "Helicone-Property-Tenant": "acme"}
    with recorder.client(follow_redirects=True, headers=given) as client:
        with tracer.start_as_current_span("parent"):
            client.post(GATEWAY)
    sent = recorder.helicone_headers(1)
    assert "helicone-auth" not in sent
    assert "helicone-property-tenant" not in sent
    assert ("helicone-session-id" in sent) == carries_session


def test_a_redirect_from_http_to_https_keeps_them(
    tracer: Tracer, recorder: Recorder, stack: Any
) -> None:
    recorder.answers = [redirect(stack, GATEWAY)]
    with recorder.client(follow_redirects=True, headers=AUTH) as client:
        with tracer.start_as_current_span("parent"):
            client.post(GATEWAY.replace("https:", "http:"))
    assert recorder.helicone_headers(1) == recorder.helicone_headers(0)


def test_a_redirect_into_helicone_gets_them(tracer: Tracer, recorder: Recorder, stack: Any) -> None:
    recorder.answers = [redirect(stack, GATEWAY)]
    with recorder.client(follow_redirects=True) as client:
        with tracer.start_as_current_span("parent"):
            client.post("https://llm.corp.example/v1")
    assert recorder.helicone_headers(0) == {}
    assert recorder.path(1) == "/parent"


def test_a_redirect_within_a_host_that_is_not_helicones_is_left_alone(
    tracer: Tracer, recorder: Recorder, stack: Any
) -> None:
    recorder.answers = [redirect(stack, "/v2")]
    with recorder.client(follow_redirects=True) as client:
        with tracer.start_as_current_span("parent"):
            client.post("https://llm.corp.example/v1", headers=AUTH)
    assert recorder.helicone_headers(1) == {"helicone-auth": HELICONE_AUTH}


# --- on and off --------------------------------------------------------------------------------


def class_methods(stack: Any) -> list[dict[str, Any]]:
    return [dict(vars(client)) for client in (stack.Client, stack.AsyncClient)]


def test_the_last_shutdown_leaves_the_classes_exactly_as_they_were(stack: Any) -> None:
    before = class_methods(stack)
    first, second = HeliconeSpanProcessor(), HeliconeSpanProcessor()
    assert class_methods(stack) != before
    first.shutdown()
    assert class_methods(stack) != before
    second.shutdown()
    assert class_methods(stack) == before
    second.shutdown()
    assert class_methods(stack) == before


def test_twice_on_is_once_on(make_tracing: MakeTracing, recorder: Recorder, stack: Any) -> None:
    tracing = make_tracing()
    tracing.provider.add_span_processor(HeliconeSpanProcessor())
    replaced = class_methods(stack)
    other = HeliconeSpanProcessor()
    assert class_methods(stack) == replaced
    with tracing.tracer.start_as_current_span("parent"):
        with tracing.tracer.start_as_current_span("child"):
            recorder.client(headers=AUTH).get(GATEWAY)
    assert recorder.path() == "/parent/child"
    other.shutdown()


def test_with_injection_off_nothing_is_touched(
    make_tracing: MakeTracing, recorder: Recorder, stack: Any
) -> None:
    before = class_methods(stack)
    tracer = make_tracing(inject=False).tracer
    assert class_methods(stack) == before
    with tracer.start_as_current_span("parent"):
        recorder.client(headers=AUTH).get(GATEWAY)
    assert recorder.helicone_headers() == {"helicone-auth": HELICONE_AUTH}


def test_a_wrapper_that_came_later_is_kept_and_ours_below_it_goes_quiet(
    recorder: Recorder, stack: Any, tracer: Tracer, tracing: Tracing
) -> None:
    ours = stack.Client._send_single_request

    def theirs(self: Any, request: Any) -> Any:
        request.headers["X-Theirs"] = "1"
        return ours(self, request)

    try:
        stack.Client._send_single_request = theirs
        tracing.provider.shutdown()
        with tracer.start_as_current_span("parent"):
            recorder.client(headers=AUTH).get(GATEWAY)
        assert recorder.requests[-1].headers["x-theirs"] == "1"
        assert recorder.helicone_headers() == {"helicone-auth": HELICONE_AUTH}
        assert stack.Client._send_single_request is theirs
        again = HeliconeSpanProcessor()
        recorder.client(headers=AUTH).get(GATEWAY)
        again.shutdown()
        assert stack.Client._send_single_request is theirs
    finally:
        stack.Client._send_single_request = ours.__wrapped__


def test_a_stack_is_instrumented_when_it_is_imported_later() -> None:
    # In a process of its own: here both stacks are imported already.
    import subprocess

    program = """
import sys
from opentelemetry.sdk.trace import TracerProvider
from otel_helicone import HeliconeSpanProcessor
assert not {"httpx", "httpx2"} & set(sys.modules), "importing the package imports no HTTP client"
provider = TracerProvider()
provider.add_span_processor(HeliconeSpanProcessor())
assert not {"httpx", "httpx2"} & set(sys.modules), "nor does registering the processor"
import httpx2
seen = {}
def answer(request):
    seen.update(request.headers)
    return httpx2.Response(200)
auth = {"Helicone-Auth": "Bearer sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"}
client = httpx2.Client(transport=httpx2.MockTransport(answer), headers=auth)
with provider.get_tracer("app").start_as_current_span("late import"):
    client.get("https://oai.helicone.ai/v1")
assert seen["helicone-session-path"] == "/late import", seen
provider.shutdown()
assert not hasattr(httpx2.Client._send_single_request, "__wrapped__")
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)


def test_aliased_stacks_are_one_and_are_instrumented_once() -> None:
    import subprocess

    program = """
import httpx2
httpx2.alias_httpx()
from otel_helicone import HeliconeSpanProcessor
processor = HeliconeSpanProcessor()
import httpx
assert httpx.Client is httpx2.Client
once = httpx2.Client._send_single_request.__wrapped__
assert not hasattr(once, "__wrapped__")
processor.shutdown()
assert not hasattr(httpx2.Client._send_single_request, "__wrapped__")
"""
    httpx2 = importlib.import_module("httpx2")
    if not hasattr(httpx2, "alias_httpx"):
        pytest.skip("this version of httpx2 has no alias_httpx")
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)


# --- a key that Helicone would not take ----------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ({}, "no Helicone-Auth header"),
        ({"Helicone-Auth": "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"}, "a malformed"),
        ({"Helicone-Auth": "bearer sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"}, "a malformed"),
        ({"Helicone-Auth": "Bearer sk-helicone-short"}, "a malformed"),
        ({"Helicone-Auth": "Bearer None"}, "a malformed"),
    ],
)
def test_a_call_that_helicone_would_not_record_is_warned_about_once_for_each_host(
    tracer: Tracer,
    recorder: Recorder,
    caplog: pytest.LogCaptureFixture,
    headers: dict[str, str],
    problem: str,
) -> None:
    client = recorder.client(headers=headers)
    with tracer.start_as_current_span("parent"):
        for _ in range(3):
            assert client.get(GATEWAY).status_code == 200
        client.get("https://eu.helicone.ai/v1")
    messages = [record.getMessage() for record in caplog.records if record.name == "otel_helicone"]
    assert len(messages) == 2
    assert messages[0].startswith(f"A call to oai.helicone.ai has {problem}")
    assert "sk-helicone" not in caplog.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Helicone-Auth": "Bearer sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"},
        {"Helicone-Auth": "Bearer sk-helicone-eu-aaaaaaa-bbbbbbb-ccccccc-ddddddd"},
        {"Helicone-Auth": "Bearer pk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"},
        {"Authorization": "Bearer sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"},
    ],
)
def test_a_well_formed_key_is_no_reason_to_warn(
    tracer: Tracer,
    recorder: Recorder,
    caplog: pytest.LogCaptureFixture,
    headers: dict[str, str],
) -> None:
    with tracer.start_as_current_span("parent"):
        recorder.client(headers=headers).get(GATEWAY)
    assert not [record for record in caplog.records if record.name == "otel_helicone"]


def test_a_gateway_on_this_machine_needs_no_key(
    make_tracing: MakeTracing, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    tracer = make_tracing(gateway_hosts=["127.0.0.1:8787"]).tracer
    with tracer.start_as_current_span("parent"):
        recorder.client().get("http://127.0.0.1:8787/v1")
    assert not [record for record in caplog.records if record.name == "otel_helicone"]


# --- what Helicone answers -----------------------------------------------------------------------


def test_the_answers_request_id_and_cache_hit_are_noted_on_the_span_that_made_the_call(
    tracing: Tracing, recorder: Recorder, stack: Any
) -> None:
    recorder.answers = [
        stack.Response(200, headers={"Helicone-Id": "one", "Helicone-Cache": "MISS"}),
        stack.Response(200, headers={"helicone-id": "two", "helicone-cache": "HIT"}),
    ]
    client = recorder.client(headers=AUTH)
    with tracing.tracer.start_as_current_span("parent"):
        for name in ("miss", "hit"):
            with tracing.tracer.start_as_current_span(name):
                client.get(GATEWAY)
    exported = tracing.exported()
    assert exported["miss"]["helicone.request.id"] == "one"
    assert "helicone.cache" not in exported["miss"]
    assert exported["hit"]["helicone.request.id"] == "two"
    assert exported["hit"]["helicone.cache"] == "HIT"
    assert "helicone.request.id" not in exported["parent"]


def test_after_a_retry_the_id_is_that_of_the_last_answer_and_the_applications_own_stays(
    tracing: Tracing, recorder: Recorder, stack: Any
) -> None:
    client = recorder.client(headers=AUTH)
    with tracing.tracer.start_as_current_span("retried"):
        for request_id in ("first", "second"):
            recorder.answers = [stack.Response(500, headers={"helicone-id": request_id})]
            client.get(GATEWAY)
    with tracing.tracer.start_as_current_span("own", attributes={"helicone.request.id": "mine"}):
        recorder.answers = [stack.Response(200, headers={"helicone-id": "other"})]
        client.get(GATEWAY)
    assert tracing.exported()["retried"]["helicone.request.id"] == "second"
    assert tracing.exported()["own"]["helicone.request.id"] == "mine"


def test_an_id_from_somebody_else_is_not_noted(
    tracing: Tracing, recorder: Recorder, stack: Any
) -> None:
    recorder.answers = [stack.Response(200, headers={"helicone-id": "x"})]
    with tracing.tracer.start_as_current_span("call"):
        recorder.client().get("https://elsewhere.example/")
    assert "helicone.request.id" not in tracing.exported()["call"]


# --- never in the way ----------------------------------------------------------------------------


def test_an_exception_inside_the_library_is_logged_once_and_the_call_goes_out(
    tracer: Tracer,
    recorder: Recorder,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from otel_helicone.injection import headers

    def broken(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("a defect of the library")

    monkeypatch.setattr(headers, "resolve", broken)
    caplog.failures_are_expected = True  # type: ignore[attr-defined]
    with tracer.start_as_current_span("parent"):
        for _ in range(3):
            assert recorder.client(headers=AUTH).get(GATEWAY).status_code == 200
    failures = [r for r in caplog.records if "failed while" in r.getMessage()]
    assert len(failures) == 1
    assert failures[0].levelno == logging.WARNING


def test_exceptions_of_the_call_itself_pass_through(
    tracer: Tracer, stack: Any, recorder: Recorder
) -> None:
    def refuse(request: Any) -> Any:
        raise stack.ConnectError("refused", request=request)

    with stack.Client(transport=stack.MockTransport(refuse), headers=AUTH) as client:
        with tracer.start_as_current_span("parent"), pytest.raises(stack.ConnectError):
            client.get(GATEWAY)
    with pytest.raises(RuntimeError, match="closed"):
        client.get(GATEWAY)


def test_the_encoding_of_a_requests_headers_stays_open(tracer: Tracer, stack: Any) -> None:
    # To read a header by name would settle the encoding of all of them on ASCII, and a later hook
    # of the application that sets another text would fail.
    request = stack.Request("GET", GATEWAY, headers=AUTH)
    with tracer.start_as_current_span("parent"):
        add_session_headers(request)
    request.headers["X-Later"] = "é"
    assert request.headers.raw[-1][1] == "é".encode()


def test_a_current_span_that_raises_does_not_stop_the_call(
    tracing: Tracing, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(trace.NonRecordingSpan):
        def get_span_context(self) -> Any:
            raise RuntimeError("a defect of the span")

    caplog.failures_are_expected = True  # type: ignore[attr-defined]
    with trace.use_span(Broken(trace.INVALID_SPAN_CONTEXT)), session("s"):
        assert recorder.client(headers=AUTH).get(GATEWAY).status_code == 200


def test_a_request_that_is_sent_again_to_another_host_loses_them(
    tracer: Tracer, recorder: Recorder, stack: Any
) -> None:
    class Failover(stack.Auth):  # type: ignore[misc]
        def auth_flow(self, request: Any) -> Any:
            yield request
            request.url = stack.URL("https://api.openai.com/v1")
            request.headers["Host"] = "api.openai.com"
            yield request

    with tracer.start_as_current_span("parent"):
        recorder.client(headers=AUTH, auth=Failover()).get(GATEWAY)
    assert recorder.path(0) == "/parent"
    assert recorder.helicone_headers(1) == {}


def test_a_host_in_another_script_is_named_either_way(
    make_tracing: MakeTracing, recorder: Recorder
) -> None:
    tracer = make_tracing(gateway_hosts=["xn--bcher-kva.example", "[0:0:0:0:0:0:0:1]:80"]).tracer
    with tracer.start_as_current_span("parent"):
        for url in ("https://bücher.example/v1", "http://[::1]/v1"):
            recorder.client(headers=AUTH).get(url)
            assert recorder.path() == "/parent", url


def test_a_wrapper_that_took_ours_away_does_not_end_injection(
    recorder: Recorder, stack: Any
) -> None:
    from unittest import mock

    original = stack.Client._send_single_request
    with mock.patch.object(stack.Client, "_send_single_request", original):
        lost = HeliconeSpanProcessor()
    assert stack.Client._send_single_request is original
    again = HeliconeSpanProcessor()
    with session("s1"):
        recorder.client(headers=AUTH).get(GATEWAY)
    assert recorder.helicone_headers()["helicone-session-id"] == "s1"
    lost.shutdown()
    again.shutdown()
    assert stack.Client._send_single_request is original


def test_a_processor_that_was_shut_down_says_so_once_when_it_is_used_again(
    tracing: Tracing, caplog: pytest.LogCaptureFixture
) -> None:
    tracing.processor.shutdown()
    for _ in range(2):
        with tracing.tracer.start_as_current_span("late"):
            pass
    assert len([r for r in caplog.records if "shut down" in r.getMessage()]) == 1
    assert tracing.exported()["late"]["helicone.session.path"] == "/late"


def test_a_filter_of_the_application_that_raises_is_not_its_trouble(
    tracer: Tracer, recorder: Recorder
) -> None:
    def broken(_record: logging.LogRecord) -> bool:
        raise RuntimeError("a defect of the application")

    logger = logging.getLogger("otel_helicone")
    logger.addFilter(broken)
    try:
        with tracer.start_as_current_span("parent"):
            assert recorder.client().get(GATEWAY).status_code == 200
    finally:
        logger.removeFilter(broken)


def test_a_blocked_import_of_a_stack_is_no_error() -> None:
    import subprocess

    program = """
import sys
sys.modules["httpx"] = None
from otel_helicone import HeliconeSpanProcessor
HeliconeSpanProcessor().shutdown()
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)
