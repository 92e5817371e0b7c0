"""What all commands have in common: how they say something, and how they end."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from otel_helicone.local.storage.errors import StoreError

__all__ = ["failed", "reason_of", "requests", "run", "say"]


def run(work: Callable[[], int]) -> int:
    """Do a command's work, and say in one sentence what hinders it.

    Args:
        work: returns the exit code.

    Returns:
        The exit code: 1 where the store or standard output cannot be used, 130 after Ctrl-C or
        SIGTERM.
    """
    try:
        with _ended_by_sigterm():
            code = work()
            sys.stdout.flush()
    except StoreError as error:
        return failed(str(error))
    except BrokenPipeError:
        raise  # `| head` has read enough
    except KeyboardInterrupt:
        return failed("stopped", 130)
    except OSError as error:
        if error.filename is not None:
            return failed(f"{error.filename}: {reason_of(error)}")
        # Python would complain once more when it flushes at the end.
        sys.stdout = io.StringIO()
        return failed(f"standard output cannot be written: {reason_of(error)}")
    return code


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Have SIGTERM end the work as Ctrl-C does, so that nothing half done is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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
