"""The settings: each an argument of the span processor and an environment variable."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal
from urllib.parse import urlsplit

from otel_helicone.attribute_names import (
    ENDUSER_ID,
    HELICONE_SESSION_ID,
    HELICONE_SESSION_NAME,
    USER_ID,
)
from otel_helicone.injection.hosts import (
    HELICONE_HOSTS,
    GatewayHost,
    is_loopback,
    normal_host,
    parse_gateway_host,
)
from otel_helicone.session_context.segments import SegmentRule, default_segment
from otel_helicone.settings_reading import (
    SettingError,
    SettingReader,
    WrongValue,
    address,
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

__all__ = ["DEFAULT_SETTINGS", "Gateway", "SessionIdFormat", "Settings", "make_settings"]

SessionIdFormat = Literal["hex", "uuid"]

_NO_PROPERTIES: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """The gateway that calls to providers are sent through.

    Attributes:
        scheme: ``https`` or ``http``, of a gateway of one's own.
        host: the host of a gateway of one's own; None for Helicone's, each provider's its own.
        port: the port of a gateway of one's own; None for the scheme's.
        api_key: what goes into ``Helicone-Auth``; None where a gateway on this machine needs none.
        fallback: whether calls go to the provider itself where the gateway can't be reached.
    """

    scheme: str = "https"
    host: str | None = None
    port: int | None = None
    api_key: str | None = field(default=None, repr=False)
    fallback: bool = False


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
    gateway: Gateway | None = None
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
    gateway: bool | str | None = None,
    gateway_fallback: bool | None = None,
    api_key: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Check the arguments, and read the environment for those that are None.

    Args:
        environ: where to read environment variables; the process's own by default. The others are
            described at :class:`otel_helicone.HeliconeSpanProcessor`.

    Raises:
        SettingError: for the first value that can't be used.
    """
    environ = os.environ if environ is None else environ
    read = SettingReader(environ)
    through = _gateway(read, environ, gateway, gateway_fallback, api_key)
    own = () if through is None or through.host is None else (GatewayHost(through.host),)
    return Settings(
        gateway=through,
        gateway_hosts=HELICONE_HOSTS
        + own
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


def _gateway(
    read: SettingReader,
    environ: Mapping[str, str],
    gateway: bool | str | None,
    fallback: bool | None,
    api_key: str | None,
) -> Gateway | None:
    none: str | None = None
    where = read("gateway", "HELICONE_GATEWAY", gateway, truth, _gateway_address, none)
    direct = read(
        "gateway_fallback", "HELICONE_GATEWAY_FALLBACK", fallback, truth, as_bool, default=False
    )
    if where is None:
        return None
    key = (environ.get("HELICONE_API_KEY", "") if api_key is None else api_key).strip()
    if key and not re.fullmatch(r"[\x21-\x7e]+", key):
        # Neither the key nor a part of it is shown.
        raise SettingError("api_key", "...", "it has characters that no HTTP header can hold")
    parsed = urlsplit(where)
    host = normal_host(parsed.hostname) if parsed.hostname else None
    if not key and (host is None or not is_loopback(host)):
        setting = "HELICONE_GATEWAY" if gateway is None else "gateway"
        raise SettingError(
            setting,
            environ.get(setting, gateway),
            "without a key Helicone records nothing of what goes through its gateway; set"
            " HELICONE_API_KEY, or the argument api_key",
        )
    return Gateway(
        scheme=parsed.scheme or "https",
        host=host,
        port=parsed.port,
        api_key=key or None,
        fallback=direct,
    )


def _gateway_address(value: object) -> str | None:
    """Give the address of a gateway, an empty one for Helicone's own, and None for none."""
    if value is True or value is False:
        return "" if value else None
    try:
        return address(value)
    except WrongValue as wrong:
        raise WrongValue(f"give true, false, or the address of a gateway: {wrong}") from None


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
