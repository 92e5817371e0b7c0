"""What is said of each set-up that can't work, and the line that mends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from otel_helicone.primitives.log_once import warn_once

__all__ = [
    "LATE_PROCESSOR",
    "OTHER_PROVIDER",
    "SECOND_PROVIDER",
    "SET_UP_FAULTS",
    "UNNAMED_GATEWAY",
    "UNUSED_KEY",
    "SetUpFault",
]


@dataclass(frozen=True, kw_only=True)
class SetUpFault:
    """One way in which a set-up can't work.

    Attributes:
        cause: its name.
        symptom: what a user sees.
        sentence: what is logged, a ``logging`` format string.
        remedy: a line to type, in the same format, with the same values.
    """

    cause: str
    symptom: str
    sentence: str
    remedy: str

    def say(self, *values: object) -> None:
        """Log it as a warning, the first time in this process.

        Args:
            values: the values for sentence and remedy.
        """
        warn_once(self.cause, f"{self.sentence}: {self.remedy}", *values, *values)


OTHER_PROVIDER: Final = SetUpFault(
    cause="other-provider",
    symptom="requests have a session id, and neither path nor name",
    sentence="A call to Helicone was made in a span of a tracer provider that has no"
    " HeliconeSpanProcessor, so it has no path and no session name. Register one with that"
    " provider",
    remedy="trace.get_tracer_provider().add_span_processor(HeliconeSpanProcessor())",
)

LATE_PROCESSOR: Final = SetUpFault(
    cause="late-processor",
    symptom="the first requests have a session id, and neither path nor name",
    sentence="A call to Helicone was made in a span that had started before the"
    " HeliconeSpanProcessor was registered, so it has no path and no session name. Make this the"
    " first thing that the program does",
    remedy="import otel_helicone; otel_helicone.setup()",
)

SECOND_PROVIDER: Final = SetUpFault(
    cause="second-provider",
    symptom="properties, or other settings, of your processor are not on the requests",
    sentence="A tracer provider with a HeliconeSpanProcessor was set where there was one already."
    " OpenTelemetry keeps the first, so this processor and its settings do nothing. Register it"
    " with the first",
    remedy="trace.get_tracer_provider().add_span_processor(HeliconeSpanProcessor())",
)

UNUSED_KEY: Final = SetUpFault(
    cause="unused-key",
    symptom="there is a key, and nothing comes to Helicone",
    sentence="There is a Helicone API key, and nothing that uses it: calls go directly to their"
    " provider, and no HeliconeSpanExporter logs them. Have them logged from their spans, in code"
    " with otel_helicone.setup(export=True)",
    remedy="export OTEL_TRACES_EXPORTER=helicone",
)

UNNAMED_GATEWAY: Final = SetUpFault(
    cause="unnamed-gateway",
    symptom="the local Helicone has the requests, and no sessions",
    sentence="A local Helicone has answered a call to %s, which is not named as a gateway, so the"
    " call has no session headers. Name it",
    remedy="export HELICONE_GATEWAY_HOSTS=%s",
)

SET_UP_FAULTS: Final = (
    OTHER_PROVIDER,
    LATE_PROCESSOR,
    SECOND_PROVIDER,
    UNUSED_KEY,
    UNNAMED_GATEWAY,
)
"""All of them, for the doctor and for the documents."""
