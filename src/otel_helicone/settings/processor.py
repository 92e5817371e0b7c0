"""The settings of the span processor."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, TypedDict
from urllib.parse import urlsplit

from otel_helicone.primitives.attribute_names import (
    ENDUSER_ID,
    GEN_AI_CONVERSATION_ID,
    HELICONE_SESSION_ID,
    HELICONE_SESSION_NAME,
    HELICONE_SESSION_PATH,
    SESSION_ID,
    USER_ID,
)
from otel_helicone.primitives.hosts import (
    HELICONE_HOSTS,
    GatewayHost,
    is_loopback,
    normal_host,
    parse_gateway_host,
)
from otel_helicone.primitives.segments import SegmentRule, default_segment
from otel_helicone.settings.checks import (
    FLAG,
    SECRET,
    address,
    imported,
    key_problem,
    pairs_or_words,
    properties_row,
    property_name,
    strings,
    truth,
    words,
)
from otel_helicone.settings.reading import Kind, SettingError, WrongValue, read_settings, setting

__all__ = [
    "CONVERSATION_ATTRIBUTES",
    "DEFAULT_SETTINGS",
    "Gateway",
    "ProcessorOptions",
    "ProcessorSettings",
    "SessionIdFormat",
    "make_processor_settings",
]

SessionIdFormat = Literal["hex", "uuid"]

CONVERSATION: Final = "conversation"
"""Stands for :data:`CONVERSATION_ATTRIBUTES` among the attributes of the session id."""

CONVERSATION_ATTRIBUTES: Final = (
    GEN_AI_CONVERSATION_ID,
    SESSION_ID,
    "langfuse.session.id",
    "traceloop.association.properties.session_id",
    "traceloop.association.properties.thread_id",
    "traceloop.association.properties.conversation_id",
)
"""Where frameworks and instrumentations write the id of a conversation, the most exact first.

OpenTelemetry's GenAI conventions have the first, which Google's ADK and Pydantic AI write.
OpenInference has the second, for ``using_session``, Agno's ``session_id`` and LangGraph's
``thread_id``. The others are Langfuse's and Traceloop's.
"""

_NO_PROPERTIES: Final[Mapping[str, str]] = MappingProxyType({})


class ProcessorOptions(TypedDict, total=False):
    """The arguments of the span processor; what each means stands in :class:`ProcessorSettings`.

    None is as if the argument were not there: the environment variable is read.
    """

    gateway_hosts: Iterable[str] | None
    gateway: bool | str | None
    gateway_fallback: bool | None
    inject: bool | None
    session_id_format: SessionIdFormat | None
    session_id_attributes: Iterable[str] | None
    user_id_attributes: Iterable[str] | None
    properties: Mapping[str, str] | None
    property_attributes: Mapping[str, str] | Iterable[str] | None
    segment: SegmentRule | None
    stamp: bool | None
    api_key: str | None


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


def _hosts(value: object) -> tuple[GatewayHost, ...]:
    hosts = []
    for text in strings(value, "hosts, such as ['localhost:8787']"):
        try:
            hosts.append(parse_gateway_host(text))
        except ValueError as error:
            raise WrongValue(f"in {text!r}, {error}") from None
    return (*HELICONE_HOSTS, *hosts)


def _gateway_address(value: object) -> str | None:
    """Take the address of a gateway, true for Helicone's own, which is empty, or false for none."""
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


def _attribute_names(value: object) -> tuple[str, ...]:
    return tuple(strings(value, "attribute names, such as ['session.id']"))


def _session_attributes(value: object) -> tuple[str, ...]:
    """Take attribute names, with all that frameworks call a conversation for `conversation`."""
    names: list[str] = []
    for name in _attribute_names(value):
        names += CONVERSATION_ATTRIBUTES if name == CONVERSATION else (name,)
    return tuple(dict.fromkeys(names))


def _attribute_properties(value: object) -> Mapping[str, str]:
    if isinstance(value, Mapping):
        strings(list(value), "attribute names")
        named = dict(value)
    else:
        named = {name: name for name in strings(value, "attribute names")}
    return MappingProxyType({name: property_name(prop) for name, prop in named.items()})


def _rule(value: object) -> SegmentRule:
    if callable(value):
        return value
    raise WrongValue("give a function that takes a span and returns a str or None")


@dataclass(frozen=True, kw_only=True)
class ProcessorSettings:
    """What is in effect for the spans of one processor, checked and complete."""

    gateway_hosts: tuple[GatewayHost, ...] = setting(
        "HELICONE_GATEWAY_HOSTS",
        "hosts that get session headers besides Helicone's own: `host` (at the usual ports),"
        " `host:port`, `*.host`; separated by commas",
        kind=Kind(words, _hosts),
        default=HELICONE_HOSTS,
        default_text="",
    )
    gateway: str | None = setting(
        "HELICONE_GATEWAY",
        "whether calls of unchanged clients to providers are sent through Helicone's gateways; or"
        " the address of a gateway of your own",
        kind=Kind(truth, _gateway_address),
        default=None,
        default_text="false",
    )
    gateway_fallback: bool = setting(
        "HELICONE_GATEWAY_FALLBACK",
        "with `gateway`, whether a call goes to the provider itself where the gateway can't be"
        " reached",
        kind=FLAG,
        default=False,
    )
    inject: bool = setting(
        "HELICONE_INJECT", "whether requests get headers at all", kind=FLAG, default=True
    )
    session_id_format: SessionIdFormat = setting(
        "HELICONE_SESSION_ID_FORMAT",
        "how a trace id is written as session id: `hex`, or `uuid` with dashes",
        kind=Kind(str.strip, _id_format),
        default="hex",
    )
    session_id_attributes: tuple[str, ...] = setting(
        "HELICONE_SESSION_ID_ATTRIBUTES",
        "span attributes that may supply the session id, such as `session.id`, or `conversation`"
        " for [all that frameworks call one](sessions.md#conversations)",
        kind=Kind(words, _session_attributes),
        default=(),
        default_text="",
    )
    user_id_attributes: tuple[str, ...] = setting(
        "HELICONE_USER_ID_ATTRIBUTES",
        "span attributes that supply `Helicone-User-Id`",
        kind=Kind(words, _attribute_names),
        default=(USER_ID, ENDUSER_ID),
        default_text=f"{USER_ID},{ENDUSER_ID}",
    )
    properties: Mapping[str, str] = properties_row()
    property_attributes: Mapping[str, str] = setting(
        "HELICONE_PROPERTY_ATTRIBUTES",
        "span attributes that become custom properties: names, or `attribute=property` pairs",
        kind=Kind(pairs_or_words, _attribute_properties),
        default=_NO_PROPERTIES,
        default_text="",
    )
    segment: SegmentRule = setting(
        "HELICONE_SEGMENT",
        "the function that turns a span into a [segment](sessions.md#which-spans-are-segments); it"
        " is called with open spans, maybe more than once, and has to be quick; as a variable,"
        " `package.module:function`",
        kind=Kind(imported, _rule),
        default=default_segment,
        default_text="otel_helicone:default_segment",
    )
    stamp: bool = setting(
        "HELICONE_STAMP",
        "whether spans get `helicone.session.*` attributes",
        kind=FLAG,
        default=True,
    )
    api_key: str | None = setting(
        "HELICONE_API_KEY",
        "the Helicone key; the processor needs it for `gateway` alone",
        kind=SECRET,
        default=None,
        is_secret=True,
    )
    route: Gateway | None = None
    """How calls to providers are sent through a gateway: ``gateway`` with what belongs to it."""
    statements: frozenset[str] = field(init=False)
    """Every attribute that may say something about the session."""
    statements_beside_stamps: frozenset[str] = field(init=False)
    """Those of them that this library does not write itself."""
    statements_and_stamps: frozenset[str] = field(init=False)
    """The statements, and what this library writes itself."""

    def __post_init__(self) -> None:
        beside = frozenset(
            {*self.session_id_attributes, *self.user_id_attributes, *self.property_attributes}
            - {HELICONE_SESSION_ID, HELICONE_SESSION_NAME}
        )
        statements = beside | {HELICONE_SESSION_ID, HELICONE_SESSION_NAME}
        object.__setattr__(self, "statements_beside_stamps", beside)
        object.__setattr__(self, "statements", statements)
        own = statements | {HELICONE_SESSION_PATH}
        object.__setattr__(self, "statements_and_stamps", own)


DEFAULT_SETTINGS: Final = ProcessorSettings()


def make_processor_settings(
    given: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> ProcessorSettings:
    """Check the arguments, and read the environment for those that are not given.

    Args:
        given: the arguments, see :class:`ProcessorOptions`.
        environ: where to read environment variables; the process's own by default.

    Raises:
        SettingError: for the first value that can't be used.
        TypeError: for an argument that is no setting.
    """
    given = given or {}
    environ = os.environ if environ is None else environ
    found = read_settings(ProcessorSettings, given, environ)
    route = _route(found, given, environ)
    if route is not None and route.host is not None:
        found["gateway_hosts"] += (GatewayHost(route.host, route.port),)
    return ProcessorSettings(**found, route=route)


def _route(
    found: Mapping[str, Any], given: Mapping[str, Any], environ: Mapping[str, str]
) -> Gateway | None:
    where: str | None = found["gateway"]
    if where is None:
        return None
    parsed = urlsplit(where)
    host = normal_host(parsed.hostname) if parsed.hostname else None
    api_key: str | None = found["api_key"]
    if api_key and (problem := key_problem(api_key)):
        source = "HELICONE_API_KEY" if given.get("api_key") is None else "api_key"
        raise SettingError(source, "…", f"it {problem}")
    if not api_key and (host is None or not is_loopback(host)):
        is_given = given.get("gateway") is not None
        raise SettingError(
            "gateway" if is_given else "HELICONE_GATEWAY",
            given["gateway"] if is_given else environ.get("HELICONE_GATEWAY"),
            "without a key Helicone records nothing of what goes through its gateway; set"
            " HELICONE_API_KEY, or the argument api_key",
        )
    return Gateway(
        scheme=parsed.scheme or "https",
        host=host,
        port=parsed.port,
        api_key=api_key or None,
        fallback=found["gateway_fallback"],
    )
