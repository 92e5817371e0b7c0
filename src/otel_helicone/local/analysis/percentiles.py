"""Percentiles of anything that can be counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Percentiles", "percentile", "percentiles_of"]


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Five of them.

    Attributes:
        p50: half of the values are below it: the median.
        p75: three quarters are.
        p90: nine in ten are.
        p95: nineteen in twenty are.
        p99: ninety-nine in a hundred are.
    """

    p50: float
    p75: float
    p90: float
    p95: float
    p99: float


def percentile(values: Sequence[float], share: float) -> float:
    """Give the value below which a share of the values lies, between two where it falls between.

    Args:
        values: one at least, sorted from the lowest.
        share: from 0 to 1.

    Raises:
        ValueError: for no values, or a share beyond these bounds.
    """
    if not values:
        raise ValueError("there is no percentile of nothing")
    if not 0 <= share <= 1:
        raise ValueError(f"{share!r} is no share: give a number from 0 to 1")
    place = share * (len(values) - 1)
    below = int(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (place - below)


def percentiles_of(values: Iterable[float]) -> Percentiles | None:
    """Give the percentiles of values, None for none.

    Args:
        values: in any order.
    """
    ordered = sorted(values)
    if not ordered:
        return None
    return Percentiles(*(percentile(ordered, share) for share in (0.5, 0.75, 0.9, 0.95, 0.99)))
