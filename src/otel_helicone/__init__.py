"""OpenTelemetry traces as Helicone sessions.

A traced application registers one span processor, and its LLM calls through a Helicone gateway
are grouped into sessions: the trace is the session, the span ancestry is the path, the root span
is the name. Calls that don't go through a gateway are logged by a span exporter.
"""

from __future__ import annotations

# As type checkers know it, without the import: nothing that takes time comes before the command's
# first line, which has Ctrl-C end it quietly.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from otel_helicone.exporter import HeliconeSpanExporter
    from otel_helicone.primitives.segments import default_segment
    from otel_helicone.processor import HeliconeSpanProcessor
    from otel_helicone.propagation import HeliconePropagator
    from otel_helicone.registration.instrumentor import HeliconeInstrumentor
    from otel_helicone.registration.set_up import setup
    from otel_helicone.sampling import AlwaysRecordSampler
    from otel_helicone.scores import HeliconeScoreExporter
    from otel_helicone.session_context.blocks import session
    from otel_helicone.session_context.carrying import in_current_session
    from otel_helicone.session_context.current import (
        SessionContext,
        current_session,
        session_headers,
        set_session,
    )
    from otel_helicone.settings.reading import SettingError

__all__ = [
    "AlwaysRecordSampler",
    "HeliconeInstrumentor",
    "HeliconePropagator",
    "HeliconeScoreExporter",
    "HeliconeSpanExporter",
    "HeliconeSpanProcessor",
    "SessionContext",
    "SettingError",
    "current_session",
    "default_segment",
    "in_current_session",
    "session",
    "session_headers",
    "set_session",
    "setup",
]

# Imported when they are first asked for: not every application needs all of them, and a command's
# help needs none, nor OpenTelemetry's SDK.
_MODULES = {
    "AlwaysRecordSampler": "sampling",
    "HeliconeInstrumentor": "registration.instrumentor",
    "HeliconePropagator": "propagation",
    "HeliconeScoreExporter": "scores",
    "HeliconeSpanExporter": "exporter",
    "HeliconeSpanProcessor": "processor",
    "SessionContext": "session_context.current",
    "SettingError": "settings.reading",
    "current_session": "session_context.current",
    "default_segment": "primitives.segments",
    "in_current_session": "session_context.carrying",
    "session": "session_context.blocks",
    "session_headers": "session_context.current",
    "set_session": "session_context.current",
    "setup": "registration.set_up",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(f"otel_helicone.{module}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
