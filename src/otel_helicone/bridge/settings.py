"""The settings of the bridge: each an argument of the command and an environment variable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import platformdirs

from otel_helicone.exporter_settings import ExporterSettings, make_exporter_settings
from otel_helicone.injection.hosts import is_loopback
from otel_helicone.settings_reading import SettingError, SettingReader, WrongValue

__all__ = ["DEFAULT_PORT", "BridgeSettings", "make_bridge_settings", "spool_path"]

DEFAULT_PORT: Final = 4319
"""Next to 4317 and 4318, which the Collector itself listens on."""

_DEFAULT_WAIT: Final = 60.0
_DEFAULT_MEMORY: Final = 600.0
_MIB: Final = 1024 * 1024
_DEFAULT_REQUEST_MIB: Final = 32.0
_DEFAULT_SPOOL_MIB: Final = 4096.0
_DEFAULT_IN_FLIGHT: Final = 64


@dataclass(frozen=True, kw_only=True)
class BridgeSettings:
    """What is in effect for one bridge, checked and complete.

    Attributes:
        exporter: what it has in common with the span exporter.
        host: the address to listen on.
        port: the port, 0 for a free one.
        token: what a request must have in ``Authorization: Bearer``; None for nothing.
        spool: the file of the spool.
        max_spool_bytes: how large what is in it may become.
        max_request_bytes: how large a request may be, before and after decompression.
        wait: how long after its last span a trace is taken for complete, in seconds.
        memory: how long after that it is remembered for late spans, in seconds.
    """

    exporter: ExporterSettings
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    token: str | None = field(default=None, repr=False)
    spool: Path
    max_spool_bytes: int = int(_DEFAULT_SPOOL_MIB * _MIB)
    max_request_bytes: int = int(_DEFAULT_REQUEST_MIB * _MIB)
    wait: float = _DEFAULT_WAIT
    memory: float = _DEFAULT_MEMORY


def make_bridge_settings(
    *,
    host: str | None = None,
    port: int | None = None,
    token: str | None = None,
    allow_anonymous: bool = False,
    spool: str | None = None,
    max_spool_mib: float | None = None,
    max_request_mib: float | None = None,
    wait: float | None = None,
    memory: float | None = None,
    api_key: str | None = None,
    endpoint: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> BridgeSettings:
    """Check the arguments of the command, and read the environment for those that are None.

    Args:
        host: the address to listen on; loopback by default. ``HELICONE_BRIDGE_HOST``.
        port: the port, 0 for a free one; 4319 by default. ``HELICONE_BRIDGE_PORT``.
        token: the bearer token that requests must have; needed beyond loopback.
            ``HELICONE_BRIDGE_TOKEN``.
        allow_anonymous: whether to listen beyond loopback without a token.
        spool: the file of the spool; in the user's state folder by default.
            ``HELICONE_BRIDGE_SPOOL``.
        max_spool_mib: how large the spool may become, in MiB; 4096 by default.
            ``HELICONE_BRIDGE_MAX_SPOOL_MIB``.
        max_request_mib: how large a request may be, before and after decompression, in MiB; 32 by
            default. ``HELICONE_BRIDGE_MAX_REQUEST_MIB``.
        wait: how long after its last span a trace is taken for complete, in seconds; 60 by
            default. ``HELICONE_BRIDGE_WAIT``.
        memory: how long after its last span a trace is remembered for late ones, in seconds; 600
            by default. ``HELICONE_BRIDGE_MEMORY``.
        api_key: the Helicone key. ``HELICONE_API_KEY``.
        endpoint: scheme and host of Helicone's log API. ``HELICONE_ENDPOINT``.
        environ: where to read environment variables; the process's own by default.

    Raises:
        SettingError: for the first value that can't be used; here for a missing key, too.
    """
    environ = os.environ if environ is None else environ
    read = SettingReader(environ)
    exporter = make_exporter_settings(
        api_key=api_key,
        endpoint=endpoint,
        include=None,
        capture_content=None,
        redact=None,
        timeout=None,
        # One process sends for a whole fleet.
        max_in_flight=None if environ.get("HELICONE_MAX_IN_FLIGHT") else _DEFAULT_IN_FLIGHT,
        max_body_bytes=None,
        properties=None,
        environ=environ,
    )
    if exporter.api_key is None:
        # An exporter without a key must not stop its application; a bridge is nothing without one.
        raise SettingError(
            "HELICONE_API_KEY", "", "set it to a key of your Helicone organization that may write"
        )
    no_token: str | None = None
    listen_on = read("host", "HELICONE_BRIDGE_HOST", host, str, _text, "127.0.0.1")
    wanted = read("token", "HELICONE_BRIDGE_TOKEN", token, str, _token, no_token)
    if not is_loopback(listen_on) and wanted is None and not allow_anonymous:
        raise SettingError(
            "HELICONE_BRIDGE_HOST" if host is None else "host",
            listen_on,
            "beyond this machine, set HELICONE_BRIDGE_TOKEN to a secret of your own, which the"
            " Collector sends as 'Authorization: Bearer …'; or --allow-anonymous, where the network"
            " keeps strangers out",
        )

    def number(argument: str, variable: str, given: float | None, default: float) -> float:
        return read(argument, variable, given, _number, _positive, default)

    spool_mib = number(
        "max_spool_mib", "HELICONE_BRIDGE_MAX_SPOOL_MIB", max_spool_mib, _DEFAULT_SPOOL_MIB
    )
    request_mib = number(
        "max_request_mib",
        "HELICONE_BRIDGE_MAX_REQUEST_MIB",
        max_request_mib,
        min(_DEFAULT_REQUEST_MIB, spool_mib / 2),
    )
    if request_mib > spool_mib / 2:
        # Such a request might never find room, and be sent again for ever.
        raise SettingError(
            "HELICONE_BRIDGE_MAX_REQUEST_MIB" if max_request_mib is None else "max_request_mib",
            request_mib,
            f"give no more than half of what the spool may have, {spool_mib} MiB",
        )
    return BridgeSettings(
        exporter=exporter,
        host=listen_on,
        port=read("port", "HELICONE_BRIDGE_PORT", port, _number, _port, DEFAULT_PORT),
        token=wanted,
        spool=spool_path(spool, environ),
        max_spool_bytes=int(_MIB * spool_mib),
        max_request_bytes=int(_MIB * request_mib),
        wait=number("wait", "HELICONE_BRIDGE_WAIT", wait, _DEFAULT_WAIT),
        memory=number("memory", "HELICONE_BRIDGE_MEMORY", memory, _DEFAULT_MEMORY),
    )


def spool_path(given: str | None, environ: Mapping[str, str] | None = None) -> Path:
    """Find the spool: as given, else by ``HELICONE_BRIDGE_SPOOL``, else the user's own.

    Args:
        given: what ``--spool`` said, or None.
        environ: where to read environment variables; the process's own by default.

    Raises:
        SettingError: for an empty text.
    """
    read = SettingReader(os.environ if environ is None else environ)
    path = read("spool", "HELICONE_BRIDGE_SPOOL", given, str, _text, "")
    if path:
        return Path(path).expanduser().absolute()
    return Path(platformdirs.user_state_dir("otel-helicone", appauthor=False)) / "bridge.db"


def _text(value: object) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise WrongValue("give a text that is not empty")


def _token(value: object) -> str | None:
    text = _text(value)
    if text.isascii() and text.isprintable() and " " not in text:
        return text
    raise WrongValue("give visible ASCII characters; they go into a header")


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def _positive(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1e9:
        return float(value)
    raise WrongValue("give a number above 0")


def _port(value: object) -> int:
    if isinstance(value, (int, float)) and 0 <= value < 65536 and value == int(value):
        return int(value)
    raise WrongValue("give a port, from 0 to 65535")
