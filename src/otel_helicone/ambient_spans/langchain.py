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

__all__ = ["ADAPTER"]

_CONFIG: Final = "langchain_core.runnables.config"
_INSTRUMENTATION: Final = "openinference.instrumentation.langchain"
# In this order the instrumentation makes an attribute `session.id` of them, when a run has ended.
_SESSION_KEYS: Final = ("session_id", "conversation_id", "thread_id")


def _current_span() -> Span | None:
    instrumentation: Any = sys.modules.get(_INSTRUMENTATION)
    if instrumentation is None or not _config():
        return None
    # Without it, get_current_span() writes a line to standard output.
    if not instrumentation.LangChainInstrumentor().is_instrumented_by_opentelemetry:
        return None
    span: Span | None = instrumentation.get_current_span()
    return span


def _attributes() -> Mapping[str, object]:
    metadata = _config().get("metadata")
    if isinstance(metadata, Mapping):
        for key in _SESSION_KEYS:
            if metadata.get(key):
                return {SESSION_ID: str(metadata[key])}
    return {}


def _config() -> Mapping[str, Any]:
    found = sys.modules[_CONFIG].var_child_runnable_config.get()
    return found if isinstance(found, Mapping) else {}


ADAPTER: Final = Adapter(
    library="LangChain",
    scopes=frozenset({_INSTRUMENTATION}),
    current_span=_current_span,
    attributes=_attributes,
)
