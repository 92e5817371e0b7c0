"""The agent frameworks that are installed, and what gives each of them a tree.

Under ``opentelemetry-instrument`` an instrumentation is left out, without a word, where any package
that it names is missing or of another version. So that is looked at as it is done there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution
from typing import Final

from opentelemetry.instrumentation.dependencies import (
    DependencyConflict,
    get_dist_dependency_conflicts,
)

__all__ = ["FRAMEWORKS", "Framework", "FrameworkFound", "find_frameworks"]


@dataclass(frozen=True, slots=True)
class Framework:
    """A framework that people build agents on.

    Attributes:
        name: what it is called.
        package: the package whose version counts.
        instrumentations: the packages that make spans of its runs, the best tried first.
        own_spans: what has to be done for its own spans, such as ``VARIABLE=value``; empty where
            they need nothing, None where it makes none.
    """

    name: str
    package: str
    instrumentations: tuple[str, ...] = ()
    own_spans: str | None = None


def _openinference(*names: str) -> tuple[str, ...]:
    return tuple(f"openinference-instrumentation-{name}" for name in names)


_LANGCHAIN: Final = (*_openinference("langchain"), "opentelemetry-instrumentation-langchain")

FRAMEWORKS: Final = (
    Framework("LangGraph", "langgraph", _LANGCHAIN),
    Framework("LangChain", "langchain-core", _LANGCHAIN),
    Framework(
        "LlamaIndex",
        "llama-index-core",
        (*_openinference("llama-index"), "opentelemetry-instrumentation-llamaindex"),
    ),
    Framework(
        "CrewAI",
        "crewai",
        (*_openinference("crewai"), "opentelemetry-instrumentation-crewai"),
    ),
    Framework("Google ADK", "google-adk", _openinference("google-adk"), own_spans=""),
    Framework("smolagents", "smolagents", _openinference("smolagents")),
    Framework("DSPy", "dspy", _openinference("dspy")),
    Framework("Agno", "agno", (*_openinference("agno"), "opentelemetry-instrumentation-agno")),
    Framework("AutoGen", "autogen-agentchat", _openinference("autogen-agentchat")),
    Framework("AG2", "ag2", own_spans="TelemetryMiddleware(agent_name=…) on each agent"),
    Framework(
        "Semantic Kernel",
        "semantic-kernel",
        own_spans="SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS_SENSITIVE=true",
    ),
    Framework(
        "Haystack",
        "haystack-ai",
        (*_openinference("haystack"), "opentelemetry-instrumentation-haystack"),
    ),
    Framework("LiteLLM", "litellm", _openinference("litellm")),
    Framework("instructor", "instructor", _openinference("instructor")),
    Framework(
        "OpenAI Agents",
        "openai-agents",
        (
            "opentelemetry-instrumentation-genai-openai-agents",
            *_openinference("openai-agents"),
            "opentelemetry-instrumentation-openai-agents",
        ),
    ),
    Framework("Pydantic AI", "pydantic-ai-slim", own_spans="Agent.instrument_all()"),
    Framework("Strands", "strands-agents", _openinference("strands-agents"), own_spans=""),
)
"""The frameworks that are looked for."""


@dataclass(frozen=True, kw_only=True)
class FrameworkFound:
    """A framework that is installed.

    Attributes:
        name: what it is called.
        version: its version.
        instrumentation: what makes spans of its runs, with the version; None for nothing.
        remark: what the user gets, or what to do about it.
    """

    name: str
    version: str
    instrumentation: str | None
    remark: str


def find_frameworks(
    found: Mapping[str, Distribution], environ: Mapping[str, str]
) -> Iterator[FrameworkFound]:
    """Yield the frameworks that are installed.

    Args:
        found: all distributions by their normalized names.
        environ: the environment variables.
    """
    for framework in FRAMEWORKS:
        if framework.package in found:
            yield _look_at(framework, found, environ)


def _look_at(
    framework: Framework, found: Mapping[str, Distribution], environ: Mapping[str, str]
) -> FrameworkFound:
    left_out = ""
    instrumentation = None
    for name in framework.instrumentations:
        if name not in found:
            continue
        conflict = get_dist_dependency_conflicts(found[name])
        if conflict is None:
            instrumentation = f"{name} {found[name].version}"
            break
        left_out = left_out or (
            f"{name} {found[name].version} is left out by opentelemetry-instrument: it needs"
            f" {_needs(conflict)}"
        )
    variable, _, value = (framework.own_spans or "").partition("=")
    has_own = framework.own_spans == "" or (value and environ.get(variable) == value)
    if instrumentation is None and has_own:
        instrumentation = "its own spans"
    return FrameworkFound(
        name=framework.name,
        version=found[framework.package].version,
        instrumentation=instrumentation,
        remark="the tree of its runs" if instrumentation else left_out or _without(framework),
    )


def _needs(conflict: DependencyConflict) -> str:
    required: Sequence[object] = (
        [conflict.required] if conflict.required else [*(conflict.required_any or ())]
    )
    # As a command takes it: without the marker that the requirement has in the metadata.
    needed = " or ".join(str(one).partition(";")[0].strip() for one in required)
    found = f"{conflict.found} is installed" if conflict.found else "that is missing"
    return f"{needed}, and {found}"


def _without(framework: Framework) -> str:
    if framework.own_spans:
        return f"for the tree of its runs, {framework.own_spans}"
    if not framework.instrumentations:
        return "its calls are placed at the span around the run"
    return (
        "its calls are placed at the span around the run; for the tree of its runs:"
        f" pip install {framework.instrumentations[0]}"
    )
