"""Every setting: its value, where that came from, and what is wrong with it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from otel_helicone.exporter_settings import (
    API_ENDPOINT,
    make_connection_settings,
    make_exporter_settings,
)
from otel_helicone.setting_descriptions import SETTINGS, Owner, SettingDescription
from otel_helicone.settings import make_settings
from otel_helicone.settings_reading import SettingError

__all__ = ["SettingFound", "masked", "settings_found", "unknown_variables", "without_password"]

# The shape of Helicone's keys, and what of one tells nothing about the rest.
_API_KEY: Final = r"[sp]k-(helicone-)?([a-z]{2,6}-)?[a-z0-9]{7}(-[a-z0-9]{7}){3}(-[0-9a-f-]{36})?"
_PREFIX: Final = re.compile(r"[sp]k-(helicone-)?")
_A_KEY: Final = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
_KEY_VARIABLE: Final = "HELICONE_API_KEY"
# Those of the local Helicone, and of the tests and tools of Helicone itself.
_OTHERS_VARIABLES: Final = frozenset(
    {
        "HELICONE_LOCAL_ALLOWED_HOSTS",
        "HELICONE_LOCAL_ALLOWED_ORIGINS",
        "HELICONE_LOCAL_API_KEYS",
        "HELICONE_LOCAL_BODIES",
        "HELICONE_LOCAL_KEEP_DAYS",
        "HELICONE_LOCAL_KEEP_MIB",
        "HELICONE_LOCAL_TRACE_URL",
    }
)


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
    return [_found(setting, environ) for setting in SETTINGS]


def unknown_variables(environ: Mapping[str, str]) -> Iterator[str]:
    """Say which ``HELICONE_*`` variables nothing reads, and what was maybe meant.

    Args:
        environ: the environment variables.
    """
    known = {setting.variable for setting in SETTINGS} | _OTHERS_VARIABLES
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


def _found(setting: SettingDescription, environ: Mapping[str, str]) -> SettingFound:
    text = environ.get(setting.variable, "").strip()
    value = masked(text) if text and setting.is_secret else without_password(text)
    return SettingFound(
        argument=setting.argument,
        variable=setting.variable,
        owners=setting.owners,
        value=value if text else setting.default,
        source=setting.variable if text else "default",
        problem=without_password(_problem(setting, environ)) if text else "",
    )


def _problem(setting: SettingDescription, environ: Mapping[str, str]) -> str:
    if setting.variable == _KEY_VARIABLE:
        if re.fullmatch(_API_KEY, environ[_KEY_VARIABLE].strip()):
            return ""
        return (
            f"{_KEY_VARIABLE} has not the shape of a Helicone key, such as"
            " sk-helicone-xxxxxxx-xxxxxxx-xxxxxxx-xxxxxxx: Helicone refuses it"
        )
    alone = {setting.variable: environ[setting.variable], _KEY_VARIABLE: _A_KEY}
    if setting.argument == "gateway" and not environ.get(_KEY_VARIABLE, "").strip():
        del alone[_KEY_VARIABLE]  # this one asks for it
    try:
        if "processor" in setting.owners:
            make_settings(environ=alone)
        elif "exporter" in setting.owners:
            make_exporter_settings(
                api_key=None,
                endpoint=None,
                include=None,
                capture_content=None,
                redact=None,
                timeout=None,
                max_in_flight=None,
                max_body_bytes=None,
                properties=None,
                environ=alone,
            )
        else:
            make_connection_settings(
                api_key=None,
                endpoint=None,
                endpoint_variable=setting.variable,
                default_endpoint=API_ENDPOINT,
                timeout=None,
                max_in_flight=None,
                environ=alone,
            )
    except SettingError as error:
        return str(error)
    return ""
