"""Where a call is logged, and under which model, so that Helicone knows its price.

Recorded from Helicone: the provider of a log comes from the endpoint, and a price is known only
for the provider's own models under their bare names. Under CUSTOM every call costs nothing.
"""

from __future__ import annotations

import re
from typing import Final

from otel_helicone.dialects.description import Description

__all__ = ["ANTHROPIC_PATH", "CUSTOM_PATH", "OPENAI_PATH", "bare_model", "path_for"]

OPENAI_PATH: Final = "/oai/v1/log"
ANTHROPIC_PATH: Final = "/anthropic/v1/log"
CUSTOM_PATH: Final = "/custom/v1/log"

# Who serves OpenAI's models under OpenAI's prices: itself, and Azure under its several names.
_OPENAI: Final = frozenset(
    {"az.ai.inference", "az.ai.openai", "azure", "azure.ai.inference", "azure.ai.openai", "openai"}
)
_OPENAI_MODEL: Final = re.compile(
    r"(ft:)?(gpt-|chatgpt-|o[134](-|$)|text-embedding-|text-davinci|davinci|babbage|omni-|"
    r"computer-use|codex|whisper|tts-|dall-e)",
    re.IGNORECASE,
)
_CLAUDE: Final = re.compile(r"claude-", re.IGNORECASE)
_PREFIX: Final = re.compile(r"(?:(?:us|eu|apac|global)\.)?anthropic\.", re.IGNORECASE)
_VERSION: Final = re.compile(r"-v\d+(:\d+)?$")


def path_for(description: Description) -> str:
    """Return the path of the log API for a call to a model.

    Args:
        description: the call.
    """
    model = description.response_model or description.request_model or ""
    provider = (description.provider or "").split(".")[0]
    bare = bare_model(model)
    if provider == "anthropic" or _CLAUDE.match(bare):
        return ANTHROPIC_PATH
    if description.provider in _OPENAI or provider in _OPENAI or _OPENAI_MODEL.match(bare):
        return OPENAI_PATH
    return CUSTOM_PATH


def bare_model(model: str) -> str:
    """Return the name under which the provider itself lists a model.

    ``openai/gpt-4o-mini`` is ``gpt-4o-mini``; Claude has names of their own on Bedrock
    (``us.anthropic.claude-3-haiku-20240307-v1:0``) and on Vertex AI
    (``claude-3-haiku@20240307``). Other names stay.
    """
    last = model.rpartition("/")[2]
    if _OPENAI_MODEL.match(last):
        return last
    without = _PREFIX.sub("", last, count=1)
    if _CLAUDE.match(without):
        return _VERSION.sub("", without).replace("@", "-")
    return model
