"""Tokens are counted once, under whatever names they stand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_helicone.dialects.describe import describe
from otel_helicone.dialects.description import Usage
from otel_helicone.dialects.token_counts import whole_usage
from tests.made_spans import CHAT, OF_LANGFUSE, OF_OPENINFERENCE, OF_VERCEL, TOLD, span


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
