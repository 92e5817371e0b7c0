"""No request carries another one's session, however many are under way at once.

Two hundred clients at a time ask one ASGI application, each with a session of its own. The
application calls the gateway in every way that an application may: inline, in tasks, in threads,
from a stream and after the answer. Each call says in its body which session it belongs to.

``OTEL_HELICONE_LEAK_SECONDS`` says how long that goes on; 10 seconds by default.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import StreamingResponse
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from starlette.concurrency import run_in_threadpool

from otel_helicone import in_current_session, session
from tests.conftest import HELICONE_AUTH, MakeTracing

AT_ONCE = 200
SECONDS = float(os.environ.get("OTEL_HELICONE_LEAK_SECONDS", "10"))
GATEWAY = "https://oai.helicone.ai/v1/chat/completions"
PREFIX = "helicone-session-"


class Gateway:
    """Answers at random times, and compares what each call carries with what it says."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.wrong: list[Any] = []

    def check(self, request: httpx2.Request) -> httpx2.Response:
        said = json.loads(request.content)
        carried = {
            name.removeprefix(PREFIX): text
            for name, text in request.headers.items()
            if name.startswith(PREFIX)
        }
        self.calls[said.pop("way")] += 1
        if carried != said:
            self.wrong.append((carried, said))
        return httpx2.Response(200, json={})

    async def acheck(self, request: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(random.random() / 100)
        return self.check(request)


Ask = Callable[[str, str], Awaitable[None]]


def make_application(gateway: Gateway, tracing: Any) -> FastAPI:
    """Make the application: each route calls the gateway in one way, in the caller's session."""
    auth = {"Helicone-Auth": HELICONE_AUTH}
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(gateway.acheck), headers=auth)
    sync_client = httpx2.Client(transport=httpx2.MockTransport(gateway.check), headers=auth)
    tracer = tracing.tracer
    app = FastAPI()

    def body(user: str, way: str, path: str) -> dict[str, str]:
        return {"way": way, "id": f"id-{user}", "name": f"name-{user}", "path": path}

    async def ask(user: str, way: str) -> None:
        with tracer.start_as_current_span(f"step {user}"):
            await asyncio.sleep(random.random() / 100)
            await client.post(GATEWAY, json=body(user, way, f"/{user}/step {user}"))

    def ask_in_thread(user: str, way: str) -> None:
        with tracer.start_as_current_span(f"step {user}"):
            time.sleep(random.random() / 1000)
            sync_client.post(GATEWAY, json=body(user, way, f"/{user}/step {user}"))

    def in_session(user: str) -> session:
        return session(f"id-{user}", name=f"name-{user}", path=f"/{user}")

    @app.get("/inline/{user}")
    async def inline(user: str) -> None:
        with in_session(user):
            await ask(user, "inline")

    @app.get("/tasks/{user}")
    async def tasks(user: str) -> None:
        with in_session(user):
            async with asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(ask(user, "tasks"))

    @app.get("/thread/{user}")
    async def thread(user: str) -> None:
        with in_session(user):
            await run_in_threadpool(ask_in_thread, user, "thread")

    @app.get("/executor/{user}")
    async def executor(user: str) -> None:
        with in_session(user):
            bound = in_current_session(ask_in_thread)
            await asyncio.get_running_loop().run_in_executor(None, bound, user, "executor")

    @app.get("/sync/{user}")
    def sync(user: str) -> None:
        with in_session(user):
            ask_in_thread(user, "sync")

    @app.get("/stream/{user}")
    async def stream(user: str) -> StreamingResponse:
        @in_session(user)
        async def items() -> AsyncIterator[bytes]:
            for _ in range(3):
                await ask(user, "stream")
                yield b"item "

        return StreamingResponse(items())

    @app.get("/background/{user}")
    async def background(user: str, later: BackgroundTasks) -> None:
        later.add_task(in_session(user)(ask), user, "background")

    @app.get("/trace/{user}")
    async def trace_alone(user: str) -> None:
        # Without a block: the trace is the session, its root span the server's.
        with tracer.start_as_current_span("ask") as span:
            await asyncio.sleep(random.random() / 100)
            said = {
                "way": "trace",
                "id": f"{span.get_span_context().trace_id:032x}",
                "name": "GET /trace/{user}",
                "path": "/GET %2Ftrace%2F{user}/ask",
            }
            await client.post(GATEWAY, json=said)

    FastAPIInstrumentor.instrument_app(app, tracer_provider=tracing.provider)
    return app


WAYS = ["inline", "tasks", "thread", "executor", "sync", "stream", "background", "trace"]


async def test_no_call_ever_carries_anothers_session(make_tracing: MakeTracing) -> None:
    gateway = Gateway()
    tracing = make_tracing()
    app = make_application(gateway, tracing)
    transport = httpx2.ASGITransport(app=app)
    until = time.monotonic() + SECONDS
    asked = 0

    async def visit(client: httpx2.AsyncClient, visitor: int) -> None:
        nonlocal asked
        turn = 0
        while time.monotonic() < until or turn < 2:
            way = WAYS[(visitor + turn) % len(WAYS)]
            answer = await client.get(f"http://app/{way}/u{visitor}-{turn}")
            assert answer.status_code == 200, answer.text
            turn += 1
            asked += 1
            if visitor == 0:
                tracing.exporter.clear()  # not to hold all spans of a long run

    async with httpx2.AsyncClient(transport=transport, timeout=60) as client:
        async with asyncio.TaskGroup() as visitors:
            for visitor in range(AT_ONCE):
                visitors.create_task(visit(client, visitor))
    print(f"{asked} requests, {gateway.calls.total()} calls: {dict(gateway.calls)}")  # noqa: T201
    assert gateway.wrong[:3] == []
    assert set(gateway.calls) == set(WAYS)
    assert asked > AT_ONCE
