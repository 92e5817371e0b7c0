"""Calls that went through the gateway, for the exporter to leave out: Helicone has logged them.

Usually the span of the call carries ``helicone.request.id``. Where an instrumentation does not make
its span the current one, a span around it carries the id, and of several calls only the last. So,
while an exporter is in use, such calls are noted with their time.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Final

from otel_helicone.after_fork import ForkedLock

__all__ = ["claim", "note", "unwant", "want"]

_MOST_TRACES: Final = 4096
_MOST_CALLS: Final = 256
_wanted = 0
_lock: Final = ForkedLock()
# The times of the answers, in nanoseconds since 1970, by trace id.
_calls: Final[OrderedDict[int, list[int]]] = OrderedDict()


def want() -> None:
    """Ask for calls to be noted."""
    global _wanted
    _wanted += 1


def unwant() -> None:
    """Take back one :func:`want`."""
    global _wanted
    _wanted -= 1


def note(trace_id: int) -> None:
    """Note that Helicone has just answered a call whose own span was not the current one.

    Args:
        trace_id: the trace of the span that was current.
    """
    if _wanted <= 0:
        return
    with _lock:
        times = _calls.setdefault(trace_id, [])
        times.append(time.time_ns())
        del times[:-_MOST_CALLS]
        while len(_calls) > _MOST_TRACES:
            _calls.popitem(last=False)


def claim(trace_id: int, start: int, end: int) -> bool:
    """Tell whether a call of a trace was answered in this time. Each call is told of once.

    Args:
        trace_id: the trace of the span of a call to a model.
        start: when the call began, in nanoseconds since 1970.
        end: when it ended, likewise.
    """
    with _lock:
        times = _calls.get(trace_id)
        for at in times or ():
            if start <= at <= end:
                assert times is not None
                times.remove(at)
                return True
    return False
