"""The global tracer provider: now, or as soon as the application sets it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final

from opentelemetry import trace

from otel_helicone.log_once import log_failure_once

__all__ = ["current_provider", "when_provider_is_set"]


def current_provider() -> trace.TracerProvider | None:
    """Give the global tracer provider, None as long as there is none.

    ``OTEL_PYTHON_TRACER_PROVIDER`` counts: the API makes that provider when it is first asked.
    """
    provider = trace.get_tracer_provider()
    return None if isinstance(provider, trace.ProxyTracerProvider) else provider


def when_provider_is_set(callback: Callable[[trace.TracerProvider], None]) -> Callable[[], None]:
    """Call a function once the global tracer provider is set; for when there is none yet.

    Args:
        callback: is given the provider. What it raises is logged.

    Returns:
        A function that calls it off.
    """
    # The API tells nobody when the provider is set, so its public function for that is replaced
    # until then. Code that imported the function by its name before this still calls the original,
    # unseen; under opentelemetry-instrument this runs before the application's imports.
    original: Final = trace.set_tracer_provider
    waiting = True

    @functools.wraps(original)
    def set_tracer_provider(tracer_provider: trace.TracerProvider) -> None:
        nonlocal waiting
        original(tracer_provider)
        if not waiting:
            return
        try:
            provider = current_provider()
            if provider is not None:
                call_off()
                callback(provider)
        except Exception:
            log_failure_once("adding the span processor to the tracer provider")

    def call_off() -> None:
        nonlocal waiting
        waiting = False
        # What somebody else has wrapped since can't be taken out from below; it does nothing then.
        if trace.set_tracer_provider is set_tracer_provider:
            trace.set_tracer_provider = original

    trace.set_tracer_provider = set_tracer_provider
    return call_off
