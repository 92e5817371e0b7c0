"""Settings as options of a command: added to a parser of arguments, and read from its result."""

from __future__ import annotations

import argparse
from typing import Any

from otel_helicone.settings.reading import Setting, SettingError, WrongValue, rows_of

__all__ = ["add_options", "given_options"]


def add_options(
    parser: argparse.ArgumentParser, settings: type, *, only: str = "", **options: Any
) -> None:
    """Add the settings that are options to a command's parser.

    Args:
        parser: the command's parser.
        settings: the dataclass whose fields are the rows.
        only: the name of the one setting to add; all of them by default.
        options: further arguments of ``add_argument``.
    """
    groups: dict[str, Any] = {"": parser}
    for row in rows_of(settings):
        if not row.option or (only and row.name != only):
            continue
        if row.group not in groups:
            groups[row.group] = parser.add_argument_group(row.group)
        groups[row.group].add_argument(
            row.option, dest=row.name, help=_help(row), **_form(row), **options
        )


def _form(row: Setting) -> dict[str, Any]:
    if not row.metavar:
        return {"action": "store_const", "const": not row.option.startswith("--no-")}
    return {"metavar": row.metavar, "action": "append" if row.repeats else "store"}


def _help(row: Setting) -> str:
    if not row.metavar:
        variable = f"{row.variable}={'false' if row.option.startswith('--no-') else 'true'}"
        return row.meaning + (f" ({variable})" if row.variable else "")
    default = row.default_text or "none"
    text = f"{row.variable}, else {default}" if row.variable else f"default: {default}"
    return f"{row.meaning} ({text})".replace("%", "%%")


def given_options(settings: type, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the values of the options that were given, by the names of the settings.

    Args:
        settings: the dataclass whose fields are the rows.
        arguments: what the parser has made of the command line.

    Raises:
        SettingError: for a text that can't be read.
    """
    given = {}
    for row in rows_of(settings):
        value = getattr(arguments, row.name, None) if row.option else None
        if value is None:
            continue
        try:
            given[row.name] = row.kind.parse(value) if isinstance(value, str) else value
        except WrongValue as wrong:
            raise SettingError(row.option, value, str(wrong)) from None
    return given
