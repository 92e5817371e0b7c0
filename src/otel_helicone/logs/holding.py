"""Calls without content that wait for a moment: the span around them may have it.

Some SDKs write spans of their own without messages, inside of an instrumentation's that has them.
The inner one ends first, and an export between the two ends would log it bare: a log that is on
its way cannot be taken back. So it waits until what is around it has come, or something beside it
that has content; in any case only for some seconds, and only so many at once.

Where all instrumentations leave content out, there is nothing to wait for. So an instrumentation
whose calls have waited in vain a number of times is waited for no longer, until content has come
too late for one of them.
"""

from __future__ import annotations

import os
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from otel_helicone.logs.observed import Observed, SpanKey
from otel_helicone.logs.sameness import JOINABLE

__all__ = ["MAX_SECONDS_HELD", "HeldCalls"]

MAX_SECONDS_HELD: Final = 10.0
"""How long a call waits: twice the time that a batch processor lets pass between two exports."""

_MAX_HELD: Final = 1_000
_MAX_IN_VAIN: Final = 20
_MAX_SCOPES: Final = 1_000
# Spans whose children may still come, though they have come themselves.
_MAX_SEEN: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Held:
    observed: Observed
    since: float
    waits_for: SpanKey


class HeldCalls:
    """The calls that wait. Not thread-safe; the child of a fork leaves them to its parent."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with none.

        Args:
            clock: tells the time in seconds.
        """
        self._clock = clock
        self._process = os.getpid()
        self._held: OrderedDict[SpanKey, _Held] = OrderedDict()
        self._waiting: dict[SpanKey, list[SpanKey]] = {}
        self._seen: OrderedDict[SpanKey, None] = OrderedDict()
        self._in_vain: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._held)

    def admit(self, batch: Mapping[SpanKey, Observed]) -> dict[SpanKey, Observed]:
        """Return what is to be logged now: of this batch, and of those that have waited for it.

        Args:
            batch: the spans of one export.
        """
        if os.getpid() != self._process:
            self._process = os.getpid()
            self._held.clear()
            self._waiting.clear()
        for key in batch:
            self._seen[key] = None
        while len(self._seen) > _MAX_SEEN:
            self._seen.popitem(last=False)
        beside = _with_content(batch)
        waits = {
            key: above
            for key, observed in batch.items()
            if (above := self._waits_for(observed, batch)) is not None
            and not _is_beside(observed, beside)
        }
        ready = {key: observed for key, observed in batch.items() if key not in waits}
        for key, observed in batch.items():
            for waiting in self._waiting.pop(key, ()):
                if key in waits:  # without content itself: both wait for what is around it
                    self._hold(self._held[waiting].observed, self._held[waiting].since, waits[key])
                else:
                    ready[waiting] = self._let_go(waiting, _may_be(observed))
        for above in beside:
            for waiting in list(self._waiting.get(above, ())):
                if _is_beside(self._held[waiting].observed, beside):
                    ready[waiting] = self._let_go(waiting, True)
        for key, above in waits.items():
            self._hold(batch[key], self._clock(), above)
        return {**ready, **self.due()}

    def due(self, *, release_all: bool = False) -> dict[SpanKey, Observed]:
        """Return those that have waited long enough, or all; they wait no longer.

        Args:
            release_all: whether the time does not count.
        """
        if os.getpid() != self._process:
            return {}
        before = self._clock() - MAX_SECONDS_HELD
        too_many = len(self._held) - _MAX_HELD
        keys = [
            key
            for number, (key, held) in enumerate(self._held.items())
            if release_all or number < too_many or held.since <= before
        ]
        return {key: self._let_go(key, None if release_all else False) for key in keys}

    def seconds_until_due(self) -> float | None:
        """Return how long nothing is due, 0 for none; None where nothing waits."""
        if os.getpid() != self._process or not self._held:
            return None
        oldest = next(iter(self._held.values()))
        return max(oldest.since + MAX_SECONDS_HELD - self._clock(), 0.0)

    def content_came_too_late(self, scopes: Iterable[str]) -> None:
        """Wait again for instrumentations whose calls were logged without what came later."""
        for scope in scopes:
            self._in_vain.pop(scope, None)

    def _waits_for(self, observed: Observed, batch: Mapping[SpanKey, Observed]) -> SpanKey | None:
        """Return the span that a call has to wait for; None where it is to be logged now."""
        link, steps = observed, 0
        while _is_bare(link) and self._in_vain[link.scope] < _MAX_IN_VAIN and steps < len(batch):
            parent = link.parent
            if parent is None or (link.span.parent is not None and link.span.parent.is_remote):
                return None
            if parent not in batch:
                return None if parent in self._seen else parent
            link, steps = batch[parent], steps + 1
        return None

    def _hold(self, observed: Observed, since: float, waits_for: SpanKey) -> None:
        self._held[observed.key] = _Held(observed, since, waits_for)
        self._waiting.setdefault(waits_for, []).append(observed.key)

    def _let_go(self, key: SpanKey, has_answer: bool | None) -> Observed:
        held = self._held.pop(key)
        others = self._waiting.get(held.waits_for)
        if others is not None:
            others.remove(key)
            if not others:
                del self._waiting[held.waits_for]
        scope = held.observed.scope
        if has_answer:
            self._in_vain.pop(scope, None)
        elif has_answer is False and (len(self._in_vain) < _MAX_SCOPES or scope in self._in_vain):
            self._in_vain[scope] += 1
        return held.observed


def _is_bare(observed: Observed) -> bool:
    told = observed.description
    return (
        told.kind in JOINABLE
        and not observed.through_gateway
        and not told.is_opening
        and not told.is_completion
        and not told.has_content
    )


def _may_be(observed: Observed) -> bool:
    return observed.description.kind in JOINABLE and observed.description.has_content


def _with_content(batch: Mapping[SpanKey, Observed]) -> dict[SpanKey, list[Observed]]:
    """Return the calls that have content, by their parents."""
    found: dict[SpanKey, list[Observed]] = {}
    for observed in batch.values():
        parent = observed.parent
        if parent is not None and _may_be(observed):
            found.setdefault(parent, []).append(observed)
    return found


def _is_beside(bare: Observed, beside: Mapping[SpanKey, list[Observed]]) -> bool:
    parent = bare.parent
    return parent is not None and any(
        other.scope != bare.scope
        and other.description.kind is bare.description.kind
        and other.start <= bare.end
        and bare.start <= other.end
        for other in beside.get(parent, ())
    )
