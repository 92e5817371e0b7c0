"""What single dialects tell: spans as their instrumentations write them, in short."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from otel_helicone.dialects.describe import DIALECTS, describe
from otel_helicone.dialects.description import Description, Kind, Part, ToolCall, Usage
from otel_helicone.dialects.token_counts import whole_usage
from otel_helicone.logs.finish_reasons import finish_reason_of_openai
from otel_helicone.logs.media import without_media
from otel_helicone.logs.translating import Translator

# One for all: the SDK asks the machine for each one that it makes itself.
RESOURCE = Resource({})
SECOND = 1_000_000_000


def span(
    attributes: dict[str, Any],
    name: str = "span",
    *,
    scope: str = "instrumentation",
    events: tuple[Event, ...] = (),
    status: Status | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
) -> ReadableSpan:
    return ReadableSpan(
        name,
        context=SpanContext(1, 2, False, TraceFlags(1)),
        attributes=attributes,
        events=events,
        status=status or Status(StatusCode.UNSET),
        kind=kind,
        start_time=1000 * SECOND,
        end_time=1002 * SECOND,
        resource=RESOURCE,
        instrumentation_scope=InstrumentationScope(scope),
    )


def text_of(description: Description) -> list[tuple[str, str | None]]:
    """Give the messages in and out as pairs of role and text."""
    return [
        (message.role, message.parts[0].text if message.parts else None)
        for message in (*(description.input or ()), *(description.output or ()))
    ]


def test_vercel_ai_has_the_call_in_the_inner_span() -> None:
    inner = describe(
        span(
            {
                "operation.name": "ai.streamText.doStream",
                "ai.operationId": "ai.streamText.doStream",
                "ai.model.id": "gpt-4o-mini",
                "ai.model.provider": "openai.chat",
                "ai.prompt.messages": json.dumps(
                    [
                        {"role": "system", "content": "Be terse."},
                        {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
                        {
                            "role": "tool",
                            "content": [
                                {
                                    "type": "tool-result",
                                    "toolCallId": "c1",
                                    "toolName": "weather",
                                    "output": {"type": "json", "value": {"sky": "rain"}},
                                }
                            ],
                        },
                    ]
                ),
                "ai.prompt.tools": ('{"type":"function","name":"weather","inputSchema":{}}',),
                "ai.prompt.toolChoice": '{"type":"auto"}',
                "ai.response.text": "Rain.",
                "ai.response.toolCalls": json.dumps(
                    [{"toolCallId": "c2", "toolName": "weather", "input": '{"city":"Oslo"}'}]
                ),
                "ai.response.finishReason": "tool-calls",
                "ai.response.id": "chatcmpl-1",
                "ai.response.model": "gpt-4o-mini-2024-07-18",
                "ai.response.msToFirstChunk": 120.5,
                "ai.usage.inputTokens": 71,
                "ai.usage.outputTokens": 19,
                "ai.usage.cachedInputTokens": 16,
                "ai.usage.reasoningTokens": 3,
            }
        )
    )
    assert inner.kind is Kind.LLM
    assert inner.streaming is True
    assert inner.provider == "openai.chat"
    assert text_of(inner) == [
        ("system", "Be terse."),
        ("user", "Weather?"),
        ("tool", '{"sky": "rain"}'),
        ("assistant", "Rain."),
    ]
    assert inner.output is not None
    assert inner.output[0].tool_calls == (ToolCall("c2", "weather", {"city": "Oslo"}),)
    assert inner.usage == Usage(71, 19, None, 16, None, 3)
    assert inner.seconds_to_first_token == 0.1205
    assert inner.parameters == {"tool_choice": "auto"}
    outer = span({"ai.operationId": "ai.streamText", "ai.usage.inputTokens": 71})
    assert describe(outer).kind is Kind.AGENT
    assert describe(outer).usage is None


def test_vercel_ai_tools_and_embeddings() -> None:
    tool = describe(
        span(
            {
                "ai.operationId": "ai.toolCall",
                "ai.toolCall.name": "weather",
                "ai.toolCall.id": "c1",
                "ai.toolCall.args": '{"city":"Oslo"}',
                "ai.toolCall.result": '{"sky":"rain"}',
            }
        )
    )
    assert (tool.kind, tool.tool_name, tool.tool_call_id) == (Kind.TOOL, "weather", "c1")
    assert (tool.arguments, tool.result) == ({"city": "Oslo"}, {"sky": "rain"})
    embedding = describe(
        span(
            {
                "ai.operationId": "ai.embedMany.doEmbed",
                "ai.model.id": "text-embedding-3-small",
                "ai.values": ('"one"', '"two"'),
                "ai.usage.tokens": 4,
            }
        )
    )
    assert (embedding.kind, embedding.embedding_input) == (Kind.EMBEDDING, ("one", "two"))


def test_pydantic_ai_with_its_events_in_one_attribute() -> None:
    call = describe(
        span(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.system": "openai",
                "gen_ai.request.model": "gpt-4o-mini",
                "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
                "gen_ai.usage.input_tokens": 24,
                "gen_ai.usage.output_tokens": 8,
                "events": json.dumps(
                    [
                        {
                            "event.name": "gen_ai.system.message",
                            "content": "Be terse.",
                            "role": "system",
                            "gen_ai.message.index": 0,
                        },
                        {"event.name": "gen_ai.user.message", "content": "Hi", "role": "user"},
                        {
                            "event.name": "gen_ai.choice",
                            "index": 0,
                            "message": {
                                "role": "assistant",
                                "tool_calls": [
                                    {
                                        "id": "c1",
                                        "type": "function",
                                        "function": {"name": "weather", "arguments": "{}"},
                                    }
                                ],
                            },
                        },
                    ]
                ),
            },
            scope="pydantic-ai",
            kind=SpanKind.CLIENT,
        )
    )
    assert call.kind is Kind.LLM
    assert text_of(call) == [("system", "Be terse."), ("user", "Hi"), ("assistant", None)]
    assert call.output is not None
    assert call.output[0].tool_calls == (ToolCall("c1", "weather", {}),)


def test_pydantic_ai_tools_and_agents_of_versions_without_operation_names() -> None:
    tool = describe(
        span(
            {
                "gen_ai.tool.name": "weather",
                "gen_ai.tool.call.id": "c1",
                "tool_arguments": '"{\\"city\\": \\"Oslo\\"}"',
                "tool_response": "rain",
            },
            scope="pydantic-ai",
        )
    )
    assert (tool.kind, tool.arguments, tool.result) == (Kind.TOOL, {"city": "Oslo"}, "rain")
    agent = {"agent_name": "guide", "model_name": "gpt-4o-mini", "gen_ai.usage.input_tokens": 9}
    run = describe(span({**agent, "final_result": "done"}, scope="pydantic-ai"))
    assert (run.kind, run.usage) == (Kind.AGENT, None)


def test_langwatch() -> None:
    call = describe(
        span(
            {
                "langwatch.span.type": "llm",
                "gen_ai.request.model": "gpt-4o-mini",
                "langwatch.input": json.dumps(
                    {"type": "chat_messages", "value": [{"role": "user", "content": "Hi"}]}
                ),
                "langwatch.output": json.dumps({"type": "text", "value": "Hello"}),
                "langwatch.metrics": json.dumps(
                    {"type": "json", "value": {"promptTokens": 3, "completionTokens": 1}}
                ),
            }
        )
    )
    assert call.kind is Kind.LLM
    assert text_of(call) == [("user", "Hi"), ("assistant", "Hello")]
    assert call.usage == Usage(3, 1)
    found = describe(
        span(
            {
                "langwatch.span.type": "rag",
                "langwatch.input": json.dumps({"type": "text", "value": "Oslo"}),
                "langwatch.rag.contexts": json.dumps(
                    {"type": "json", "value": [{"document_id": "d1", "content": "cold"}]}
                ),
            }
        )
    )
    assert (found.kind, found.query, len(found.documents or ())) == (Kind.RETRIEVAL, "Oslo", 1)


def test_mlflow_has_the_request_and_the_answer_whole() -> None:
    call = describe(
        span(
            {
                "mlflow.spanType": '"CHAT_MODEL"',
                "mlflow.spanInputs": json.dumps(
                    {
                        "model": "gpt-4o-mini",
                        "messages": [{"role": "user", "content": "Hi"}],
                        "temperature": 0.2,
                    }
                ),
                "mlflow.spanOutputs": json.dumps(
                    {
                        "id": "chatcmpl-1",
                        "model": "gpt-4o-mini-2024-07-18",
                        "choices": [
                            {
                                "index": 0,
                                "finish_reason": "stop",
                                "message": {"role": "assistant", "content": "Hello"},
                            }
                        ],
                        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
                    }
                ),
                "mlflow.chat.tokenUsage": '{"input_tokens": 3, "output_tokens": 1}',
            }
        )
    )
    assert call.kind is Kind.LLM
    assert (call.request_model, call.response_id) == ("gpt-4o-mini", "chatcmpl-1")
    assert call.response_model == "gpt-4o-mini-2024-07-18"
    assert text_of(call) == [("user", "Hi"), ("assistant", "Hello")]
    assert (call.finish_reasons, call.parameters) == (("stop",), {"temperature": 0.2})
    tool = {"mlflow.spanType": '"TOOL"', "mlflow.spanInputs": '{"a": 1}'}
    assert describe(span({**tool, "mlflow.spanOutputs": '"3"'}, "add")).tool_name == "add"


def test_blocks_of_bedrock_in_span_events() -> None:
    """Strands writes them; the former names of the conventions carry them."""
    call = describe(
        span(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.system": "strands-agents",
                "gen_ai.request.model": "gpt-4o-mini",
            },
            events=(
                Event("gen_ai.user.message", {"content": '[{"text": "Weather?"}]'}),
                Event(
                    "gen_ai.choice",
                    {
                        "finish_reason": "tool_use",
                        "message": json.dumps(
                            [
                                {"text": "Let me look."},
                                {"toolUse": {"toolUseId": "c1", "name": "weather", "input": {}}},
                            ]
                        ),
                    },
                ),
            ),
        )
    )
    assert text_of(call) == [("user", "Weather?"), ("assistant", "Let me look.")]
    assert call.output is not None
    assert call.output[0].tool_calls == (ToolCall("c1", "weather", {}),)
    assert call.finish_reasons == ("tool_use",)


def test_images_are_kept_as_references() -> None:
    parts = [
        {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"},
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "aGk="},
        {"type": "reasoning", "content": "Hm."},
    ]
    call = describe(
        span(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.input.messages": json.dumps([{"role": "user", "parts": parts}]),
            }
        )
    )
    assert call.input is not None
    assert call.input[0].parts == (
        Part("image", url="https://example.com/a.png"),
        Part("image", url="data:image/png;base64,aGk="),
    )
    assert call.input[0].reasoning == "Hm."


def test_anthropics_blocks_become_openais_messages() -> None:
    request = {
        "system": [{"type": "text", "text": "Be terse."}],
        "messages": [
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "A tool helps."},
                    {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Oslo"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "c1",
                        "content": [{"type": "text", "text": "rain"}],
                    },
                    {"type": "text", "text": "And now?"},
                ],
            },
        ],
    }
    call = describe(span({"openinference.span.kind": "LLM", "input.value": json.dumps(request)}))
    assert text_of(call) == [
        ("system", "Be terse."),
        ("user", "Weather?"),
        ("assistant", None),
        ("tool", "rain"),
        ("user", "And now?"),
    ]


@pytest.mark.parametrize(
    ("status", "known"),
    [
        ("Error code: 429 - {'error': ...}", 429),
        ("status_code: 503, body: ...", 503),
        ("HTTP/1.1 500 Internal Server Error", 500),
        ("the year 429", None),
    ],
)
def test_the_http_status_of_a_failure_is_found_in_its_text(status: str, known: int | None) -> None:
    failed = span({"gen_ai.operation.name": "chat"}, status=Status(StatusCode.ERROR, status))
    failure = describe(failed).failure
    assert failure is not None
    assert failure.http_status == known


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
    ],
)
def test_a_query_comes_out_of_the_arguments_of_its_retriever(written: str, query: str) -> None:
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


CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini"}
OF_OPENINFERENCE = {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o-mini"}
OF_VERCEL = {"ai.operationId": "ai.generateText.doGenerate", "ai.model.id": "gpt-4o-mini"}
OF_LANGFUSE = {"langfuse.observation.type": "generation"}
TOLD = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 500}


def usage_of(attributes: dict[str, Any]) -> Usage:
    usage = describe(span(attributes)).usage
    assert usage is not None
    return usage


@pytest.mark.parametrize(
    "name",
    [
        "cache_read.input_tokens",
        "cache_read_input_tokens",
        "cache_read_tokens",
        "cached_tokens",
        "details.cache_read_tokens",
        "details.cache_read_input_tokens",
        "details.cached_tokens",
        "details.cached_content_tokens",
        "input_tokens.cached",
        "prompt_tokens_details.cached_tokens",
    ],
)
def test_cached_tokens_under_every_name_that_they_have(name: str) -> None:
    assert usage_of({**CHAT, **TOLD, f"gen_ai.usage.{name}": 900}).cached_tokens == 900


@pytest.mark.parametrize(
    "name",
    [
        "cache_creation.input_tokens",
        "cache_creation_input_tokens",
        "cache_write.input_tokens",
        "cache_write_input_tokens",
        "cache_write_tokens",
        "details.cache_write_tokens",
        "details.cache_creation_input_tokens",
        "input_tokens.cache_write",
        "prompt_tokens_details.cache_creation_tokens",
    ],
)
def test_tokens_written_to_a_cache(name: str) -> None:
    assert usage_of({**CHAT, **TOLD, f"gen_ai.usage.{name}": 50}).cache_write_tokens == 50


@pytest.mark.parametrize(
    "name",
    [
        "completion_tokens_details.reasoning_tokens",
        "details.reasoning_tokens",
        "details.thoughts_tokens",
        "experimental.reasoning_tokens",
        "output_tokens.reasoning",
        "reasoning.output_tokens",
        "reasoning_tokens",
    ],
)
def test_reasoning_tokens(name: str) -> None:
    assert usage_of({**CHAT, **TOLD, f"gen_ai.usage.{name}": 77}).reasoning_tokens == 77


def test_tokens_of_sounds_and_of_the_providers_own_tools() -> None:
    usage = usage_of(
        {
            **CHAT,
            **TOLD,
            "gen_ai.usage.audio.input_tokens": 5,
            "gen_ai.usage.details.output_audio_tokens": 6,
            "gen_ai.usage.details.tool_use_prompt_tokens": 7,
        }
    )
    parts = (usage.audio_input_tokens, usage.audio_output_tokens, usage.tool_tokens)
    assert parts == (5, 6, 7)


def test_sums_among_the_details_are_the_providers_and_not_the_calls() -> None:
    """Pydantic AI's input tokens hold what was cached, Anthropic's, in its details, do not."""
    assert usage_of({**CHAT, "gen_ai.usage.details.input_tokens": 50, **TOLD}).input_tokens == 1000
    assert describe(span({**CHAT, "gen_ai.usage.details.input_tokens": 50})).usage is None


def test_a_zero_under_one_name_says_nothing_against_a_number_under_another() -> None:
    zero = {"llm.token_count.prompt_details.cache_read": 0}
    more = {"llm.token_count.prompt_details.cache_input": 900}
    told = {"llm.token_count.prompt": 1000, "llm.token_count.completion": 5}
    assert usage_of({**OF_OPENINFERENCE, **told, **zero, **more}).cached_tokens == 900


def test_what_langchain_says_was_written_for_an_hour_was_written() -> None:
    details = {"cache_read": 0, "cache_creation": 0, "ephemeral_1h_input_tokens": 40}
    told = {"input_tokens": 60, "output_tokens": 1, "input_token_details": details}
    message = {"kwargs": {"content": "Hi", "usage_metadata": told}}
    answer = json.dumps({"generations": [[{"message": message}]]})
    assert usage_of({**OF_OPENINFERENCE, "output.value": answer}).cache_write_tokens == 40


@pytest.mark.parametrize(
    ("counted", "metadata", "known"),
    [
        (  # the AI SDK 4, whose counts of Anthropic's leave out what came from its cache
            {"ai.usage.promptTokens": 50, "ai.usage.completionTokens": 20},
            {"anthropic": {"cacheReadInputTokens": 900, "cacheCreationInputTokens": 50}},
            (1000, 900, 50, None),
        ),
        (  # 5 likewise, with Anthropic's own counts beside
            {"ai.usage.inputTokens": 50, "ai.usage.outputTokens": 20, "ai.usage.totalTokens": 70},
            {"anthropic": {"usage": {"input_tokens": 50, "cache_read_input_tokens": 900}}},
            (950, 900, None, None),
        ),
        (  # 6 has them all in
            {"ai.usage.inputTokens": 950, "ai.usage.outputTokens": 20},
            {"anthropic": {"usage": {"input_tokens": 50, "cache_read_input_tokens": 900}}},
            (950, 900, None, None),
        ),
        (
            {"ai.usage.promptTokens": 1000, "ai.usage.completionTokens": 20},
            {"openai": {"cachedPromptTokens": 900, "reasoningTokens": 7}},
            (1000, 900, None, 7),
        ),
    ],
)
def test_vercel_ai_has_cached_tokens_in_what_the_provider_said(
    counted: dict[str, int], metadata: dict[str, Any], known: tuple[int | None, ...]
) -> None:
    repeated = {"gen_ai.usage.input_tokens": next(iter(counted.values()))}
    told = {"ai.response.providerMetadata": json.dumps(metadata), **repeated, **counted}
    usage = usage_of({**OF_VERCEL, **told})
    assert (
        usage.input_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
    ) == known


def test_litellm_has_them_in_what_it_prints_of_its_own() -> None:
    printed = "{'prompt_tokens': 1000, 'prompt_tokens_details': {'cached_tokens': 900}}"
    told = describe(span({**CHAT, **TOLD, "metadata.usage_object": printed}, scope="litellm"))
    assert told.usage == Usage(1000, 500, cached_tokens=900)


def test_googles_agent_development_kit_has_all_in_the_shape_of_gemini() -> None:
    asked = {
        "contents": [{"role": "user", "parts": [{"text": "Weather?"}]}],
        "config": {"system_instruction": "Be terse."},
    }
    called = {"function_call": {"id": "c1", "name": "weather", "args": {"city": "Oslo"}}}
    answered = {
        "content": {"role": "model", "parts": [{"text": "I look."}, called]},
        "finish_reason": "STOP",
        "usage_metadata": {
            "prompt_token_count": 10,
            "candidates_token_count": 5,
            "thoughts_token_count": 7,
            "total_token_count": 22,
        },
    }
    call = describe(
        span(
            {
                "gen_ai.system": "gcp.vertex.agent",
                "gen_ai.request.model": "gemini-2.5-flash",
                "gcp.vertex.agent.llm_request": json.dumps(asked),
                "gcp.vertex.agent.llm_response": json.dumps(answered),
            },
            scope="gcp.vertex.agent",
        )
    )
    assert text_of(call) == [
        ("system", "Be terse."),
        ("user", "Weather?"),
        ("assistant", "I look."),
    ]
    assert call.output is not None
    assert call.output[0].tool_calls == (ToolCall("c1", "weather", {"city": "Oslo"}),)
    assert (call.finish_reasons, call.usage) == (("STOP",), Usage(10, 12, 22, None, None, 7))
    tool = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "weather",
        "gcp.vertex.agent.llm_request": "{}",
        "gcp.vertex.agent.tool_call_args": '{"city": "Oslo"}',
        "gcp.vertex.agent.tool_response": '{"sky": "rain"}',
    }
    told = describe(span(tool))
    assert (told.arguments, told.result) == ({"city": "Oslo"}, {"sky": "rain"})
    hidden = {**tool, "gcp.vertex.agent.tool_call_args": "{}"}
    assert describe(span(hidden)).arguments is None


@pytest.mark.parametrize(
    ("attributes", "tokens"),
    [
        (
            {  # the AI SDK 5
                **OF_VERCEL,
                "ai.usage.inputTokens": 10,
                "ai.usage.outputTokens": 200,
                "ai.usage.reasoningTokens": 5000,
                "ai.usage.totalTokens": 5210,
            },
            (10, 5200),
        ),
        (
            {  # 4, which has the total in what Google said alone
                **OF_VERCEL,
                "ai.usage.promptTokens": 10,
                "ai.usage.completionTokens": 200,
                "ai.response.providerMetadata": json.dumps(
                    {
                        "google": {
                            "usageMetadata": {
                                "promptTokenCount": 10,
                                "candidatesTokenCount": 200,
                                "thoughtsTokenCount": 5000,
                                "totalTokenCount": 5210,
                            }
                        }
                    }
                ),
            },
            (10, 5200),
        ),
        (
            {
                **CHAT,
                "gen_ai.usage.input_tokens": 10,
                "gen_ai.usage.output_tokens": 200,
                "gen_ai.usage.reasoning.output_tokens": 5000,
                "gen_ai.usage.total_tokens": 5210,
            },
            (10, 5200),
        ),
        (
            {  # Gemini's answer, whole: with what its own tools gave
                "mlflow.spanType": '"CHAT_MODEL"',
                "mlflow.chat.tokenUsage": json.dumps(
                    {
                        "promptTokenCount": 10,
                        "toolUsePromptTokenCount": 3,
                        "candidatesTokenCount": 200,
                        "thoughtsTokenCount": 5000,
                        "totalTokenCount": 5213,
                    }
                ),
            },
            (13, 5200),
        ),
        (
            {  # Langfuse takes all parts off
                **OF_LANGFUSE,
                "langfuse.observation.usage_details": json.dumps(
                    {
                        "input": 100,
                        "input_cache_read": 900,
                        "output": 200,
                        "output_reasoning": 50,
                        "total": 1250,
                    }
                ),
            },
            (1000, 250),
        ),
        (
            {  # inside: LangChain
                **OF_OPENINFERENCE,
                "llm.token_count.prompt": 10,
                "llm.token_count.completion": 5200,
                "llm.token_count.completion_details.reasoning": 5000,
                "llm.token_count.total": 5210,
            },
            (10, 5200),
        ),
        (
            {  # no total: nothing is guessed
                **OF_OPENINFERENCE,
                "llm.token_count.prompt": 10,
                "llm.token_count.completion": 200,
                "llm.token_count.completion_details.reasoning": 5000,
            },
            (10, 200),
        ),
        (
            {  # a total that no part makes up for
                **OF_OPENINFERENCE,
                "llm.token_count.prompt": 10,
                "llm.token_count.completion": 200,
                "llm.token_count.completion_details.reasoning": 5000,
                "llm.token_count.total": 999,
            },
            (10, 200),
        ),
        (
            {  # one that two of them would
                **CHAT,
                **TOLD,
                "gen_ai.usage.reasoning_tokens": 7,
                "gen_ai.usage.details.tool_use_prompt_tokens": 7,
                "gen_ai.usage.total_tokens": 1507,
            },
            (1000, 500),
        ),
    ],
)
def test_parts_beside_the_tokens_in_and_out_are_added_where_the_total_says_so(
    attributes: dict[str, Any], tokens: tuple[int, int]
) -> None:
    usage = usage_of(attributes)
    assert (usage.input_tokens, usage.output_tokens) == tokens


COUNTS = st.none() | st.integers(0, 9)


@given(st.builds(Usage, *[COUNTS] * 9))
def test_a_whole_usage_never_counts_more_than_the_total(usage: Usage) -> None:
    whole = whole_usage(usage)
    assert whole_usage(whole) == whole
    if whole != usage:
        assert (whole.input_tokens or 0) + (whole.output_tokens or 0) == usage.total_tokens


@pytest.mark.parametrize(
    ("attributes", "parameters"),
    [
        (  # the OpenAI Agents SDK through Logfire
            {
                "logfire.msg_template": "Chat completion with {gen_ai.request.model!r}",
                "gen_ai.request.model": "gpt-4o-mini",
                "gen_ai.operation.name": "chat",
                "model_config": json.dumps(
                    {
                        "temperature": 0.3,
                        "top_p": None,
                        "tool_choice": "required",
                        "metadata": {"a": "b"},
                        "base_url": "https://api.openai.com/v1/",
                    }
                ),
            },
            {"temperature": 0.3, "tool_choice": "required"},
        ),
        (  # LlamaIndex
            {
                **OF_OPENINFERENCE,
                "llm.invocation_parameters": '{"context_window": 128000, "temperature": 0.1}',
                "input.value": json.dumps(
                    {
                        "messages": [{"role": "user", "content": "Hi"}],
                        "kwargs": {"tool_choice": "auto", "parallel_tool_calls": False},
                    }
                ),
            },
            {"temperature": 0.1, "tool_choice": "auto", "parallel_tool_calls": False},
        ),
        (
            {
                **OF_VERCEL,
                "ai.settings.maxOutputTokens": 50,
                "ai.settings.stopSequences": ("END",),
                "ai.settings.maxRetries": 2,
            },
            {"max_tokens": 50, "stop": ["END"]},
        ),
        (
            {
                "langwatch.span.type": "llm",
                "langwatch.params": '{"thinking": {"type": "adaptive"}, "colour": "red"}',
            },
            {"thinking": {"type": "adaptive"}},
        ),
    ],
)
def test_parameters_are_found_where_a_dialect_has_them(
    attributes: dict[str, Any], parameters: dict[str, Any]
) -> None:
    assert describe(span(attributes)).parameters == parameters


@pytest.mark.parametrize(
    ("told", "word"),
    [
        ("stop", "stop"),
        ("STOP", "stop"),
        ("FinishReason.STOP", "stop"),
        ("<FinishReason.STOP: 1>", "stop"),
        ("end_turn", "stop"),
        ("MAX_TOKENS", "length"),
        ("FinishReason.MAX_TOKENS", "length"),
        ("FINISH_REASON_MAX_TOKENS", "length"),
        ("max_output_tokens", "length"),
        ("tool-calls", "tool_calls"),
        ("tool_use", "tool_calls"),
        ("content-filter", "content_filter"),
        ("SAFETY", "content_filter"),
        ("FINISH_REASON_UNSPECIFIED", None),
        ("error", None),
        ("a.word of its own", "a.word of its own"),
        (None, None),
    ],
)
def test_finish_reasons_are_told_in_openais_words(told: str | None, word: str | None) -> None:
    assert finish_reason_of_openai(told) == word


@given(st.text())
def test_any_text_can_stand_where_a_finish_reason_does(told: str) -> None:
    finish_reason_of_openai(told)


def failed(
    attributes: dict[str, Any], text: str | None = None, *raised: str, kind: str = "chat"
) -> ReadableSpan:
    return span(
        {"gen_ai.operation.name": kind, **attributes},
        status=Status(StatusCode.ERROR, text),
        events=tuple(Event("exception", {"exception.type": name}) for name in raised),
    )


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("litellm.exceptions.RateLimitError", 429),
        ("openai.RateLimitError", 429),
        ("AuthenticationError", 401),
        ("anthropic.BadRequestError", 400),
        ("litellm.ContextWindowExceededError", 400),
        ("PermissionDeniedError", 403),
        ("NotFoundError", 404),
        ("openai.APITimeoutError", 408),
        ("litellm.exceptions.Timeout", 408),
        ("APIConnectionError", None),
        ("google.api_core.exceptions.ResourceExhausted", 429),
        ("botocore.errorfactory.ThrottlingException", 429),
        ("overloaded_error", 529),
        ("503", 503),
        ("ValueError", None),
    ],
)
def test_the_http_status_of_a_failure_is_found_by_its_type(name: str, status: int | None) -> None:
    for failing in (
        failed({"error.type": name}),
        failed({}, None, name),
        failed({}, "it broke", "builtins.OSError", name),
    ):
        failure = describe(failing).failure
        assert failure is not None
        assert failure.http_status == status


def test_a_number_that_is_told_counts_before_the_type() -> None:
    told = {"error.type": "RateLimitError", "http.response.status_code": 503}
    failure = describe(failed(told, "RateLimitError: slow down")).failure
    assert failure is not None
    assert failure.http_status == 503
    in_text = describe(failed({}, "BadRequestError: Error code: 422 - no")).failure
    assert in_text is not None
    assert in_text.http_status == 422


def test_the_type_may_stand_in_the_text_alone_and_a_tools_own_errors_are_no_clients() -> None:
    call = describe(failed({}, "NotFoundError: no such model")).failure
    tool = describe(failed({}, "NotFoundError: no such file", kind="execute_tool")).failure
    assert call is not None
    assert tool is not None
    assert (call.http_status, tool.http_status) == (404, None)


@pytest.mark.parametrize(
    "failing",
    [
        failed({}, None, "langgraph.errors.GraphInterrupt", kind="execute_tool"),
        failed({}, "NodeInterrupt(value='May I?')", kind="execute_tool"),
        failed({"error.type": "ParentCommand"}, kind="invoke_agent"),
        failed({}, "pydantic_ai.exceptions.CallDeferred: later", kind="execute_tool"),
    ],
)
def test_exceptions_that_only_steer_a_run_are_no_failures(failing: ReadableSpan) -> None:
    assert describe(failing).failure is None


def test_a_span_of_the_application_alone_is_no_call() -> None:
    assert describe(span({"http.route": "/trips", "db.system": "postgresql"})).kind is Kind.OTHER


def test_dialects_have_names_of_their_own() -> None:
    assert len({dialect.name for dialect in DIALECTS}) == len(DIALECTS)


KEYS = st.sampled_from(
    [
        "ai.operationId",
        "ai.prompt",
        "ai.prompt.messages",
        "ai.response.toolCalls",
        "all_messages_events",
        "db.system",
        "embedding.embeddings.0.embedding.text",
        "events",
        "gen_ai.completion",
        "gen_ai.completion.0.content",
        "gen_ai.completion.0.tool_calls.0.name",
        "gen_ai.input.messages",
        "gen_ai.operation.name",
        "gen_ai.output.messages",
        "gen_ai.prompt.1.role",
        "gen_ai.request.model",
        "gen_ai.request.temperature",
        "gen_ai.response.finish_reasons",
        "gen_ai.system",
        "gen_ai.system_instructions",
        "gen_ai.tool.definitions",
        "gen_ai.usage.input_tokens",
        "input.value",
        "langfuse.observation.input",
        "langfuse.observation.type",
        "langfuse.observation.usage_details",
        "langwatch.input",
        "langwatch.metrics",
        "langwatch.span.type",
        "llm.input_messages.0.message.content",
        "llm.input_messages.0.message.contents.0.message_content.type",
        "llm.invocation_parameters",
        "llm.openai.messages",
        "llm.prompts.0.content",
        "llm.request.functions.0.name",
        "llm.token_count.prompt",
        "mcp.method.name",
        "mlflow.spanInputs",
        "mlflow.spanOutputs",
        "mlflow.spanType",
        "openinference.span.kind",
        "output.value",
        "retrieval.documents.0.document.content",
        "traceloop.entity.input",
        "traceloop.entity.output",
        "traceloop.span.kind",
    ]
)
WORDS = st.sampled_from(
    [
        "chat",
        "embeddings",
        "execute_tool",
        "retrieval",
        "LLM",
        "generation",
        '"CHAT_MODEL"',
        "tool",
        "tools/call",
        "ai.generateText.doGenerate",
        "type",
        "role",
        "content",
        "parts",
        "messages",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "message",
        "kwargs",
        "data",
        "choices",
        "usage",
        "generations",
        "image_url",
        "tool_result",
        "args",
        "inputs",
        "metadata",
        "output",
        "raw_input",
        "raw_output",
        "tool_name",
        "query",
        "documents",
    ]
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)
VALUES = (
    WORDS
    | st.text(max_size=20)
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.lists(st.text(max_size=5), max_size=3).map(tuple)
    | ANY_JSON.map(json.dumps)
)


@settings(deadline=None)  # how long it takes is the machine's affair
@given(st.dictionaries(KEYS, VALUES, max_size=8), st.booleans())
def test_whatever_is_written_on_a_span_a_log_of_it_is_one_that_helicone_takes(
    attributes: dict[str, Any], capture: bool
) -> None:
    translator = Translator(include="all", capture_content=capture)
    (record,) = translator.records([span(attributes)])
    body = record.to_bytes(1_000_000)
    log = json.loads(body.decode("utf-8"), parse_constant=pytest.fail)
    assert set(log) == {"providerRequest", "providerResponse", "timing"}
    meta, response = log["providerRequest"]["meta"], log["providerResponse"]
    for name, value in meta.items():
        assert isinstance(value, str)
        assert value.isascii()
        assert value.isprintable()
        assert value == value.strip() != ""
        assert name.replace("-", "").isalnum()
    assert type(response["status"]) is int
    assert isinstance(response["json"].get("model", ""), str)
    for count in json.dumps(response["json"].get("usage", {})).split():
        assert "-" not in count
    assert log["timing"]["startTime"]["seconds"] <= log["timing"]["endTime"]["seconds"]


@settings(deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=8), st.integers(4096, 20_000), st.integers(0, 30_000))
def test_a_log_is_never_longer_than_allowed(
    attributes: dict[str, Any], most: int, length: int
) -> None:
    messages = [{"role": "user", "parts": [{"type": "text", "content": "x" * length}]}] * 3
    given_ = {**attributes, "gen_ai.operation.name": "chat"}
    given_["gen_ai.input.messages"] = json.dumps(messages)
    for record in Translator(include="all").records([span(given_)]):
        assert len(record.to_bytes(most)) <= most


PICTURE = "data:image/png;base64," + "iVBORw0KGgo" * 300
BYTES = "iVBORw0KGgo" * 300


@pytest.mark.parametrize(
    ("part", "left"),
    [
        (PICTURE, "[image/png, 2.5 kB, left out]"),
        (f"See ![this]({PICTURE}) here", "See ![this]([image/png, 2.5 kB, left out]) here"),
        (
            {"type": "image_url", "image_url": {"url": PICTURE}},
            {"type": "text", "text": "[image/png, 2.5 kB, left out]"},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": BYTES, "format": "wav"}},
            {"type": "text", "text": "[audio/wav, 2.5 kB, left out]"},
        ),
        (
            {"type": "base64", "media_type": "application/pdf", "data": BYTES},
            {
                "type": "base64",
                "media_type": "application/pdf",
                "data": "[application/pdf, 2.5 kB, left out]",
            },
        ),
        ({"data": BYTES}, {"data": BYTES}),
        ({"type": [], "a": PICTURE}, {"type": [], "a": "[image/png, 2.5 kB, left out]"}),
        ("data:image/svg+xml," + "%3C" * 700, "[image/svg+xml, 2.1 kB, left out]"),
        ([0.5] * 1536, "[1,536 numbers, left out]"),
        ("https://example.com/a.png", "https://example.com/a.png"),
        ("data: " + "x" * 3000, "data: " + "x" * 3000),
        ([1, 2, True], [1, 2, True]),
    ],
)
def test_marks_take_the_place_of_pictures_sounds_files_and_vectors(part: Any, left: Any) -> None:
    assert without_media({"content": [part]}, 1024) == {"content": [left]}
    assert without_media({"content": [part]}, 10_000) == {"content": [part]}


@given(ANY_JSON, st.integers(0, 5))
def test_any_body_can_be_looked_through_for_pictures(body: Any, longest: int) -> None:
    marked = without_media(body, longest)
    assert json.dumps(without_media(marked, longest)) == json.dumps(marked)


@given(st.lists(st.just(PICTURE) | st.text(max_size=200), max_size=5), st.integers(600, 9000))
def test_no_log_holds_half_of_a_picture(texts: list[str], most: int) -> None:
    told = {**CHAT, "gen_ai.input.messages": json.dumps([{"role": "user", "content": texts}])}
    (record,) = Translator().records([span(told)])
    body = record.to_bytes(most).decode("utf-8", "replace")
    assert body.count("iVBORw0KGgo" * 3) == body.count(PICTURE) * 100
