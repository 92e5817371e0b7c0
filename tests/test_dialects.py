"""What single dialects tell: spans as their instrumentations write them, in short."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import Event
from opentelemetry.trace import SpanKind, Status, StatusCode

from otel_helicone.dialects.describe import DIALECTS, describe
from otel_helicone.dialects.description import Kind, Part, ToolCall, Usage
from otel_helicone.logs.finish_reasons import finish_reason_of_openai
from otel_helicone.logs.translating import Translator
from tests.made_spans import ANY_JSON, OF_OPENINFERENCE, OF_VERCEL, WORDS, span, text_of


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


def test_a_streamed_chat_of_openai_agents_is_read_from_the_answer_that_it_makes_up() -> None:
    answer = {
        "id": "__fake_id__",
        "object": "response",
        "model": "gpt-4o-mini",
        "output": [{"type": "function_call", "name": "weather", "arguments": "{}", "call_id": "c"}],
        "usage": {"input_tokens": 21, "output_tokens": 8, "total_tokens": 29},
    }
    told = describe(
        span(
            {
                "openinference.span.kind": "LLM",
                "llm.model_name": "gpt-4o-mini",
                "output.value": json.dumps([answer]),
            },
            status=Status(StatusCode.OK),
        )
    )
    assert told.output is not None
    assert told.output[0].tool_calls[0].name == "weather"
    assert told.usage == Usage(21, 8, 29)
    assert told.response_id is None


def test_litellm_tells_where_it_has_sent_a_call_in_its_hidden_parameters() -> None:
    hidden = json.dumps({"api_base": "https://oai.helicone.ai/v1/", "response_cost": 0.1})
    told = describe(
        span({"gen_ai.operation.name": "chat", "hidden_params": hidden}, scope="litellm")
    )
    assert (told.server_address, told.server_port) == ("oai.helicone.ai", 443)
