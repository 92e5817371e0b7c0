"""The settings of the bridge: each an option of the command, an environment variable, or both."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from otel_helicone.primitives.hosts import is_loopback
from otel_helicone.settings.checks import (
    FLAG,
    PORT,
    key_problem,
    number,
    number_between,
    text,
    whole_between,
)
from otel_helicone.settings.exporter import (
    API_KEY_VARIABLE,
    ExporterSettings,
    make_exporter_settings,
)
from otel_helicone.settings.reading import (
    Kind,
    SettingError,
    WrongValue,
    read_settings,
    rows_of,
    setting,
)

__all__ = [
    "DEFAULT_GRPC_PORT",
    "DEFAULT_PORT",
    "OFF",
    "BridgeSettings",
    "make_bridge_settings",
    "spool_path",
]

DEFAULT_PORT: Final = 4319
"""Next to 4317 and 4318, which the Collector itself listens on."""

DEFAULT_GRPC_PORT: Final = 4317
"""Where OpenTelemetry's SDKs send to by default."""

OFF: Final = "off"
"""The port of what is not listened for."""

PortOrOff: TypeAlias = int | Literal["off"]

_MIB: Final = 1024 * 1024
_DEFAULT_REQUEST_MIB: Final = 32.0
# One process sends for a whole fleet.
_DEFAULT_IN_FLIGHT: Final = 64
_NO_KEYS: Final[Mapping[str, str]] = MappingProxyType({})
# Never sent: it stands for the key where there are only named ones.
_NO_KEY: Final = "none"
_POSITIVE: Final = number_between(0, 1e9, "give a number above 0")


def _token(value: object) -> str:
    token = text(value)
    if token.isascii() and token.isprintable() and " " not in token:
        return token
    raise WrongValue("give visible ASCII characters; they go into a header")


def _key_pairs(given: str) -> object:
    # A text that is not one is never shown: it may be a key.
    pairs = [word.partition("=") for word in given.split(",")]
    return {name.strip(): key.strip() for name, _, key in pairs}


def _keys(value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping) or not all(
        isinstance(name, str) and isinstance(key, str) and name and not key_problem(key)
        for name, key in value.items()
    ):
        raise WrongValue("give names and keys, `shop=sk-…,search=sk-…`")
    return dict(value)


def _number_or_off(given: str) -> object:
    return OFF if given.lower() == OFF else number(given)


def _port_or_off(value: object) -> PortOrOff:
    if value == OFF:
        return OFF
    return whole_between(0, 65535, "give a port, from 0 to 65535, or off")(value)


def _log_format(value: object) -> str:
    if value in ("text", "json"):
        return str(value)
    raise WrongValue("give text or json")


def _path(value: object) -> Path:
    return Path(text(value)).expanduser().absolute()


@dataclass(frozen=True, kw_only=True)
class BridgeSettings:
    """What is in effect for one bridge, checked and complete.

    Attributes:
        exporter: what it has in common with the span exporter.
        is_grpc_port_chosen: whether the port for gRPC is not just the default.
    """

    exporter: ExporterSettings
    is_grpc_port_chosen: bool = False
    host: str = setting(
        "HELICONE_BRIDGE_HOST",
        "the address to listen on",
        kind=Kind(str, text),
        default="127.0.0.1",
        option="--host",
        metavar="HOST",
    )
    port: int = setting(
        "HELICONE_BRIDGE_PORT",
        "the port to listen on, 0 for a free one",
        kind=PORT,
        default=DEFAULT_PORT,
        option="--port",
        metavar="PORT",
    )
    grpc_port: PortOrOff = setting(
        "HELICONE_BRIDGE_GRPC_PORT",
        "the port to listen on for gRPC, 0 for a free one, `off` for none",
        kind=Kind(_number_or_off, _port_or_off),
        default=DEFAULT_GRPC_PORT,
        option="--grpc-port",
        metavar="PORT",
    )
    token: str | None = setting(
        "HELICONE_BRIDGE_TOKEN",
        "the bearer token that requests must have; needed beyond this machine",
        kind=Kind(str, _token),
        default=None,
        is_secret=True,
    )
    tls_cert: Path | None = setting(
        "HELICONE_BRIDGE_TLS_CERT",
        "the file with the certificate that senders see, and its chain, in PEM",
        kind=Kind(str, _path),
        default=None,
        option="--tls-cert",
        metavar="PATH",
    )
    tls_key: Path | None = setting(
        "HELICONE_BRIDGE_TLS_KEY",
        "the file with the private key of that certificate, in PEM",
        kind=Kind(str, _path),
        default=None,
        option="--tls-key",
        metavar="PATH",
    )
    allow_anonymous: bool = setting(
        "",
        "listen beyond this machine without HELICONE_BRIDGE_TOKEN",
        kind=FLAG,
        default=False,
        option="--allow-anonymous",
    )
    keys: Mapping[str, str] = setting(
        "HELICONE_BRIDGE_KEYS",
        "Helicone keys by name, `shop=sk-…,search=sk-…`, for spans of several organizations",
        kind=Kind(_key_pairs, _keys),
        default=_NO_KEYS,
        default_text="",
        is_secret=True,
    )
    keys_file: Path | None = setting(
        "HELICONE_BRIDGE_KEYS_FILE",
        "a file with lines `name=key`, or a folder with a file for each key, read again when they"
        " change",
        kind=Kind(str, _path),
        default=None,
        option="--keys-file",
        metavar="PATH",
    )
    log_format: Literal["text", "json"] = setting(
        "HELICONE_BRIDGE_LOG_FORMAT",
        "how the log is written: `text`, or `json` for one object a line",
        kind=Kind(str.lower, _log_format),
        default="text",
        option="--log-format",
        metavar="FORMAT",
    )
    spool: Path = setting(
        "HELICONE_BRIDGE_SPOOL",
        "the file that holds what was not sent yet",
        kind=Kind(str, _path),
        default=Path(),
        default_text="one in the user's state folder",
        option="--spool",
        metavar="PATH",
    )
    max_spool_mib: float = setting(
        "HELICONE_BRIDGE_MAX_SPOOL_MIB",
        "how large what is in the spool may become, in MiB",
        kind=Kind(number, _POSITIVE),
        default=4096.0,
        default_text="4096",
    )
    max_request_mib: float = setting(
        "HELICONE_BRIDGE_MAX_REQUEST_MIB",
        "how large a request may be, before and after decompression, in MiB",
        kind=Kind(number, _POSITIVE),
        default=_DEFAULT_REQUEST_MIB,
        default_text="32",
    )
    wait: float = setting(
        "HELICONE_BRIDGE_WAIT",
        "how long after its last span a trace is taken for complete, in seconds",
        kind=Kind(number, _POSITIVE),
        default=60.0,
        default_text="60",
        option="--wait",
        metavar="SECONDS",
    )
    memory: float = setting(
        "HELICONE_BRIDGE_MEMORY",
        "how long after its last span a trace is remembered for late ones, in seconds",
        kind=Kind(number, _POSITIVE),
        default=600.0,
        default_text="600",
    )

    @property
    def max_spool_bytes(self) -> int:
        """How large what is in the spool may become."""
        return int(self.max_spool_mib * _MIB)

    @property
    def max_request_bytes(self) -> int:
        """How large a request may be, before and after decompression."""
        return int(self.max_request_mib * _MIB)


def make_bridge_settings(
    *,
    api_key: str | None = None,
    endpoint: str | None = None,
    environ: Mapping[str, str] | None = None,
    **given: Any,
) -> BridgeSettings:
    """Check the options of the command, and read the environment for those that are not given.

    Args:
        api_key: the Helicone key. ``HELICONE_API_KEY``.
        endpoint: scheme and host of Helicone's log API. ``HELICONE_ENDPOINT``.
        environ: where to read environment variables; the process's own by default.
        given: the options; see :class:`BridgeSettings`.

    Raises:
        SettingError: for the first value that can't be used; here for a missing key, too.
        TypeError: for an option that is no setting.
    """
    environ = os.environ if environ is None else environ
    found = read_settings(BridgeSettings, given, environ)
    has_named = bool(found["keys"]) or found["keys_file"] is not None
    is_named_only = has_named and not (api_key or environ.get(API_KEY_VARIABLE, "").strip())
    of_exporter = {
        "api_key": _NO_KEY if is_named_only else api_key,
        "endpoint": endpoint,
        "max_in_flight": None if environ.get("HELICONE_MAX_IN_FLIGHT") else _DEFAULT_IN_FLIGHT,
    }
    # An exporter without a key must not stop its application; a bridge is nothing without one.
    exporter = make_exporter_settings(of_exporter, environ, needs_key=not is_named_only)
    if is_named_only:
        exporter = replace(exporter, api_key=None)
    _check_access(found, given)
    _check_tls(found, given)
    _check_sizes(found, given, environ)
    if found["spool"] == Path():
        found["spool"] = _default_spool()
    is_chosen = given.get("grpc_port") is not None or bool(
        environ.get("HELICONE_BRIDGE_GRPC_PORT", "").strip()
    )
    return BridgeSettings(exporter=exporter, is_grpc_port_chosen=is_chosen, **found)


def _check_access(found: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    if is_loopback(found["host"]) or found["token"] is not None or found["allow_anonymous"]:
        return
    raise SettingError(
        "HELICONE_BRIDGE_HOST" if given.get("host") is None else "host",
        found["host"],
        "beyond this machine, set HELICONE_BRIDGE_TOKEN to a secret of your own, which the"
        " Collector sends as 'Authorization: Bearer …'; or --allow-anonymous, where the network"
        " keeps strangers out",
    )


def _check_tls(found: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    for name, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        if found[name] is not None and found[other] is None:
            is_given = given.get(name) is not None
            raise SettingError(
                name if is_given else f"HELICONE_BRIDGE_{name.upper()}",
                str(found[name]),
                f"give --{other.replace('_', '-')} or HELICONE_BRIDGE_{other.upper()} too",
            )


def _check_sizes(
    found: dict[str, Any], given: Mapping[str, Any], environ: Mapping[str, str]
) -> None:
    variable = "HELICONE_BRIDGE_MAX_REQUEST_MIB"
    half = found["max_spool_mib"] / 2
    is_given = given.get("max_request_mib") is not None
    if not is_given and not environ.get(variable, "").strip():
        found["max_request_mib"] = min(_DEFAULT_REQUEST_MIB, half)
    elif found["max_request_mib"] > half:
        # Such a request might never find room, and be sent again for ever.
        raise SettingError(
            "max_request_mib" if is_given else variable,
            found["max_request_mib"],
            f"give no more than half of what the spool may have, {found['max_spool_mib']} MiB",
        )


def spool_path(given: str | None, environ: Mapping[str, str] | None = None) -> Path:
    """Return the spool: as given, else by ``HELICONE_BRIDGE_SPOOL``, else the user's own.

    Args:
        given: what ``--spool`` said, or None.
        environ: where to read environment variables; the process's own by default.

    Raises:
        SettingError: for an empty text.
    """
    row = next(row for row in rows_of(BridgeSettings) if row.name == "spool")
    path: Path = row.read(given, os.environ if environ is None else environ)
    return _default_spool() if path == Path() else path


def _default_spool() -> Path:
    import platformdirs  # of the extra

    return Path(platformdirs.user_state_dir("otel-helicone", appauthor=False)) / "bridge.db"
