"""Spans of agent frameworks: what is a step in a tree, what is machinery, and what is a call."""

from __future__ import annotations

from typing import Any

import pytest

from otel_helicone import default_segment
from otel_helicone.dialects.describe import describe
from otel_helicone.dialects.description import Kind
from tests.made_spans import CHAT, TOLD, span

OF_AUTOGEN = "openinference.instrumentation.autogen_agentchat"
AGENT_CHAT_TOOL = {"openinference.span.kind": "TOOL", "tool.name": "weather"}


@pytest.mark.parametrize(
    ("scope", "name"),
    [
        ("strands.telemetry.tracer", "execute_event_loop_cycle"),
        (
            "semantic_kernel.connectors.ai.chat_completion_client_base",
            "AutoFunctionInvocationLoop",
        ),
        ("agent_runtime InProcessRuntime", "agent_runtime process forecaster_1.(1)-A"),
        ("autogen SingleThreadedAgentRuntime", "autogen process forecaster_1.(1)-A"),
        ("autogen Worker Runtime", "autogen publish group_topic_1.(1)-T"),
        (OF_AUTOGEN, "forecaster.on_messages_stream"),
        ("opentelemetry.instrumentation.ag2", "record_usage model_call"),
    ],
)
def test_machinery_adds_no_segment(scope: str, name: str) -> None:
    assert default_segment(span({}, name, scope=scope)) is None
    assert default_segment(span({}, name, scope="the application")) == name


@pytest.mark.parametrize(
    ("scope", "name", "attributes", "segment"),
    [
        ("strands.telemetry.tracer", "invoke_agent forecaster", {}, "invoke_agent forecaster"),
        (
            "autogen-core",
            "execute_tool weather",
            {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "weather"},
            "weather",
        ),
        (OF_AUTOGEN, "RoundRobinGroupChat.run_stream", {}, "RoundRobinGroupChat.run_stream"),
        (
            "openinference.instrumentation.smolagents",
            "SimpleTool",
            AGENT_CHAT_TOOL,
            "weather",
        ),
    ],
)
def test_agents_teams_and_tools_are_steps(
    scope: str, name: str, attributes: dict[str, Any], segment: str
) -> None:
    assert default_segment(span(attributes, name, scope=scope)) == segment


def test_autogens_tool_is_one_step_though_two_spans_tell_of_it() -> None:
    assert default_segment(span(AGENT_CHAT_TOOL, "editor.weather", scope=OF_AUTOGEN)) is None


def test_an_agent_of_adk_is_no_call_whatever_lands_on_its_span() -> None:
    agent = span(
        {**CHAT, **TOLD, "gen_ai.operation.name": "generate_content"},
        "invoke_agent host",
        scope="gcp.vertex.agent",
    )
    assert default_segment(agent) == "invoke_agent host"
    assert describe(agent).kind is Kind.OTHER


def test_tokens_that_ag2_repeats_are_no_call() -> None:
    attributes = {
        **TOLD,
        "ag2.span.type": "usage",
        "gen_ai.provider.name": "openai",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    }
    assert describe(span(attributes, "record_usage model_call")).kind is Kind.OTHER
    del attributes["ag2.span.type"]
    assert describe(span(attributes, "chat")).kind is Kind.LLM
