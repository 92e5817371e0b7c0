"""Reading settings: from an argument, else from an environment variable, else a default."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from otel_helicone.session_context.escaping import (
    MAX_PROPERTY_VALUE_LENGTH,
    escape_property_name,
    escape_value,
)

__all__ = [
    "SettingError",
    "SettingReader",
    "WrongValue",
    "address",
    "as_bool",
    "imported",
    "pairs",
    "pairs_or_words",
    "property_name",
    "static_properties",
    "strings",
    "truth",
    "words",
]

_T = TypeVar("_T")


class SettingError(ValueError):
    """A setting has a value that can't be used.

    The message names the setting (the argument or the environment variable that the value came
    from), the value, and what would be right.
    """

    def __init__(self, setting: str, value: object, remedy: str) -> None:
        super().__init__(f"{setting}={value!r} can't be used: {remedy}")


class SettingReader:
    """Takes each setting from its argument, else from its variable, else its default."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def __call__(
        self,
        argument: str,
        variable: str,
        given: object,
        parse: Callable[[str], object],
        check: Callable[[object], _T],
        default: _T,
    ) -> _T:
        """Take one setting.

        Args:
            argument: the argument's name.
            variable: the environment variable's.
            given: the argument; None where the variable is to be read.
            parse: makes a value of the variable's text.
            check: takes the value, and raises :class:`WrongValue` for one that can't be used.
            default: what holds where neither is given.

        Raises:
            SettingError: for a value that can't be used.
        """
        # An empty variable counts as unset, as OpenTelemetry's specification has it.
        text = self._environ.get(variable, "").strip()
        if given is None and not text:
            return default
        setting, value = (argument, given) if given is not None else (variable, text)
        try:
            return check(given if given is not None else parse(text))
        except WrongValue as wrong:
            raise SettingError(setting, value, str(wrong)) from None


class WrongValue(Exception):
    """What would be right; becomes a SettingError with the setting's name and value."""


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


def strings(value: object, what: str) -> list[str]:
    """Take a list of texts, none of them empty.

    Args:
        value: what was given.
        what: what it should be a list of, for the message.
    """
    # A lone string is iterable too, one letter at a time: always a mistake.
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise WrongValue(f"give a list of {what}")
    items = list(value)
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
    for name, text in value.items():
        safe = escape_value(text, MAX_PROPERTY_VALUE_LENGTH) if isinstance(text, str) else None
        if safe is None:
            raise WrongValue(
                f"the value of {name!r} has to be a str that is not empty; {text!r} is not"
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
