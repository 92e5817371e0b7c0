"""Spans whose part in a tree is known by their scope and name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.trace import SpanKind

from otel_helicone.primitives.known_spans import Part, is_call_by_library, part_of
from otel_helicone.primitives.segments import name_of_segment

LLAMA_INDEX = "openinference.instrumentation.llama_index"
DSPY = "openinference.instrumentation.dspy"
HAYSTACK = "openinference.instrumentation.haystack"


@pytest.mark.parametrize(
    ("scope", "name"),
    [
        (DSPY, "LM.acall"),
        (HAYSTACK, "OpenAIChatGenerator.run"),
        (HAYSTACK, "AnthropicChatGenerator.run_async"),
        (HAYSTACK, "CreateEmbeddings"),
    ],
)
def test_calls_of_frameworks_are_known_before_they_have_ended(scope: str, name: str) -> None:
    assert part_of(scope, name) is Part.CALL


@pytest.mark.parametrize(
    ("scope", "name"),
    [
        (LLAMA_INDEX, "BaseWorkflowAgent.run_agent_step"),
        (LLAMA_INDEX, "AgentWorkflow.call_tool"),
        (LLAMA_INDEX, "RetrieverQueryEngine._aquery"),
        (LLAMA_INDEX, "VectorIndexRetriever._retrieve"),
        (LLAMA_INDEX, "CompactAndRefine.get_response"),
        (DSPY, "ChatAdapter.__call__"),
        (DSPY, "Predict(StringSignature).forward"),
        (HAYSTACK, "Pipeline.run_async_generator"),
    ],
)
def test_what_frameworks_put_around_a_step_adds_no_segment(scope: str, name: str) -> None:
    assert name_of_segment(name, SpanKind.INTERNAL, {}, scope) is None


@pytest.mark.parametrize(
    ("scope", "name"),
    [
        (LLAMA_INDEX, "FunctionAgent.run"),
        (LLAMA_INDEX, "RetrieverQueryEngine.query"),
        (LLAMA_INDEX, "VectorIndexRetriever.retrieve"),
        (LLAMA_INDEX, "MyRetriever._retrieve"),
        (LLAMA_INDEX, "MyBot.get_response"),
        (LLAMA_INDEX, "MyWorkflow.call_tool"),
        (DSPY, "ReAct.forward"),
        (DSPY, "Predict(Weather).forward"),
        (DSPY, "MyProgram.forward"),
        (HAYSTACK, "Pipeline.run"),
        (HAYSTACK, "ReportGenerator.run"),
        (HAYSTACK, "InMemoryEmbeddingRetriever.run"),
    ],
)
def test_what_carries_meaning_or_is_the_applications_own_stays(scope: str, name: str) -> None:
    assert name_of_segment(name, SpanKind.INTERNAL, {}, scope) == name


def test_a_tool_of_dspy_is_called_by_its_name_without_the_method() -> None:
    tool = {"openinference.span.kind": "TOOL"}
    assert name_of_segment("weather.__call__", SpanKind.INTERNAL, tool, DSPY) == "weather"
    assert name_of_segment("weather.acall", SpanKind.INTERNAL, tool, DSPY) == "weather"
    elsewhere = name_of_segment("weather.acall", SpanKind.INTERNAL, tool, "another")
    assert elsewhere == "weather.acall"


@pytest.fixture
def models() -> Iterator[None]:
    before = is_call_by_library.get(LLAMA_INDEX)
    is_call_by_library[LLAMA_INDEX] = lambda name: name.startswith("MyModel.")
    yield
    del is_call_by_library[LLAMA_INDEX]
    if before is not None:
        is_call_by_library[LLAMA_INDEX] = before


@pytest.mark.usefixtures("models")
def test_a_library_may_tell_that_a_class_of_the_application_is_a_model() -> None:
    assert part_of(LLAMA_INDEX, "MyModel.achat") is Part.CALL
    assert part_of(LLAMA_INDEX, "MyChatEngine.achat") is None


LITELLM_CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o-mini",
    "litellm.call_id": "1",
}


def test_a_step_on_which_litellm_has_written_a_call_stays_a_step() -> None:
    assert name_of_segment("agent", SpanKind.INTERNAL, LITELLM_CALL, "app") == "agent"


@pytest.mark.parametrize(
    ("name", "kind", "scope", "more"),
    [
        ("litellm_request", SpanKind.INTERNAL, "litellm", {}),
        ("chat gpt-4o-mini", SpanKind.CLIENT, "app", {}),
        ("completion", SpanKind.INTERNAL, "openinference.instrumentation.litellm", {}),
        ("generate", SpanKind.INTERNAL, "app", {"openinference.span.kind": "LLM"}),
    ],
)
def test_but_the_span_of_the_call_itself_adds_none(
    name: str, kind: SpanKind, scope: str, more: dict[str, str]
) -> None:
    assert name_of_segment(name, kind, {**LITELLM_CALL, **more}, scope) is None
