"""LangChain and LangGraph: the run in which the code is, as LangChain itself keeps it.

OpenInference's instrumentation makes its spans in callbacks and never makes them current. But
LangChain keeps the configuration of the current run in a context variable, which goes along into
tasks and into the threads of its own executors, and the instrumentation tells the span of a run.
Both are public: ``var_child_runnable_config`` of ``langchain_core.runnables.config``, which
LangGraph uses too, and ``get_current_span`` of the instrumentation.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.trace import Span

from otel_helicone.ambient_spans.adapter import Adapter
from otel_helicone.primitives.attribute_names import SESSION_ID

__all__ = ["ADAPTER", "INSTRUMENTATION", "instrumentor", "session_in"]

INSTRUMENTATION: Final = "openinference.instrumentation.langchain"
"""The module of the instrumentation, and the scope of its spans."""

_CONFIG: Final = "langchain_core.runnables.config"
# In this order the instrumentation makes an attribute `session.id` of them, when a run has ended.
_SESSION_KEYS: Final = ("session_id", "conversation_id", "thread_id")


def instrumentor() -> Any:
    """Return the instrumentor, None where it is not in use."""
    module: Any = sys.modules.get(INSTRUMENTATION)
    found = None if module is None else module.LangChainInstrumentor()
    # Without it, to ask for a span would write a line to standard output.
    return found if found is not None and found.is_instrumented_by_opentelemetry else None


def session_in(metadata: object) -> Mapping[str, object]:
    """Return the session that the metadata of a run tells, as a span attribute."""
    if isinstance(metadata, Mapping):
        for key in _SESSION_KEYS:
            if metadata.get(key):
                return {SESSION_ID: str(metadata[key])}
    return {}


def _current_span() -> Span | None:
    if not _config() or instrumentor() is None:
        return None
    span: Span | None = sys.modules[INSTRUMENTATION].get_current_span()
    return span


def _attributes() -> Mapping[str, object]:
    return session_in(_config().get("metadata"))


def _config() -> Mapping[str, Any]:
    found = sys.modules[_CONFIG].var_child_runnable_config.get()
    return found if isinstance(found, Mapping) else {}


ADAPTER: Final = Adapter(
    library="LangChain",
    scopes=frozenset({INSTRUMENTATION}),
    current_span=_current_span,
    attributes=_attributes,
)
