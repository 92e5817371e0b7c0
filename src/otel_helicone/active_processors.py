"""The span processors in use, and what they say together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from weakref import ref

from otel_helicone.injection.hosts import HELICONE_HOSTS, normal_host
from otel_helicone.settings import DEFAULT_SETTINGS, Gateway, Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

__all__ = [
    "add",
    "gateway_in_use",
    "injecting",
    "is_gateway",
    "is_helicone",
    "remove",
    "settings_in_use",
]

# The oldest first. A processor that was dropped without a shutdown leaves by its weak reference.
_processors: list[tuple[ref[SpanProcessor], Settings]] = []

# Answers to is_gateway, which every request of the application asks for; emptied with each change.
_MOST_ANSWERS: Final = 1000
_answers: Final[dict[tuple[bytes, int | None], bool]] = {}


def add(processor: SpanProcessor, settings: Settings) -> None:
    """Note that a processor is in use; it is not kept alive."""
    _processors.append((ref(processor, _remove), settings))
    _answers.clear()


def remove(processor: SpanProcessor) -> None:
    """Note that a processor is shut down."""
    _remove(ref(processor))


def _remove(gone: ref[SpanProcessor]) -> None:
    global _processors
    # A live reference equals another one to the same processor, a dead one only itself.
    _processors = [entry for entry in _processors if entry[0] is not gone and entry[0] != gone]
    _answers.clear()


def injecting() -> bool:
    """Tell whether any processor in use puts headers on requests."""
    return any(settings.inject for _, settings in _processors)


def settings_in_use() -> Settings:
    """Give the settings for spans that no processor has seen: those of the first one in use."""
    processors = _processors
    return processors[0][1] if processors else DEFAULT_SETTINGS


def gateway_in_use() -> Gateway | None:
    """Give the gateway that calls to providers go through, by the first processor that has one."""
    for _, settings in _processors:
        if settings.gateway is not None and settings.inject:
            return settings.gateway
    return None


def is_gateway(host: bytes, port: int | None) -> bool:
    """Tell whether a host is Helicone's by the settings of any processor that injects.

    Args:
        host: a URL's host, in ASCII.
        port: the port that the request uses.
    """
    answer = _answers.get((host, port))
    if answer is None:
        parsed = normal_host(host.decode("ascii", "replace"))
        answer = any(
            gateway.matches(parsed, port)
            for _, settings in _processors
            if settings.inject
            for gateway in settings.gateway_hosts
        )
        if len(_answers) >= _MOST_ANSWERS:
            _answers.clear()
        _answers[host, port] = answer
    return answer


def is_helicone(host: str, port: int | None) -> bool:
    """Tell whether a host is Helicone's, or a gateway by the settings of any processor in use.

    Args:
        host: the host in its normal form.
        port: the port, or None where it is not known; then a gateway of any port counts.
    """
    gateways = [*HELICONE_HOSTS, *(host for _, used in _processors for host in used.gateway_hosts)]
    return any(
        gateway.matches(host, gateway.port if port is None else port) for gateway in gateways
    )
