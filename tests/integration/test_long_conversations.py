"""Long conversations and many tools, as real instrumentations write them under the SDK's limits."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_helicone import HeliconeSpanExporter, HeliconeSpanProcessor
from otel_helicone.dialects.cut_json import CUT_MARK
from otel_helicone.local.server import LocalHelicone
from tests.integration.conftest import LLMServer, require

KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
MODULES = {
    "genai": "opentelemetry.instrumentation.genai.openai",
    "openinference": "openinference.instrumentation.openai",
    "openllmetry": "opentelemetry.instrumentation.openai",
}
MESSAGES: list[Any] = [
    {"role": ("user", "assistant")[number % 2], "content": f"turn {number} " + "word " * 40}
    for number in range(99)
] + [{"role": "user", "content": "What is the capital of France?"}]
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": f"tool_{number}",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
    for number in range(60)
]
LIMITS = {
    "the default limits": SpanLimits(),
    "a limit on values": SpanLimits(max_span_attributes=4096, max_span_attribute_length=300),
}


@pytest.fixture
def helicone(tmp_path: Path) -> Iterator[LocalHelicone]:
    with LocalHelicone(tmp_path / "requests.db", latency=0, api_keys=[KEY]) as helicone:
        yield helicone


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("name", MODULES)
def test_the_call_is_logged_with_its_figures_and_what_is_left_of_its_messages(
    name: str,
    limits: str,
    server: LLMServer,
    helicone: LocalHelicone,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "gen_ai_latest_experimental")
    provider = TracerProvider(span_limits=LIMITS[limits], shutdown_on_exit=False)
    provider.add_span_processor(HeliconeSpanProcessor())
    exporter = HeliconeSpanExporter(endpoint=helicone.url, api_key=KEY)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = require(MODULES[name]).OpenAIInstrumentor()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of their own dependencies
        instrumentor.instrument(tracer_provider=provider, skip_dep_check=True)
    try:
        with openai.OpenAI(base_url=server.base_url, api_key="none") as client:
            with provider.get_tracer("app").start_as_current_span("long talk"):
                client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, tools=TOOLS)
    finally:
        instrumentor.uninstrument()
    provider.force_flush()
    provider.shutdown()
    helicone.settle()
    (row,) = helicone.store.requests()
    assert (row.provider, row.session_path, row.status) == ("OPENAI", "/long talk", 200)
    assert str(row.model).startswith("gpt-4o-mini")
    assert row.prompt_tokens > 0 < row.completion_tokens
    request = json.loads(row.request_body)["providerRequest"]["json"]
    answer = json.loads(row.response_body)["choices"][0]["message"]
    assert answer["content"] == "The capital of France is Paris."
    asked = request["messages"]
    if limits == "the default limits":
        assert asked[-1]["content"] == "What is the capital of France?"
        if len(asked) < len(MESSAGES):
            assert "dropped by the span's attribute limit" in asked[0]["content"]
            assert "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT" in caplog.text
    else:
        assert asked[0]["role"] == "user"
        assert asked[0]["content"].startswith("turn 0 word word")
        if len(asked) < len(MESSAGES):
            assert any(CUT_MARK.strip() in str(message["content"]) for message in asked), asked
            assert "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT" in caplog.text
