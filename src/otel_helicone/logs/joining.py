"""Calls that several spans tell of, joined, so that each is logged once.

Several instrumentations in one process see the same call: nested in one another, or side by side.
The innermost span stands for the call, because its time is the call's own; what it leaves out is
taken from the others. A child ends before its parent, so the innermost also comes first, and the
others, where they come in a later batch, only have to be recognised.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from otel_helicone.dialects.description import Kind, Usage
from otel_helicone.logs.enriching import enriched
from otel_helicone.logs.observed import Observed, SpanKey, parent_key_of
from otel_helicone.logs.request_id import note_request_id, request_id_for

__all__ = ["CallJoiner"]

# What is remembered of spans below one that has not ended yet, and for how many such spans; past
# that the oldest go. A note takes about 200 bytes.
_MOST_NOTES: Final = 64
_MOST_PARENTS: Final = 10_000
_MOST_TRACES: Final = 2_000
# A tool or a retrieval is seen twice at most through one span in between, such as MCP's client; one
# further above is another call of the same tool.
_NEAR: Final = 2
_JOINABLE: Final = frozenset({Kind.LLM, Kind.EMBEDDING, Kind.TOOL, Kind.RETRIEVAL})


@dataclass(frozen=True, slots=True)
class _Facts:
    """What tells one call from another; what was said in it by its hash alone."""

    kind: Kind
    scope: str
    models: frozenset[str | None]
    response_id: str | None
    has_failed: bool
    usage: Usage | None
    tool_name: str | None
    arguments: int | None
    query: int | None
    output: int | None

    @classmethod
    def of(cls, observed: Observed) -> _Facts:
        """Take them from a span."""
        told = observed.description
        return cls(
            told.kind,
            observed.scope,
            frozenset({told.request_model, told.response_model} - {None}),
            told.response_id,
            told.failure is not None,
            told.usage,
            told.tool_name,
            _hash(told.arguments),
            _hash(told.query),
            _hash(told.output),
        )


def _hash(said: object) -> int | None:
    return None if said is None else hash(repr(said))


class _Call:
    """A call that was seen, in this batch or before.

    Attributes:
        is_new: whether it belongs to this batch, so that more can be added to it.
        key: trace id and span id of the span that stands for it.
    """

    __slots__ = ("_facts", "_observed", "end", "is_new", "is_opening", "key", "start")

    def __init__(self, observed: Observed) -> None:
        self.is_new = True
        self.key = observed.key
        self.observed = observed

    @property
    def observed(self) -> Observed:
        """The span that stands for it, with what the others tell; as long as it is new."""
        assert self._observed is not None
        return self._observed

    @observed.setter
    def observed(self, observed: Observed) -> None:
        self._observed: Observed | None = observed
        self._facts: _Facts | None = None
        self.start, self.end = observed.start, observed.end
        self.is_opening = observed.description.is_opening

    @property
    def facts(self) -> _Facts:
        """What tells it from others."""
        if self._facts is None:
            self._facts = _Facts.of(self.observed)
        return self._facts

    def settle(self) -> None:
        """Let go of the span: thousands of calls are remembered, each maybe with a whole book."""
        self._facts = self.facts
        self._observed = None
        self.is_new = False


@dataclass(frozen=True, slots=True)
class _Note:
    """That a call lies below a span.

    Attributes:
        call: the call.
        depth: how many levels below; 1 for a child.
    """

    call: _Call
    depth: int


class CallJoiner:
    """Finds which spans tell of the same call; it remembers earlier batches. Not thread-safe."""

    def __init__(self) -> None:
        self._below: OrderedDict[SpanKey, list[_Note]] = OrderedDict()
        self._of_trace: OrderedDict[int, list[_Call]] = OrderedDict()

    def join(self, batch: Iterable[Observed]) -> list[Observed]:
        """Give each call once, with all that its spans tell, and every span that is no call.

        Args:
            batch: the finished spans of one export, in any order.

        Returns:
            What is to be logged, in the order in which it ended. Spans that only repeat a call,
            or sum up calls below them, are left out.
        """
        ordered = sorted(batch, key=lambda observed: observed.end)
        kept: list[_Call] = []
        for observed in ordered:
            notes = self._below.pop(observed.key, [])
            call = self._placed(observed, notes)
            if call is not None:
                kept.append(call)
                if observed.description.kind in _JOINABLE:
                    notes = [_Note(call, 0), *notes]
            self._pass_up(observed, notes)
        result = [call.observed for call in kept if not call.is_opening]
        for call in kept:
            if call.observed.description.kind in _JOINABLE:
                call.settle()
        return result

    def _placed(self, observed: Observed, notes: Sequence[_Note]) -> _Call | None:
        """Give the new call that a span stands for, or None where others do already."""
        kind = observed.description.kind
        new = _Call(observed)
        if kind not in _JOINABLE:
            return new
        below = [
            note.call
            for note in notes
            if note.call.facts.kind is kind and (kind.is_call or note.depth <= _NEAR)
        ]
        for call in below:
            if _tell_the_same(call.facts, new.facts):
                _add(call, observed)
                return None
        if kind.is_call and below and _sums_up(observed, below):
            return None
        parent = parent_key_of(observed.span)
        for note in self._below.get(parent, ()) if parent is not None else ():
            if not note.call.is_new and note.call.is_opening:
                continue  # the beginning of a stream is not logged by itself
            if _are_twins(note.call, new):
                _add(note.call, observed)
                return None
        return self._elsewhere(new)

    def _elsewhere(self, new: _Call) -> _Call | None:
        """Look for the same call anywhere in the trace.

        Spans of a framework that are never the current ones, as LangChain's, are no ancestors of
        those that the client's instrumentation writes.
        """
        if not new.observed.description.kind.is_call:
            return new
        known = self._of_trace.setdefault(new.key[0], [])
        self._of_trace.move_to_end(new.key[0])
        for call in known:
            if _show_the_same(call, new):
                _add(call, new.observed)
                return None
        known.append(new)
        del known[:-_MOST_NOTES]
        while len(self._of_trace) > _MOST_TRACES:
            self._of_trace.popitem(last=False)
        return new

    def _pass_up(self, observed: Observed, notes: Sequence[_Note]) -> None:
        parent = parent_key_of(observed.span)
        if parent is None or not notes:
            return
        known = self._below.setdefault(parent, [])
        known.extend(_Note(note.call, note.depth + 1) for note in notes)
        del known[: len(known) - _MOST_NOTES]
        self._below.move_to_end(parent)
        while len(self._below) > _MOST_PARENTS:
            self._below.popitem(last=False)


def _add(call: _Call, other: Observed) -> None:
    """Add what another span tells of a call, unless the call was logged already."""
    note_request_id(other.key, request_id_for(call.key))
    if not call.is_new:
        return
    first = call.observed
    if other.description.is_completion:
        # A stream in two spans: the second has the answer, and when the stream ended.
        call.observed = replace(
            first,
            description=replace(
                enriched(other.description, first.description),
                is_completion=False,
                is_opening=False,
            ),
            end=max(first.end, other.end),
        )
    else:
        call.observed = replace(first, description=enriched(first.description, other.description))
    if other.through_gateway:
        call.observed = replace(call.observed, through_gateway=True)


def _tell_the_same(inner: _Facts, outer: _Facts) -> bool:
    """Tell whether nothing that two spans say keeps them from being of one call."""
    if inner.kind is Kind.TOOL:
        same_name = inner.tool_name == outer.tool_name or not (inner.tool_name and outer.tool_name)
        return same_name and _agree(inner.arguments, outer.arguments)
    if inner.kind is Kind.RETRIEVAL:
        return _agree(inner.query, outer.query)
    if inner.response_id and outer.response_id:
        return inner.response_id == outer.response_id
    if inner.models and outer.models and not inner.models & outer.models:
        return False
    if inner.has_failed is not outer.has_failed:
        return False
    if inner.usage is None or outer.usage is None:
        return True
    return _agree(inner.usage.input_tokens, outer.usage.input_tokens) and _agree(
        inner.usage.output_tokens, outer.usage.output_tokens
    )


def _agree(one: object, other: object) -> bool:
    return one is None or other is None or one == other


def _sums_up(observed: Observed, below: Sequence[_Call]) -> bool:
    """Tell whether a span that claims a call only repeats or sums up those below it."""
    usage = observed.description.usage
    if usage is None:
        return observed.description.response_id is None and observed.description.failure is None
    told = [call.facts.usage for call in below]
    return usage.output_tokens == sum(
        counted.output_tokens or 0 for counted in told if counted is not None
    ) and usage.input_tokens == sum(
        counted.input_tokens or 0 for counted in told if counted is not None
    )


def _are_twins(first: _Call, second: _Call) -> bool:
    """Tell whether two spans below one parent are of one call.

    Calls at the same time are common, so they must come from different instrumentations, and one
    must have been seen from the beginning to the end of the other.
    """
    other = second.observed.description
    if first.facts.kind is not other.kind or not other.kind.is_call:
        return False
    if other.is_completion:
        asked = first.observed.description.request_model if first.is_new else None
        return first.is_opening and asked == other.request_model
    one, two = first.facts, second.facts
    if one.scope == two.scope or not _tell_the_same(one, two):
        return False
    if one.response_id and one.response_id == two.response_id:
        return first.start <= second.end and second.start <= first.end
    return _holds(first, second) or _holds(second, first)


def _show_the_same(first: _Call, second: _Call) -> bool:
    """Tell whether two spans in one trace, wherever, are of one call beyond doubt."""
    one, two = first.facts, second.facts
    if one.scope == two.scope or one.kind is not two.kind or not _tell_the_same(one, two):
        return False
    if one.response_id and one.response_id == two.response_id:
        return first.start <= second.end and second.start <= first.end
    if not (_holds(first, second) or _holds(second, first)):
        return False
    if one.output is not None and two.output is not None:
        return one.output == two.output
    return one.usage is not None and one.usage == two.usage


def _holds(outer: _Call, inner: _Call) -> bool:
    return outer.start <= inner.start and inner.end <= outer.end
