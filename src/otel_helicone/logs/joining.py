"""Calls that several spans tell of, joined, so that each is logged once.

The innermost span stands for the call, because its time is the call's own; what it leaves out is
taken from the others. So the spans of a batch are looked at from below, and what came in earlier
batches only has to be recognised. Whether two spans are one call is decided in
:mod:`~otel_helicone.logs.sameness`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from otel_helicone.logs.enriching import enriched
from otel_helicone.logs.observed import Observed, SpanKey
from otel_helicone.logs.request_id import note_request_id, request_id_for
from otel_helicone.logs.sameness import (
    JOINABLE,
    Facts,
    are_one_across_traces,
    are_one_beside,
    are_one_elsewhere,
    are_one_nested,
    sums_up,
)

__all__ = ["CallJoiner"]

# What is remembered of spans below one that has not ended yet, and for how many such spans; past
# that the oldest go. A note takes about 200 bytes.
_MAX_NOTES: Final = 64
_MAX_PARENTS: Final = 10_000
_MAX_TRACES: Final = 2_000
_MAX_ANSWERS: Final = 10_000
# A tool or a retrieval is seen twice at most through one span in between, such as MCP's client; one
# further above is another call of the same tool.
_NEAR: Final = 2
# How far up is looked, for what ended before what is inside of it.
_MAX_DEPTH: Final = 64

_K = TypeVar("_K")
_V = TypeVar("_V")


class _Call:
    """A call that was seen, in this batch or before.

    Attributes:
        is_new: whether it belongs to this batch, so that more can be added to it.
        key: trace id and span id of the span that stands for it.
    """

    __slots__ = ("_facts", "_observed", "is_new", "key")

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
        self._facts: Facts | None = None

    @property
    def facts(self) -> Facts:
        """What tells it from others."""
        if self._facts is None:
            self._facts = Facts.of(self.observed)
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
        self._of_span: OrderedDict[SpanKey, _Call] = OrderedDict()
        self._of_trace: OrderedDict[int, list[_Call]] = OrderedDict()
        self._of_answer: OrderedDict[str, _Call] = OrderedDict()
        self._late: set[str] = set()

    def take_late(self) -> set[str]:
        """Return the instrumentations of calls that were logged before their content came."""
        late, self._late = self._late, set()
        return late

    def join(self, batch: Iterable[Observed]) -> list[Observed]:
        """Return each call once, with all that its spans tell, and every span that is no call.

        Args:
            batch: the finished spans of one export, in any order.

        Returns:
            What is to be logged, in the order in which it ended. Spans that only repeat a call,
            or sum up calls below them, are left out.
        """
        spans = {observed.key: observed for observed in batch}
        kept: list[_Call] = []
        for observed in _from_below(spans):
            notes = self._below.pop(observed.key, [])
            joinable = observed.description.kind in JOINABLE
            new = _Call(observed)
            call = self._known(new, notes, spans) if joinable else None
            if call is not None:
                if not call.is_new and not call.facts.has_content and new.facts.has_content:
                    self._late.add(call.facts.scope)
                _add(call, observed)
            elif joinable and self._sums_up(new, notes):
                self._pass_up(observed, notes)
                continue
            else:
                call = new
                kept.append(new)
                if joinable:
                    self._remember(new)
                    notes = [_Note(new, 0), *notes]
            if joinable:
                _put(self._of_span, observed.key, call, _MAX_PARENTS)
            self._pass_up(observed, notes)
        result = [call.observed for call in kept if not call.observed.description.is_opening]
        for call in kept:
            if call.observed.description.kind in JOINABLE:
                call.settle()
        return result

    def _known(
        self, new: _Call, notes: Sequence[_Note], spans: Mapping[SpanKey, Observed]
    ) -> _Call | None:
        """Return the call that a span tells of, where others have told of it already."""
        for call in _near(notes, new):
            if are_one_nested(call.facts, new.facts):
                return call
        if self._sums_up(new, notes):
            return None
        for depth, key in enumerate(_upwards(new.observed, spans), 1):
            above = self._of_span.get(key)
            near = new.facts.kind.is_call or depth <= _NEAR
            if above is not None and near and are_one_nested(new.facts, above.facts):
                return above
        parent = new.observed.parent
        for note in self._below.get(parent, ()) if parent is not None else ():
            if not note.call.is_new and note.call.facts.is_opening:
                continue  # the beginning of a stream is not logged by itself
            if are_one_beside(note.call.facts, new.facts):
                return note.call
        if not new.facts.kind.is_call:
            return None
        for call in self._of_trace.get(new.key[0], ()):
            if are_one_elsewhere(call.facts, new.facts):
                return call
        other = self._of_answer.get(new.facts.response_id or "")
        if other is not None and other.key[0] != new.key[0]:
            return other if are_one_across_traces(other.facts, new.facts) else None
        return None

    def _sums_up(self, new: _Call, notes: Sequence[_Note]) -> bool:
        if not new.facts.kind.is_call:
            return False
        return sums_up(new.facts, [call.facts for call in _near(notes, new)])

    def _remember(self, new: _Call) -> None:
        if not new.observed.description.kind.is_call:
            return
        known = self._of_trace.get(new.key[0], [])
        known.append(new)
        del known[:-_MAX_NOTES]
        _put(self._of_trace, new.key[0], known, _MAX_TRACES)
        if new.facts.response_id is not None:
            _put(self._of_answer, new.facts.response_id, new, _MAX_ANSWERS)

    def _pass_up(self, observed: Observed, notes: Sequence[_Note]) -> None:
        parent = observed.parent
        if parent is None or not notes:
            return
        known = self._below.get(parent, [])
        known.extend(_Note(note.call, note.depth + 1) for note in notes)
        del known[: len(known) - _MAX_NOTES]
        _put(self._below, parent, known, _MAX_PARENTS)


def _put(known: OrderedDict[_K, _V], key: _K, value: _V, most: int) -> None:
    """Remember something as the newest, and forget the oldest past so many."""
    known[key] = value
    known.move_to_end(key)
    while len(known) > most:
        known.popitem(last=False)


def _from_below(spans: Mapping[SpanKey, Observed]) -> list[Observed]:
    """Return spans in the order in which they ended, but none before those inside of it.

    A child that a stream keeps open ends after its parent, and within the same clock tick they may
    end in any order.
    """
    ends = {key: observed.end for key, observed in spans.items()}
    depths: dict[SpanKey, int] = {}
    for key, observed in spans.items():
        above = key
        seen = {key}
        for parent in _upwards(observed, spans):
            if parent not in spans or parent in seen or len(seen) > _MAX_DEPTH:
                break
            seen.add(parent)
            ends[parent] = max(ends[parent], ends[above])
            above = parent
        depths[key] = len(seen)
    return sorted(spans.values(), key=lambda observed: (ends[observed.key], -depths[observed.key]))


def _upwards(observed: Observed, spans: Mapping[SpanKey, Observed]) -> Iterator[SpanKey]:
    """Yield the keys of the parent and what is above it, as far as the batch knows them."""
    parent = observed.parent
    for _ in range(_MAX_DEPTH):
        if parent is None:
            return
        yield parent
        above = spans.get(parent)
        parent = None if above is None else above.parent


def _near(notes: Sequence[_Note], new: _Call) -> Iterator[_Call]:
    """Yield the calls below a span that may be the one that it tells of."""
    kind = new.observed.description.kind
    for note in notes:
        if note.call.facts.kind is kind and (kind.is_call or note.depth <= _NEAR):
            yield note.call


def _add(call: _Call, other: Observed) -> None:
    """Add what another span tells of a call, unless the call was logged already."""
    note_request_id(other.key, request_id_for(call.key))
    if not call.is_new:
        return
    first = call.observed
    if other.description.is_completion or (first.ends_later and other.end > first.end):
        # A stream in two spans: the second has the answer, and when the stream ended.
        call.observed = replace(
            first,
            description=replace(
                enriched(other.description, first.description),
                is_completion=False,
                is_opening=False,
            ),
            end=max(first.end, other.end),
            ends_later=other.ends_later,
        )
    else:
        call.observed = replace(first, description=enriched(first.description, other.description))
    if other.through_gateway:
        call.observed = replace(call.observed, through_gateway=True)
    is_around = other.span.parent is not None or other.start <= first.start
    if call.key[0] != other.key[0] and first.span.parent is None and is_around:
        # The root of a trace of its own, in the place where the framework knows it to be.
        call.observed = replace(call.observed, place=other.span)
