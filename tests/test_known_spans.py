"""Spans that are known by scope and name: one answer when a request goes out and at the end."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider

from otel_helicone import default_segment
from otel_helicone.primitives.known_spans import KNOWN_SPANS, Part, part_of
from otel_helicone.settings.processor import CONVERSATION_ATTRIBUTES

SESSIONS = Path(__file__).parents[1] / "docs" / "sessions.md"
LANGCHAIN = "openinference.instrumentation.langchain"


def known_spans_table() -> str:
    """Write the table as the documentation has it."""
    lines = ["| scope | calls | machinery |", "| --- | --- | --- |"]
    for known in KNOWN_SPANS:
        calls, wrappers = (
            ", ".join(f"`{name}`" for name in names) for names in (known.calls, known.wrappers)
        )
        lines.append(f"| `{known.scope}` | {calls} | {wrappers} |")
    return "\n".join(lines)


def written_in(name: str) -> str:
    """Return what stands between two comments of the page on sessions."""
    text = SESSIONS.read_text("utf-8")
    _, _, rest = text.partition(f"<!-- {name}: made from ")
    return rest.partition("-->\n")[2].partition(f"<!-- end of {name} -->")[0].strip()


def test_the_table_of_the_documentation_is_that_of_the_code() -> None:
    assert written_in("known spans") == known_spans_table()


def test_the_list_of_the_documentation_is_that_of_the_code() -> None:
    listed = "\n".join(f"- `{name}`" for name in CONVERSATION_ATTRIBUTES)
    assert written_in("conversation attributes") == listed


@pytest.mark.parametrize("known", KNOWN_SPANS, ids=lambda known: known.scope)
def test_every_name_of_the_table_is_found(known: object) -> None:
    assert isinstance(known, type(KNOWN_SPANS[0]))
    for part, names in (
        (Part.CALL, known.calls),
        (Part.WRAPPER, known.wrappers),
        (Part.STEP, known.steps),
    ):
        for name in names:
            assert part_of(known.scope, name.replace("*", "")) is part


def test_a_scope_is_there_once() -> None:
    scopes = [known.scope for known in KNOWN_SPANS]
    assert len(scopes) == len(set(scopes))


@pytest.mark.parametrize(
    ("scope", "name", "segment"),
    [
        (LANGCHAIN, "RunnableSequence", None),
        (LANGCHAIN, "RunnableParallel<context,question>", None),
        (LANGCHAIN, "ChatPromptTemplate", None),
        (LANGCHAIN, "StrOutputParser", None),
        (LANGCHAIN, "__start__", None),
        (LANGCHAIN, "researcher", "researcher"),
        (LANGCHAIN, "LangGraph", "LangGraph"),
        ("my.app", "RunnableSequence", "RunnableSequence"),
        ("my.app", "call_llm", "call_llm"),
        ("gcp.vertex.agent", "call_llm", None),
        ("gcp.vertex.agent", "invocation", "invocation"),
        ("openinference.instrumentation.litellm", "acompletion", None),
        ("litellm", "litellm_request", None),
        ("openinference.instrumentation.openai_agents", "turn", None),
        ("openinference.instrumentation.openai_agents", "Agent workflow", "Agent workflow"),
    ],
)
def test_machinery_and_calls_add_no_segment_and_all_else_does(
    scope: str, name: str, segment: str | None
) -> None:
    span = TracerProvider(shutdown_on_exit=False).get_tracer(scope).start_span(name)
    assert default_segment(span) == segment  # type: ignore[arg-type]  # the SDK's own


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "weather"},
        {"openinference.span.kind": "TOOL", "tool.name": "weather"},
        {"traceloop.span.kind": "tool", "traceloop.entity.name": "weather"},
        {"ai.toolCall.name": "weather"},
    ],
)
def test_a_tool_goes_by_its_name(attributes: dict[str, str]) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("app")
    span = tracer.start_span("SimpleTool", attributes=attributes)
    assert default_segment(span) == "weather"  # type: ignore[arg-type]  # the SDK's own


def test_a_name_beside_another_kind_is_no_tools() -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("app")
    attributes = {"openinference.span.kind": "AGENT", "tool.name": "weather"}
    span = tracer.start_span("researcher", attributes=attributes)
    assert default_segment(span) == "researcher"  # type: ignore[arg-type]  # the SDK's own
