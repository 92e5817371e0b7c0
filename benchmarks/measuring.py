"""Rounds taken in turns, and the table that they make."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["Goal", "best_of", "print_table"]


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure was to reach, and whether it did."""

    text: str
    reached: bool

    @staticmethod
    def at_most(what: str, figure: float, most: float, unit: str = "") -> Goal:
        """Give the goal that a figure is no larger than another one."""
        return Goal(f"{what}: {figure:.2f}{unit}, to be at most {most:.2f}{unit}", figure <= most)


def best_of(
    rounds: int, works: Mapping[str, Callable[[], None]], times_each: int
) -> dict[str, float]:
    """Time works in turns.

    Args:
        rounds: how often each work is timed.
        works: what to time, by name; each does its thing ``times_each`` times.
        times_each: how often a work does its thing.

    Returns:
        The microseconds of one time, in the best round of each work.
    """
    best = dict.fromkeys(works, float("inf"))
    for _ in range(rounds):
        for name, work in works.items():
            gc.collect()
            started = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - started)
    return {name: seconds / times_each * 1e6 for name, seconds in best.items()}


def print_table(title: str, figures: Mapping[str, float], bare: str) -> None:
    """Print figures in µs, each with what it adds to the bare one and the ratio of the two."""
    print(title)
    width = max(len(name) for name in figures)
    for name, figure in figures.items():
        added = figure - figures[bare]
        more = "" if name == bare else f"  {added:+8.2f} µs  {added / figures[bare]:+7.1%}"
        print(f"  {name:{width}}  {figure:8.2f} µs{more}")
