"""What an adapter of one library tells, and the adapters that are in use."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Final

from opentelemetry.trace import Span

from otel_helicone.primitives.log_once import log_failure_once

__all__ = [
    "ADAPTERS",
    "Adapter",
    "ambient_attributes",
    "ambient_calls",
    "ambient_spans",
    "in_use",
    "use",
    "use_when_imported",
]

ADAPTERS: Final[Mapping[str, str]] = {
    "langchain_core.runnables.config": "otel_helicone.ambient_spans.langchain",
    "langchain_core.tracers.context": "otel_helicone.ambient_spans.langchain_calls",
    "openinference.instrumentation": "otel_helicone.ambient_spans.openinference",
    "llama_index.core.base.llms.base": "otel_helicone.ambient_spans.llama_index",
}
"""The adapters, by the modules with whose import they come into use.

Each has a value ``ADAPTER``.
"""


def _no_span() -> Span | None:
    return None


def _no_attributes() -> Mapping[str, object]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """What one library knows of the place where the code is running.

    Attributes:
        library: what it is called in messages.
        scopes: the instrumentation scopes of the spans that it tells. They are started with their
            parent as an explicit one, which need not be the nearest span.
        current_span: returns the library's span of the moment, None outside of all of them.
        current_call: returns the span of the call to a model that is being made at this moment,
            where the library tells it apart; it adds no segment to a path, whatever it looks like.
        attributes: returns what the library knows of the session at this moment, under the names
            of the span attributes that it sets later.
    """

    library: str
    scopes: frozenset[str] = frozenset()
    current_span: Callable[[], Span | None] = _no_span
    current_call: Callable[[], Span | None] = _no_span
    attributes: Callable[[], Mapping[str, object]] = _no_attributes


# Until the first such library is imported, no span has to look for one at its start.
in_use: tuple[Adapter, ...] = ()
"""The adapters that are in use."""
_is_waiting = False


def use_when_imported() -> None:
    """Have each adapter used from now on, or as soon as its library is imported."""
    global _is_waiting
    if _is_waiting:
        return
    _is_waiting = True
    # wrapt comes with opentelemetry-instrumentation; its import hooks can't be taken back, so one
    # for each module is registered for the life of the process.
    from wrapt import register_post_import_hook

    for name in ADAPTERS:
        # None stands for a module whose import was blocked.
        if sys.modules.get(name) is not None:
            _use_for(sys.modules[name])
        elif name not in sys.modules:
            register_post_import_hook(_use_for, name)


def _use_for(module: ModuleType) -> None:
    try:
        use(importlib.import_module(ADAPTERS[module.__name__]).ADAPTER)
    except Exception:
        log_failure_once(f"learning where the spans of {module.__name__} are")


def use(adapter: Adapter) -> None:
    """Have an adapter used from now on."""
    global in_use
    if adapter not in in_use:
        in_use = (*in_use, adapter)


def ambient_spans(besides: str | None = None) -> Iterator[Span]:
    """Yield the span of the moment of each library that has one; never raises.

    Args:
        besides: an instrumentation scope; the library whose spans have it is not asked.
    """
    for adapter in in_use:
        if besides not in adapter.scopes:
            yield from _told(adapter.library, adapter.current_span)


def ambient_calls(besides: str | None = None) -> Iterator[Span]:
    """Yield the span of the call that is being made, of each library that has one; never raises.

    Args:
        besides: an instrumentation scope; the library whose spans have it is not asked.
    """
    for adapter in in_use:
        if besides not in adapter.scopes and adapter.current_call is not _no_span:
            yield from _told(adapter.library, adapter.current_call)


def _told(library: str, ask: Callable[[], Span | None]) -> Iterator[Span]:
    try:
        span = ask()
        if span is not None and not isinstance(span, Span):
            raise TypeError(f"told {type(span).__name__}, not a span")
    except Exception:
        log_failure_once(f"asking {library} for its current span")
        return
    if span is not None:
        yield span


def ambient_attributes() -> Mapping[str, object]:
    """Return what the libraries in use know of the session at this moment; never raises."""
    found: dict[str, object] = {}
    for adapter in in_use:
        try:
            for name, value in adapter.attributes().items():
                found.setdefault(name, value)
        except Exception:
            log_failure_once(f"asking {adapter.library} for the session")
    return found
