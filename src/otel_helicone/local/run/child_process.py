"""A program that is run: signals go to it, and its exit status comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

__all__ = ["run_program"]

# What a terminal sends to all programs in its foreground by itself.
_FROM_TERMINAL: Final = frozenset({"SIGINT", "SIGQUIT"})
_PASSED_ON: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")


def run_program(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a program to its end; standard input, output and error are those of this process.

    Args:
        arguments: the command line.
        environ: the program's environment.

    Returns:
        Its exit status; 128 and the signal's number where a signal ended it, as shells have it.

    Raises:
        OSError: where it can't be started.
    """
    with _passing_on() as process_of:
        process = subprocess.Popen(list(arguments), env=dict(environ))
        process_of.started(process)
        code = process.wait()
    return code if code >= 0 else 128 - code


class _Passing:
    """Hands signals on to a program, those that came before it had started too."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    def started(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        for number in self._early:
            process.send_signal(number)

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._process is None:
            self._early.append(number)
        elif not (signal.Signals(number).name in _FROM_TERMINAL and _is_in_foreground()):
            self._process.send_signal(number)


@contextmanager
def _passing_on() -> Iterator[_Passing]:
    passing = _Passing()
    numbers = [getattr(signal, name) for name in _PASSED_ON if hasattr(signal, name)]
    # One that this process was told to ignore, by nohup for instance, stays ignored in both.
    handled = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, passing.on_signal) for number in handled}
    try:
        yield passing
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_in_foreground() -> bool:
    """Return whether a terminal sends its signals to this process, and so to the program too."""
    for stream in (sys.__stdin__, sys.__stdout__, sys.__stderr__):
        try:
            if stream is not None and os.tcgetpgrp(stream.fileno()) == os.getpgrp():
                return True
        except (OSError, ValueError, AttributeError):
            continue
    return False
