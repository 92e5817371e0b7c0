"""What was not delivered, in the application's log: each cause once, the numbers once a minute."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from typing import Final

from otel_helicone.primitives.log_once import warn_once

__all__ = ["SECONDS_BETWEEN_TOTALS", "DropLog"]

SECONDS_BETWEEN_TOTALS: Final = 60.0
_logger: Final = logging.getLogger("otel_helicone")
# Causes hold text of the server's; what comes past this many in one minute is counted together.
_MAX_CAUSES: Final = 20


class DropLog:
    """Counts dropped logs by cause and says how many they were, at most once a minute."""

    def __init__(self, endpoint: str) -> None:
        """Start with nothing counted.

        Args:
            endpoint: where the logs were to go, for the messages.
        """
        self._endpoint = endpoint
        self.forget()

    def forget(self) -> None:
        """Start anew: in a forked process, the counts are the parent's, and so is the lock."""
        self._lock = threading.RLock()
        self._counts: Counter[str] = Counter()
        self._since = 0.0

    def note(self, kind: str, reason: str, count: int = 1) -> bool:
        """Note that logs were dropped.

        Args:
            kind: ``refused`` or ``deadline over``.
            reason: what was behind it, empty where nothing is known.
            count: how many.

        Returns:
            Whether it is the first since the last totals: :meth:`log_totals` is due in
            :data:`SECONDS_BETWEEN_TOTALS`.
        """
        cause = f"{kind} ({reason})" if reason else kind
        with self._lock:
            is_first = not self._counts
            if is_first:
                self._since = time.monotonic()
            if cause not in self._counts and len(self._counts) >= _MAX_CAUSES:
                cause = kind
            self._counts[cause] += count
        warn_once(
            f"dropped:{self._endpoint}:{cause}",
            "otel-helicone could not deliver a log to %s: %s. The application is not affected. "
            "This is logged once for each cause, with the numbers each minute.",
            self._endpoint,
            cause,
        )
        return is_first

    def log_totals(self) -> None:
        """Log what was dropped since the last time, if anything was."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
            seconds = time.monotonic() - self._since
        if not counts:
            return
        total = counts.total()
        try:
            _logger.warning(
                "otel-helicone: %d %s dropped in the last %s, on the way to %s: %s",
                total,
                "log" if total == 1 else "logs",
                "minute" if seconds > SECONDS_BETWEEN_TOTALS / 2 else f"{seconds:.0f} seconds",
                self._endpoint,
                ", ".join(f"{count} {cause}" for cause, count in counts.most_common()),
            )
        except Exception:
            pass  # a handler of the application's raised: there is nobody left to tell
