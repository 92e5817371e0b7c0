"""Links from a session to its trace in an OpenTelemetry backend."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote
from uuid import UUID

__all__ = ["trace_link"]

_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")


def trace_link(template: str, session_id: str) -> str | None:
    """Give the address of a session's trace.

    Args:
        template: from :func:`~otel_helicone.settings.local.checked_trace_url`.
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
