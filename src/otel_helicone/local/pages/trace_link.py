"""Links from a session to its trace in an OpenTelemetry backend."""

from __future__ import annotations

import re
import string
from typing import Final
from urllib.parse import quote, urlsplit
from uuid import UUID

__all__ = ["checked_trace_url", "trace_link"]

_FIELDS: Final = frozenset({"trace_id", "session_id"})
_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")


def checked_trace_url(template: str) -> str:
    """Check where a trace is to be found.

    Args:
        template: a URL such as ``http://localhost:16686/trace/{trace_id}``, with ``{trace_id}``
            or ``{session_id}`` in it; empty for none.

    Raises:
        ValueError: where it is no such URL; the text says why.
    """
    if not template:
        return ""
    example = "give one such as http://localhost:16686/trace/{trace_id}"
    try:
        parts = urlsplit(template)
        fields = {
            field for _, field, _, _ in string.Formatter().parse(template) if field is not None
        }
    except ValueError as error:
        raise ValueError(f"{template!r} is no URL of a trace ({error}): {example}") from None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"{template!r} is no http or https URL: {example}")
    if not fields or not fields <= _FIELDS:
        raise ValueError(f"{template!r} has to hold {{trace_id}} or {{session_id}}: {example}")
    return template


def trace_link(template: str, session_id: str) -> str | None:
    """Give the address of a session's trace.

    Args:
        template: from :func:`checked_trace_url`.
        session_id: the session's id, which is the trace's, as 32 hex digits or as a UUID, unless
            the application set another one.

    Returns:
        The address; None where there is no template, or it asks for a trace id and this is none.
    """
    trace_id = _trace_id_of(session_id)
    if not template or (trace_id is None and "{trace_id}" in template):
        return None
    return template.format(trace_id=trace_id, session_id=quote(session_id, safe=""))


def _trace_id_of(session_id: str) -> str | None:
    if _TRACE_ID.fullmatch(session_id):
        return session_id
    try:
        as_uuid = UUID(session_id)
    except ValueError:
        return None
    return as_uuid.hex if str(as_uuid) == session_id.lower() else None
