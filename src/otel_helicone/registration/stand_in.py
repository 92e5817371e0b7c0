"""The processor of an application that registers none of its own: made from the environment."""

from __future__ import annotations

import functools
from typing import Any, Protocol

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span, SpanProcessor

from otel_helicone.primitives.log_once import log_failure_once
from otel_helicone.processor import HeliconeSpanProcessor
from otel_helicone.registration.removable import RemovableProcessor
from otel_helicone.session_context.local_trace import open_spans

__all__ = ["StandIn", "TakesProcessors", "is_ours"]


class TakesProcessors(Protocol):
    """A tracer provider that span processors can be registered with: the SDK's, and wrappers."""

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Register a processor."""


def is_ours(processor: SpanProcessor) -> bool:
    """Return whether a span processor does the work of this package."""
    if isinstance(processor, RemovableProcessor):
        return isinstance(processor.processor, HeliconeSpanProcessor)
    return isinstance(processor, HeliconeSpanProcessor)


class StandIn(RemovableProcessor):
    """Does a :class:`HeliconeSpanProcessor`'s work until the application registers one itself.

    The first processor of this package that sees a span decides about it, and the one from the
    environment often comes first. So it steps aside, for good, as soon as the application
    registers one with the same provider: then the application's settings hold, and no span is
    processed twice.

    Args:
        settings: the arguments of :class:`HeliconeSpanProcessor`.

    Raises:
        SettingError: for a value that can't be used.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(HeliconeSpanProcessor(**settings))
        self._provider: TakesProcessors | None = None
        self._watching: object = None

    def register(self, provider: TakesProcessors) -> None:
        """Register with a provider, and watch out for a processor of the application's.

        Args:
            provider: the provider.
        """
        provider.add_span_processor(self)
        self._provider = provider
        add = provider.add_span_processor

        @functools.wraps(add)
        def add_span_processor(span_processor: SpanProcessor) -> None:
            if is_ours(span_processor):
                self.step_aside()
            add(span_processor)

        try:
            # On this one provider: nothing public tells which processors it has.
            provider.add_span_processor = add_span_processor  # type: ignore[method-assign]
            self._watching = add_span_processor
        except AttributeError:
            pass  # a provider with slots: its first span tells, if the application came first

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Hand a span's start on, unless a processor of the application's has seen the span."""
        if self.processor is None:
            return
        try:
            node = open_spans.get(span.context[1])
            if node is not None and node() is span:
                self.step_aside()
                return
        except Exception:
            log_failure_once("starting a span")
        super().on_start(span, parent_context)

    def step_aside(self) -> None:
        """Leave everything to the application's processor, or to none."""
        try:
            self.take_out()
            provider = self._provider
            if provider is not None and (
                vars(provider).get("add_span_processor") is self._watching is not None
            ):
                del provider.add_span_processor
        except Exception:
            log_failure_once("stepping aside")
