"""Spans of calls by their times and places, and what is logged of them."""

from __future__ import annotations

from itertools import count
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from otel_helicone.logs.record import LogRecord
from otel_helicone.logs.translating import Translator
from tests.made_spans import RESOURCE

__all__ = ["ROOT", "call", "logged", "span"]


NUMBERS = count(1)


def span(
    name: str,
    start: int,
    end: int,
    *,
    below: ReadableSpan | None = None,
    scope: str = "one",
    trace: int = 7,
    kind: SpanKind = SpanKind.INTERNAL,
    **attributes: Any,
) -> ReadableSpan:
    """Make a finished span; its times are in milliseconds."""
    return ReadableSpan(
        name,
        context=SpanContext(trace, next(NUMBERS), False, TraceFlags(1)),
        parent=None if below is None else below.context,
        attributes={key.replace("__", "."): value for key, value in attributes.items()},
        kind=kind,
        start_time=start * 1_000_000,
        end_time=end * 1_000_000,
        resource=RESOURCE,
        instrumentation_scope=InstrumentationScope(scope),
    )


def call(start: int, end: int, **more: Any) -> ReadableSpan:
    given = {"gen_ai__operation__name": "chat", "gen_ai__request__model": "gpt-4o-mini", **more}
    return span("chat", start, end, **given)


def logged(*batches: list[ReadableSpan]) -> list[LogRecord]:
    translator = Translator()
    return [record for batch in batches for record in translator.records(batch)]


ROOT = span("root", 0, 1000)
