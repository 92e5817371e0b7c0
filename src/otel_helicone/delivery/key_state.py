"""Whether Helicone refuses the API key, and when to try it again."""

from __future__ import annotations

import threading
import time
from typing import Final

from otel_helicone.delivery.verdict import Judgement, Verdict
from otel_helicone.primitives.log_once import warn_once

__all__ = ["KeyState"]

# A key may be activated later. One post a minute finds out, and is no burden to anybody.
_SECONDS_BETWEEN_PROBES: Final = 60.0
_REFUSED: Final = Judgement(Verdict.REFUSED, "the API key was refused", wrong_key=True)


class KeyState:
    """Remembers that the key was refused, so that not every post is sent in vain."""

    def __init__(self, endpoint: str) -> None:
        """Start with a key that nothing is known about."""
        self._endpoint = endpoint
        self._next_probe: float | None = None
        self.forget()

    def forget(self) -> None:
        """Renew the lock: in a forked process another thread of the parent may hold it."""
        self._lock = threading.RLock()

    def refusal(self) -> Judgement | None:
        """Return the judgement of a post that need not be sent; None if it is to be sent."""
        with self._lock:
            now = time.monotonic()
            if self._next_probe is None:
                return None
            if now < self._next_probe:
                return _REFUSED
            self._next_probe = now + _SECONDS_BETWEEN_PROBES
            return None

    def note(self, judgement: Judgement) -> None:
        """Learn from an answer."""
        if judgement.wrong_key:
            with self._lock:
                self._next_probe = time.monotonic() + _SECONDS_BETWEEN_PROBES
            warn_once(
                f"wrong-key:{self._endpoint}",
                "%s refuses the Helicone API key (%s): nothing is logged there. Set `api_key`, or "
                "the environment variable HELICONE_API_KEY, to a key of this Helicone that may "
                "write; it is tried again once a minute. This is logged once.",
                self._endpoint,
                judgement.reason,
            )
        elif judgement.verdict is Verdict.TAKEN and self._next_probe is not None:
            with self._lock:
                self._next_probe = None
