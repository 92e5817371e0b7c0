"""The settings of the span processors in use, and what they say together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from weakref import ref

from otel_helicone.primitives.hosts import HELICONE_HOSTS, Origin
from otel_helicone.settings.processor import DEFAULT_SETTINGS, Gateway, ProcessorSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

__all__ = [
    "add",
    "any_in_use",
    "gateway_in_use",
    "injecting",
    "is_gateway",
    "is_helicone",
    "is_in_use",
    "remove",
    "settings_in_use",
]

# The oldest first. A processor that was dropped without a shutdown leaves by its weak reference.
_processors: list[tuple[ref[SpanProcessor], ProcessorSettings]] = []
_injecting = False  # whether any of them does, for requests to ask

# What is_gateway has answered, which every request of the application asks; emptied with each
# change.
_MAX_ORIGINS: Final = 1000
_known_origins: Final[dict[tuple[str, str, int | None], bool]] = {}


def add(processor: SpanProcessor, settings: ProcessorSettings) -> None:
    """Note that a processor is in use; it is not kept alive."""
    global _injecting
    _processors.append((ref(processor, _remove), settings))
    _injecting = _injecting or settings.inject
    _known_origins.clear()


def remove(processor: SpanProcessor) -> None:
    """Note that a processor is shut down."""
    _remove(ref(processor))


def _remove(gone: ref[SpanProcessor]) -> None:
    global _processors, _injecting
    # A live reference equals another one to the same processor, a dead one only itself.
    _processors = [entry for entry in _processors if entry[0] is not gone and entry[0] != gone]
    _injecting = any(settings.inject for _, settings in _processors)
    _known_origins.clear()


def any_in_use() -> bool:
    """Return whether any processor is in use."""
    return bool(_processors)


def is_in_use(processor: object) -> bool:
    """Return whether something is one of the processors in use."""
    return any(known() is processor for known, _ in _processors)


def injecting() -> bool:
    """Return whether any processor in use puts headers on requests."""
    return _injecting


def settings_in_use() -> ProcessorSettings:
    """Return the settings for spans that no processor has seen: those of the first one in use."""
    processors = _processors
    return processors[0][1] if processors else DEFAULT_SETTINGS


def gateway_in_use() -> Gateway | None:
    """Return the gateway that calls to providers go through, by the first processor with one."""
    for _, settings in _processors:
        if settings.route is not None and settings.inject:
            return settings.route
    return None


def is_gateway(
    scheme: str, host: str, port: int | None, *, even_without_inject: bool = False
) -> bool:
    """Return whether a request goes to Helicone, by the settings of any processor that injects.

    Args:
        scheme: the URL's scheme.
        host: the URL's host, in ASCII.
        port: the URL's port; None for the scheme's usual one.
        even_without_inject: whether the settings of those that don't inject count too.
    """
    if even_without_inject:
        return _is_gateway(Origin.of(scheme, host, port), _processors)
    known = _known_origins.get((scheme, host, port))
    if known is None:
        injecting = [entry for entry in _processors if entry[1].inject]
        known = _is_gateway(Origin.of(scheme, host, port), injecting)
        if len(_known_origins) >= _MAX_ORIGINS:
            _known_origins.clear()
        _known_origins[scheme, host, port] = known
    return known


def _is_gateway(
    origin: Origin, processors: list[tuple[ref[SpanProcessor], ProcessorSettings]]
) -> bool:
    return any(gateway.matches(origin) for _, used in processors for gateway in used.gateway_hosts)


def is_helicone(host: str, port: int | None) -> bool:
    """Return whether a host is Helicone's, or a gateway by the settings of any processor in use.

    Args:
        host: the host in its normal form.
        port: the port, or None where it is not known; then a gateway of any port counts.
    """
    gateways = [*HELICONE_HOSTS, *(host for _, used in _processors for host in used.gateway_hosts)]
    return any(
        gateway.matches(Origin("", host, gateway.port if port is None else port))
        for gateway in gateways
    )
