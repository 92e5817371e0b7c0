"""Sessions and requests as JSON, for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from otel_helicone.local.storage.records import RequestRecord, SessionRecord

__all__ = ["as_json"]


def as_json(records: Sequence[RequestRecord] | Sequence[SessionRecord]) -> str:
    """Give records as a JSON list of objects with the names of their attributes.

    Args:
        records: requests or sessions. Times are written in ISO 8601, UTC; the text is ASCII, so
            that no control character reaches a terminal.
    """
    return json.dumps([asdict(record) for record in records], indent=2, default=_time)


def _time(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    raise TypeError(f"{type(value).__name__} is not part of a record")
