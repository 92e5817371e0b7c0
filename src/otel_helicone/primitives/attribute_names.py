"""Span attribute names, kept here because OpenTelemetry's own constants for them move and go.

The ``gen_ai.*`` constants of ``opentelemetry-semantic-conventions`` are deprecated as a whole,
their successors live in another package, and the other dialects have none.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ASGI_EVENT_TYPE",
    "ENDUSER_ID",
    "GEN_AI_OPERATION_NAME",
    "GEN_AI_PROVIDER_NAME",
    "GEN_AI_REQUEST_MODEL",
    "GEN_AI_SYSTEM",
    "HELICONE_API_KEY_NAME",
    "HELICONE_CACHE",
    "HELICONE_REQUEST_ID",
    "HELICONE_SESSION_ID",
    "HELICONE_SESSION_NAME",
    "HELICONE_SESSION_PATH",
    "LANGFUSE_OBSERVATION_TYPE",
    "LLM_REQUEST_TYPE",
    "OPENINFERENCE_SPAN_KIND",
    "TRACELOOP_SPAN_KIND",
    "USER_ID",
]

# This library's own.
HELICONE_SESSION_ID: Final = "helicone.session.id"
HELICONE_SESSION_PATH: Final = "helicone.session.path"
HELICONE_SESSION_NAME: Final = "helicone.session.name"
HELICONE_REQUEST_ID: Final = "helicone.request.id"
HELICONE_API_KEY_NAME: Final = "helicone.api_key_name"
HELICONE_CACHE: Final = "helicone.cache"

# OpenTelemetry, general.
USER_ID: Final = "user.id"
ENDUSER_ID: Final = "enduser.id"
ASGI_EVENT_TYPE: Final = "asgi.event.type"

# OpenTelemetry GenAI.
GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
GEN_AI_PROVIDER_NAME: Final = "gen_ai.provider.name"
GEN_AI_SYSTEM: Final = "gen_ai.system"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"

# OpenLLMetry.
LLM_REQUEST_TYPE: Final = "llm.request.type"
TRACELOOP_SPAN_KIND: Final = "traceloop.span.kind"

# OpenInference.
OPENINFERENCE_SPAN_KIND: Final = "openinference.span.kind"

# Langfuse.
LANGFUSE_OBSERVATION_TYPE: Final = "langfuse.observation.type"
