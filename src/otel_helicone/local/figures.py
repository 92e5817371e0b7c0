"""Figures as they are shown: money, times and counts, the same on the terminal and on the pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otel_helicone.local.storage.records import STATUS_CALLER_LEFT, STATUS_UPSTREAM_BROKE

__all__ = ["STATUS_WORDS", "shown_cost", "shown_count", "shown_milliseconds", "shown_status"]

STATUS_WORDS: Final[Mapping[int, str]] = {
    STATUS_UPSTREAM_BROKE: "broke off",
    STATUS_CALLER_LEFT: "caller left",
}
"""What is shown for the statuses that are not HTTP's."""


def shown_cost(cost_usd: float | None) -> str:
    """Write a cost in US dollars.

    Args:
        cost_usd: the cost; None where no price is known.

    Returns:
        ``$12.35``, ``$0.0123`` or ``$0.0000045``: two digits from a dollar up, else enough of them
        to tell costs of single calls apart; ``-`` for None.
    """
    if cost_usd is None:
        return "-"
    if cost_usd == 0:
        return "$0"
    if abs(cost_usd) >= 1:
        return f"${cost_usd:,.2f}"
    if abs(cost_usd) >= 0.001:
        return f"${cost_usd:.4f}"
    if abs(cost_usd) >= 0.0000001:
        return f"${cost_usd:.7f}".rstrip("0")
    return "<$0.0000001"


def shown_count(number: int) -> str:
    """Write a count, with commas between thousands."""
    return f"{number:,}"


def shown_milliseconds(milliseconds: float) -> str:
    """Write a time span.

    Args:
        milliseconds: the span.

    Returns:
        ``850 ms``, ``12.3 s``, ``3 min 07 s`` or ``2 h 05 min``.
    """
    if milliseconds < 10_000:
        return f"{round(milliseconds)} ms"
    seconds = milliseconds / 1000
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def shown_status(status: int) -> str:
    """Write a status: HTTP's number, or words for what is none of HTTP's."""
    return STATUS_WORDS.get(status, str(status))
