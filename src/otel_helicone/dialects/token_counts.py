"""Counts of tokens, under whatever names they stand on spans and in the usage objects of APIs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import combinations
from typing import Final

from otel_helicone.dialects.description import Json, Usage
from otel_helicone.dialects.dialect import Reader
from otel_helicone.dialects.reading import FinishedSpan, as_integer, parse_json

__all__ = ["usage_in", "usage_under", "whole_usage"]

# What each count is called, the most trusted name first. Letter case, `_` and `.` do not count,
# so that `cache_read.input_tokens`, `cacheReadInputTokens` and `cache_read_input_tokens` are one
# name here. `in:` and `out:` stand for the objects of details that APIs have; see `_DETAILS`.
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "input_tokens": (
        "inputtokens",
        "prompttokens",
        "prompttokencount",
        "inputtokencount",
        "prompt",
        "input",
        "tokens",
    ),
    "output_tokens": (
        "outputtokens",
        "completiontokens",
        "candidatestokencount",
        "outputtokencount",
        "completion",
        "output",
    ),
    "total_tokens": ("totaltokens", "totaltokencount", "total"),
    "cached_tokens": (
        "in:cachedtokens",
        "in:cachereadtokens",
        "in:cachereadinputtokens",
        "in:cacheread",
        "in:cacheinput",
        "in:cached",
        "cachereadinputtokens",
        "cachedinputtokens",
        "cachereadtokens",
        "cachedtokens",
        "inputtokenscached",
        "inputcachedtokens",
        "inputcacheread",
        "cachedcontenttokencount",
        "cachedcontenttokens",
        "cachedprompttokens",
        "prompttokenscached",
        "promptcachehittokens",
        "experimentalcachedtokens",
    ),
    "cache_write_tokens": (
        "in:cachewritetokens",
        "in:cachecreationtokens",
        "in:cachecreationinputtokens",
        "in:cachecreation",
        "in:cachewrite",
        "cachewriteinputtokens",
        "cachecreationinputtokens",
        "cachewritetokens",
        "cachecreationtokens",
        "inputtokenscachewrite",
        "inputcachewrite",
        "inputcachewritetokens",
        "inputcachecreation",
    ),
    "reasoning_tokens": (
        "out:reasoningtokens",
        "out:reasoning",
        "out:thinkingtokens",
        "reasoningoutputtokens",
        "reasoningtokens",
        "outputtokensreasoning",
        "outputreasoningtokens",
        "outputreasoning",
        "thoughtstokencount",
        "thoughtstokens",
        "thinkingtokens",
        "experimentalreasoningtokens",
    ),
    "audio_input_tokens": (
        "in:audiotokens",
        "in:audio",
        "audioinputtokens",
        "inputaudiotokens",
        "inputaudio",
        "audioprompttokens",
    ),
    "audio_output_tokens": (
        "out:audiotokens",
        "out:audio",
        "audiooutputtokens",
        "outputaudiotokens",
        "outputaudio",
        "audiocandidatestokens",
    ),
    "tool_tokens": (
        "tooluseprompttokencount",
        "tooluseprompttokens",
        "in:tooluse",
        "inputtooluse",
    ),
}
# Anthropic's writes to its cache by how long they are kept. LangChain tells them alone, and 0 as
# their sum.
_WRITES: Final = ("ephemeral5minputtokens", "ephemeral1hinputtokens")
_DETAILS: Final = re.compile(r"(?:(prompt|input)|completion|output)(?:tokens?)?details")
_SUMS: Final = frozenset({"input_tokens", "output_tokens", "total_tokens"})
_FIELDS: Final = {
    name: (field, rank) for field, names in _NAMES.items() for rank, name in enumerate(names)
}
_PARTS_IN: Final = ("cached_tokens", "cache_write_tokens", "tool_tokens", "audio_input_tokens")
_PARTS_OUT: Final = ("reasoning_tokens", "audio_output_tokens")
# Longer names are nobody's count.
_MAX_NAME: Final = 80


def usage_under(*starts: str) -> Reader[Usage]:
    """Return a reader of the counts that stand in an attribute each.

    Args:
        starts: what the names of the attributes begin with, such as ``gen_ai.usage``.
    """
    prefixes = tuple(f"{start}." for start in starts)

    def read(span: FinishedSpan) -> Usage | None:
        for prefix in prefixes:
            found = _usage(
                (name[len(prefix) :], value)
                for name, value in span.attributes.items()
                if name.startswith(prefix)
            )
            if found is not None:
                return found
        return None

    return read


def usage_in(usage: Json) -> Usage | None:
    """Return what a usage object tells: of an API, a framework or an SDK; None for nothing."""
    if not isinstance(usage, Mapping):
        return None
    found = _usage(usage.items())
    return None if found is None or found.is_empty else found


def whole_usage(usage: Usage) -> Usage:
    """Return the usage with its parts inside the tokens in and out.

    Some count a part beside them: Gemini its thinking and what its tools gave, Langfuse all parts.
    The total tells: where it is more than both, and exactly one choice of parts makes up for it,
    these belong to them. Without a total, or where two choices would do, nothing is added.
    """
    total, tokens_in, tokens_out = usage.total_tokens, usage.input_tokens, usage.output_tokens
    if total is None or tokens_in is None or tokens_out is None:
        return usage
    missing = total - tokens_in - tokens_out
    if missing <= 0:
        return usage
    parts = [
        (name in _PARTS_IN, count)
        for name in (*_PARTS_IN, *_PARTS_OUT)
        if (count := getattr(usage, name))
    ]
    splits = {
        (sum(n for is_in, n in chosen if is_in), sum(n for is_in, n in chosen if not is_in))
        for size in range(1, len(parts) + 1)
        for chosen in combinations(parts, size)
        if sum(n for _, n in chosen) == missing
    }
    if len(splits) != 1:
        return usage
    ((more_in, more_out),) = splits
    return replace(usage, input_tokens=tokens_in + more_in, output_tokens=tokens_out + more_out)


def _usage(pairs: Iterable[tuple[object, object]]) -> Usage | None:
    found: dict[str, tuple[int, int]] = {}
    written = 0
    for name, value in _flat(pairs):
        count = as_integer(value)
        if count is None:
            continue
        if name.endswith(_WRITES):
            written += count
        known = _FIELDS.get(name)
        if known is not None:
            field, rank = known
            # A zero under one name says nothing against a number under another.
            told = (rank if count else rank + len(_FIELDS), count)
            found[field] = min(found.get(field, told), told)
    counts = {field: count for field, (_, count) in found.items()}
    if written and not counts.get("cache_write_tokens"):
        counts["cache_write_tokens"] = written
    return Usage(**counts) if counts else None


def _flat(pairs: Iterable[tuple[object, object]]) -> Iterator[tuple[str, object]]:
    """Yield plain names and values, those of objects of details among them."""
    for name, value in pairs:
        if not isinstance(name, str) or len(name) > _MAX_NAME:
            continue
        if isinstance(value, str) and value[:1] == "{":
            value = parse_json(value)
        if isinstance(value, Mapping):
            for inner, count in value.items():
                if isinstance(inner, str) and len(inner) <= _MAX_NAME:
                    yield _plain(f"{name}.{inner}"), count
        else:
            yield _plain(name), value


@lru_cache(maxsize=1024)
def _plain(name: str) -> str:
    plain = name.replace("_", "").replace(".", "").replace("-", "").lower()
    found = _DETAILS.match(plain)
    if found is not None:
        return f"{'in' if found[1] else 'out'}:{plain[found.end() :]}"
    inner = plain.removeprefix("details")
    # Pydantic AI's details are of the provider: sums there are not the call's.
    return inner if inner == plain or _FIELDS.get(inner, ("",))[0] not in _SUMS else plain
