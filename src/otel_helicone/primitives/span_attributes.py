"""Reading and writing the attributes of open spans, for every span and without waiting.

The SDK's public ways would do the same, for ten times the cost, and with two locks that a thread
can hold itself: reading ``span.attributes`` waits for the lock of the span's ``BoundedAttributes``,
``span.set_attribute`` for that of the span too. A signal handler or a finalizer that interrupts
either, and starts a span or sends a request, would wait for its own thread for ever. So the dict
inside is read as it is, which is safe because reading one key of a dict is atomic, and written
under its lock only where that is free.

``BoundedAttributes._dict`` and ``._lock`` are private. They are the same in every release of the
SDK from 1.30 on, which the tests hold on the oldest and the newest; where a release has another
form, :data:`IS_KNOWN_FORM` is false and the public ways are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.attributes import BoundedAttributes

from otel_helicone.primitives.attribute_names import (
    HELICONE_SESSION_ID,
    HELICONE_SESSION_NAME,
    HELICONE_SESSION_PATH,
)

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, Span

# ruff: noqa: SLF001 - see above

__all__ = [
    "IS_KNOWN_FORM",
    "NO_STAMPS",
    "STAMPED",
    "Stamps",
    "attributes_of",
    "is_written",
    "max_value_length_of",
    "replace_attribute",
    "set_absent_attribute",
    "stamp_new_span",
]

STAMPED: Final = (HELICONE_SESSION_ID, HELICONE_SESSION_PATH, HELICONE_SESSION_NAME)
"""The attributes that carry the session context on a span."""

Stamps = tuple[str | None, str | None, str | None]
"""The texts of :data:`STAMPED` as they were written; None for one that was not."""

NO_STAMPS: Final[Stamps] = (None, None, None)

# A limit on the length of attributes cuts the stamps as well. What it cuts shorter than this can't
# be told from a text of the application's.
_MIN_CUT_LENGTH: Final = 16
# How long a hook waits for the lock of a span's attributes, in seconds. Another thread holds it for
# a microsecond; where it takes longer, it is this very thread, below in the stack.
_MAX_WAIT: Final = 0.001
_UNLIMITED: Final = 2**31


def _is_known_form() -> bool:
    try:
        attributes = BoundedAttributes(maxlen=2, immutable=False, max_value_len=None)
        with attributes._lock:
            attributes._dict["name"] = "text"
        limits = (attributes.maxlen, attributes.max_value_len)
        return attributes["name"] == "text" and limits == (2, None)
    except Exception:  # whatever a release of the SDK does with other names
        return False


IS_KNOWN_FORM: Final = _is_known_form()
"""Whether the SDK keeps attributes in the form that this module knows."""


def attributes_of(span: ReadableSpan) -> Mapping[str, object]:
    """Return the attributes of a span, live while it is open, without waiting for a lock.

    Only single keys may be looked up, and set operations used that do so: another thread may add
    one meanwhile.
    """
    try:
        bounded: Any = span._attributes
        attributes: Mapping[str, object] = bounded._dict
        return attributes
    except AttributeError:  # a copy of a span, whose attributes are a plain mapping
        return span.attributes or {}


def max_value_length_of(span: ReadableSpan) -> int | None:
    """Return how long the texts on a span may be, None where there is no limit or it is not known.

    Limits are set for a tracer provider, so that only the span itself tells its own.
    """
    try:
        bounded: Any = span._attributes
        limit: int | None = bounded.max_value_len
        return limit
    except AttributeError:
        return None


def stamp_new_span(span: Span, session_id: str, path: str, name: str) -> Stamps:
    """Write the session context on a span that starts just now.

    What the application has set stays. A span that is nearly full is left alone: past its limit
    the SDK drops the oldest attributes, which are the application's.

    Args:
        span: the span; no code of the application's has seen it yet.
        session_id: the session's id.
        path: the place in its tree.
        name: its name.

    Returns:
        What was written.
    """
    if not IS_KNOWN_FORM:
        return _stamp_in_public(span, (session_id, path, name))
    bounded: Any = span._attributes
    attributes: dict[str, object] = bounded._dict
    limit = bounded.maxlen
    if limit is not None and len(attributes) + len(STAMPED) > limit:
        return NO_STAMPS
    cut = bounded.max_value_len
    if cut is not None:
        session_id, path, name = session_id[:cut], path[:cut], name[:cut]
    lock = bounded._lock
    lock.acquire()  # nobody below in the stack can hold it: the span is new
    try:  # costs half of a with statement
        if attributes and not attributes.keys().isdisjoint(STAMPED):
            return _stamp_beside(attributes, (session_id, path, name))
        attributes[HELICONE_SESSION_ID] = session_id
        attributes[HELICONE_SESSION_PATH] = path
        attributes[HELICONE_SESSION_NAME] = name
        return session_id, path, name
    finally:
        lock.release()


def _stamp_beside(attributes: dict[str, object], texts: tuple[str, str, str]) -> Stamps:
    written: list[str | None] = []
    for key, text in zip(STAMPED, texts, strict=True):
        is_free = key not in attributes
        if is_free:
            attributes[key] = text
        written.append(text if is_free else None)
    return written[0], written[1], written[2]


def _stamp_in_public(span: Span, texts: tuple[str, str, str]) -> Stamps:
    attributes = span.attributes or {}
    if len(attributes) + len(STAMPED) > _limit_of(span):
        return NO_STAMPS
    free = {key: text for key, text in zip(STAMPED, texts, strict=True) if key not in attributes}
    span.set_attributes(free)
    found = span.attributes or {}
    written = [str(found[key]) if key in free and key in found else None for key in STAMPED]
    return written[0], written[1], written[2]


def _limit_of(span: Span) -> int:
    from opentelemetry.sdk.trace import SpanLimits

    limit = getattr(getattr(span, "_limits", None), "max_span_attributes", None)
    limit = SpanLimits().max_span_attributes if limit is None else limit
    return _UNLIMITED if limit is None else limit


def replace_attribute(span: Span, key: str, before: str, text: str) -> str | None:
    """Write an attribute of an open span anew, where it is still what was written before.

    Args:
        span: the span.
        key: the attribute.
        before: what was written before.
        text: what is to stand there.

    Returns:
        What stands there now, maybe cut by the SDK's limit; None where it is the application's
        meanwhile, or was evicted, or the span has ended.
    """
    if span.end_time is not None:
        return None
    if not IS_KNOWN_FORM:
        if not is_written((span.attributes or {}).get(key), before):
            return None
        span.set_attribute(key, text)
        return text
    bounded: Any = span._attributes
    attributes: dict[str, object] = bounded._dict
    text = text[: bounded.max_value_len]
    # Where the lock is not to be had, an existing key may be given another value all the same:
    # that changes neither the size nor the order of a dict that somebody iterates over.
    is_locked = bounded._lock.acquire(timeout=_MAX_WAIT)
    try:
        if not is_written(attributes.get(key), before):
            return None
        attributes[key] = text
        return text
    finally:
        if is_locked:
            bounded._lock.release()


def set_absent_attribute(span: Span, key: str, text: str, before: str | None = None) -> bool:
    """Set an attribute of an open span that the application has not set.

    Args:
        span: the span.
        key: the attribute.
        text: its value.
        before: what this library has set there earlier, which may be replaced.

    Returns:
        Whether it was set: not where the span has ended, where the application has set it, or
        where this thread is in the middle of changing the span's attributes.
    """
    if span.end_time is not None:
        return False
    if not IS_KNOWN_FORM:
        there = (span.attributes or {}).get(key)
        if there is None or there == before:
            span.set_attribute(key, text)
            return True
        return False
    bounded: Any = span._attributes
    attributes: dict[str, object] = bounded._dict
    if not bounded._lock.acquire(timeout=_MAX_WAIT):
        return False
    try:
        found = attributes.get(key)
        if found is not None and found != before:
            return False
        limit = bounded.maxlen
        if found is None and limit is not None and len(attributes) >= limit:
            if not attributes:
                return False
            # As the SDK does. The exporter takes a call without this attribute for one that
            # Helicone has not seen, and would log it twice.
            del attributes[next(iter(attributes))]
            bounded.dropped += 1
        attributes[key] = text[: bounded.max_value_len]
        return True
    finally:
        bounded._lock.release()


def is_written(found: object, text: str | None) -> bool:
    """Return whether an attribute is the text that was written, maybe cut by the SDK's limit."""
    if found is text or found == text:
        return True
    if type(found) is not str or text is None:
        return False
    return len(found) >= _MIN_CUT_LENGTH and text.startswith(found)
