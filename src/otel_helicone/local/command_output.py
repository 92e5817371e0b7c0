"""What all commands have in common: how they say something, and how they end."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable

from otel_helicone.local.storage.errors import StoreError

__all__ = ["failed", "reason_of", "requests", "run", "say"]


def run(work: Callable[[], int]) -> int:
    """Do a command's work, and say in one sentence what hinders it.

    Args:
        work: returns the exit code.

    Returns:
        The exit code: 1 where the store or standard output cannot be used, 130 after Ctrl-C.
    """
    try:
        code = work()
        sys.stdout.flush()
    except StoreError as error:
        return failed(str(error))
    except BrokenPipeError:
        raise  # `| head` has read enough
    except KeyboardInterrupt:
        return failed("stopped", 130)
    except OSError as error:
        # Python would complain once more when it flushes at the end.
        sys.stdout = io.StringIO()
        return failed(f"standard output cannot be written: {reason_of(error)}")
    return code


def say(text: str) -> None:
    """Write a line to standard output, at once, also into a pipe."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def failed(message: str, code: int = 1) -> int:
    """Write to standard error why a command failed, and return the exit code.

    Args:
        message: a sentence.
        code: the exit code.
    """
    sys.stderr.write(f"otel-helicone: {message}\n")
    return code


def reason_of(error: Exception) -> str:
    """Return what the operating system says, without its number and the file's name."""
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return str(error)


def requests(number: int) -> str:
    """Return how many requests, in words."""
    return "1 request" if number == 1 else f"{number} requests"
