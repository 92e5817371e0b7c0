"""The time of a spool: about that of the system's clock, but it never jumps.

How long a trace has been quiet, how old a log is and when to forget it are differences of times. A
clock that is set ahead and back again would leave spans waiting for a day that is years away.
"""

from __future__ import annotations

import time

__all__ = ["SpoolClock"]


class SpoolClock:
    """Goes on from the system's time, or from the newest time in the spool where that is later.

    It runs evenly from then on, whatever is done to the system's clock.
    """

    def __init__(self, newest: float) -> None:
        """Start the clock.

        Args:
            newest: the newest time in the spool, in seconds since 1970; 0 for none.
        """
        # The system's clock may have been ahead when that was stored.
        self._begin = max(time.time(), newest)
        self._started = time.monotonic()

    def now(self) -> float:
        """Return the time, in seconds since 1970."""
        return self._begin + time.monotonic() - self._started
