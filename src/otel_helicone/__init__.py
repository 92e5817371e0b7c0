"""OpenTelemetry traces as Helicone sessions.

A traced application registers one span processor, and its LLM calls through a Helicone gateway
are grouped into sessions: the trace is the session, the span ancestry is the path, the root span
is the name. Calls that don't go through a gateway are logged by a span exporter.
"""

from typing import TYPE_CHECKING, Any

from otel_helicone.processor import HeliconeSpanProcessor
from otel_helicone.session_context.blocks import session
from otel_helicone.session_context.carrying import in_current_session
from otel_helicone.session_context.current import SessionContext, current_session, session_headers
from otel_helicone.session_context.segments import default_segment
from otel_helicone.settings_reading import SettingError

if TYPE_CHECKING:
    from otel_helicone.exporter import HeliconeSpanExporter
    from otel_helicone.instrumentor import HeliconeInstrumentor
    from otel_helicone.propagation import HeliconePropagator
    from otel_helicone.sampling import AlwaysRecordSampler
    from otel_helicone.scores import HeliconeScoreExporter
    from otel_helicone.set_up import setup

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
    "setup",
]

# Imported when they are first asked for: not every application needs them, and together they would
# double the time that the import of this package takes.
_LAZY = {
    "HeliconeInstrumentor": "otel_helicone.instrumentor",
    "HeliconePropagator": "otel_helicone.propagation",
    "AlwaysRecordSampler": "otel_helicone.sampling",
    "HeliconeScoreExporter": "otel_helicone.scores",
    "HeliconeSpanExporter": "otel_helicone.exporter",
    "setup": "otel_helicone.set_up",
}


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(module), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
