"""OpenTelemetry traces as Helicone sessions.

A traced application registers one span processor, and its LLM calls through a Helicone gateway
are grouped into sessions: the trace is the session, the span ancestry is the path, the root span
is the name.
"""

from otel_helicone.exporter import HeliconeSpanExporter
from otel_helicone.processor import HeliconeSpanProcessor
from otel_helicone.scores import HeliconeScoreExporter
from otel_helicone.session_context.blocks import session
from otel_helicone.session_context.current import SessionContext, current_session, session_headers
from otel_helicone.session_context.segments import default_segment
from otel_helicone.settings_reading import SettingError

__all__ = [
    "HeliconeScoreExporter",
    "HeliconeSpanExporter",
    "HeliconeSpanProcessor",
    "SessionContext",
    "SettingError",
    "current_session",
    "default_segment",
    "session",
    "session_headers",
]
