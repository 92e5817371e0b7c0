"""LangChain's calls to models: the run of the model itself, while it is being called.

The configuration of the current run, by which :mod:`~otel_helicone.ambient_spans.langchain` goes,
is not set where a chain runs a batch, and a model that is called with nothing around it has none.
So a callback handler notes the run of each model when it starts. LangChain calls a handler that
runs "inline" in the very thread or task that makes the call. The handler is added by a public hook,
``register_configure_hook``, and does nothing unless OpenInference's instrumentation is on.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from opentelemetry.trace import Span

from otel_helicone.ambient_spans.adapter import Adapter
from otel_helicone.ambient_spans.langchain import INSTRUMENTATION, instrumentor, session_in

__all__ = ["ADAPTER"]

# This module is imported with LangChain's `tracers.context`, which imports the other one.
_callbacks: Any = sys.modules["langchain_core.callbacks.base"]
_hooks: Any = sys.modules["langchain_core.tracers.context"]


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that has begun and was not answered yet.

    Attributes:
        run_id: its run.
        parent_run_id: the run around it.
        metadata: what is told of the run.
        is_alone: whether it is the only one that has begun in this thread or task.
    """

    run_id: UUID
    parent_run_id: UUID | None
    metadata: Mapping[str, Any]
    is_alone: bool


_call: Final[ContextVar[_Call | None]] = ContextVar("otel-helicone-langchain-call", default=None)


class _CallHandler(_callbacks.BaseCallbackHandler):  # type: ignore[misc]
    run_inline = True

    @property
    def ignore_llm(self) -> bool:
        return instrumentor() is None

    @property
    def ignore_chat_model(self) -> bool:
        return instrumentor() is None

    @property
    def ignore_chain(self) -> bool:
        return True

    @property
    def ignore_agent(self) -> bool:
        return True

    @property
    def ignore_retriever(self) -> bool:
        return True

    @property
    def ignore_retry(self) -> bool:
        return True

    @property
    def ignore_custom_event(self) -> bool:
        return True

    def on_chat_model_start(self, *_: Any, **told: Any) -> None:
        _begin(**told)

    def on_llm_start(self, *_: Any, **told: Any) -> None:
        _begin(**told)

    # By its first token a call has been answered: what the consumer of a stream does from now on is
    # no part of it.
    def on_llm_new_token(self, *_: Any, **told: Any) -> None:
        _end(**told)

    def on_llm_end(self, *_: Any, **told: Any) -> None:
        _end(**told)

    def on_llm_error(self, *_: Any, **told: Any) -> None:
        _end(**told)


def _begin(*, run_id: UUID, parent_run_id: UUID | None = None, **told: Any) -> None:
    before = _call.get()
    # A model that is given several inputs at once begins all of its runs before it makes the first
    # call. Which of them a request belongs to can't be told then.
    is_alone = (
        before is None or before.parent_run_id != parent_run_id or _span_of(before.run_id) is None
    )
    metadata = told.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    _call.set(_Call(run_id, parent_run_id, metadata, is_alone))


def _end(*, run_id: UUID, **_: Any) -> None:
    call = _call.get()
    if call is not None and call.run_id == run_id:
        _call.set(None)


def _span_of(run_id: UUID) -> Span | None:
    found = instrumentor()
    span: Span | None = None if found is None else found.get_span(run_id)
    return span


def _current_call() -> Span | None:
    call = _call.get()
    # Of a run that has ended the instrumentation has no span any more.
    return _span_of(call.run_id) if call is not None and call.is_alone else None


def _attributes() -> Mapping[str, object]:
    call = _call.get()
    return session_in(call.metadata) if call is not None and _current_call() is not None else {}


_HANDLER: Final[Any] = _CallHandler()
# A variable with a default holds for every thread and task.
_handler: Final[ContextVar[Any]] = ContextVar("otel-helicone-langchain", default=_HANDLER)
_hooks.register_configure_hook(_handler, inheritable=True)

ADAPTER: Final = Adapter(
    library="LangChain's models",
    scopes=frozenset({INSTRUMENTATION}),
    current_call=_current_call,
    attributes=_attributes,
)
