"""What a log has met on its way, and whose fault it is that it was not taken.

A refusal alone doesn't tell. A proxy before Helicone that redirects to a login page, that knows no
such path or that answers 200 by itself does so for every log. So a log is given up only where it
was refused again and again *while others were taken*: what every log gets is no log's fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from otel_helicone.delivery.verdict import Judgement, Verdict

__all__ = ["History"]

# These say of the log itself that it will not do (500 with texts that the verdict knows).
_OF_THE_LOG: Final = frozenset({400, 413, 422, 500})
# With so many faults a log is given up, where the answers speak of it ...
_MAX_FAULTS: Final = 2
# ... and where they don't. One of two backends that is broken fails at half of all attempts.
_MAX_UNCLEAR_FAULTS: Final = 20


@dataclass(slots=True)
class History:
    """What a post has met that is not settled.

    Attributes:
        taken: how many posts Helicone had taken when this one was tried last.
        failures: how many attempts have failed.
        faults: how many of them others don't share: between each and the one before, Helicone took
            other posts.
        status: the status of the last answer, 0 where there was none.
        answer: what that means, None where there was none.
    """

    taken: int
    failures: int = 0
    faults: int = 0
    status: int = 0
    answer: Judgement | None = None

    def fail(self, taken: int, status: int, answer: Judgement | None) -> None:
        """Note that an attempt has failed.

        Args:
            taken: how many posts Helicone has taken by now.
            status: the status of the answer, 0 where there was none.
            answer: what that means, None where there was none.
        """
        if self.failures and taken > self.taken:
            self.faults += 1
        self.failures += 1
        self.taken = taken
        self.status = status
        self.answer = answer

    @property
    def is_refused(self) -> bool:
        """Whether the last answer was a refusal."""
        return self.answer is not None and self.answer.verdict is Verdict.REFUSED

    @property
    def is_refused_clearly(self) -> bool:
        """Whether the last answer said of the log itself that it will not do."""
        return self.is_refused and self.status in _OF_THE_LOG

    @property
    def is_at_fault(self) -> bool:
        """Whether it fails by its own fault, so that to try again would be in vain."""
        limit = _MAX_FAULTS if self.is_refused_clearly else _MAX_UNCLEAR_FAULTS
        return self.answer is not None and self.faults >= limit
