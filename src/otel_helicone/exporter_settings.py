"""The settings of the exporters: each an argument and an environment variable."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from otel_helicone.injection.hosts import is_loopback
from otel_helicone.log_once import warn_once
from otel_helicone.settings_reading import (
    SettingReader,
    WrongValue,
    address,
    as_bool,
    imported,
    pairs,
    static_properties,
    truth,
)

if TYPE_CHECKING:
    from otel_helicone.logs.translating import Include, Redact

__all__ = [
    "API_ENDPOINT",
    "LOG_ENDPOINT",
    "ExporterSettings",
    "make_connection_settings",
    "make_exporter_settings",
]

LOG_ENDPOINT: Final = "https://api.worker.helicone.ai"
"""Helicone's log API in its cloud."""

API_ENDPOINT: Final = "https://api.helicone.ai"
"""Helicone's API server in its cloud, which takes scores."""

# The worker answers 400 from 10 MiB on; it counts characters, and what it does between 5 and 10
# MiB differs with where it runs.
_DEFAULT_MAX_BODY_BYTES: Final = 5 * 1024 * 1024
_LEAST_BODY_BYTES: Final = 4096
_MOST_BODY_BYTES: Final = 10 * 1024 * 1024 - 1
_DEFAULT_TIMEOUT: Final = 30.0
_DEFAULT_IN_FLIGHT: Final = 16
# Has the shape of a Helicone key; a local Helicone asks for no other.
_KEY_FOR_THIS_MACHINE: Final = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"


@dataclass(frozen=True, kw_only=True)
class ExporterSettings:
    """What is in effect for one exporter, checked and complete.

    Attributes:
        api_key: the key; None where there is none that can be sent.
        endpoint: scheme and host of the API.
    """

    api_key: str | None = field(repr=False)
    endpoint: str
    timeout: float = _DEFAULT_TIMEOUT
    max_in_flight: int = _DEFAULT_IN_FLIGHT
    include: Include = "calls"
    capture_content: bool = True
    redact: Redact | None = field(default=None, repr=False)
    max_body_bytes: int = _DEFAULT_MAX_BODY_BYTES
    properties: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def make_exporter_settings(
    *,
    api_key: str | None,
    endpoint: str | None,
    include: Include | None,
    capture_content: bool | None,
    redact: Redact | None,
    timeout: float | None,
    max_in_flight: int | None,
    max_body_bytes: int | None,
    properties: Mapping[str, str] | None,
    environ: Mapping[str, str] | None = None,
) -> ExporterSettings:
    """Check the arguments of the span exporter, and read the environment for those that are None.

    Args:
        environ: where to read environment variables; the process's own by default. The others are
            described at :class:`otel_helicone.HeliconeSpanExporter`.

    Raises:
        SettingError: for the first value that can't be used, a key aside.
    """
    environ = os.environ if environ is None else environ
    read = SettingReader(environ)
    settings = make_connection_settings(
        api_key=api_key,
        endpoint=endpoint,
        endpoint_variable="HELICONE_ENDPOINT",
        default_endpoint=LOG_ENDPOINT,
        timeout=timeout,
        max_in_flight=max_in_flight,
        environ=environ,
    )
    default_include: Include = "calls"
    no_redact: Redact | None = None
    no_properties: Mapping[str, str] = MappingProxyType({})
    return ExporterSettings(
        api_key=settings.api_key,
        endpoint=settings.endpoint,
        timeout=settings.timeout,
        max_in_flight=settings.max_in_flight,
        include=read(
            "include", "HELICONE_INCLUDE", include, _word_or_function, _include, default_include
        ),
        capture_content=read(
            "capture_content", "HELICONE_CAPTURE_CONTENT", capture_content, truth, as_bool, True
        ),
        redact=read("redact", "HELICONE_REDACT", redact, imported, _redact, no_redact),
        max_body_bytes=read(
            "max_body_bytes",
            "HELICONE_MAX_BODY_BYTES",
            max_body_bytes,
            _whole,
            _body_bytes,
            _DEFAULT_MAX_BODY_BYTES,
        ),
        properties=read(
            "properties", "HELICONE_PROPERTIES", properties, pairs, static_properties, no_properties
        ),
    )


def make_connection_settings(
    *,
    api_key: str | None,
    endpoint: str | None,
    endpoint_variable: str,
    default_endpoint: str,
    timeout: float | None,
    max_in_flight: int | None,
    environ: Mapping[str, str],
) -> ExporterSettings:
    """Check what every exporter needs to reach Helicone.

    Args:
        endpoint_variable: the environment variable that holds the endpoint.
        default_endpoint: the endpoint where none is given.
        environ: where to read environment variables. The others are described at
            :class:`otel_helicone.HeliconeSpanExporter`.

    Raises:
        SettingError: for the first value that can't be used, a key aside.
    """
    read = SettingReader(environ)
    where = read("endpoint", endpoint_variable, endpoint, str, address, default_endpoint)
    return ExporterSettings(
        api_key=_key(api_key, environ, where),
        endpoint=where,
        timeout=read("timeout", "HELICONE_TIMEOUT", timeout, _number, _seconds, _DEFAULT_TIMEOUT),
        max_in_flight=read(
            "max_in_flight",
            "HELICONE_MAX_IN_FLIGHT",
            max_in_flight,
            _whole,
            _in_flight,
            _DEFAULT_IN_FLIGHT,
        ),
    )


def _key(given: str | None, environ: Mapping[str, str], endpoint: str) -> str | None:
    """Find the key. One that is missing or can't be sent is no reason to stop an application."""
    setting, key = "api_key", given
    if key is None:
        setting, key = "HELICONE_API_KEY", environ.get("HELICONE_API_KEY", "")
    key = str(key).strip()
    if re.fullmatch(r"[\x21-\x7e]+", key):
        return key
    host = urlsplit(endpoint).hostname or ""
    if not key and is_loopback(host):
        return _KEY_FOR_THIS_MACHINE
    problem = "has characters that no HTTP header can hold" if key else "is missing"
    warn_once(
        f"api-key:{problem}",
        "Nothing is logged to Helicone: the API key (%s) %s. Set HELICONE_API_KEY, or the"
        " argument api_key, to a key of your Helicone organization.",
        setting,
        problem,
    )
    return None


def _word_or_function(text: str) -> object:
    return text.lower() if ":" not in text else imported(text)


def _include(value: object) -> Include:
    if value == "calls":
        return "calls"
    if value == "all":
        return "all"
    if callable(value):
        return value
    raise WrongValue(
        "give 'calls' (LLM calls, embeddings, tools, retrievals), 'all', or a function of a span"
    )


def _redact(value: object) -> Redact:
    if callable(value):
        return value
    raise WrongValue("give a function that takes a body, a dict, and returns the one to send")


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def _whole(text: str) -> object:
    return int(text) if text.isdecimal() and len(text) < 20 else text


def _seconds(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 3600:
        return float(value)
    raise WrongValue("give seconds, more than 0 and no more than 3600")


def _in_flight(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1000:
        return value
    raise WrongValue("give a number from 1 to 1000")


def _body_bytes(value: object) -> int:
    good = isinstance(value, int) and not isinstance(value, bool)
    if good and isinstance(value, int) and _LEAST_BODY_BYTES <= value <= _MOST_BODY_BYTES:
        return value
    raise WrongValue(
        f"give bytes, from {_LEAST_BODY_BYTES} to {_MOST_BODY_BYTES}: Helicone takes no more"
    )
