"""What a gateway adds to a call: ours, and LiteLLM's proxy, beside calling the upstream directly.

All three are asked for the same chat completion by the same client, in turns. The upstream is a
process of its own that answers at once; ours stores each request, LiteLLM's stores nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import aiohttp

from benchmarks.measuring import Goal
from benchmarks.servers import server

__all__ = ["run"]

# A multiple of AT_ONCE, so that every caller makes as many.
CALLS: Final = 320
ROUNDS: Final = 3
AT_ONCE: Final = 16
CHAT: Final = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "What is the weather in Paris? " * 8}],
}
UPSTREAM: Final = """
import json, sys
from aiohttp import web
ANSWER = json.dumps({"id": "chatcmpl-1", "object": "chat.completion", "created": 1,
    "model": "gpt-4o-mini", "choices": [{"index": 0, "finish_reason": "stop",
    "message": {"role": "assistant", "content": "It is 18 degrees and cloudy. " * 8}}],
    "usage": {"prompt_tokens": 60, "completion_tokens": 60, "total_tokens": 120}}).encode()
async def answer(request):
    await request.read()
    return web.Response(body=ANSWER, content_type="application/json")
app = web.Application()
app.router.add_route("*", "/{path:.*}", answer)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
"""


def run(_rounds: int) -> list[Goal]:
    """Measure calls one after the other, and sixteen at once; print both."""
    print(f"Gateways: {CALLS} calls each, the best of {ROUNDS} rounds taken in turns")
    with ExitStack() as stack:
        targets = stack.enter_context(_targets())
        asyncio.run(_measure_all(targets))
    return []


@contextmanager
def _targets() -> Iterator[dict[str, str]]:
    """Start the upstream and the gateways; give the address of each."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(
            server([sys.executable, "-c", UPSTREAM, "{port}"], "/", {}, folder / "upstream")
        )
        ours = stack.enter_context(
            server(
                [
                    *(sys.executable, "-m", "otel_helicone", "serve", "--port", "{port}"),
                    *("--store", str(folder / "requests.db"), "--upstream", upstream),
                ],
                "/healthz",
                {},
                folder / "ours",
            )
        )
        targets = {"directly": upstream, "local Helicone": ours}
        python = os.environ.get("BENCH_LITELLM_PYTHON")
        if python is not None:
            targets["LiteLLM proxy"] = stack.enter_context(_litellm(python, upstream, folder))
        yield targets


@contextmanager
def _litellm(python: str, upstream: str, folder: Path) -> Iterator[str]:
    model = {"model": "openai/gpt-4o-mini", "api_base": f"{upstream}/v1", "api_key": "none"}
    settings = {
        "model_list": [{"model_name": "gpt-4o-mini", "litellm_params": model}],
        "litellm_settings": {"telemetry": False},
    }
    (folder / "litellm.yaml").write_text(json.dumps(settings))  # JSON is YAML
    command = [
        *(str(Path(python).with_name("litellm")), "--config", str(folder / "litellm.yaml")),
        *("--host", "127.0.0.1", "--port", "{port}", "--num_workers", "1"),
    ]
    # Its prices come with it; nothing is fetched.
    environment = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        # Ours asks for no key on this machine either.
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    }
    with server(command, "/health/liveliness", environment, folder / "litellm") as address:
        yield address


async def _measure_all(targets: Mapping[str, str]) -> None:
    latencies: dict[str, list[float]] = {name: [] for name in targets}
    throughput: dict[str, dict[int, float]] = {name: {1: 0.0, AT_ONCE: 0.0} for name in targets}
    async with aiohttp.ClientSession() as session:
        for address in targets.values():
            await _calls(session, address, 50, 1)
        for _ in range(ROUNDS):
            for name, address in targets.items():
                for at_once in (1, AT_ONCE):
                    started = time.perf_counter()
                    took = await _calls(session, address, CALLS, at_once)
                    speed = CALLS / (time.perf_counter() - started)
                    throughput[name][at_once] = max(throughput[name][at_once], speed)
                    if at_once == 1 and (not latencies[name] or sum(took) < sum(latencies[name])):
                        latencies[name] = took
    _print(latencies, throughput)


async def _calls(
    session: aiohttp.ClientSession, address: str, count: int, at_once: int
) -> list[float]:
    """Make calls, so many at once; give the milliseconds of each."""
    took: list[float] = []
    headers = {
        "Authorization": "Bearer none",
        "Helicone-Session-Id": "bench",
        "Helicone-Session-Path": "/call",
        "Helicone-Session-Name": "Bench",
    }

    async def caller(calls: int) -> None:
        for _ in range(calls):
            started = time.perf_counter()
            target = f"{address}/v1/chat/completions"
            async with session.post(target, json=CHAT, headers=headers) as answer:
                await answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"{address} answered {answer.status}")
            took.append((time.perf_counter() - started) * 1000)

    await asyncio.gather(*(caller(count // at_once) for _ in range(at_once)))
    return took


def _print(
    latencies: Mapping[str, list[float]], throughput: Mapping[str, Mapping[int, float]]
) -> None:
    bare = statistics.median(latencies["directly"])
    print(
        f"  {'':16}{'median':>10}{'p95':>10}{'added':>10}{'ratio':>8}"
        f"{'calls/s':>10}{'ratio':>7}{f'{AT_ONCE} at once':>12}{'ratio':>7}"
    )
    for name, took in latencies.items():
        median = statistics.median(took)
        alone, at_once = throughput[name][1], throughput[name][AT_ONCE]
        p95 = statistics.quantiles(took, n=20)[-1]
        print(
            f"  {name:16}{median:7.2f} ms{p95:7.2f} ms{median - bare:+7.2f} ms{median / bare:8.1f}"
            f"{alone:10,.0f}{alone / throughput['directly'][1]:7.3f}"
            f"{at_once:12,.0f}{at_once / throughput['directly'][AT_ONCE]:7.3f}"
        )
