"""The settings: each an argument of the span processor and an environment variable."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, TypeVar
from urllib.parse import unquote

from otel_helicone.attribute_names import (
    ENDUSER_ID,
    HELICONE_SESSION_ID,
    HELICONE_SESSION_NAME,
    USER_ID,
)
from otel_helicone.injection.hosts import HELICONE_HOSTS, GatewayHost, parse_gateway_host
from otel_helicone.session_context.escaping import (
    MAX_PROPERTY_VALUE_LENGTH,
    escape_property_name,
    escape_value,
)
from otel_helicone.session_context.segments import SegmentRule, default_segment

__all__ = ["DEFAULT_SETTINGS", "SessionIdFormat", "SettingError", "Settings", "make_settings"]

SessionIdFormat = Literal["hex", "uuid"]
_T = TypeVar("_T")

_NO_PROPERTIES: Final[Mapping[str, str]] = MappingProxyType({})


class SettingError(ValueError):
    """A setting has a value that can't be used.

    The message names the setting (the argument or the environment variable that the value came
    from), the value, and what would be right.
    """

    def __init__(self, setting: str, value: object, remedy: str) -> None:
        super().__init__(f"{setting}={value!r} can't be used: {remedy}")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is in effect for the spans of one processor, checked and complete."""

    gateway_hosts: tuple[GatewayHost, ...] = HELICONE_HOSTS
    inject: bool = True
    session_id_format: SessionIdFormat = "hex"
    session_id_attributes: tuple[str, ...] = ()
    user_id_attributes: tuple[str, ...] = (USER_ID, ENDUSER_ID)
    properties: Mapping[str, str] = field(default_factory=lambda: _NO_PROPERTIES)
    property_attributes: Mapping[str, str] = field(default_factory=lambda: _NO_PROPERTIES)
    segment: SegmentRule = default_segment
    stamp: bool = True
    wanted_attributes: frozenset[str] = field(init=False)
    """Every attribute that may say something about the session, to be looked up at once."""

    def __post_init__(self) -> None:
        wanted = {HELICONE_SESSION_ID, HELICONE_SESSION_NAME}
        wanted.update(self.session_id_attributes, self.user_id_attributes)
        wanted.update(self.property_attributes)
        object.__setattr__(self, "wanted_attributes", frozenset(wanted))


DEFAULT_SETTINGS: Final = Settings()

_NO_HOSTS: Final[tuple[GatewayHost, ...]] = ()
_DEFAULT_RULE: Final[SegmentRule] = default_segment


def make_settings(
    *,
    gateway_hosts: Iterable[str] | None = None,
    inject: bool | None = None,
    session_id_format: SessionIdFormat | None = None,
    session_id_attributes: Iterable[str] | None = None,
    user_id_attributes: Iterable[str] | None = None,
    properties: Mapping[str, str] | None = None,
    property_attributes: Mapping[str, str] | Iterable[str] | None = None,
    segment: SegmentRule | None = None,
    stamp: bool | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Check the arguments, and read the environment for those that are None.

    Args:
        environ: where to read environment variables; the process's own by default. The others are
            described at :class:`otel_helicone.HeliconeSpanProcessor`.

    Raises:
        SettingError: for the first value that can't be used.
    """
    read = _Reader(os.environ if environ is None else environ)
    return Settings(
        gateway_hosts=HELICONE_HOSTS
        + read("gateway_hosts", "HELICONE_GATEWAY_HOSTS", gateway_hosts, _words, _hosts, _NO_HOSTS),
        inject=read("inject", "HELICONE_INJECT", inject, _truth, _bool, True),
        session_id_format=read(
            "session_id_format",
            "HELICONE_SESSION_ID_FORMAT",
            session_id_format,
            str.strip,
            _id_format,
            "hex",
        ),
        session_id_attributes=read(
            "session_id_attributes",
            "HELICONE_SESSION_ID_ATTRIBUTES",
            session_id_attributes,
            _words,
            _attribute_names,
            (),
        ),
        user_id_attributes=read(
            "user_id_attributes",
            "HELICONE_USER_ID_ATTRIBUTES",
            user_id_attributes,
            _words,
            _attribute_names,
            (USER_ID, ENDUSER_ID),
        ),
        properties=read(
            "properties",
            "HELICONE_PROPERTIES",
            properties,
            _pairs,
            _static_properties,
            _NO_PROPERTIES,
        ),
        property_attributes=read(
            "property_attributes",
            "HELICONE_PROPERTY_ATTRIBUTES",
            property_attributes,
            _pairs_or_words,
            _attribute_properties,
            _NO_PROPERTIES,
        ),
        segment=read("segment", "HELICONE_SEGMENT", segment, _imported, _rule, _DEFAULT_RULE),
        stamp=read("stamp", "HELICONE_STAMP", stamp, _truth, _bool, True),
    )


class _Reader:
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
        # An empty variable counts as unset, as OpenTelemetry's specification has it.
        text = self._environ.get(variable, "").strip()
        if given is None and not text:
            return default
        setting, value = (argument, given) if given is not None else (variable, text)
        try:
            return check(given if given is not None else parse(text))
        except _Wrong as wrong:
            raise SettingError(setting, value, str(wrong)) from None


class _Wrong(Exception):
    """What would be right; becomes a SettingError with the setting's name and value."""


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _pairs(text: str) -> dict[str, str]:
    pairs = {}
    for word in _words(text):
        name, equals, value = word.partition("=")
        if not equals:
            raise _Wrong(f"give name=value pairs with commas between them; {word!r} has no '='")
        pairs[name.strip()] = unquote(value.strip())
    return pairs


def _pairs_or_words(text: str) -> dict[str, str]:
    return {
        attribute.strip(): (name.strip() if equals else attribute.strip())
        for attribute, equals, name in (word.partition("=") for word in _words(text))
    }


def _truth(text: str) -> object:
    return {"true": True, "false": False}.get(text.lower(), text)


def _imported(text: str) -> object:
    module, colon, name = text.partition(":")
    if not (module and colon and name):
        raise _Wrong("give 'package.module:function'")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever the module does when it is imported
        raise _Wrong(f"give a function that can be imported ({error})") from None


def _bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise _Wrong("give true or false")


def _id_format(value: object) -> SessionIdFormat:
    if value == "hex":
        return "hex"
    if value == "uuid":
        return "uuid"
    raise _Wrong("give 'hex' (32 digits, as tracing backends show it) or 'uuid'")


def _rule(value: object) -> SegmentRule:
    if callable(value):
        return value
    raise _Wrong("give a function that takes a span and returns a str or None")


def _strings(value: object, what: str) -> list[str]:
    # A lone string is iterable too, one letter at a time: always a mistake.
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise _Wrong(f"give a list of {what}")
    items = list(value)
    for item in items:
        if not isinstance(item, str) or not item.strip():
            raise _Wrong(f"give a list of {what}; {item!r} is none")
    return items


def _hosts(value: object) -> tuple[GatewayHost, ...]:
    hosts = []
    for text in _strings(value, "hosts, such as ['localhost:8787']"):
        try:
            hosts.append(parse_gateway_host(text))
        except ValueError as error:
            raise _Wrong(f"in {text!r}, {error}") from None
    return tuple(hosts)


def _attribute_names(value: object) -> tuple[str, ...]:
    return tuple(_strings(value, "attribute names, such as ['session.id']"))


def _property_name(name: object) -> str:
    safe = escape_property_name(name) if isinstance(name, str) else None
    if safe is None or safe != str(name).lower():
        example = f", such as {safe!r}" if safe else ""
        raise _Wrong(
            f"a property's name is made of letters, digits and -_. only{example}; {name!r} is not"
        )
    return safe


def _static_properties(value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        raise _Wrong("give a mapping of property names to values, such as {'env': 'production'}")
    properties = {}
    for name, text in value.items():
        safe = escape_value(text, MAX_PROPERTY_VALUE_LENGTH) if isinstance(text, str) else None
        if safe is None:
            raise _Wrong(
                f"the value of {name!r} has to be a str that is not empty; {text!r} is not"
            )
        properties[_property_name(name)] = safe
    return MappingProxyType(properties)


def _attribute_properties(value: object) -> Mapping[str, str]:
    if isinstance(value, Mapping):
        _strings(list(value), "attribute names")
        pairs = dict(value)
    else:
        pairs = {name: name for name in _strings(value, "attribute names")}
    return MappingProxyType({name: _property_name(prop) for name, prop in pairs.items()})
