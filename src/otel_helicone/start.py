"""What the command ``otel-helicone`` starts with: Ctrl-C ends it quietly from its first moment on.

Nothing is imported at the top that takes time: what is pressed meanwhile would be a traceback.
"""

from __future__ import annotations

import os
import signal

__all__ = ["main"]

_STOPPED = 130  # what shells give for a program that Ctrl-C has ended


def main() -> int:
    """Run the command of this process's arguments; see :func:`otel_helicone.cli.main`."""
    is_ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    if not is_ignored:
        # Nothing is begun yet, so there is nothing to be cleaned up.
        signal.signal(signal.SIGINT, _stop)
    from otel_helicone.cli import main as run_command

    try:
        if not is_ignored:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = run_command()
    except KeyboardInterrupt:
        code = _STOPPED
    if not is_ignored:
        signal.signal(signal.SIGINT, _stop)
    return code


def _stop(_number: int, _frame: object) -> None:
    os._exit(_STOPPED)
