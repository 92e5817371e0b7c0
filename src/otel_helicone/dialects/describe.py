"""From a finished span to one description, fact by fact, the newest dialect first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry.sdk.trace import ReadableSpan

from otel_helicone.dialects.anthropic_sdk import ANTHROPIC_SDK
from otel_helicone.dialects.description import Description, Json, Kind, Message, Usage
from otel_helicone.dialects.dialect import Dialect, Reader
from otel_helicone.dialects.failures import failure_of, http_status_of
from otel_helicone.dialects.google_adk import GOOGLE_ADK
from otel_helicone.dialects.langfuse import LANGFUSE
from otel_helicone.dialects.langwatch import LANGWATCH
from otel_helicone.dialects.limits import kind_of_rest, tell_of_limits
from otel_helicone.dialects.litellm import LITELLM
from otel_helicone.dialects.logfire import LOGFIRE, PYDANTIC_AI
from otel_helicone.dialects.mcp import MCP
from otel_helicone.dialects.mlflow import MLFLOW
from otel_helicone.dialects.openinference import OPENINFERENCE
from otel_helicone.dialects.openllmetry import OPENLLMETRY, OPENLLMETRY_OLD
from otel_helicone.dialects.otel_genai import OTEL_GENAI, OTEL_GENAI_BARE
from otel_helicone.dialects.otel_genai_events import OTEL_GENAI_EVENTS
from otel_helicone.dialects.reading import FinishedSpan
from otel_helicone.dialects.retrievals import bare_documents, bare_query
from otel_helicone.dialects.token_counts import whole_usage
from otel_helicone.dialects.vector_databases import VECTOR_DATABASES
from otel_helicone.dialects.vercel_ai import VERCEL_AI
from otel_helicone.dialects.wrappers import bare_arguments, bare_result, bare_step
from otel_helicone.primitives.known_spans import Part, part_of

__all__ = ["DIALECTS", "describe", "speaks_any"]

DIALECTS: Final[tuple[Dialect, ...]] = (
    VERCEL_AI,  # its spans repeat in `gen_ai.*` some of what they tell, less exactly
    OTEL_GENAI,
    ANTHROPIC_SDK,
    OTEL_GENAI_EVENTS,
    OPENLLMETRY,
    OPENINFERENCE,
    LITELLM,
    OPENLLMETRY_OLD,
    LANGFUSE,
    PYDANTIC_AI,
    LOGFIRE,
    LANGWATCH,
    MLFLOW,
    GOOGLE_ADK,
    MCP,
    VECTOR_DATABASES,
    OTEL_GENAI_BARE,
)
"""All dialects, in the order in which they are asked for each fact."""

_ROOTS: Final = frozenset().union(*(dialect.roots for dialect in DIALECTS))
# Facts that are put together from several dialects, or from what is no dialect's.
_JOINED: Final = frozenset(
    {
        "failure",
        "http_status",
        "kind",
        "parameters",
        "server_address",
        "server_port",
        "usage",
    }
)
_MESSAGES: Final = frozenset({"input", "output"})
# What is asked only of what it can be told of.
_OF_CALLS: Final = frozenset(
    {
        "finish_reasons",
        "input",
        "output",
        "request_model",
        "response_id",
        "response_model",
        "seconds_to_first_token",
        "streaming",
        "tools_offered",
    }
)
_OF_KINDS: Final[Mapping[str, frozenset[Kind]]] = {
    **dict.fromkeys(_OF_CALLS, frozenset({Kind.LLM, Kind.EMBEDDING})),
    "embedding_input": frozenset({Kind.EMBEDDING}),
    "tool_name": frozenset({Kind.TOOL}),
    "tool_call_id": frozenset({Kind.TOOL}),
    "arguments": frozenset({Kind.TOOL}),
    "result": frozenset({Kind.TOOL, Kind.RETRIEVAL}),
    "query": frozenset({Kind.RETRIEVAL}),
    "documents": frozenset({Kind.RETRIEVAL}),
    "step_input": frozenset({Kind.AGENT, Kind.WORKFLOW, Kind.OTHER}),
    "step_output": frozenset({Kind.AGENT, Kind.WORKFLOW, Kind.OTHER}),
}


def _readers(dialect: Dialect, kind: Kind) -> tuple[tuple[str, Reader[Any]], ...]:
    """Return what a dialect can be asked about a kind, and how."""
    return tuple(
        (field.name, getattr(dialect, field.name))
        for field in fields(Description)
        if field.name not in _JOINED
        and kind in _OF_KINDS.get(field.name, frozenset(Kind))
        and getattr(dialect, field.name) is not _NO_ANSWER
    )


_NO_ANSWER: Final = Dialect(name="", roots=frozenset()).operation
# Worked out once: to look for each reader at each span took as long as the reading itself.
_READERS: Final = {
    kind: {dialect.name: _readers(dialect, kind) for dialect in DIALECTS} for kind in Kind
}
_USAGE_FIELDS: Final = tuple(field.name for field in fields(Usage))


def speaks_any(names: Iterable[str]) -> bool:
    """Return, quickly, whether any dialect may have something to say about a span.

    Args:
        names: the names of its attributes, or of its events.
    """
    return any(name.partition(".")[0] in _ROOTS for name in names)


def describe(span: ReadableSpan, at_start: Mapping[str, Any] | None = None) -> Description:
    """Describe what a finished span says that happened.

    Args:
        span: the span, of any instrumentation.
        at_start: attributes that it had when it started, and may have lost since.

    Returns:
        The description; of the kind ``OTHER`` where no dialect knows the span.
    """
    finished = FinishedSpan(span, at_start)
    asked = [dialect for dialect in DIALECTS if not dialect.roots.isdisjoint(finished.roots)]
    if not asked and finished.scope == "litellm":
        asked = [LITELLM]  # its raw spans may have nothing but a name
    kind = Kind.OTHER
    for dialect in asked:
        found = dialect.kind(finished)
        if found is not None:
            kind = found
            break
    else:
        kind = kind_of_rest(finished)
    if kind.is_call and part_of(finished.scope, span.name) is Part.STEP:
        kind = Kind.OTHER
    facts: dict[str, Any] = {}
    empty: dict[str, Any] = {}
    readers = _READERS[kind]
    for dialect in asked:
        for name, reader in readers[dialect.name]:
            if name not in facts:
                found = reader(finished)
                if found is not None:
                    # Messages without content give way to those of a dialect that has it.
                    into = empty if name in _MESSAGES and not _say_anything(found) else facts
                    into.setdefault(name, found)
    facts = {**empty, **facts}
    if kind.is_call:
        facts["usage"] = _usage(finished, asked)
        facts["parameters"] = _parameters(finished, asked)
    elif kind in _WRAPPED:
        _WRAPPED[kind](facts, finished.scope)
    provider = facts.get("provider")
    if provider is not None:
        facts["provider"] = provider.lower()
    if facts.get("seconds_to_first_token") is not None:
        facts.setdefault("streaming", True)
    tell_of_limits(finished)
    failure = failure_of(finished, asked, is_call=kind.is_call)
    address, port = _server(finished)
    return Description(
        kind=kind,
        failure=failure,
        http_status=failure.http_status
        if failure is not None and failure.http_status is not None
        else http_status_of(finished),
        server_address=address,
        server_port=port,
        **facts,
    )


def _bare_tool(facts: dict[str, Any], scope: str) -> None:
    """Take a framework's wrappers off a tool, and what they tell beside it."""
    answer = bare_result(facts.get("result"), scope)
    name = answer.tool_name or facts.get("tool_name")
    asked = bare_arguments(facts.get("arguments"), name, scope)
    _tell(facts, "tool_name", name)
    _tell(facts, "arguments", answer.arguments if asked.value is None else asked.value)
    _tell(facts, "result", answer.value)
    _tell(facts, "tool_call_id", facts.get("tool_call_id") or asked.call_id or answer.call_id)


def _bare_retrieval(facts: dict[str, Any], _scope: str) -> None:
    result = facts.get("result")
    documents = bare_documents(facts.get("documents"))
    if documents is None and isinstance(result, (dict, list)):
        found = bare_documents(result)
        documents = found if found and all(isinstance(item, dict) for item in found) else None
    _tell(facts, "query", bare_query(bare_step(facts.get("query"))))
    _tell(facts, "documents", documents)


def _bare_step(facts: dict[str, Any], _scope: str) -> None:
    for name in ("step_input", "step_output"):
        _tell(facts, name, bare_step(facts.get(name)))


def _tell(facts: dict[str, Any], name: str, value: Json) -> None:
    facts.pop(name, None)
    if value is not None:
        facts[name] = value


_WRAPPED: Final = {
    Kind.TOOL: _bare_tool,
    Kind.RETRIEVAL: _bare_retrieval,
    Kind.AGENT: _bare_step,
    Kind.WORKFLOW: _bare_step,
    Kind.OTHER: _bare_step,
}


def _say_anything(messages: tuple[Message, ...]) -> bool:
    return any(m.parts or m.tool_calls or m.reasoning for m in messages)


def _usage(span: FinishedSpan, asked: list[Dialect]) -> Usage | None:
    """Take each count from the first dialect that has it."""
    merged: dict[str, int] = {}
    for dialect in asked:
        found = dialect.usage(span)
        if found is not None:
            for name in _USAGE_FIELDS:
                count = getattr(found, name)
                if count is not None:
                    merged.setdefault(name, count)
    usage = Usage(**merged)
    return None if usage.is_empty else whole_usage(usage)


def _parameters(span: FinishedSpan, asked: list[Dialect]) -> Mapping[str, Json]:
    merged: dict[str, Json] = {}
    for dialect in asked:
        for name, value in (dialect.parameters(span) or {}).items():
            merged.setdefault(name, value)
    return merged


def _server(span: FinishedSpan) -> tuple[str | None, int | None]:
    """Return host and port of what was called, also where only the address of the API is told."""
    host = span.text("server.address", "net.peer.name")
    if host is not None:
        return host, span.integer("server.port", "net.peer.port")
    base = span.text("gen_ai.openai.api_base", "llm.openai.api_base", "url.full", "http.url")
    if base is None:
        told = span.mapping("hidden_params").get("api_base")  # LiteLLM's own callback
        base = told if isinstance(told, str) else None
    if base is None or "://" not in base:
        return None, None
    try:
        parsed = urlsplit(base)
        return parsed.hostname, parsed.port or {"https": 443, "http": 80}.get(parsed.scheme)
    except ValueError:
        return None, None
