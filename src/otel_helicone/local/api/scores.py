"""The scores that a request is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otel_helicone.local.wire.javascript import as_string

__all__ = ["FEEDBACK_SCORE", "NotAScore", "read_scores"]

FEEDBACK_SCORE: Final = "helicone-score-feedback"
"""The score that a request's feedback is stored as: 1 for a good rating, 0 for a bad one."""

# JavaScript has no integers of its own above this.
_MOST_SAFE: Final = 2**53


class NotAScore(Exception):
    """A score is no integer; the message is the API server's."""


def read_scores(given: Mapping[str, object]) -> dict[str, int]:
    """Read the scores of a request as they are stored.

    Args:
        given: integers, integers as digits, and bools, which become 0 or 1 under a name with the
            ending ``-hcone-bool``.

    Raises:
        NotAScore: for anything else.
    """
    scores: dict[str, int] = {}
    for name, value in given.items():
        if isinstance(value, bool):
            scores[f"{name}-hcone-bool"] = int(value)
            continue
        try:
            if isinstance(value, float) or not isinstance(value, int | str):
                raise ValueError
            number = int(value)
            scores[name] = number if abs(number) <= _MOST_SAFE else int(float(number))
        except (ValueError, OverflowError):
            raise NotAScore(
                f"Score value for key '{name}' must be an integer. Received: {as_string(value)}"
            ) from None
    return scores
