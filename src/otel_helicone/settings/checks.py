"""How the values of settings are read from a text, and what is taken as one.

The functions that read take the text of a variable; those that check take a value from either
source, and raise :class:`~.reading.WrongValue` with what would be right.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from otel_helicone.primitives.escaping import (
    MAX_PROPERTY_VALUE_LENGTH,
    escape_property_name,
    escape_value,
)
from otel_helicone.settings.reading import Kind, WrongValue, setting

__all__ = [
    "FLAG",
    "PORT",
    "SECRET",
    "address",
    "as_bool",
    "imported",
    "key_problem",
    "number",
    "number_between",
    "pairs",
    "pairs_or_words",
    "properties_row",
    "property_name",
    "secret",
    "static_properties",
    "strings",
    "text",
    "truth",
    "whole",
    "whole_between",
    "words",
]


def words(text: str) -> list[str]:
    """Read words with commas between them."""
    return [word.strip() for word in text.split(",") if word.strip()]


def pairs(text: str) -> dict[str, str]:
    """Read ``name=value`` pairs with commas between them; values may be percent-encoded."""
    found = {}
    for word in words(text):
        name, equals, value = word.partition("=")
        if not equals:
            raise WrongValue(f"give name=value pairs with commas between them; {word!r} has no '='")
        found[name.strip()] = unquote(value.strip())
    return found


def pairs_or_words(text: str) -> dict[str, str]:
    """Read ``name=value`` pairs, or names alone, which are their own values."""
    return {
        attribute.strip(): (name.strip() if equals else attribute.strip())
        for attribute, equals, name in (word.partition("=") for word in words(text))
    }


def truth(text: str) -> object:
    """Read ``true`` or ``false`` in any letter case; anything else stays a text."""
    return {"true": True, "false": False}.get(text.lower(), text)


def number(text: str) -> object:
    """Read a number; anything else stays a text."""
    try:
        return float(text)
    except ValueError:
        return text


def whole(text: str) -> object:
    """Read a whole number; anything else stays a text."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else text


def imported(text: str) -> object:
    """Import what ``package.module:name`` names."""
    module, colon, name = text.partition(":")
    if not (module and colon and name):
        raise WrongValue("give 'package.module:function'")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever the module does when it is imported
        raise WrongValue(f"give a function that can be imported ({error})") from None


def as_bool(value: object) -> bool:
    """Take a truth value, and nothing that merely counts as one."""
    if isinstance(value, bool):
        return value
    raise WrongValue("give true or false")


def text(value: object) -> str:
    """Take a text that is not empty."""
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise WrongValue("give a text that is not empty")


def number_between(least: float, most: float, what: str) -> Callable[[object], float]:
    """Return a check that takes a number above ``least`` and up to ``most``."""

    def check(value: object) -> float:
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        if good and isinstance(value, (int, float)) and least < value <= most:
            return float(value)
        raise WrongValue(what)

    return check


def whole_between(least: int, most: int, what: str) -> Callable[[object], int]:
    """Return a check that takes a whole number from ``least`` to ``most``."""

    def check(value: object) -> int:
        if isinstance(value, float) and math.isfinite(value) and value == int(value):
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        raise WrongValue(what)

    return check


def secret(value: object) -> str:
    """Take a secret as a text; nothing of it is ever shown."""
    if not isinstance(value, str):
        raise WrongValue(f"give a str; this is of the type {type(value).__name__}")
    return value.strip()


def key_problem(key: str) -> str:
    """Return why a key can't be sent, with the remedy where there is one; empty where it can.

    Args:
        key: the key, which is never part of what is returned.
    """
    if not key:
        return "is missing"
    if key[0] in "'\"" or key[-1] in "'\"":
        return "has quotes around it: leave them out"
    if key.lower().startswith("bearer "):
        return "starts with 'Bearer': leave that out, and give the key alone"
    if re.fullmatch(r"[\x21-\x7e]+", key) is None:
        return "has characters that no HTTP header can hold"
    return ""


def strings(value: object, what: str) -> list[str]:
    """Take a list of texts, none of them empty.

    Args:
        value: what was given.
        what: what it should be a list of, for the message.
    """
    # A lone string is iterable too, one letter at a time: always a mistake.
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise WrongValue(f"give a list of {what}")
    try:
        items = list(value)
    except Exception as error:  # an iterator of the application's
        raise WrongValue(f"give a list of {what}; this one can't be read ({error!r})") from None
    for item in items:
        if not isinstance(item, str) or not item.strip():
            raise WrongValue(f"give a list of {what}; {item!r} is none")
    return items


def property_name(name: object) -> str:
    """Take the name of a custom property, in lower case."""
    safe = escape_property_name(name) if isinstance(name, str) else None
    if safe is None or safe != str(name).lower():
        example = f", such as {safe!r}" if safe else ""
        raise WrongValue(
            f"a property's name is made of letters, digits and -_. only{example}; {name!r} is not"
        )
    return safe


def static_properties(value: object) -> Mapping[str, str]:
    """Take a mapping of names to values of custom properties."""
    if not isinstance(value, Mapping):
        raise WrongValue(
            "give a mapping of property names to values, such as {'env': 'production'}"
        )
    properties = {}
    for name, given in value.items():
        safe = escape_value(given, MAX_PROPERTY_VALUE_LENGTH) if isinstance(given, str) else None
        if safe is None:
            raise WrongValue(
                f"the value of {name!r} has to be a str that is not empty; {given!r} is not"
            )
        properties[property_name(name)] = safe
    return MappingProxyType(properties)


def address(value: object) -> str:
    """Take scheme and host of a server, with a port or without."""
    if not isinstance(value, str):
        raise WrongValue("give scheme and host, such as 'https://api.worker.helicone.ai'")
    try:
        parsed = urlsplit(value.strip())
        port = parsed.port
    except ValueError as error:
        raise WrongValue(f"{error}; give scheme and host") from None
    if parsed.scheme not in ("http", "https") or not parsed.hostname:
        raise WrongValue("give scheme and host, such as 'https://api.worker.helicone.ai'")
    if parsed.path not in ("", "/") or parsed.query or parsed.fragment:
        raise WrongValue("give scheme and host alone; the paths of the API are appended")
    if parsed.username is not None or parsed.password is not None:
        raise WrongValue("leave user and password out; the key goes into api_key")
    host = f"[{parsed.hostname}]" if ":" in parsed.hostname else parsed.hostname
    return f"{parsed.scheme}://{host}" + ("" if port is None else f":{port}")


FLAG: Final = Kind(truth, as_bool)
SECRET: Final = Kind(str.strip, secret)
PORT: Final = Kind(number, whole_between(0, 65535, "give a port, from 0 to 65535"))


def properties_row() -> Any:
    """Return the row of the custom properties, which the processor and the exporter share."""
    return setting(
        "HELICONE_PROPERTIES",
        "custom properties of every request and every log: a mapping, or `env=prod,team=search`"
        " with values percent-encoded",
        kind=Kind(pairs, static_properties),
        default=MappingProxyType({}),
        default_text="",
    )
