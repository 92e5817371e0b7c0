"""Histograms and quantiles as Helicone's database makes them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Bin", "histogram", "number_text", "quantile"]

_BINS: Final = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar of a histogram.

    Attributes:
        start: where it begins.
        end: where it ends.
        height: about how many values are in it.
    """

    start: float
    end: float
    height: float


@dataclass(frozen=True, slots=True)
class _Point:
    """Some values that are near each other, as their mean and their number."""

    mean: float
    weight: float

    def with_(self, other: _Point) -> _Point:
        weight = self.weight + other.weight
        return _Point(self.mean + other.weight * (other.mean - self.mean) / weight, weight)


def histogram(values: Iterable[float], bins: int = _BINS) -> list[Bin]:
    """Sort values into bins whose borders follow from the values.

    It is the algorithm of Ben-Haim and Tom-Tov: values that are nearest to each other are taken
    together until there are few enough of them.

    Args:
        values: the values, in the order in which they come.
        bins: how many there are at most.
    """
    points: list[_Point] = []
    lowest, highest = sys.float_info.max, -sys.float_info.max
    for value in values:
        points.append(_Point(value, 1))
        lowest, highest = min(lowest, value), max(highest, value)
        if len(points) >= 2 * bins:
            points = _fused(points, bins)
    points = _unique(_fused(points, bins))
    made: list[Bin] = []
    last = len(points) - 1
    for at, point in enumerate(points):
        before = point if at == 0 else points[at - 1]
        after = point if at == last else points[at + 1]
        made.append(
            Bin(
                lowest if at == 0 else (before.mean + point.mean) / 2,
                highest if at == last else (point.mean + after.mean) / 2,
                (before.weight + 6 * point.weight + after.weight) / 8,
            )
        )
    return made


def quantile(values: Sequence[float], level: float) -> float:
    """Give the value below which a share of the others is, between two of them if need be.

    Args:
        values: at least one value, sorted.
        level: the share, from 0 to 1.
    """
    place = level * (len(values) - 1)
    below = int(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (place - below)


def number_text(number: float) -> str:
    """Write a number as JavaScript does: ``1``, ``7.5e-7``, ``0.00001``.

    Args:
        number: a finite number.
    """
    text = repr(float(number))
    digits, _, exponent = text.partition("e")
    if not exponent:
        return digits.removesuffix(".0")
    power = int(exponent)
    if not -7 < power < 21:
        return f"{digits.removesuffix('.0')}e{'+' if power > 0 else ''}{power}"
    # Fixed notation has no more digits than are needed either.
    decimals = max(len(digits.partition(".")[2].rstrip("0")) - power, 0)
    return f"{number:.{decimals}f}"


def _fused(points: list[_Point], most: int) -> list[_Point]:
    """Take the nearest together until there are few enough."""
    points = sorted(points, key=lambda point: point.mean)
    while len(points) > most:
        near = min(range(len(points) - 1), key=lambda at: points[at + 1].mean - points[at].mean)
        points[near : near + 2] = [points[near].with_(points[near + 1])]
    return points


def _unique(points: list[_Point]) -> list[_Point]:
    """Take together what differs in the last digit at most."""
    unique: list[_Point] = []
    for point in points:
        if unique:
            least = 10 * (unique[-1].mean + point.mean) * sys.float_info.epsilon
            if unique[-1].mean + least >= point.mean:
                unique[-1] = unique[-1].with_(point)
                continue
        unique.append(point)
    return unique
