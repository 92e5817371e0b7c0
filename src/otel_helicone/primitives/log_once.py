"""Trouble inside the library: logged once for each cause, never raised into the application."""

from __future__ import annotations

import logging
from typing import Final

__all__ = ["log_failure_once", "warn_once"]

_logger: Final = logging.getLogger("otel_helicone")

# A cause is a text of ours, a host or a header name; the bound only guards against the last two.
_MAX_CAUSES: Final = 1000
_seen: set[str] = set()


def _is_new(cause: str) -> bool:
    if cause in _seen or len(_seen) >= _MAX_CAUSES:
        return False
    _seen.add(cause)
    return True


def _log(message: str, *arguments: object, exc_info: bool | None = None) -> None:
    try:
        # None, not False: a record without an exception has None, as other loggers' records do.
        _logger.warning(message, *arguments, exc_info=exc_info)
    except Exception:
        pass  # a filter or a handler of the application's raised: there is nobody left to tell


def warn_once(cause: str, message: str, *arguments: object) -> None:
    """Log a warning the first time that this cause is seen in the process.

    Args:
        cause: what makes two troubles the same one.
        message: a ``logging`` format string; never holds header values, which may be secrets.
        arguments: the values for the format string.
    """
    if _is_new(cause):
        _log(message, *arguments)


def log_failure_once(where: str) -> None:
    """Log the exception that is being handled, the first time for this place and its type.

    To be called in an ``except`` block. The application goes on as if the library were not there.

    Args:
        where: what the library was doing, as the end of "otel-helicone failed while ...".
    """
    import sys

    kind = sys.exc_info()[0]
    if _is_new(f"failure:{where}:{kind}"):
        _log(
            "otel-helicone failed while %s; the application is not affected. "
            "This is logged once for each cause.",
            where,
            exc_info=True,
        )
