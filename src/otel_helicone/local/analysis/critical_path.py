"""The critical path: the requests without which the session would have ended sooner."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from otel_helicone.local.analysis.intervals import Interval, interval_of, start_of
from otel_helicone.local.analysis.tree import segments_of
from otel_helicone.local.storage.records import RequestRecord

__all__ = ["CriticalPath", "CriticalStep", "critical_path"]


@dataclass(frozen=True, slots=True)
class CriticalStep:
    """Time on the critical path in which one request was what the session waited for.

    Attributes:
        request: the request. One that others run inside of may have several steps.
        from_ms: when the step began, in milliseconds since the session did.
        to_ms: when it ended.
        waited_ms: how long before it no request was waited for: the application's own time.
    """

    request: RequestRecord
    from_ms: int
    to_ms: int
    waited_ms: int

    @property
    def on_path_ms(self) -> int:
        """How long the session waited for the request in this step, in milliseconds."""
        return self.to_ms - self.from_ms


@dataclass(frozen=True, slots=True)
class CriticalPath:
    """What the session's duration is made of.

    Attributes:
        steps: the steps in the order of time; they never overlap.
        requests_ms: how long they take together, in milliseconds.
        waiting_ms: how long no step is on the path. Both together are the session's duration.
    """

    steps: tuple[CriticalStep, ...]
    requests_ms: int
    waiting_ms: int


@dataclass(slots=True)
class _Placed:
    request: RequestRecord
    interval: Interval
    inner: list[_Placed] = field(default_factory=list)


def critical_path(requests: Sequence[RequestRecord]) -> CriticalPath:
    """Find the critical path.

    It is walked from the end: the request that ended last, then the one that ended last before
    that one began, and so on. A request that was in progress while others *below its path* were,
    a logged agent or tool for instance, was waiting for them: its time counts where none of them
    is on the path. Requests that take no time are never on it.

    Args:
        requests: the requests of one session, in any order.
    """
    start = start_of(requests)
    if start is None:
        return CriticalPath((), 0, 0)
    outermost = _nested([_Placed(request, interval_of(request, start)) for request in requests])
    ended = max(placed.interval[1] for placed in outermost)
    steps: list[CriticalStep] = []
    at = 0
    for request, (from_ms, to_ms) in reversed(list(_backwards(outermost))):
        steps.append(CriticalStep(request, from_ms, to_ms, from_ms - at))
        at = to_ms
    taken = sum(step.on_path_ms for step in steps)
    return CriticalPath(tuple(steps), taken, ended - taken)


def _backwards(requests: list[_Placed]) -> Iterator[tuple[RequestRecord, Interval]]:
    """Walk from the last end to the first start."""
    reached: int | None = None
    for placed in sorted(requests, key=_end_and_start, reverse=True):
        begun, ended = placed.interval
        if begun == ended or (reached is not None and ended > reached):
            continue
        reached = begun
        at = ended
        for request, inner in _backwards(placed.inner):
            if inner[1] < at:
                yield placed.request, (inner[1], at)
            yield request, inner
            at = inner[0]
        if begun < at:
            yield placed.request, (begun, at)


def _end_and_start(placed: _Placed) -> Interval:
    return placed.interval[1], placed.interval[0]


def _nested(requests: list[_Placed]) -> list[_Placed]:
    """Put requests inside of those that waited for them; give the ones that are in no other."""
    by_path: dict[tuple[str, ...], list[_Placed]] = {}
    for placed in requests:
        by_path.setdefault(segments_of(placed.request.session_path), []).append(placed)
    shelves = {path: _Shelf(at_path) for path, at_path in by_path.items()}
    outermost: list[_Placed] = []
    for path, at_path in by_path.items():
        above = [shelves[path[:n]] for n in range(len(path) - 1, -1, -1) if path[:n] in shelves]
        for placed in at_path:
            around = next(filter(None, (shelf.around(placed.interval) for shelf in above)), None)
            (outermost if around is None else around.inner).append(placed)
    return outermost


class _Shelf:
    """The requests of one path, to find one that was in progress all the while of another."""

    def __init__(self, requests: list[_Placed]) -> None:
        self._requests = sorted(requests, key=lambda placed: placed.interval[0])
        self._starts = [placed.interval[0] for placed in self._requests]
        # For each, which one of it and those that began before it ended last.
        self._longest: list[int] = []
        for number in range(len(self._requests)):
            best = self._longest[-1] if number else number
            self._longest.append(number if self._end(number) >= self._end(best) else best)

    def _end(self, number: int) -> int:
        return self._requests[number].interval[1]

    def around(self, interval: Interval) -> _Placed | None:
        begun_before = bisect_right(self._starts, interval[0])
        if not begun_before:
            return None
        found = self._requests[self._longest[begun_before - 1]]
        return found if found.interval[1] >= interval[1] else None
