"""Every setting: its value, where that came from, and what is wrong with it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from otel_helicone.primitives.header_names import API_KEY_PATTERN
from otel_helicone.settings.exporter import API_KEY_VARIABLE
from otel_helicone.settings.processor import make_processor_settings
from otel_helicone.settings.reading import Setting, SettingError
from otel_helicone.settings.table import Owner, TableRow, known_variables, table_rows

__all__ = ["SettingFound", "masked", "settings_found", "unknown_variables", "without_password"]

# What of a key tells nothing about the rest.
_PREFIX: Final = re.compile(r"[sp]k-(helicone-)?")


@dataclass(frozen=True, kw_only=True)
class SettingFound:
    """One setting as it is in effect.

    Attributes:
        argument: the keyword argument.
        variable: the environment variable.
        owners: what has the setting.
        value: the value; of a secret no more than its well-known prefix. Empty for nothing.
        source: the variable's name, or ``default``.
        problem: why the value can't be used; empty where it can.
    """

    argument: str
    variable: str
    owners: tuple[Owner, ...]
    value: str
    source: str
    problem: str = ""


def settings_found(environ: Mapping[str, str]) -> list[SettingFound]:
    """Look at every setting on its own, so that one wrong value hides no other.

    Args:
        environ: the environment variables.
    """
    return [_found(row, environ) for row in table_rows()]


def unknown_variables(environ: Mapping[str, str]) -> Iterator[str]:
    """Say which ``HELICONE_*`` variables nothing reads, and what was maybe meant.

    Args:
        environ: the environment variables.
    """
    known = known_variables()
    for name in sorted(environ):
        if name.startswith("HELICONE_") and name not in known:
            close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.8)
            yield f"{name} is no setting" + (f"; is {close[0]} meant?" if close else " of this one")


def masked(secret: str) -> str:
    """Show that a secret is set, with no more of it than its well-known prefix."""
    prefix = _PREFIX.match(secret)
    return f"set ({prefix[0]}…)" if prefix else "set"


def without_password(text: str) -> str:
    """Leave user and password out of the URLs in a text."""
    return re.sub(r"//[^/\s'\"]*@", "//…@", text)


def _found(row: TableRow, environ: Mapping[str, str]) -> SettingFound:
    setting = row.setting
    text = environ.get(setting.variable, "").strip()
    value = masked(text) if text and setting.is_secret else without_password(text)
    return SettingFound(
        argument=setting.name,
        variable=setting.variable,
        owners=row.owners,
        value=value if text else setting.default_text,
        source=setting.variable if text else "default",
        problem=without_password(_problem(setting, environ)) if text else "",
    )


def _problem(setting: Setting, environ: Mapping[str, str]) -> str:
    if setting.variable == API_KEY_VARIABLE:
        if re.fullmatch(API_KEY_PATTERN, environ[API_KEY_VARIABLE].strip()):
            return ""
        return (
            f"{API_KEY_VARIABLE} has not the shape of a Helicone key, such as"
            " sk-helicone-xxxxxxx-xxxxxxx-xxxxxxx-xxxxxxx: Helicone refuses it"
        )
    try:
        setting.read(None, environ)
        if setting.name == "gateway":  # which asks for a key
            names = (setting.variable, API_KEY_VARIABLE)
            make_processor_settings({}, {name: environ.get(name, "") for name in names})
    except SettingError as error:
        return str(error)
    return ""
