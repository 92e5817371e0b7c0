"""The list of all settings, which the documents and ``otel-helicone doctor`` are made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

__all__ = ["SETTINGS", "Owner", "SettingDescription", "settings_table"]

Owner: TypeAlias = Literal["processor", "exporter", "scores"]
"""What has a setting: the span processor, the span exporter, the exporter of scores."""


@dataclass(frozen=True, kw_only=True)
class SettingDescription:
    """One setting.

    Attributes:
        argument: the name of the keyword argument.
        variable: the environment variable.
        owners: what has it.
        default: what holds where it is not given, as it would be written in the variable; empty
            for nothing.
        meaning: one line about it, in Markdown.
        is_secret: whether its value must not be shown.
    """

    argument: str
    variable: str
    owners: tuple[Owner, ...]
    default: str
    meaning: str
    is_secret: bool = False


_PROCESSOR: Final[tuple[Owner, ...]] = ("processor",)
_EXPORTER: Final[tuple[Owner, ...]] = ("exporter",)
_EXPORTERS: Final[tuple[Owner, ...]] = ("exporter", "scores")

SETTINGS: Final = (
    SettingDescription(
        argument="gateway_hosts",
        variable="HELICONE_GATEWAY_HOSTS",
        owners=_PROCESSOR,
        default="",
        meaning="hosts that get session headers besides Helicone's own: `host`, `host:port`,"
        " `*.host`; separated by commas",
    ),
    SettingDescription(
        argument="gateway",
        variable="HELICONE_GATEWAY",
        owners=_PROCESSOR,
        default="false",
        meaning="whether calls of unchanged clients to providers are sent through Helicone's"
        " gateways; or the address of a gateway of your own",
    ),
    SettingDescription(
        argument="gateway_fallback",
        variable="HELICONE_GATEWAY_FALLBACK",
        owners=_PROCESSOR,
        default="false",
        meaning="with `gateway`, whether a call goes to the provider itself where the gateway can't"
        " be reached",
    ),
    SettingDescription(
        argument="inject",
        variable="HELICONE_INJECT",
        owners=_PROCESSOR,
        default="true",
        meaning="whether requests get headers at all",
    ),
    SettingDescription(
        argument="session_id_format",
        variable="HELICONE_SESSION_ID_FORMAT",
        owners=_PROCESSOR,
        default="hex",
        meaning="how a trace id is written as session id: `hex`, or `uuid` with dashes",
    ),
    SettingDescription(
        argument="session_id_attributes",
        variable="HELICONE_SESSION_ID_ATTRIBUTES",
        owners=_PROCESSOR,
        default="",
        meaning="span attributes that may supply the session id, such as"
        " `gen_ai.conversation.id,session.id`",
    ),
    SettingDescription(
        argument="user_id_attributes",
        variable="HELICONE_USER_ID_ATTRIBUTES",
        owners=_PROCESSOR,
        default="user.id,enduser.id",
        meaning="span attributes that supply `Helicone-User-Id`",
    ),
    SettingDescription(
        argument="properties",
        variable="HELICONE_PROPERTIES",
        owners=("processor", "exporter"),
        default="",
        meaning="custom properties of every request and every log: a mapping, or"
        " `env=prod,team=search` with values percent-encoded",
    ),
    SettingDescription(
        argument="property_attributes",
        variable="HELICONE_PROPERTY_ATTRIBUTES",
        owners=_PROCESSOR,
        default="",
        meaning="span attributes that become custom properties: names, or `attribute=property`"
        " pairs",
    ),
    SettingDescription(
        argument="segment",
        variable="HELICONE_SEGMENT",
        owners=_PROCESSOR,
        default="otel_helicone:default_segment",
        meaning="the function that turns a span into a"
        " [segment](sessions.md#which-spans-are-segments); as a variable,"
        " `package.module:function`",
    ),
    SettingDescription(
        argument="stamp",
        variable="HELICONE_STAMP",
        owners=_PROCESSOR,
        default="true",
        meaning="whether spans get `helicone.session.*` attributes",
    ),
    SettingDescription(
        argument="api_key",
        variable="HELICONE_API_KEY",
        owners=("processor", "exporter", "scores"),
        default="",
        meaning="the Helicone key; the processor needs it for `gateway` alone",
        is_secret=True,
    ),
    SettingDescription(
        argument="endpoint",
        variable="HELICONE_ENDPOINT",
        owners=_EXPORTER,
        default="https://api.worker.helicone.ai",
        meaning="scheme and host of Helicone's log API",
    ),
    SettingDescription(
        argument="endpoint",
        variable="HELICONE_API_ENDPOINT",
        owners=("scores",),
        default="https://api.helicone.ai",
        meaning="scheme and host of Helicone's API server, which takes scores",
    ),
    SettingDescription(
        argument="include",
        variable="HELICONE_INCLUDE",
        owners=_EXPORTER,
        default="calls",
        meaning="which spans are logged: `calls` (LLM calls, embeddings, tools, retrievals), `all`,"
        " or a function of a span; as a variable, `package.module:function`",
    ),
    SettingDescription(
        argument="capture_content",
        variable="HELICONE_CAPTURE_CONTENT",
        owners=_EXPORTER,
        default="true",
        meaning="whether messages, arguments and results are logged",
    ),
    SettingDescription(
        argument="redact",
        variable="HELICONE_REDACT",
        owners=_EXPORTER,
        default="",
        meaning="a function that takes each body before it leaves, and returns the one that does;"
        " as a variable, `package.module:function`",
    ),
    SettingDescription(
        argument="timeout",
        variable="HELICONE_TIMEOUT",
        owners=_EXPORTERS,
        default="30",
        meaning="how long one export may take, in seconds",
    ),
    SettingDescription(
        argument="max_in_flight",
        variable="HELICONE_MAX_IN_FLIGHT",
        owners=_EXPORTERS,
        default="16",
        meaning="how many posts may be under way at once",
    ),
    SettingDescription(
        argument="max_body_bytes",
        variable="HELICONE_MAX_BODY_BYTES",
        owners=_EXPORTER,
        default="5242880",
        meaning="how long one post may be, in bytes; the texts in a longer one are shortened",
    ),
)
"""Every setting that is an argument and an environment variable, in the order of the documents."""


def settings_table() -> str:
    """Write the table of all settings in Markdown, as it stands in ``docs/settings.md``."""
    return "".join(f"{line}\n" for line in _lines())


def _lines() -> Iterator[str]:
    yield "| argument | environment variable | of | default | meaning |"
    yield "| --- | --- | --- | --- | --- |"
    for setting in SETTINGS:
        owners = ", ".join(setting.owners)
        default = f"`{setting.default}`" if setting.default else "none"
        yield (
            f"| `{setting.argument}` | `{setting.variable}` | {owners} | {default}"
            f" | {setting.meaning} |"
        )
