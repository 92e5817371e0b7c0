"""The token columns of a logged request, as Helicone fills them from the response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from otel_helicone.local.gateway.usage import member

__all__ = ["LoggedUsage", "NotACount", "logged_usage"]

_MOST_TOKENS: Final = 2**53


class NotACount(Exception):
    """A number of tokens that is negative or a fraction: the log is lost."""


@dataclass(frozen=True, slots=True)
class LoggedUsage:
    """Tokens of one logged answer, cached and reasoning ones taken off the other two.

    Attributes:
        prompt_tokens: tokens in that no cache had.
        completion_tokens: tokens out without reasoning.
        total_tokens: the answer's own total, else the sum of all.
        prompt_cache_read_tokens: tokens in that came from a cache.
        reasoning_tokens: tokens of reasoning; not counted for the provider CUSTOM.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_cache_read_tokens: int = 0
    reasoning_tokens: int = 0


def logged_usage(response: object, provider: str, *, by_provider: bool) -> LoggedUsage:
    """Read the usage of a logged response.

    Args:
        response: parsed JSON.
        provider: as it is stored.
        by_provider: whether ANTHROPIC and GOOGLE are read in their own shape only, as the API
            server does.

    Raises:
        NotACount: for a log that is lost.
    """
    if provider == "GOOGLE" and isinstance(member(response, "usageMetadata"), Mapping):
        return _of_google(response)
    usage = member(response, "usage")
    if not isinstance(usage, Mapping):
        return LoggedUsage()
    names: tuple[tuple[str, ...], tuple[str, ...]]
    names = ("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens")
    if by_provider and provider == "ANTHROPIC":
        names = ("input_tokens",), ("output_tokens",)
    elif by_provider and provider == "GOOGLE":
        return LoggedUsage()
    prompt, completion = (_count(usage, *each) for each in names)
    cached = _detail(usage, names[0], "cached_tokens")
    reasoning = _detail(usage, names[1], "reasoning_tokens")
    total = _count(usage, "total_tokens") or prompt + completion
    return LoggedUsage(
        max(prompt - cached, 0),
        max(completion - reasoning, 0),
        total,
        cached or _count(usage, "cache_read_input_tokens"),
        0 if provider == "CUSTOM" else reasoning,
    )


def _of_google(response: object) -> LoggedUsage:
    told = member(response, "usageMetadata")
    usage = told if isinstance(told, Mapping) else {}
    prompt, out = _count(usage, "promptTokenCount"), _count(usage, "candidatesTokenCount")
    read, thought = _count(usage, "cachedContentTokenCount"), _count(usage, "thoughtsTokenCount")
    total = _count(usage, "totalTokenCount") or prompt + out + thought
    return LoggedUsage(max(prompt - read, 0), out, total, read, thought)


def _detail(usage: Mapping[str, object], names: tuple[str, ...], detail: str) -> int:
    for name in names:
        details = usage.get(f"{name}_details")
        if isinstance(details, Mapping):
            return _count(details, detail)
    return 0


def _count(usage: Mapping[str, object], *names: str) -> int:
    for name in names:
        value = usage.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 17:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if isinstance(value, float) or not 0 <= value <= _MOST_TOKENS:
            raise NotACount(f"{name}: {value}")
        return value
    return 0
