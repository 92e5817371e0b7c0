"""When to try again: what the server asks for, and the waits of our own."""

from __future__ import annotations

import random
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

__all__ = ["backoff", "parse_retry_after"]

# With full jitter the first wait is 0.1 s on average. Helicone's servers need 20 to 50 ms for a
# log, so a passing trouble is over by then, and sixteen posts don't come back in step.
_FIRST_WAIT: Final = 0.2
_MAX_WAIT: Final = 5.0
# Longer numbers than this are no waits; float() would take ten thousand digits too.
_MAX_DIGITS: Final = 10


def backoff(failures: int) -> float:
    """Return a wait before the next attempt: exponential, with full jitter.

    Args:
        failures: how many attempts have failed so far, from 1.

    Returns:
        Seconds, at random from 0 up to 0.2, 0.4, 0.8, … and 5 at most.
    """
    # 2 to the 10th is past the longest wait; larger powers would only be larger numbers.
    return random.uniform(0, min(_MAX_WAIT, _FIRST_WAIT * 2 ** min(failures - 1, 10)))


def parse_retry_after(value: str | None, date: str | None, now: float) -> float | None:
    """Read a ``Retry-After`` header, in seconds or as an HTTP date (RFC 9110, 10.2.3).

    Args:
        value: the header, None where there is none.
        date: the answer's ``Date`` header. A date in ``Retry-After`` is counted from it where it
            is there, because the two clocks may differ.
        now: the time by our own clock, in seconds since the epoch.

    Returns:
        The seconds to wait, 0 or more; None where the header is missing or cannot be read.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value) if len(value) <= _MAX_DIGITS else None
    until = _parse_date(value)
    if until is None:
        return None
    asked_at = None if date is None else _parse_date(date)
    return max(until - (now if asked_at is None else asked_at), 0.0)


def _parse_date(text: str) -> float | None:
    try:
        parsed = parsedate_to_datetime(text)
        # HTTP dates are in GMT; one that names no zone is taken so.
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
