"""Spans whose part in a tree is known by who wrote them and what they are called.

Most spans tell by their kind and their attributes what they are. Some tell it only when they have
ended, after the request has been sent: ``call_llm`` of Google's ADK gets the attributes of a call
last. And frameworks trace their own machinery, the ``RunnableSequence`` that LangChain puts around
what a person has written. So here is one table, by instrumentation scope and span name, which is
asked when a request goes out and when a span has ended, and gives both the same answer.

Read from the spans that current versions of the instrumentations write.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from fnmatch import translate
from typing import Final

__all__ = [
    "KNOWN_SCOPES",
    "KNOWN_SPANS",
    "KnownSpans",
    "Part",
    "is_call_by_library",
    "name_of_step",
    "part_of",
]


class Part(Enum):
    """The part that a span has in a tree."""

    CALL = "call"
    """It is the call to the model itself."""
    WRAPPER = "wrapper"
    """It is machinery around what the application does, or around a call."""
    STEP = "step"
    """It is a step, whatever else it looks like."""


@dataclass(frozen=True, slots=True)
class KnownSpans:
    """The spans of one instrumentation scope that are known.

    Attributes:
        scope: the name of the scope.
        calls: names of spans that are calls themselves; ``*`` stands for any characters.
        wrappers: names of spans that add nothing to a tree.
        steps: names of spans that are steps, though they would match one of the others.
        methods: what names end with and says nothing of a step, such as the method of a tool that
            is called.
    """

    scope: str
    calls: tuple[str, ...] = ()
    wrappers: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()


_LANGCHAIN_WRAPPERS: Final = (
    "Runnable*",
    "ChannelRead*",
    "ChannelWrite*",
    "Branch<*",
    "_write",
    "__start__",
    "*Prompt",
    "*PromptTemplate",
    "*Parser",
    # The two functions inside of LangGraph's ready-made agent.
    "call_model",
    "acall_model",
    "should_continue",
    "tools_condition",
)

# A span is called after a class and its method. The classes of an application are among them, so
# these are LlamaIndex's own ones alone, with the methods inside of what they are asked for.
_LLAMA_INDEX_WRAPPERS: Final = (
    # The steps of the ready-made agents. What a step calls, a model or a tool, has its own span.
    *(
        f"{agent}.{step}"
        for agent in ("BaseWorkflowAgent", "AgentWorkflow")
        for step in (
            "init_run",
            "setup_agent",
            "run_agent_step",
            "parse_agent_output",
            "call_tool",
            "aggregate_tool_results",
        )
    ),
    *(
        f"{engine}.{method}"
        for engine in (
            "CitationQueryEngine",
            "MultiStepQueryEngine",
            "RetrieverQueryEngine",
            "RouterQueryEngine",
            "SubQuestionQueryEngine",
            "TransformQueryEngine",
        )
        for method in ("_query", "_aquery")
    ),
    *(
        f"{retriever}.{method}"
        for retriever in (
            "AutoMergingRetriever",
            "QueryFusionRetriever",
            "RecursiveRetriever",
            "RouterRetriever",
            "SummaryIndexRetriever",
            "VectorIndexAutoRetriever",
            "VectorIndexRetriever",
        )
        for method in ("_retrieve", "_aretrieve")
    ),
    *(
        f"{synthesizer}.{method}"
        for synthesizer in (
            "Accumulate",
            "CompactAndAccumulate",
            "CompactAndRefine",
            "Generation",
            "Refine",
            "SimpleSummarize",
            "TreeSummarize",
        )
        for method in ("get_response", "aget_response")
    ),
    "DefaultRefineProgram.__call__",
    "DefaultRefineProgram.acall",
)

_DSPY_WRAPPERS: Final = (
    # What turns fields into a prompt, and an answer into fields.
    *(
        f"{adapter}.{method}"
        for adapter in ("BAMLAdapter", "ChatAdapter", "JSONAdapter", "TwoStepAdapter", "XMLAdapter")
        for method in ("__call__", "acall")
    ),
    # The outer one of the two spans of a prediction, and the inner one where its signature is a
    # text, not a class with a name.
    "Predict.forward",
    "Predict.aforward",
    "Predict(StringSignature).forward",
    "Predict(StringSignature).aforward",
)

# The ready-made components that ask a model. A component of an application may be called
# `…Generator` as well, so each is named.
_HAYSTACK_CALLS: Final = (
    "CreateEmbeddings",
    *(
        f"{provider}{kind}Generator.{method}"
        for provider in (
            "AmazonBedrock",
            "Anthropic",
            "AnthropicVertex",
            "AzureOpenAI",
            "AzureOpenAIResponses",
            "Cohere",
            "GoogleAIGemini",
            "GoogleGenAI",
            "HuggingFaceAPI",
            "HuggingFaceLocal",
            "LlamaCpp",
            "LlamaStack",
            "MetaLlama",
            "Mistral",
            "Nvidia",
            "Ollama",
            "OpenAI",
            "OpenAIResponses",
            "OpenRouter",
            "TogetherAI",
            "VertexAIGemini",
            "Watsonx",
        )
        for kind in ("", "Chat")
        for method in ("run", "run_async")
    ),
)

KNOWN_SPANS: Final = (
    KnownSpans("openinference.instrumentation.langchain", wrappers=_LANGCHAIN_WRAPPERS),
    KnownSpans(
        "openinference.instrumentation.litellm",
        calls=("completion", "acompletion", "embedding", "aembedding", "responses", "aresponses"),
    ),
    KnownSpans("litellm", calls=("litellm_request", "raw_gen_ai_request")),
    # OpenInference's instrumentation of ADK takes the spans of the calls away, so that what they
    # tell lands on the agent's.
    KnownSpans("gcp.vertex.agent", calls=("call_llm",), steps=("invoke_agent *",)),
    KnownSpans("openinference.instrumentation.google_adk", calls=("call_llm",)),
    KnownSpans("strands.telemetry.tracer", wrappers=("execute_event_loop_cycle",)),
    KnownSpans(
        "semantic_kernel.connectors.ai.chat_completion_client_base",
        wrappers=("AutoFunctionInvocationLoop",),
    ),
    # Messages between agents, each with an id of the run in its name: of AutoGen, and of Semantic
    # Kernel.
    KnownSpans("autogen SingleThreadedAgentRuntime", wrappers=("autogen *",)),
    KnownSpans("autogen Worker Runtime", wrappers=("autogen *",)),
    KnownSpans("agent_runtime InProcessRuntime", wrappers=("agent_runtime *",)),
    # Around each agent's and each tool's there is one of AutoGen's own.
    KnownSpans(
        "openinference.instrumentation.autogen_agentchat",
        steps=("*.run_stream",),
        wrappers=("*.*",),
    ),
    # Repeats the tokens of a call, or of several.
    KnownSpans("opentelemetry.instrumentation.ag2", wrappers=("record_usage *",)),
    # One for each answer of the model, below the agent's.
    KnownSpans("openinference.instrumentation.openai_agents", wrappers=("turn",)),
    KnownSpans(
        "openinference.instrumentation.llama_index",
        wrappers=_LLAMA_INDEX_WRAPPERS,
    ),
    KnownSpans(
        "openinference.instrumentation.dspy",
        calls=("LM.__call__", "LM.acall"),
        wrappers=_DSPY_WRAPPERS,
        methods=(".__call__", ".acall"),
    ),
    KnownSpans(
        "openinference.instrumentation.haystack",
        calls=_HAYSTACK_CALLS,
        wrappers=("Pipeline.run_async_generator",),  # inside of Pipeline.run_async
    ),
)
"""The table."""

is_call_by_library: Final[dict[str, Callable[[str], bool]]] = {}
"""By instrumentation scope, what tells of the name of a span whether it is a call.

For libraries that name their spans after classes, which an application adds to: only the library
in this process knows which of them are models. The scopes have to be in the table.
"""


def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(translate(name) for name in names) or r"(?!)")


KNOWN_SCOPES: Final = frozenset(known.scope for known in KNOWN_SPANS)
"""The instrumentation scopes that the table has."""

_PATTERNS: Final[Mapping[str, tuple[tuple[Part, re.Pattern[str]], ...]]] = {
    known.scope: (
        (Part.STEP, _pattern(known.steps)),
        (Part.CALL, _pattern(known.calls)),
        (Part.WRAPPER, _pattern(known.wrappers)),
    )
    for known in KNOWN_SPANS
}


_METHODS: Final = {known.scope: known.methods for known in KNOWN_SPANS if known.methods}


def name_of_step(scope: str, name: str) -> str:
    """Return the name of a step, without the method that was called.

    Args:
        scope: the name of its instrumentation scope.
        name: its span's name.
    """
    for method in _METHODS.get(scope, ()):
        if name.endswith(method):
            return name.removesuffix(method) or name
    return name


def part_of(scope: str, name: str) -> Part | None:
    """Return the part that a span has in a tree, None where the table does not have it.

    Args:
        scope: the name of its instrumentation scope.
        name: its name.
    """
    patterns = _PATTERNS.get(scope)
    if patterns is None:
        return None
    for part, pattern in patterns:
        if pattern.fullmatch(name):
            return part
    is_call = is_call_by_library.get(scope)
    return Part.CALL if is_call is not None and is_call(name) else None
