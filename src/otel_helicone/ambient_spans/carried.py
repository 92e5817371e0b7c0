"""Ambient spans that were current where a function was bound to its session."""

from __future__ import annotations

from typing import Final

from opentelemetry.context import Context, create_key, get_value, set_value
from opentelemetry.trace import Span

from otel_helicone.ambient_spans.adapter import Adapter, use

__all__ = ["ADAPTER", "with_ambient_span"]

_KEY: Final = create_key("otel-helicone-ambient-span")


def with_ambient_span(span: Span, context: Context) -> Context:
    """Return a context in which a span is an ambient one, wherever the context is attached."""
    use(ADAPTER)
    return set_value(_KEY, span, context)


def _current_span() -> Span | None:
    found = get_value(_KEY)
    return found if isinstance(found, Span) else None


ADAPTER: Final = Adapter(library="OpenTelemetry's context", current_span=_current_span)
