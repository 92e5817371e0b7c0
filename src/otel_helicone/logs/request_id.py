"""The request id of a log: the same for the same span, whoever logs it and however often."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final
from uuid import UUID, uuid5

from otel_helicone.logs.observed import SpanKey
from otel_helicone.primitives.after_fork import ForkedLock

__all__ = ["note_request_id", "request_id_for", "request_id_of"]

# A name space of this library's own, made once by chance.
_NAMESPACE: Final = UUID("8d1c1f0a-7a3e-4b0f-9a53-5f3c3c6f0b1d")


def request_id_of(key: SpanKey) -> str:
    """Derive the request id from a span's trace id and span id.

    Recorded from Helicone: UUIDs of versions 1 to 5 are kept, others are replaced by a random one.

    Args:
        key: trace id and span id.

    Returns:
        A UUID of version 5.
    """
    trace_id, span_id = key
    return str(uuid5(_NAMESPACE, f"{trace_id:032x}-{span_id:016x}"))


# Calls that were logged under another id than their span's: by the gateway, or by a span that saw
# the same call. An entry takes about 250 bytes.
_MAX_KNOWN: Final = 4096
_known: Final[OrderedDict[SpanKey, str]] = OrderedDict()
_lock: Final = ForkedLock()


def note_request_id(key: SpanKey, request_id: str) -> None:
    """Remember that the call of a span was logged under another id than its own."""
    with _lock:
        _known[key] = request_id
        while len(_known) > _MAX_KNOWN:
            _known.popitem(last=False)


def request_id_for(key: SpanKey) -> str:
    """Return the request id under which the call of a span was logged."""
    with _lock:
        known = _known.get(key)
    return request_id_of(key) if known is None else known
