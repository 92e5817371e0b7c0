"""Calls of unchanged clients go through Helicone's gateway, where that was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from otel_helicone import HeliconeSpanProcessor, SettingError
from tests.conftest import MakeTracing, Recorder

KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def routed(make_tracing: MakeTracing) -> Iterator[Any]:
    tracing = make_tracing(gateway=True, api_key=KEY)
    with tracing.tracer.start_as_current_span("Trip"):
        yield tracing


@pytest.mark.parametrize(
    ("url", "sent_to", "header"),
    [
        ("https://api.openai.com/v1/models", "https://oai.helicone.ai/v1/models", {}),
        ("https://API.OpenAI.com:443/v1/x?a=b", "https://oai.helicone.ai/v1/x?a=b", {}),
        ("https://api.anthropic.com/v1/messages", "https://anthropic.helicone.ai/v1/messages", {}),
        (
            "https://me.openai.azure.com/openai/deployments/d/chat/completions?api-version=1",
            "https://oai.helicone.ai/openai/deployments/d/chat/completions?api-version=1",
            {"helicone-openai-api-base": "https://me.openai.azure.com"},
        ),
        (
            "https://api.groq.com/openai/v1/chat/completions",
            "https://gateway.helicone.ai/openai/v1/chat/completions",
            {"helicone-target-url": "https://api.groq.com"},
        ),
    ],
)
def test_a_call_goes_through_the_gateway_that_serves_the_provider(
    routed: Any, recorder: Recorder, url: str, sent_to: str, header: dict[str, str]
) -> None:
    with recorder.client() as client:
        response = client.post(url, json=CHAT, headers={"Authorization": "Bearer provider"})
    (request,) = recorder.requests
    assert str(request.url) == sent_to
    assert request.headers["host"] == request.url.host
    assert request.headers["authorization"] == "Bearer provider"
    helicone = recorder.helicone_headers()
    assert helicone.pop("helicone-auth") == f"Bearer {KEY}"
    assert helicone.pop("helicone-session-path") == "/Trip"
    assert header.items() <= helicone.items()
    # The caller sees the request that it made.
    assert str(response.request.url.host).lower() in url.lower()
    assert not [name for name in response.request.headers if name.startswith("helicone-")]


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com.evil.example/v1/models",
        "https://evil-api.openai.com/v1/models",
        "https://example.com/v1/models",
        "http://api.openai.com/v1/models",
        "https://api.openai.com:8443/v1/models",
    ],
)
def test_other_hosts_get_neither_the_detour_nor_the_key(
    routed: Any, recorder: Recorder, url: str
) -> None:
    with recorder.client() as client:
        client.get(url)
    assert str(recorder.requests[0].url) == url
    assert recorder.helicone_headers() == {}


def test_it_is_off_unless_asked_for(make_tracing: MakeTracing, recorder: Recorder) -> None:
    tracing = make_tracing(api_key=KEY)
    with tracing.tracer.start_as_current_span("Trip"), recorder.client() as client:
        client.get("https://api.openai.com/v1/models")
    assert recorder.requests[0].url.host == "api.openai.com"
    assert recorder.helicone_headers() == {}


def test_the_callers_own_helicone_headers_win(routed: Any, recorder: Recorder) -> None:
    with recorder.client() as client:
        client.get("https://api.openai.com/v1/models", headers={"Helicone-Auth": "Bearer own"})
    assert recorder.helicone_headers()["helicone-auth"] == "Bearer own"


async def test_the_openai_client_is_unchanged(routed: Any, recorder: Recorder) -> None:
    answer = {"id": "1", "object": "list", "data": []}
    recorder.answers = [recorder.stack.Response(200, json=answer) for _ in range(2)]
    if openai.__version__.split(".")[0] in ("1", "2") and recorder.stack.__name__ != "httpx":
        pytest.skip("this openai needs httpx")
    with openai.OpenAI(api_key="p", http_client=recorder.client()) as client:
        client.models.list()
    async with openai.AsyncOpenAI(api_key="p", http_client=recorder.async_client()) as other:
        await other.models.list()
    assert [request.url.host for request in recorder.requests] == ["oai.helicone.ai"] * 2


def test_a_redirect_of_the_provider_is_followed_through_the_gateway(
    routed: Any, recorder: Recorder
) -> None:
    recorder.answers = [recorder.stack.Response(307, headers={"Location": "/v2/models"})]
    with recorder.client(follow_redirects=True) as client:
        client.get("https://api.openai.com/v1/models", headers={"Authorization": "Bearer p"})
    assert [str(request.url) for request in recorder.requests] == [
        "https://oai.helicone.ai/v1/models",
        "https://oai.helicone.ai/v2/models",
    ]
    assert recorder.requests[1].headers["authorization"] == "Bearer p"


def test_a_redirect_to_somewhere_else_takes_nothing_of_helicones_along(
    routed: Any, recorder: Recorder
) -> None:
    elsewhere = {"Location": "https://cdn.example/file"}
    recorder.answers = [recorder.stack.Response(302, headers=elsewhere)]
    with recorder.client(follow_redirects=True) as client:
        client.get("https://api.openai.com/v1/files/1", headers={"Helicone-Auth": "Bearer own"})
    assert str(recorder.requests[1].url) == "https://cdn.example/file"
    assert recorder.helicone_headers() == {}


class Unreachable:
    """A transport of which the gateway can't be reached."""

    def __init__(self, recorder: Recorder, error: str) -> None:
        self.recorder = recorder
        self.error = getattr(recorder.stack, error)
        self.tried: list[str] = []

    def __call__(self, request: Any) -> Any:
        self.tried.append(request.url.host)
        if "helicone" in request.url.host:
            raise self.error("no", request=request)
        return self.recorder(request)

    def client(self) -> Any:
        return self.recorder.stack.Client(transport=self.recorder.stack.MockTransport(self))


def test_a_gateway_that_is_not_reached_is_gone_round_once_where_that_was_chosen(
    make_tracing: MakeTracing, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    tracing = make_tracing(gateway=True, gateway_fallback=True, api_key=KEY)
    unreachable = Unreachable(recorder, "ConnectError")
    with tracing.tracer.start_as_current_span("Trip"), unreachable.client() as client:
        assert client.post("https://api.openai.com/v1/x", json=CHAT).status_code == 200
    assert unreachable.tried == ["oai.helicone.ai", "api.openai.com"]
    assert recorder.helicone_headers() == {}
    assert recorder.requests[0].headers["host"] == "api.openai.com"
    assert KEY not in caplog.text


@pytest.mark.parametrize(("fallback", "error"), [(False, "ConnectError"), (True, "ReadError")])
def test_else_the_caller_gets_the_error(
    make_tracing: MakeTracing, recorder: Recorder, fallback: bool, error: str
) -> None:
    tracing = make_tracing(gateway=True, gateway_fallback=fallback, api_key=KEY)
    unreachable = Unreachable(recorder, error)
    with tracing.tracer.start_as_current_span("Trip"), unreachable.client() as client:
        with pytest.raises(getattr(recorder.stack, error)):
            client.post("https://api.openai.com/v1/x", json=CHAT)
    assert unreachable.tried == ["oai.helicone.ai"]


def test_a_gateway_of_ones_own(make_tracing: MakeTracing, recorder: Recorder) -> None:
    tracing = make_tracing(gateway="http://127.0.0.1:8787")
    with tracing.tracer.start_as_current_span("Trip"), recorder.client() as client:
        client.get("https://api.openai.com/v1/models")
    assert str(recorder.requests[0].url) == "http://127.0.0.1:8787/v1/models"
    assert recorder.requests[0].headers["host"] == "127.0.0.1:8787"
    assert recorder.helicone_headers() == {
        "helicone-session-id": recorder.helicone_headers()["helicone-session-id"],
        "helicone-session-path": "/Trip",
        "helicone-session-name": "Trip",
    }


def test_a_gateway_of_ones_own_is_told_which_other_provider_is_meant(
    make_tracing: MakeTracing, recorder: Recorder
) -> None:
    tracing = make_tracing(gateway="https://helicone.corp.example", api_key=KEY)
    with tracing.tracer.start_as_current_span("Trip"), recorder.client() as client:
        client.post("https://api.anthropic.com/v1/messages", json=CHAT)
    assert recorder.requests[0].url.host == "helicone.corp.example"
    assert recorder.helicone_headers()["helicone-target-url"] == "https://api.anthropic.com"


def test_a_gateway_without_a_key_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HELICONE_API_KEY", raising=False)
    with pytest.raises(SettingError, match="HELICONE_API_KEY"):
        HeliconeSpanProcessor(gateway=True)
    with pytest.raises(SettingError, match="address of a gateway"):
        HeliconeSpanProcessor(gateway="helicone", api_key=KEY)
    with pytest.raises(SettingError) as caught:
        HeliconeSpanProcessor(gateway=True, api_key="sk-secret\n-x")
    assert "secret" not in str(caught.value)


def test_it_may_stand_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, make_tracing: MakeTracing, recorder: Recorder
) -> None:
    monkeypatch.setenv("HELICONE_GATEWAY", "true")
    monkeypatch.setenv("HELICONE_API_KEY", KEY)
    tracing = make_tracing()
    assert KEY not in repr(tracing.processor._settings)
    with tracing.tracer.start_as_current_span("Trip"), recorder.client() as client:
        client.get("https://api.openai.com/v1/models")
    assert recorder.requests[0].url.host == "oai.helicone.ai"
    tracing.processor.shutdown()
    with recorder.client() as client:
        client.get("https://api.openai.com/v1/models")
    assert recorder.requests[1].url.host == "api.openai.com"


def test_a_client_with_a_transport_of_its_own_for_the_provider_is_left_alone(
    routed: Any, stack: Any, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    own = Recorder(stack)
    mounts = {"all://api.openai.com": stack.MockTransport(own)}
    with recorder.client(mounts=mounts) as client:
        for _ in range(2):
            client.post("https://api.openai.com/v1/chat/completions", json=CHAT)
        client.post("https://api.groq.com/openai/v1/chat/completions", json=CHAT)
    assert [request.url.host for request in own.requests] == ["api.openai.com"] * 2
    assert [request.url.host for request in recorder.requests] == ["gateway.helicone.ai"]
    assert len([r for r in caplog.records if "mounted for api.openai.com" in r.getMessage()]) == 1


def test_a_key_that_is_no_text_is_a_setting_error_and_is_not_shown() -> None:
    wrong: Any
    for wrong in (5, b"sk-helicone-secret", ["sk-helicone-secret"]):
        with pytest.raises(SettingError) as raised:
            HeliconeSpanProcessor(api_key=wrong)
        assert "secret" not in str(raised.value)
        assert type(wrong).__name__ in str(raised.value)
