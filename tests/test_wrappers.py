"""What frameworks put around tools, retrievals and steps is taken off, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.sdk.trace import Event

from otel_helicone.dialects.describe import describe
from otel_helicone.dialects.description import Kind
from tests.made_spans import span


def run_of_langchain(**what: Any) -> dict[str, Any]:
    """Return what LangChain's callbacks are called with."""
    ids = {"thread_id": "th-9", "checkpoint_ns": "tools:1"}
    return {**what, "tags": ["seq:step:1"], "metadata": ids, "kwargs": {"tool_call_id": "c1"}}


TOOL_MESSAGE = {"content": '{"opens": 9}', "type": "tool", "name": "hours", "tool_call_id": "c1"}
ASKED = {"city": "Lima"}


@pytest.mark.parametrize(
    ("written", "call_id"),
    [
        (ASKED, None),
        ("{'city': 'Lima'}", None),
        ({"args": [], "kwargs": ASKED}, None),
        ({"args": [], "sanitize_inputs_outputs": True, "kwargs": ASKED}, None),
        (run_of_langchain(input_str="{'city': 'Lima'}", inputs=ASKED), "c1"),
        (run_of_langchain(input_str="{'city': 'Lima'}", inputs=None), "c1"),
        ({"name": "hours", "args": ASKED, "id": "c1", "type": "tool_call"}, "c1"),
        ({"type": "tool_use", "id": "c1", "name": "hours", "input": ASKED}, "c1"),
        (
            {
                "id": "c1",
                "type": "function",
                "function": {"name": "hours", "arguments": '{"city": "Lima"}'},
            },
            "c1",
        ),
        ({"tool_name": "hours", "arguments": ASKED}, None),
        ({"name": "hours", "arguments": ASKED, "_meta": None}, None),
        ({"tool_name": "hours", "tool_kwargs": ASKED, "tool_id": "c1"}, "c1"),
    ],
)
def test_arguments_come_out_of_what_frameworks_put_around_them(
    written: Any, call_id: str | None
) -> None:
    text = written if isinstance(written, str) else json.dumps(written)
    told = {"openinference.span.kind": "TOOL", "tool.name": "hours", "input.value": text}
    tool = describe(span(told))
    assert (tool.arguments, tool.tool_call_id) == (ASKED, call_id)


@pytest.mark.parametrize(
    "arguments",
    [
        {"input": "rain"},
        {"inputs": ["a"], "kwargs": {}},
        {"args": ["-l"]},
        {"name": "ls", "arguments": ["-l"]},
        {"query": "rain", "metadata": {"a": 1}, "limit": 3},
        {"output": 1, "kwargs": {"a": 1}, "more": 2},
        {"type": "text", "text": "a", "size": 3},
        [{"text": "a"}],
    ],
)
def test_a_tools_own_arguments_may_be_called_as_wrappers_are(arguments: Any) -> None:
    value = json.dumps(arguments)
    told = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "hours"}
    told |= {"gen_ai.tool.call.arguments": value, "gen_ai.tool.call.result": value}
    tool = describe(span(told))
    assert (tool.arguments, tool.result) == (arguments, arguments)


@pytest.mark.parametrize(
    ("written", "call_id"),
    [
        ({"output": {"opens": 9}, "kwargs": {"tags": []}}, None),
        ({"lc": 1, "type": "constructor", "id": ["ToolMessage"], "kwargs": TOOL_MESSAGE}, "c1"),
        ({"type": "tool", "data": TOOL_MESSAGE}, "c1"),
        (TOOL_MESSAGE, "c1"),
        ("content='{\"opens\": 9}' name='hours' tool_call_id='c1'", "c1"),
        ([{"type": "text", "text": '{"opens": 9}'}], None),
        ({"type": "text", "text": '{"opens": 9}', "annotations": None, "meta": None}, None),
        ({"content": [{"type": "text", "text": '{"opens": 9}'}], "isError": False}, None),
        ({"content": [], "structuredContent": {"opens": 9}, "isError": False}, None),
        (
            {
                "blocks": [{"block_type": "text", "text": '{"opens": 9}'}],
                "tool_name": "hours",
                "raw_input": {"kwargs": {}},
                "raw_output": {"opens": 9},
                "is_error": False,
            },
            None,
        ),
        (
            {
                "tool_name": "hours",
                "tool_kwargs": {},
                "tool_id": "c1",
                "tool_output": {
                    "blocks": [{"block_type": "text", "text": '{"opens": 9}'}],
                    "tool_name": "hours",
                    "raw_input": {"kwargs": {}},
                    "raw_output": None,
                },
            },
            "c1",
        ),
    ],
)
def test_so_do_answers(written: Any, call_id: str | None) -> None:
    text = written if isinstance(written, str) else json.dumps(written)
    told = {"openinference.span.kind": "TOOL", "tool.name": "hours", "output.value": text}
    tool = describe(span(told))
    assert (tool.result, tool.tool_call_id) == ({"opens": 9}, call_id)


def test_so_does_what_a_step_went_in_with_and_came_out_with() -> None:
    told = {
        "traceloop.span.kind": "task",
        "traceloop.entity.input": json.dumps(run_of_langchain(inputs={"question": "When?"})),
        "traceloop.entity.output": json.dumps({"outputs": {"answer": "At 9"}, "kwargs": {}}),
    }
    step = describe(span(told))
    assert (step.step_input, step.step_output) == ({"question": "When?"}, {"answer": "At 9"})


@pytest.mark.parametrize(
    ("written", "query"),
    [
        ("Which museum?", "Which museum?"),
        ('{"query_bundle": {"query_str": "Which museum?"}}', "Which museum?"),
        ('{"str_or_query_bundle": "Which museum?"}', "Which museum?"),
        ('{"args": ["Which museum?"], "kwargs": {}}', "Which museum?"),
        (json.dumps(run_of_langchain(query="Which museum?")), "Which museum?"),
        ('{"top_k": 3, "where": "here"}', '{"top_k": 3, "where": "here"}'),
        (json.dumps(run_of_langchain(query=None)), None),
    ],
)
def test_a_query_comes_out_of_the_arguments_of_its_retriever(
    written: str, query: str | None
) -> None:
    told = {"openinference.span.kind": "RETRIEVER", "input.value": written}
    assert describe(span(told)).query == query


def test_documents_of_every_framework_have_their_text_in_one_place() -> None:
    found = [
        {"page_content": "Larco", "metadata": {"a": 1}},
        {"lc": 1, "type": "constructor", "kwargs": {"page_content": "MALI", "metadata": {}}},
        {"node": {"id_": "n1", "text": "Pedro"}, "score": 0.5, "class_name": "NodeWithScore"},
        {"content": "MAC", "score": 0.1},
        "bare",
    ]
    told = {
        "gen_ai.operation.name": "vector_db_retrieve",
        "traceloop.span.kind": "task",
        "traceloop.entity.output": json.dumps({"documents": found, "count": 5}),
    }
    retrieval = describe(span(told))
    assert retrieval.kind is Kind.RETRIEVAL
    assert retrieval.documents == (
        {"content": "Larco", "metadata": {"a": 1}},
        {"content": "MALI", "metadata": {}},
        {"score": 0.5, "content": "Pedro", "id": "n1"},
        {"content": "MAC", "score": 0.1},
        "bare",
    )


LLAMA_INDEX = "opentelemetry.instrumentation.llamaindex"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("FunctionTool.task", Kind.TOOL),
        ("QueryEngineTool.workflow", Kind.TOOL),
        ("VectorIndexRetriever.task", Kind.RETRIEVAL),
        ("CompactAndRefine.task", Kind.OTHER),
        ("Agent.workflow", Kind.WORKFLOW),
    ],
)
def test_openllmetry_tells_what_llama_index_ran_by_its_class_alone(name: str, kind: Kind) -> None:
    told = {"traceloop.span.kind": name.partition(".")[2], "traceloop.entity.name": name}
    assert describe(span(told, name, scope=LLAMA_INDEX)).kind is kind
    assert describe(span(told, name, scope="mine")).kind in (Kind.OTHER, Kind.WORKFLOW)


def test_a_tool_call_of_a_workflow_of_llama_index_names_its_tool() -> None:
    told = {
        "traceloop.span.kind": "task",
        "traceloop.entity.name": "call_tool.task",
        "traceloop.entity.input": '{"ev": {}}',
        "tool.name": "hours",
        "tool.arguments": '{"city": "Lima"}',
    }
    tool = describe(span(told, "call_tool.task", scope=LLAMA_INDEX))
    assert (tool.kind, tool.tool_name, tool.arguments) == (Kind.TOOL, "hours", ASKED)


def test_strands_tells_a_tool_in_details_of_its_operation_too() -> None:
    part = {"type": "tool_call", "name": "hours", "id": "c1", "arguments": ASKED}
    answer = {"type": "tool_call_response", "id": "c1", "response": [{"text": '{"opens": 9}'}]}
    details = "gen_ai.client.inference.operation.details"
    tool = describe(
        span(
            {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "hours"},
            scope="strands.telemetry.tracer",
            events=tuple(
                Event(details, {f"gen_ai.{name}.messages": json.dumps([message])})
                for name, message in (
                    ("input", {"role": "tool", "parts": [part]}),
                    ("output", {"role": "tool", "parts": [answer]}),
                )
            ),
        )
    )
    assert (tool.arguments, tool.result) == (ASKED, {"opens": 9})


def test_the_context_that_a_workflow_hands_to_a_tool_is_no_argument() -> None:
    context = "<workflows.context.context.Context object at 0x7f83cf59c290>"
    handed = {"kwargs": {"to_agent": "forecaster", "ctx": context}}
    told = describe(
        span(
            {
                "openinference.span.kind": "TOOL",
                "tool.name": "handoff",
                "input.value": json.dumps(handed),
            },
            scope="openinference.instrumentation.llama_index",
        )
    )
    assert told.arguments == {"to_agent": "forecaster"}


def test_a_tool_of_dspy_is_logged_by_its_name_without_the_method() -> None:
    written = {"openinference.span.kind": "TOOL", "input.value": "{}"}
    told = describe(span(written, "weather.acall", scope="openinference.instrumentation.dspy"))
    assert told.tool_name == "weather"
