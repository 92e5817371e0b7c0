"""The settings of the bridge: each an option of the command, an environment variable, or both."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from otel_helicone.primitives.hosts import is_loopback
from otel_helicone.settings.checks import (
    FLAG,
    PORT,
    number,
    number_between,
    text,
)
from otel_helicone.settings.exporter import (
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

__all__ = ["DEFAULT_PORT", "BridgeSettings", "make_bridge_settings", "spool_path"]

DEFAULT_PORT: Final = 4319
"""Next to 4317 and 4318, which the Collector itself listens on."""

_MIB: Final = 1024 * 1024
_DEFAULT_REQUEST_MIB: Final = 32.0
# One process sends for a whole fleet.
_DEFAULT_IN_FLIGHT: Final = 64
_POSITIVE: Final = number_between(0, 1e9, "give a number above 0")


def _token(value: object) -> str:
    token = text(value)
    if token.isascii() and token.isprintable() and " " not in token:
        return token
    raise WrongValue("give visible ASCII characters; they go into a header")


def _path(value: object) -> Path:
    return Path(text(value)).expanduser().absolute()


@dataclass(frozen=True, kw_only=True)
class BridgeSettings:
    """What is in effect for one bridge, checked and complete.

    Attributes:
        exporter: what it has in common with the span exporter.
    """

    exporter: ExporterSettings
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
    token: str | None = setting(
        "HELICONE_BRIDGE_TOKEN",
        "the bearer token that requests must have; needed beyond this machine",
        kind=Kind(str, _token),
        default=None,
        is_secret=True,
    )
    allow_anonymous: bool = setting(
        "",
        "listen beyond this machine without HELICONE_BRIDGE_TOKEN",
        kind=FLAG,
        default=False,
        option="--allow-anonymous",
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
    of_exporter = {
        "api_key": api_key,
        "endpoint": endpoint,
        "max_in_flight": None if environ.get("HELICONE_MAX_IN_FLIGHT") else _DEFAULT_IN_FLIGHT,
    }
    # An exporter without a key must not stop its application; a bridge is nothing without one.
    exporter = make_exporter_settings(of_exporter, environ, needs_key=True)
    found = read_settings(BridgeSettings, given, environ)
    _check_access(found, given)
    _check_sizes(found, given, environ)
    if found["spool"] == Path():
        found["spool"] = _default_spool()
    return BridgeSettings(exporter=exporter, **found)


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
