"""Lines in the log for what goes wrong: one when a trouble begins, one when it is over.

What happens again and again within a few seconds is one trouble. How often it happens is for the
metrics to say.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["Troubles"]

_logger: Final = logging.getLogger("otel_helicone")

_SECONDS_UNTIL_OVER: Final = 10.0
# Some causes have the text of an error in them.
_MAX_TROUBLES: Final = 1000


@dataclass(slots=True)
class _Trouble:
    began: float
    last: float
    end: str
    is_over: bool = False


class Troubles:
    """The troubles that there are. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without any.

        Args:
            clock: gives seconds that never jump.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._there: dict[str, _Trouble] = {}

    def begin(self, cause: str, end: str, message: str, *arguments: object) -> None:
        """Note that something went wrong; it is logged where it is new.

        Args:
            cause: what makes two troubles the same one.
            end: what to log when it is over, without a full stop.
            message: what to log now, a ``logging`` format string; never has a key in it.
            arguments: the values for the format string.
        """
        now = self._clock()
        with self._lock:
            trouble = self._there.get(cause)
            if trouble is not None:
                trouble.last = now
                trouble.is_over = False
                return
            if len(self._there) >= _MAX_TROUBLES:
                return
            self._there[cause] = _Trouble(now, now, end)
        _logger.warning(message, *arguments, extra={"trouble": cause, "state": "began"})

    def over(self, *causes: str) -> None:
        """Note that it went well; :meth:`look` logs that once it has for a while."""
        if self._there:
            with self._lock:
                for cause in causes:
                    if (trouble := self._there.get(cause)) is not None:
                        trouble.is_over = True

    def look(self) -> None:
        """Log which troubles are over."""
        if not self._there:
            return
        now = self._clock()
        with self._lock:
            ended = {
                cause: trouble
                for cause, trouble in self._there.items()
                if trouble.is_over and now - trouble.last >= _SECONDS_UNTIL_OVER
            }
            for cause in ended:
                del self._there[cause]
        for cause, trouble in ended.items():
            seconds = trouble.last - trouble.began
            _logger.info(
                "%s, after %.0f s.",
                *(trouble.end, seconds),
                extra={"trouble": cause, "state": "ended", "seconds": round(seconds, 1)},
            )
