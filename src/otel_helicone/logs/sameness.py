"""What makes two spans one call.

Several instrumentations in one process see the same call, and each writes a span of its own. Here
alone is decided whether two of them do, from what they tell (:class:`Facts`) and from how they lie
to one another: one inside the other, side by side below one parent, elsewhere in one trace, or in
two traces. The further apart, the more they must tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Final

from otel_helicone.dialects.description import Kind, Usage
from otel_helicone.logs.observed import Observed

__all__ = [
    "JOINABLE",
    "Facts",
    "are_one_across_traces",
    "are_one_beside",
    "are_one_elsewhere",
    "are_one_nested",
    "sums_up",
]

JOINABLE: Final = frozenset({Kind.LLM, Kind.EMBEDDING, Kind.TOOL, Kind.RETRIEVAL})
"""The kinds of which several spans may be one."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What tells one call from another; what was said in it by its hash alone.

    Attributes:
        kind: what it is.
        scope: the instrumentation that wrote the span.
        start: when it began, in nanoseconds since 1970.
        end: when it ended.
        ends_later: whether it went on after that.
        is_root: whether the span has no parent.
        is_opening: whether it is only the beginning of a stream.
        is_completion: whether it completes one.
        request_model: the model that was asked for.
        models: that one, and the one that answered.
        response_id: the provider's id of the answer.
        has_failed: whether it failed.
        usage: its tokens.
        tool_name: the tool that ran.
        arguments: what the tool ran with.
        query: what was searched for.
        output: what was answered.
        has_content: whether anything is told of what was said, asked or given.
    """

    kind: Kind
    scope: str
    start: int
    end: int
    ends_later: bool
    is_root: bool
    is_opening: bool
    is_completion: bool
    request_model: str | None
    models: frozenset[str | None]
    response_id: str | None
    has_failed: bool
    usage: Usage | None
    tool_name: str | None
    arguments: int | None
    query: int | None
    output: int | None
    has_content: bool

    @classmethod
    def of(cls, observed: Observed) -> Facts:
        """Return those of a span."""
        told = observed.description
        return cls(
            told.kind,
            observed.scope,
            observed.start,
            observed.end,
            observed.ends_later,
            observed.span.parent is None,
            told.is_opening,
            told.is_completion,
            told.request_model,
            frozenset({told.request_model, told.response_model} - {None}),
            told.response_id,
            told.failure is not None,
            told.usage,
            told.tool_name,
            _hash(told.arguments),
            _hash(told.query),
            _hash(told.output),
            told.has_content,
        )


def _hash(said: object) -> int | None:
    return None if said is None else hash(repr(said))


def are_one_nested(inner: Facts, outer: Facts) -> bool:
    """Return whether a span and one inside of it, of whichever scopes, are one call.

    Which of them ended first does not count: the outer one may end a moment before, or with the
    headers of a stream. But what began only after it had ended is another call.
    """
    if inner.kind is not outer.kind or not _tell_the_same(inner, outer):
        return False
    return not inner.kind.is_call or inner.start <= outer.end


def are_one_beside(first: Facts, second: Facts) -> bool:
    """Return whether two spans below one parent are one call.

    Calls at the same time are common, so they must come from different instrumentations, and one
    must have been seen from the beginning to the end of the other.
    """
    if first.kind is not second.kind or not second.kind.is_call:
        return False
    if second.is_completion:
        return first.is_opening and first.request_model == second.request_model
    if first.scope == second.scope or not _tell_the_same(first, second):
        return False
    if _share_an_answer(first, second):
        return True
    if (first.ends_later or second.ends_later) and not _agree(first.output, second.output):
        return False
    return _is_one_inside_the_other(first, second)


def are_one_elsewhere(first: Facts, second: Facts) -> bool:
    """Return whether two spans in one trace, wherever, are one call beyond doubt."""
    if first.scope == second.scope or first.kind is not second.kind:
        return False
    if not _tell_the_same(first, second):
        return False
    if _share_an_answer(first, second):
        return True
    if not _is_one_inside_the_other(first, second):
        return False
    if first.output is not None and second.output is not None:
        return first.output == second.output
    return first.usage is not None and first.usage == second.usage


def are_one_across_traces(first: Facts, second: Facts) -> bool:
    """Return whether two spans in two traces are one call.

    Spans of a framework that are never the current ones, as LangChain's, leave the client's span
    to be the root of a trace of its own. The answer's id has to be the same, and one of them has
    to lie in the time of the other: an answer out of a cache has the same id, later.
    """
    return (
        first.kind is second.kind
        and first.scope != second.scope
        and (first.is_root or second.is_root)
        and _share_an_answer(first, second)
        and _is_one_inside_the_other(first, second)
    )


def sums_up(outer: Facts, below: Iterable[Facts]) -> bool:
    """Return whether a span that claims a call only repeats or sums up those below it."""
    inside = [facts for facts in below if facts.start <= outer.end]
    usage = outer.usage
    if not inside:
        return False
    if usage is None:
        return outer.response_id is None and not outer.has_failed
    told = [facts.usage for facts in inside if facts.usage is not None]
    return usage.output_tokens == sum(counted.output_tokens or 0 for counted in told) and (
        usage.input_tokens == sum(counted.input_tokens or 0 for counted in told)
    )


def _tell_the_same(first: Facts, second: Facts) -> bool:
    """Return whether nothing that two spans say keeps them from being one call."""
    if first.kind is Kind.TOOL:
        same_name = _agree(first.tool_name, second.tool_name)
        return same_name and _agree(first.arguments, second.arguments)
    if first.kind is Kind.RETRIEVAL:
        return _agree(first.query, second.query)
    if first.response_id and second.response_id:
        return first.response_id == second.response_id
    if first.models and second.models and not first.models & second.models:
        return False
    if first.has_failed is not second.has_failed:
        return False
    return first.usage is None or second.usage is None or _count_alike(first.usage, second.usage)


def _agree(one: object, other: object) -> bool:
    return one is None or other is None or one == other


def _count_alike(one: Usage, other: Usage) -> bool:
    """Return whether two usages may be of one call, with thinking and cached tokens in or out."""
    return _share_a_count(_counts_in(one), _counts_in(other)) and _share_a_count(
        _counts_out(one), _counts_out(other)
    )


def _share_a_count(ones: set[int], others: set[int]) -> bool:
    return not ones or not others or not ones.isdisjoint(others)


def _counts_in(usage: Usage) -> set[int]:
    apart = (usage.cached_tokens or 0, usage.cache_write_tokens or 0, usage.tool_tokens or 0)
    return _with_and_without(usage.input_tokens, apart)


def _counts_out(usage: Usage) -> set[int]:
    return _with_and_without(usage.output_tokens, (usage.reasoning_tokens or 0,))


def _with_and_without(count: int | None, parts: tuple[int, ...]) -> set[int]:
    if count is None:
        return set()
    choices = product(*((0, part) if part else (0,) for part in parts))
    return {count - sum(chosen) for chosen in choices} - {0} | {count}


def _share_an_answer(first: Facts, second: Facts) -> bool:
    if not first.response_id or first.response_id != second.response_id:
        return False
    return first.start <= second.end and second.start <= first.end


def _is_one_inside_the_other(first: Facts, second: Facts) -> bool:
    return _is_inside(first, second) or _is_inside(second, first)


def _is_inside(inner: Facts, outer: Facts) -> bool:
    end = inner.start if outer.ends_later else inner.end
    return outer.start <= inner.start and end <= outer.end
