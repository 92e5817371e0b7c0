"""Span attribute names, kept here because OpenTelemetry's own constants for them move and go.

The ``gen_ai.*`` constants of ``opentelemetry-semantic-conventions`` are deprecated as a whole,
their successors live in another package, and the other dialects have none.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "AI_TOOL_CALL_NAME",
    "ASGI_EVENT_TYPE",
    "ENDUSER_ID",
    "GEN_AI_CONVERSATION_ID",
    "GEN_AI_OPERATION_NAME",
    "GEN_AI_PROVIDER_NAME",
    "GEN_AI_REQUEST_MODEL",
    "GEN_AI_SYSTEM",
    "GEN_AI_TOOL_NAME",
    "HELICONE_API_KEY_NAME",
    "HELICONE_CACHE",
    "HELICONE_REQUEST_ID",
    "HELICONE_SESSION_ID",
    "HELICONE_SESSION_NAME",
    "HELICONE_SESSION_PARENT",
    "HELICONE_SESSION_PATH",
    "LANGFUSE_OBSERVATION_TYPE",
    "LITELLM_CALL_ID",
    "LLM_REQUEST_TYPE",
    "OPENINFERENCE_SPAN_KIND",
    "SESSION_ID",
    "TOOL_NAME",
    "TRACELOOP_ENTITY_NAME",
    "TRACELOOP_SPAN_KIND",
    "USER_ID",
]

# This library's own.
HELICONE_SESSION_ID: Final = "helicone.session.id"
HELICONE_SESSION_PATH: Final = "helicone.session.path"
HELICONE_SESSION_NAME: Final = "helicone.session.name"
HELICONE_SESSION_PARENT: Final = "helicone.session.parent"
HELICONE_REQUEST_ID: Final = "helicone.request.id"
HELICONE_API_KEY_NAME: Final = "helicone.api_key_name"
HELICONE_CACHE: Final = "helicone.cache"

# OpenTelemetry, general.
SESSION_ID: Final = "session.id"
USER_ID: Final = "user.id"
ENDUSER_ID: Final = "enduser.id"
ASGI_EVENT_TYPE: Final = "asgi.event.type"

# OpenTelemetry GenAI.
GEN_AI_CONVERSATION_ID: Final = "gen_ai.conversation.id"
GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
GEN_AI_PROVIDER_NAME: Final = "gen_ai.provider.name"
GEN_AI_SYSTEM: Final = "gen_ai.system"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_TOOL_NAME: Final = "gen_ai.tool.name"

# LiteLLM's own callback.
LITELLM_CALL_ID: Final = "litellm.call_id"

# OpenLLMetry.
LLM_REQUEST_TYPE: Final = "llm.request.type"
TRACELOOP_ENTITY_NAME: Final = "traceloop.entity.name"
TRACELOOP_SPAN_KIND: Final = "traceloop.span.kind"

# OpenInference.
OPENINFERENCE_SPAN_KIND: Final = "openinference.span.kind"
TOOL_NAME: Final = "tool.name"

# Langfuse.
LANGFUSE_OBSERVATION_TYPE: Final = "langfuse.observation.type"

# Vercel's AI SDK.
AI_TOOL_CALL_NAME: Final = "ai.toolCall.name"
