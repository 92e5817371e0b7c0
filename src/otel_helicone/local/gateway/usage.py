"""Tokens, models and texts out of JSON that OpenAI-compatible APIs answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["Usage", "member", "model_in", "parse_json", "reported_cost", "usage_in"]

# What a JSON number can hold exactly; more is nobody's token count, and SQLite's limit is near.
_MOST_TOKENS: Final = 2**53


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one answer.

    Attributes:
        prompt_tokens: tokens in, without those of the next two.
        completion_tokens: tokens out, without reasoning.
        total_tokens: the answer's own total, else the sum of tokens in and out that it tells.
        prompt_cache_read_tokens: tokens in that the provider had in its cache.
        prompt_cache_write_tokens: tokens in that the provider put into its cache.
        reasoning_tokens: tokens of reasoning.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_cache_read_tokens: int = 0
    prompt_cache_write_tokens: int = 0
    reasoning_tokens: int = 0


def parse_json(text: str | bytes) -> object:
    """Parse JSON; give None for what is not JSON, or is nested beyond reason."""
    try:
        parsed: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed


def member(value: object, *path: str | int) -> object:
    """Follow keys and list positions into parsed JSON; None where one is missing.

    Args:
        value: parsed JSON.
        path: object keys as str, list positions as int.
    """
    for step in path:
        if isinstance(step, str) and isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def usage_in(body: object) -> Usage | None:
    """Read the usage of an answer or of a chunk of a stream.

    Takes the shapes that Helicone takes: ``prompt_tokens`` and ``completion_tokens``, or
    ``input_tokens`` and ``output_tokens``, as numbers or as digits, below ``usage``. Cached and
    reasoning tokens that are counted in are taken off, as Helicone does; Anthropic does not count
    its cached ones in.

    Args:
        body: parsed JSON.

    Returns:
        The counts, or None where the body has no usage.
    """
    usage = member(body, "usage")
    if not isinstance(usage, Mapping):
        return None
    prompt = _count(usage, "prompt_tokens", "input_tokens")
    completion = _count(usage, "completion_tokens", "output_tokens")
    read = _detail(usage, ("prompt", "input"), "cached_tokens")
    reasoning = _detail(usage, ("completion", "output"), "reasoning_tokens")
    return Usage(
        max(prompt - read, 0),
        max(completion - reasoning, 0),
        _count(usage, "total_tokens") or prompt + completion,
        read or _count(usage, "cache_read_input_tokens"),
        _count(usage, "cache_creation_input_tokens"),
        reasoning,
    )


def reported_cost(body: object) -> float | None:
    """Read the cost that an answer tells itself, as OpenRouter's do, in US dollars.

    Args:
        body: parsed JSON.

    Returns:
        The cost, or None where it tells none.
    """
    cost = member(body, "usage", "cost")
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 <= cost < _MOST_TOKENS:
        return None
    return float(cost)


def _detail(usage: Mapping[str, object], sorts: tuple[str, ...], name: str) -> int:
    for sort in sorts:
        details = usage.get(f"{sort}_tokens_details")
        if isinstance(details, Mapping):
            return _count(details, name)
    return 0


def _count(usage: Mapping[str, object], *names: str) -> int:
    for name in names:
        value = usage.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 17:
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS:
            return value
    return 0


def model_in(body: object) -> str | None:
    """Read the model that a request names or that an answer came from.

    Args:
        body: parsed JSON of a request, of an answer or of a chunk of a stream.
    """
    model = member(body, "model")
    return model if isinstance(model, str) and model.strip() else None
