"""Which program is meant, and what its sessions are called where nothing else names them."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["NoProgram", "Program", "find_program"]

_PYTHON: Final = re.compile(r"python(\d+(\.\d+)*)?w?(\.exe)?")
# Options of Python that take the next argument for their value.
_WITH_VALUE: Final = frozenset({"-W", "-X", "--check-hash-based-pycs"})
_SCRIPTS: Final = frozenset({".py", ".pyw", ".pyz"})


class NoProgram(Exception):
    """There is no such program; the text says what was looked for, and where."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program that can be started.

    Attributes:
        arguments: the command line, the program's own path first.
        name: what it is called: its script, its module, or itself.
    """

    arguments: tuple[str, ...]
    name: str


def find_program(command: Sequence[str], module: Sequence[str] = ()) -> Program:
    """Return the program that a command line names.

    Args:
        command: a program and its arguments. A script of Python is run by this Python; a program
            is looked for beside this Python first, so that it is the one that this library is
            installed with, then on the ``PATH``.
        module: a module and its arguments, for ``-m``; the command is not looked at then.

    Raises:
        NoProgram: where nothing is named, or what is named is not there.
    """
    if module:
        return Program(arguments=(sys.executable, "-m", *module), name=module[0])
    if not command:
        raise NoProgram(
            "name a program, such as `otel-helicone run app.py` or `otel-helicone run uvicorn"
            " app:app`"
        )
    first, *others = command
    if Path(first).suffix in _SCRIPTS and not _is_executable(first):
        if not Path(first).is_file():
            raise NoProgram(f"{first} is not there")
        return Program(arguments=(sys.executable, *command), name=Path(first).name)
    found = _beside_this_python(first) or shutil.which(first)
    if found is None:
        raise NoProgram(f"{first} is no program on the PATH, and no file ending with .py")
    name = Path(first).name
    if _PYTHON.fullmatch(name):
        name = _run_by_python(others) or name
    return Program(arguments=(found, *others), name=name)


def _is_executable(path: str) -> bool:
    # A script with a first line of its own says itself what runs it, if it is named as a path.
    return "/" in path and shutil.which(path) is not None


def _beside_this_python(name: str) -> str | None:
    if Path(name).name != name:
        return None
    return shutil.which(name, path=str(Path(sys.executable).parent))


def _run_by_python(arguments: Sequence[str]) -> str | None:
    """Return the name of the script or the module that Python is told to run, if any."""
    rest = iter(arguments)
    for argument in rest:
        if argument in ("-m", "-c"):
            return next(rest, None) if argument == "-m" else None
        if argument in _WITH_VALUE:
            next(rest, None)
        elif not argument.startswith("-"):
            return Path(argument).name
    return None
