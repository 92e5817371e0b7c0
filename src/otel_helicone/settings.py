"""The settings: each an argument of the span processor and an environment variable."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from otel_helicone.attribute_names import (
    ENDUSER_ID,
    HELICONE_SESSION_ID,
    HELICONE_SESSION_NAME,
    USER_ID,
)
from otel_helicone.injection.hosts import HELICONE_HOSTS, GatewayHost, parse_gateway_host
from otel_helicone.session_context.segments import SegmentRule, default_segment
from otel_helicone.settings_reading import (
    SettingReader,
    WrongValue,
    as_bool,
    imported,
    pairs,
    pairs_or_words,
    property_name,
    static_properties,
    strings,
    truth,
    words,
)

__all__ = ["DEFAULT_SETTINGS", "SessionIdFormat", "Settings", "make_settings"]

SessionIdFormat = Literal["hex", "uuid"]

_NO_PROPERTIES: Final[Mapping[str, str]] = MappingProxyType({})


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
    read = SettingReader(os.environ if environ is None else environ)
    return Settings(
        gateway_hosts=HELICONE_HOSTS
        + read("gateway_hosts", "HELICONE_GATEWAY_HOSTS", gateway_hosts, words, _hosts, _NO_HOSTS),
        inject=read("inject", "HELICONE_INJECT", inject, truth, as_bool, True),
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
            words,
            _attribute_names,
            (),
        ),
        user_id_attributes=read(
            "user_id_attributes",
            "HELICONE_USER_ID_ATTRIBUTES",
            user_id_attributes,
            words,
            _attribute_names,
            (USER_ID, ENDUSER_ID),
        ),
        properties=read(
            "properties",
            "HELICONE_PROPERTIES",
            properties,
            pairs,
            static_properties,
            _NO_PROPERTIES,
        ),
        property_attributes=read(
            "property_attributes",
            "HELICONE_PROPERTY_ATTRIBUTES",
            property_attributes,
            pairs_or_words,
            _attribute_properties,
            _NO_PROPERTIES,
        ),
        segment=read("segment", "HELICONE_SEGMENT", segment, imported, _rule, _DEFAULT_RULE),
        stamp=read("stamp", "HELICONE_STAMP", stamp, truth, as_bool, True),
    )


def _id_format(value: object) -> SessionIdFormat:
    if value == "hex":
        return "hex"
    if value == "uuid":
        return "uuid"
    raise WrongValue("give 'hex' (32 digits, as tracing backends show it) or 'uuid'")


def _rule(value: object) -> SegmentRule:
    if callable(value):
        return value
    raise WrongValue("give a function that takes a span and returns a str or None")


def _hosts(value: object) -> tuple[GatewayHost, ...]:
    hosts = []
    for text in strings(value, "hosts, such as ['localhost:8787']"):
        try:
            hosts.append(parse_gateway_host(text))
        except ValueError as error:
            raise WrongValue(f"in {text!r}, {error}") from None
    return tuple(hosts)


def _attribute_names(value: object) -> tuple[str, ...]:
    return tuple(strings(value, "attribute names, such as ['session.id']"))


def _attribute_properties(value: object) -> Mapping[str, str]:
    if isinstance(value, Mapping):
        strings(list(value), "attribute names")
        named = dict(value)
    else:
        named = {name: name for name in strings(value, "attribute names")}
    return MappingProxyType({name: property_name(prop) for name, prop in named.items()})
