"""How the lines of the bridge's log are written: for people, or as JSON for programs."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final, Literal

__all__ = ["JSONFormatter", "LogFormat", "log_to_stderr"]

LogFormat = Literal["text", "json"]

# Of a record, what is told beside its message.
_FIELDS: Final = ("trouble", "state", "seconds", "takes", "metrics", "logs_to", "spool")


class JSONFormatter(logging.Formatter):
    """One JSON object a line: time, level, message, and the fields that a line has."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": at, "level": record.levelname, "message": record.getMessage()}
        line |= {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_to_stderr(form: LogFormat) -> None:
    """Have the process log to its standard error: all warnings, and what the bridge tells.

    Args:
        form: how.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JSONFormatter()
        if form == "json"
        else logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    )
    logging.basicConfig(handlers=[handler])
    logging.getLogger("otel_helicone").setLevel(logging.INFO)
