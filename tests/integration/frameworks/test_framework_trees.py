"""Agents of the frameworks that people run, unchanged: the same tree through gateway and export.

Each program in ``programs`` runs under ``opentelemetry-instrument`` with its instrumentation, two
agents at once, through the gateway and straight to the model, with the exporter on all the while.
What Helicone shows then stands in ``trees``, as text: each session once, by its name, with one line
for each row. Every session must have come both ways, and nothing else may be there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from otel_helicone.local.server import LocalHelicone
from tests.integration.frameworks.model_server import ModelServer
from tests.integration.frameworks.running import Framework, run_program, session_trees

TREES = Path(__file__).parent / "trees"


@dataclass(frozen=True)
class Case:
    """A program with the instrumentations that are on.

    Attributes:
        program: the name of a file in ``programs``.
        instrumentors: the names of the instrumentors, besides this library's.
        trees: the name of a file in ``trees``; by default the program's.
        variables: more environment variables.
        figures: whether the instrumentation tells the model that answered, and its tokens.
    """

    program: str
    instrumentors: tuple[str, ...]
    trees: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    figures: bool = True


# Else LiteLLM asks for a list of prices, and CrewAI sends what it is used for.
OFFLINE = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "CREWAI_DISABLE_TELEMETRY": "true"}
ADK_OF_BEFORE = {
    "ADK_TELEMETRY_SCHEMA_VERSION_OPT_IN": "1",
    "ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS": "true",
}
SEMANTIC_KERNEL = {"SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS_SENSITIVE": "true"}

CASES = [
    Case("langgraph_agent", ("langchain",)),
    Case("langgraph_agent", ("langchain", "openai")),
    Case("google_adk_agent", (), variables=OFFLINE),
    Case("google_adk_agent", (), "google_adk_agent_before", OFFLINE | ADK_OF_BEFORE),
    Case("google_adk_agent", ("google_adk", "openai"), "google_adk_openinference", OFFLINE),
    Case("crewai_crew", ("crewai", "openai"), variables=OFFLINE),
    Case("smolagents_agent", ("smolagents",)),
    Case("smolagents_agent", ("smolagents", "openai")),
    Case("agno_agent", ("agno",)),
    Case("agno_agent", ("agno", "openai")),
    Case("strands_agent", ()),
    Case("strands_agent", (), variables={"OTEL_SEMCONV_STABILITY_OPT_IN": ""}),
    Case("semantic_kernel_agent", ("openai",), variables=SEMANTIC_KERNEL),
    Case("autogen_agent", ("autogen_agentchat", "openai")),
    Case("ag2_agent", ("openai",)),
    Case("langgraph_agents", ("langchain",)),
    Case("langgraph_agents", ("langchain", "openai")),
    Case(
        "langgraph_interrupt",
        ("langchain", "openai"),
        variables={"HELICONE_SESSION_ID_ATTRIBUTES": "session.id"},
    ),
    Case("langchain_chains", ("langchain",)),
    Case("langchain_chains", ("langchain", "openai")),
    Case("langchain_inside", ("langchain", "openai")),
    Case("langchain_untraced", ("openai",)),
    Case("openai_agents_handoff", ("openai_agents", "openai")),
    Case("pydantic_ai_agent", ()),
    Case("anthropic_tools", ("anthropic",)),
    Case(
        "mcp_agent",
        ("openai", "mcp"),
        variables={"OTEL_PROPAGATORS": "tracecontext,baggage,helicone"},
    ),
    Case("llamaindex_agent", ("llama_index", "openai")),
    Case("litellm_calls", ("litellm",)),
    Case("litellm_calls", ("litellm", "openai")),
    # Its callback runs in threads of its own.
    Case(
        "litellm_telemetry",
        ("threading",),
        "litellm_calls",
        {"USE_OTEL_LITELLM_REQUEST_SPAN": "true"},
    ),
    Case("dspy_agent", ("dspy", "openai")),
    Case("dspy_native", ("dspy",), figures=False),
    Case("haystack_agent", ("haystack", "openai")),
    Case("instructor_answers", ("instructor", "openai")),
]


def _name(case: Case) -> str:
    return "-".join([case.trees or case.program, *case.instrumentors])


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_the_tree_is_the_same_both_ways(
    case: Case, framework: Framework, helicone: LocalHelicone, model: ModelServer, tmp_path: Path
) -> None:
    instrumentors, variables = case.instrumentors, case.variables
    run_program(framework, case.program, instrumentors, helicone, model, tmp_path, **variables)
    trees = session_trees(helicone.store.requests(), figures=case.figures)
    expected = (TREES / f"{case.trees or case.program}.txt").read_text("utf-8")
    assert "\n\n".join(trees) + "\n" == expected
    for text, ways in trees.items():
        counted = Counter(ways)
        assert counted["gateway"] == counted["exported"] == len(ways) / 2, text
