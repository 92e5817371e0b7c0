"""How a session differs from the usual one of its name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from otel_helicone.local.analysis.intervals import interval_of, start_of
from otel_helicone.local.storage.records import RequestRecord

__all__ = ["Comparison", "Difference", "PathDifference", "compare"]

# What is in less than half of the sessions is not usual, so nobody misses it.
_USUAL_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of a session beside that of others.

    Attributes:
        here: the figure of this session.
        usual: the median of the others.
        rank: the share of the others that are below it, from 0 to 1.
    """

    here: float
    usual: float
    rank: float

    @property
    def factor(self) -> float | None:
        """How many times the usual it is; None where the usual is 0."""
        return self.here / self.usual if self.usual else None


@dataclass(frozen=True, slots=True)
class PathDifference:
    """The time of one path beside that of others.

    Attributes:
        path: as sent.
        here_ms: the sum of the latencies of its requests in this session; None for no request.
        usual_ms: the median of that in the others that have the path; None where none has.
        seen_in: how many of the others have it.
    """

    path: str
    here_ms: int | None
    usual_ms: float | None
    seen_in: int

    @property
    def difference_ms(self) -> float:
        """How much longer than usual it took, in milliseconds; negative for shorter."""
        return (self.here_ms or 0) - (self.usual_ms or 0)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A session beside others of its name.

    Attributes:
        sessions: how many others there are.
        duration_ms: of the whole session.
        cost_usd: in US dollars.
        requests: their number.
        errors: how many requests failed.
        tokens: of all requests.
        paths: of each path that is here or usual, the highest difference first.
    """

    sessions: int
    duration_ms: Difference
    cost_usd: Difference
    requests: Difference
    errors: Difference
    tokens: Difference
    paths: tuple[PathDifference, ...]


def compare(
    requests: Sequence[RequestRecord], others: Sequence[Sequence[RequestRecord]]
) -> Comparison | None:
    """Compare a session with others.

    Args:
        requests: its requests.
        others: the requests of each other session, of the same name as a rule.

    Returns:
        The comparison; None where there is nothing to compare with.
    """
    others = [other for other in others if other]
    if not requests or not others:
        return None
    here = _figures(requests)
    there = [_figures(other) for other in others]
    duration, cost, count, errors, tokens = (
        _difference(figure, [figures[number] for figures in there])
        for number, figure in enumerate(here)
    )
    paths = _path_differences(requests, others)
    return Comparison(len(others), duration, cost, count, errors, tokens, paths)


def _figures(requests: Sequence[RequestRecord]) -> tuple[float, ...]:
    start = start_of(requests)
    assert start is not None
    return (
        max(interval_of(request, start)[1] for request in requests),
        sum(request.cost_usd or 0.0 for request in requests),
        len(requests),
        sum(request.is_error for request in requests),
        sum(request.total_tokens for request in requests),
    )


def _difference(here: float, others: Sequence[float]) -> Difference:
    return Difference(here, median(others), sum(other < here for other in others) / len(others))


def _path_differences(
    requests: Sequence[RequestRecord], others: Sequence[Sequence[RequestRecord]]
) -> tuple[PathDifference, ...]:
    here = _path_times(requests)
    usual: defaultdict[str, list[int]] = defaultdict(list)
    for other in others:
        for path, time in _path_times(other).items():
            usual[path].append(time)
    found = [
        PathDifference(
            path,
            here.get(path),
            median(usual[path]) if path in usual else None,
            len(usual.get(path, ())),
        )
        for path in here | usual
        if path in here or len(usual[path]) >= _USUAL_SHARE * len(others)
    ]
    return tuple(sorted(found, key=lambda one: (-abs(one.difference_ms), one.path)))


def _path_times(requests: Sequence[RequestRecord]) -> dict[str, int]:
    times: defaultdict[str, int] = defaultdict(int)
    for request in requests:
        times[request.session_path or "/"] += max(request.latency_ms, 0)
    return dict(times)
