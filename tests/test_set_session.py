"""``set_session(...)``: a session for the rest of a trace, whatever ends in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from opentelemetry import context
from opentelemetry.trace import Tracer, set_span_in_context

from otel_helicone import current_session, session, session_headers, set_session
from tests.conftest import MakeTracing, Tracing


def sent() -> dict[str, str]:
    return {name.removeprefix("Helicone-"): text for name, text in session_headers().items()}


def test_it_holds_for_what_comes_later_in_the_trace(tracing: Tracing) -> None:
    tracer = tracing.tracer
    with tracer.start_as_current_span("POST /chat") as root:
        with tracer.start_as_current_span("before"):
            pass
        with tracer.start_as_current_span("handler"):
            set_session("conv-1", name="Chat", user_id="u1", properties={"Tier": "gold"})
        with tracer.start_as_current_span("stream"):
            assert sent() == {
                "Session-Id": "conv-1",
                "Session-Path": "/POST %2Fchat/stream",
                "Session-Name": "Chat",
                "User-Id": "u1",
                "Property-tier": "gold",
            }
        assert root.attributes["helicone.session.id"] == "conv-1"  # type: ignore[attr-defined]
    ids = {name: span["helicone.session.id"] for name, span in tracing.exported().items()}
    assert ids.pop("before") == f"{root.get_span_context().trace_id:032x}"
    assert {*ids.values()} == {"conv-1"}
    with tracer.start_as_current_span("the next trace"):
        assert sent()["Session-Id"] != "conv-1"


def test_it_holds_in_the_tasks_of_a_trace_and_in_no_other(tracer: Tracer) -> None:
    async def request(number: int) -> None:
        with tracer.start_as_current_span(f"request {number}"):
            started = asyncio.Event()

            async def background() -> str:
                await started.wait()
                return sent()["Session-Id"]

            task = asyncio.create_task(background())
            await asyncio.sleep(0)
            set_session(f"conv-{number}")
            started.set()
            assert await task == f"conv-{number}"

    async def all_requests() -> None:
        await asyncio.gather(*(request(number) for number in range(20)))

    asyncio.run(all_requests())


def test_a_block_that_is_entered_later_goes_before_it_and_an_earlier_one_does_not(
    tracer: Tracer,
) -> None:
    with session("outer"), tracer.start_as_current_span("root"):
        set_session("set")
        assert sent()["Session-Id"] == "set"
        with session("inner"):
            assert sent()["Session-Id"] == "inner"
            set_session("set again")
            assert sent()["Session-Id"] == "set again"
        assert sent()["Session-Id"] == "set again"


def test_what_it_is_not_given_stays(tracer: Tracer) -> None:
    with tracer.start_as_current_span("root") as root:
        set_session(user_id="u1")
        assert sent()["Session-Id"] == f"{root.get_span_context().trace_id:032x}"
        assert sent()["User-Id"] == "u1"
        set_session("conv", properties={"a": "1"})
        set_session(properties={"b": "2"})
        now = current_session()
    assert now is not None
    assert (now.id, now.user_id, dict(now.properties)) == ("conv", "u1", {"b": "2", "a": "1"})


def test_with_nothing_it_is_a_new_session(tracer: Tracer) -> None:
    with tracer.start_as_current_span("root"):
        set_session()
        assert UUID(sent()["Session-Id"]).version == 4


def test_without_a_span_it_holds_for_the_current_context() -> None:
    def work() -> str:
        set_session("job-1", name="Job")
        return sent()["Session-Id"]

    import contextvars

    assert contextvars.copy_context().run(work) == "job-1"
    assert session_headers() == {}


def test_unsafe_values_raise_nothing(tracer: Tracer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.failures_are_expected = True  # type: ignore[attr-defined]
    anything: Any = ["no mapping"]
    with tracer.start_as_current_span("root"):
        set_session("a\r\nb", properties=anything)
        assert sent()["Session-Id"] == "a%0D%0Ab"


def test_spans_of_the_trace_that_are_open_are_stamped_with_it(make_tracing: MakeTracing) -> None:
    tracer = make_tracing().tracer
    root = tracer.start_span("root", context.Context())
    other = tracer.start_span("other", context.Context())
    within = set_span_in_context(root)
    child: Any = tracer.start_span("child", within)
    token = context.attach(within)
    set_session("conv")
    context.detach(token)
    assert child.attributes["helicone.session.id"] == "conv"
    assert other.attributes["helicone.session.id"] != "conv"  # type: ignore[attr-defined]


async def test_a_response_that_is_streamed_after_its_handler_has_returned(
    tracer: Tracer,
) -> None:
    from fastapi import FastAPI
    from fastapi.responses import StreamingResponse
    from httpx import ASGITransport, AsyncClient

    app = FastAPI()
    seen: list[str] = []

    async def answer() -> AsyncIterator[str]:
        for word in ("Hello", " there"):
            with tracer.start_as_current_span("ask"):
                seen.append(sent()["Session-Id"])
            yield word

    @app.post("/chat/{conversation}")
    async def chat(conversation: str) -> StreamingResponse:
        set_session(conversation)
        return StreamingResponse(answer())

    async def traced(scope: Any, receive: Any, send: Any) -> None:
        with tracer.start_as_current_span(f"{scope['method']} {scope['path']}"):
            await app(scope, receive, send)

    async with AsyncClient(transport=ASGITransport(app=traced), base_url="http://app") as client:
        for conversation in ("conv-1", "conv-2"):
            assert (await client.post(f"/chat/{conversation}")).text == "Hello there"
    assert seen == ["conv-1", "conv-1", "conv-2", "conv-2"]
