"""The span processor: keeps the ancestry of open spans, and turns injection on."""

from __future__ import annotations

from sys import getrefcount
from typing import Unpack

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from otel_helicone.injection import activation
from otel_helicone.primitives.log_once import log_failure_once, warn_once
from otel_helicone.session_context import finished
from otel_helicone.session_context.linking import link
from otel_helicone.session_context.local_trace import REFERENCES_TO_A_LEAF, open_spans
from otel_helicone.session_context.stamping import stamp_at_start
from otel_helicone.session_context.texts import keep
from otel_helicone.set_up_faults import second_provider
from otel_helicone.settings.in_use import any_in_use
from otel_helicone.settings.processor import (
    ProcessorOptions,
    ProcessorSettings,
    make_processor_settings,
)
from otel_helicone.settings.reading import documented

__all__ = ["HeliconeSpanProcessor"]


@documented(ProcessorSettings)
class HeliconeSpanProcessor(SpanProcessor):
    """Gives a traced application Helicone sessions.

    Registered with a tracer provider, it makes every call to a Helicone gateway, by an openai
    client or another one on ``httpx2``, ``httpx``, ``requests``, ``urllib3``, ``aiohttp`` or
    ``botocore``, carry ``Helicone-Session-Id``, ``-Path`` and ``-Name``: the trace is the session,
    the ancestry of the current span is the path, the root span is the name. Headers that the caller
    set stay.

    Example::

        provider = TracerProvider()
        provider.add_span_processor(HeliconeSpanProcessor(properties={"env": "production"}))

    Each argument may be given by an environment variable instead; the argument wins.

    {settings}

    Raises:
        SettingError: for a value that can't be used; nothing else here ever raises.
    """

    def __init__(self, **options: Unpack[ProcessorOptions]) -> None:
        self._settings = make_processor_settings(options)
        self._stamp = self._settings.stamp
        activation.activate(self, self._settings)
        second_provider.watch()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Link the span to its parent, and stamp it. Called by the SDK; never raises."""
        try:
            node = link(span, parent_context, self._settings)
            if node is None:
                return  # another processor of this package has seen the span already
            if finished.wanted:
                finished.note_start(node, span)
            if self._stamp:
                stamp_at_start(node, span)
        except Exception:
            log_failure_once("starting a span")

    def _on_first_start_after_shutdown(
        self, span: Span, parent_context: Context | None = None
    ) -> None:
        # Its spans stay in the paths of those of other providers.
        self.__dict__.pop("on_start", None)
        warn_once(
            "after-shutdown",
            "A HeliconeSpanProcessor that was shut down still sees spans. It puts no headers on "
            "requests any more; to use it with another provider, make a new one.",
        )
        self.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Keep what spans below this one may need. Called by the SDK; never raises."""
        try:
            context = span.context
            node = open_spans.get(context[1])
            if node is None or node.context[0] != context[0]:
                return  # started before the processor was there
            is_wanted = finished.wanted and finished.is_wanted(span)
            if is_wanted:
                keep(node, span, for_log=True)
                finished.keep(node)
            elif getrefcount(node) > REFERENCES_TO_A_LEAF:
                keep(node, span, for_log=False)
        except Exception:
            log_failure_once("ending a span")

    def shutdown(self) -> None:
        """Turn injection off, if this was the last processor that had it on."""
        try:
            activation.deactivate(self)
            if not any_in_use():
                second_provider.unwatch()
            # In place of the method, so that a processor in use need not look for a flag.
            self.__dict__["on_start"] = self._on_first_start_after_shutdown
        except Exception:
            log_failure_once("shutting down")

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Do nothing: nothing is held back.

        Returns:
            True.
        """
        return True
