"""Calls that went through the gateway, for the exporter to leave out: Helicone has logged them.

Usually the span of the call carries ``helicone.request.id``. Where an instrumentation does not make
its span the current one, a span around it carries the id, and of several calls only the last. So,
while an exporter is in use, such calls are noted with their time.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Final

__all__ = ["NO_TRACE", "claim", "note", "unwant", "want"]

NO_TRACE: Final = 0
"""Stands for the trace of a call that was made outside of every span that is known."""

_MAX_TRACES: Final = 4096
_MAX_CALLS: Final = 256
_wanted = 0
# The times of the answers, in nanoseconds since 1970, with their ids, by trace id. Without a lock,
# for a signal handler may come in between: each call on the dict and the deques is atomic.
_calls: Final[dict[int, deque[tuple[int, str]]]] = {}


def want() -> None:
    """Ask for calls to be noted."""
    global _wanted
    _wanted += 1


def unwant() -> None:
    """Take back one :func:`want`."""
    global _wanted
    _wanted -= 1


def note(trace_id: int, request_id: str) -> None:
    """Note that Helicone has just answered a call whose own span was not the current one.

    Args:
        trace_id: the trace of the span that was current, or :data:`NO_TRACE`.
        request_id: Helicone's id of the call, by which it is noted once.
    """
    if _wanted <= 0:
        return
    calls = _calls.setdefault(trace_id, deque(maxlen=_MAX_CALLS))
    if all(known != request_id for _, known in tuple(calls)):
        calls.append((time.time_ns(), request_id))
    while len(_calls) > _MAX_TRACES:
        try:
            _calls.pop(next(iter(_calls)), None)
        except (RuntimeError, StopIteration):
            pass  # another thread has changed it in between


def claim(trace_id: int, start: int, end: int) -> bool:
    """Return whether a call of a trace was answered in this time. Each call is told of once.

    Args:
        trace_id: the trace of the span of a call to a model.
        start: when the call began, in nanoseconds since 1970.
        end: when it ended, likewise.
    """
    calls = _calls.get(trace_id)
    if calls is None:
        return False
    for call in tuple(calls):
        if start <= call[0] <= end:
            try:
                calls.remove(call)
            except ValueError:
                continue  # another thread has claimed it
            return True
    return False
