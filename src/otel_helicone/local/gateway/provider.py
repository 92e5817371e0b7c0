"""Whose API an upstream is, in Helicone's names."""

from __future__ import annotations

import ipaddress
from typing import Final

__all__ = ["provider_of"]

# Ends of host names, at a dot.
_HOSTS: Final = (
    ("api.openai.com", "OPENAI"),
    ("api.anthropic.com", "ANTHROPIC"),
    ("openai.azure.com", "AZURE"),
    ("azure.com", "AZURE"),
    ("amazonaws.com", "BEDROCK"),
    ("googleapis.com", "GOOGLE"),
    ("openrouter.ai", "OPENROUTER"),
    ("api.groq.com", "GROQ"),
    ("api.mistral.ai", "MISTRAL"),
    ("api.deepseek.com", "DEEPSEEK"),
    ("api.x.ai", "X"),
    ("api.cohere.ai", "COHERE"),
    ("api.cohere.com", "COHERE"),
    ("api.together.ai", "TOGETHER"),
    ("api.together.xyz", "TOGETHER"),
    ("api.fireworks.ai", "FIREWORKS"),
    ("api.perplexity.ai", "PERPLEXITY"),
    ("api.cerebras.ai", "CEREBRAS"),
    ("api.deepinfra.com", "DEEPINFRA"),
    ("api.novita.ai", "NOVITA"),
    ("nebius.ai", "NEBIUS"),
    ("api.avian.io", "AVIAN"),
)


def provider_of(host: str, path: str) -> str:
    """Name the provider of a request.

    Args:
        host: the upstream's host, without a port; empty for the built-in upstream.
        path: the path that is asked for.

    Returns:
        Helicone's name of the host's provider, ``CUSTOM`` for a host that is nobody's. The
        built-in upstream and what runs on this machine stand in for somebody's: for Anthropic
        below ``/v1/messages``, else for OpenAI.
    """
    host = host.lower().strip("[]")
    if not host or _is_this_machine(host):
        return "ANTHROPIC" if path.startswith("/v1/messages") else "OPENAI"
    for end, provider in _HOSTS:
        if host == end or host.endswith(f".{end}"):
            return provider
    return "CUSTOM"


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
