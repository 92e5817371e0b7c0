"""Ctrl-C ends a command quietly, from the first moment that is the library's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Presses Ctrl-C when a module is imported, which is a moment of its own on every machine.
PROGRAM = """
import os, signal, sys

class PressedAt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

{ignored}
sys.modules.pop({module!r}, None)
sys.meta_path.insert(0, PressedAt())
from otel_helicone.start import main
sys.argv = ["otel-helicone", *{arguments!r}]
sys.exit(main())
"""


def press_ctrl_c(
    module: str, *arguments: str, ignored: str = ""
) -> subprocess.CompletedProcess[str]:
    code = PROGRAM.format(module=module, arguments=arguments, ignored=ignored)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "module",
    [
        "otel_helicone.cli",
        "otel_helicone.local.arguments",
        "otel_helicone.local.commands",
        "otel_helicone.local.storage.reading",
        "rich.console",
    ],
)
def test_ctrl_c_while_something_is_imported_is_no_traceback(module: str, tmp_path: Path) -> None:
    ended = press_ctrl_c(module, "sessions", "--store", str(tmp_path / "none.db"))
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_where_it_is_ignored_it_stays_ignored() -> None:
    ignored = "signal.signal(signal.SIGINT, signal.SIG_IGN)"
    ended = press_ctrl_c("otel_helicone.cli", "--version", ignored=ignored)
    assert ended.returncode == 0
    assert ended.stdout.startswith("otel-helicone ")


def test_nothing_that_takes_time_is_imported_before_that_moment() -> None:
    code = (
        "import sys; sys.path.insert(0, 'src'); import otel_helicone.start;"
        " print(*sorted({'typing', 'argparse', 're'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    assert ended.stdout.split() == []
