"""The cost of an openai call, on a transport that answers at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import openai
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider

from benchmarks.measuring import Goal, best_of, print_table
from otel_helicone import HeliconeSpanProcessor

CALLS = 40
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
    """Time calls bare, with session headers at three depths, and with OTel's instrumentation."""
    client = openai.OpenAI(
        api_key="none",
        base_url="https://oai.helicone.ai/v1",
        default_headers={"Helicone-Auth": "Bearer sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"},
        http_client=httpx2.Client(transport=httpx2.MockTransport(_answer)),
    )

    def calls(within: Context) -> Callable[[], None]:
        def work() -> None:
            token = context.attach(within)
            for _ in range(CALLS):
                client.chat.completions.create(
                    model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello?"}]
                )
            context.detach(token)

        return work

    plain = TracerProvider(shutdown_on_exit=False)
    at_depth = {depth: _trace_of(plain, depth) for depth in (1,)}
    figures: dict[str, float] = {}
    instrumentor = HTTPX2ClientInstrumentor()

    # The library and the instrumentation are switched on and off between the works of a round.
    # Short rounds and many of them: what is looked for is a thirtieth of what is timed.
    for _ in range(rounds * 8):
        _note(figures, "bare", calls(at_depth[1]))
        traced = TracerProvider(shutdown_on_exit=False)
        traced.add_span_processor(HeliconeSpanProcessor())
        for depth in (1, 10, 100):
            _note(figures, f"session headers, {depth} deep", calls(_trace_of(traced, depth)))
        traced.shutdown()
        # Its types know the clients of httpx alone.
        http_client: Any = client._client
        instrumentor.instrument_client(http_client, tracer_provider=plain)
        _note(figures, "OTel's httpx2 instrumentation", calls(at_depth[1]))
        instrumentor.uninstrument_client(http_client)
    print_table("One openai call on a mock transport", figures, "bare")
    bare = figures["bare"]
    ours = figures["session headers, 10 deep"] - bare
    theirs = figures["OTel's httpx2 instrumentation"] - bare
    return [Goal.at_most("session headers at depth 10, in µs", ours, theirs / 5)]


def _note(figures: dict[str, float], name: str, work: Callable[[], None]) -> None:
    figure = best_of(1, {name: work}, CALLS)[name]
    figures[name] = min(figures.get(name, figure), figure)


def _trace_of(provider: TracerProvider, depth: int) -> Context:
    tracer = provider.get_tracer("bench")
    within = Context()
    for level in range(depth):
        within = trace.set_span_in_context(tracer.start_span(f"level {level}", within), within)
    return within
