"""A tracer provider that is set where there is one: OpenTelemetry refuses it, with all that it has.

The code of a notebook's cell that is run again does so, and an application's own set-up under
``opentelemetry-instrument``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from opentelemetry import trace

from otel_helicone.primitives.log_once import log_failure_once
from otel_helicone.set_up_faults.sentences import SECOND_PROVIDER
from otel_helicone.set_up_faults.unseen_spans import processors_of
from otel_helicone.settings.in_use import is_in_use

__all__ = ["unwatch", "watch"]

# The private function, for the reason that :mod:`otel_helicone.registration.global_provider` has.
_SET: Final = "_set_tracer_provider" if hasattr(trace, "_set_tracer_provider") else ""

_watching: Callable[..., None] | None = None
_original: Callable[..., None] | None = None


def watch() -> None:
    """Look at each provider that is set from now on."""
    global _watching, _original
    if _watching is not None or not _SET:
        return
    original: Callable[..., None] = getattr(trace, _SET)

    @functools.wraps(original)
    def set_tracer_provider(*arguments: Any, **options: Any) -> None:
        original(*arguments, **options)
        try:
            given = arguments[0] if arguments else options.get("tracer_provider")
            if _watching is set_tracer_provider and trace.get_tracer_provider() is not given:
                _look_at(given)
        except Exception:
            log_failure_once("looking at a tracer provider that was set")

    _original, _watching = original, set_tracer_provider
    setattr(trace, _SET, set_tracer_provider)


def unwatch() -> None:
    """Leave OpenTelemetry's function as it was found."""
    global _watching, _original
    # What somebody else has wrapped since can't be taken out from below; it does nothing then.
    if _watching is not None and getattr(trace, _SET) is _watching:
        setattr(trace, _SET, _original)
    _watching = _original = None


def _look_at(refused: Any) -> None:
    """Say so where a provider that was refused has, or gets, a processor of this library."""
    if any(map(is_in_use, processors_of(refused) or ())):
        SECOND_PROVIDER.say()
        return
    add = getattr(refused, "add_span_processor", None)
    if not callable(add):
        return

    @functools.wraps(add)
    def add_span_processor(span_processor: Any) -> None:
        add(span_processor)
        if is_in_use(getattr(span_processor, "processor", span_processor)):
            SECOND_PROVIDER.say()

    try:
        refused.add_span_processor = add_span_processor
    except AttributeError:
        pass  # a provider with slots
