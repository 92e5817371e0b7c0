"""The cost of an openai call, on a transport that answers at once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import httpx2
import openai
import urllib3
from aiohttp import web
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from benchmarks.measuring import Goal, print_table
from otel_helicone import HeliconeSpanProcessor, session_headers

CALLS: Final = 15
DEPTH: Final = 10
BARE: Final = "bare"
OURS: Final = "session headers"
THEIRS: Final = "OTel's httpx2 instrumentation"
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "Hello."},
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
).encode()


def _answer(_request: httpx2.Request) -> httpx2.Response:
    headers = {"content-type": "application/json", "helicone-id": "not-looked-at"}
    return httpx2.Response(200, content=ANSWER, headers=headers)


def run(rounds: int) -> list[Goal]:
    """Time calls bare, with session headers, and with OTel's instrumentation, each in three places.

    *The same span*: calls one after the other in one span. *A new innermost span*: each call in a
    span of its own. *A new trace*: each call in a trace of its own, ten spans deep. The spans
    themselves are not timed.
    """
    client = openai.OpenAI(
        api_key="none",
        base_url="https://oai.helicone.ai/v1",
        default_headers={"Helicone-Auth": "Bearer sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"},
        http_client=httpx2.Client(transport=httpx2.MockTransport(_answer)),
    )
    plain = TracerProvider(shutdown_on_exit=False)
    figures: dict[str, dict[str, float]] = {place: {} for place in PLACES}
    instrumentor = HTTPX2ClientInstrumentor()
    # Its types know the clients of httpx alone.
    http_client: Any = client._client
    # The library and the instrumentation are switched on and off between the works of a round.
    # Short rounds and many of them: what is looked for is a tenth of what is timed.
    for _ in range(rounds * 8):
        for place, timed in PLACES.items():
            of_place = figures[place]
            _note(of_place, BARE, timed(client, plain))
            traced = TracerProvider(shutdown_on_exit=False)
            traced.add_span_processor(HeliconeSpanProcessor())
            _note(of_place, OURS, timed(client, traced))
            traced.shutdown()
            instrumentor.instrument_client(http_client, tracer_provider=plain)
            _note(of_place, THEIRS, timed(client, plain))
            instrumentor.uninstrument_client(http_client)
    for place, of_place in figures.items():
        print_table(f"One openai call on a mock transport, {place}", of_place, BARE)
    first = {stamp: _first_header(1000, stamp=stamp) for stamp in (True, False)}
    print(f"The first header of a trace 1,000 deep: {first[True]:.2f} ms", end="")
    print(f", with stamp=False {first[False]:.2f} ms")
    among = {others: _renamed_request(others) for others in (0, 10_000, 100_000)}
    print("A renamed request with a late id, among so many open spans of other traces")
    for others, figure in among.items():
        print(f"  {others:7}  {figure:.0f} µs")
    elsewhere = _calls_elsewhere(rounds)
    added = {
        place: {name: figure - of_place[BARE] for name, figure in of_place.items()}
        for place, of_place in figures.items()
    }
    return [
        *(
            Goal.at_most(f"headers, {place}, in µs", of[OURS], of[THEIRS] * part)
            for (place, of), part in zip(added.items(), (0.2, 0.2, 0.3), strict=True)
        ),
        Goal.at_most("the first header at depth 1,000, in ms", first[True], 2),
        Goal.at_most("the same with stamp=False, in ms", first[False], 2),
        Goal.at_most("a rename among 100,000 spans against none", among[100_000] / among[0], 1.5),
        *(
            Goal.at_most(f"a request of {client} to another host, in µs", of[OURS] - of[BARE], 10)
            for client, of in elsewhere.items()
        ),
    ]


def _note(figures: dict[str, float], name: str, figure: float) -> None:
    figures[name] = min(figures.get(name, figure), figure)


def _call(client: openai.OpenAI) -> None:
    client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello?"}]
    )


def _same_span(client: openai.OpenAI, provider: TracerProvider) -> float:
    token = context.attach(_trace_of(provider, DEPTH))
    _call(client)
    started = time.thread_time_ns()
    for _ in range(CALLS):
        _call(client)
    took = time.thread_time_ns() - started
    context.detach(token)
    return took / CALLS / 1000


def _new_span(client: openai.OpenAI, provider: TracerProvider) -> float:
    tracer = provider.get_tracer("bench")
    token = context.attach(_trace_of(provider, DEPTH - 1))
    took = 0
    for _ in range(CALLS):
        with tracer.start_as_current_span("step"):
            started = time.thread_time_ns()
            _call(client)
            took += time.thread_time_ns() - started
    context.detach(token)
    return took / CALLS / 1000


def _new_trace(client: openai.OpenAI, provider: TracerProvider) -> float:
    took = 0
    for _ in range(CALLS):
        token = context.attach(_trace_of(provider, DEPTH))
        started = time.thread_time_ns()
        _call(client)
        took += time.thread_time_ns() - started
        context.detach(token)
    return took / CALLS / 1000


PLACES: Final = {
    "the same span": _same_span,
    "a new innermost span": _new_span,
    "a new trace": _new_trace,
}


def _trace_of(provider: TracerProvider, depth: int) -> Context:
    tracer = provider.get_tracer("bench")
    within = Context()
    for level in range(depth):
        within = trace.set_span_in_context(tracer.start_span(f"level {level}", within), within)
    return within


def _first_header(depth: int, *, stamp: bool) -> float:
    """Return the milliseconds that the first header of a deep trace takes."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(HeliconeSpanProcessor(inject=False, stamp=stamp))
    best = float("inf")
    for _ in range(20):
        token = context.attach(_trace_of(provider, depth))
        started = time.thread_time_ns()
        session_headers()
        best = min(best, time.thread_time_ns() - started)
        context.detach(token)
    return best / 1e6


def _renamed_request(others: int) -> float:
    """Return the microseconds of a request whose server span is renamed and gets an id late."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(HeliconeSpanProcessor(inject=False))
    tracer = provider.get_tracer("bench")
    held = [_trace_of(provider, 5) for _ in range(others // 5)]
    best = float("inf")
    for _ in range(200):
        started = time.thread_time_ns()
        server = tracer.start_span("GET", Context(), kind=SpanKind.SERVER)
        step = tracer.start_span("step", trace.set_span_in_context(server, Context()))
        server.update_name("GET /chat/{id}")
        server.set_attribute("helicone.session.id", "conversation")
        token = context.attach(trace.set_span_in_context(step, Context()))
        session_headers()
        context.detach(token)
        step.end()
        server.end()
        best = min(best, time.thread_time_ns() - started)
    assert len(held) == others // 5
    return best / 1000


class _Pool(urllib3.HTTPConnectionPool):
    """A pool whose connections answer at once, for what ``urlopen`` itself costs."""

    def _make_request(self, *_: Any, **options: Any) -> urllib3.HTTPResponse:
        return urllib3.HTTPResponse(b"{}", status=200, headers=options["headers"])


def _calls_elsewhere(rounds: int) -> dict[str, dict[str, float]]:
    """Return what requests cost that do not go to Helicone, bare and while injection is on."""
    figures: dict[str, dict[str, float]] = {"urllib3": {}, "aiohttp": {}}
    pool = _Pool("api.example.com")

    def by_urllib3() -> float:
        started = time.thread_time_ns()
        for _ in range(100):
            pool.urlopen("GET", "/v1/models", headers={"Authorization": "Bearer none"})
        return (time.thread_time_ns() - started) / 100 / 1000

    async def by_aiohttp() -> float:
        async with _answering() as url, aiohttp.ClientSession() as http:
            async with http.get(url):
                pass
            started = time.thread_time_ns()
            for _ in range(100):
                async with http.get(url):
                    pass
            return (time.thread_time_ns() - started) / 100 / 1000

    for _ in range(rounds * 8):
        for name in (BARE, OURS):
            processor = HeliconeSpanProcessor(inject=name is OURS)
            _note(figures["urllib3"], name, by_urllib3())
            _note(figures["aiohttp"], name, asyncio.run(by_aiohttp()))
            processor.shutdown()
    for client, of_client in figures.items():
        print_table(f"One request of {client} to another host", of_client, BARE)
    return figures


@asynccontextmanager
async def _answering() -> AsyncIterator[str]:
    """Serve an empty answer on this machine, in the same event loop."""

    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response()

    server = await asyncio.get_running_loop().create_server(web.Server(answer), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
