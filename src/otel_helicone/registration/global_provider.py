"""The global tracer provider: now, or as soon as the application sets it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final

from opentelemetry import trace

from otel_helicone.primitives.log_once import log_failure_once

__all__ = ["current_provider", "when_provider_is_set"]

_SET: Final = "_set_tracer_provider"


def current_provider() -> trace.TracerProvider | None:
    """Return the global tracer provider, None as long as there is none.

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
    # The API tells nobody when the provider is set, so the function that does it is replaced until
    # then: the private one, which the public one calls, because applications and others, Sentry's
    # SDK for one, have imported the public one by its name before. Where an API has no such
    # function the public one is replaced; tests hold the private one on the oldest and newest API.
    name: Final = _SET if hasattr(trace, _SET) else "set_tracer_provider"
    original: Final[Callable[..., None]] = getattr(trace, name)
    waiting = True

    @functools.wraps(original)
    def set_tracer_provider(*arguments: object, **options: object) -> None:
        nonlocal waiting
        original(*arguments, **options)
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
        if getattr(trace, name) is set_tracer_provider:
            setattr(trace, name, original)

    setattr(trace, name, set_tracer_provider)
    return call_off
