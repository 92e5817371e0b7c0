"""OpenTelemetry as ``otel-helicone run`` sets it up, until the application sets it up itself."""

from __future__ import annotations

import importlib
import os
from typing import Final

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel_helicone.primitives.log_once import log_failure_once, warn_once
from otel_helicone.registration.global_provider import current_provider, when_provider_is_set
from otel_helicone.registration.stand_in import StandIn
from otel_helicone.settings.reading import SettingError

__all__ = ["begin"]

_CONFIGURATOR: Final = "OTEL_PYTHON_CONFIGURATOR"
# Whoever has set one of these has said what makes the tracer provider.
_SAYS_WHO: Final = (
    _CONFIGURATOR,
    "OTEL_CONFIG_FILE",
    "OTEL_EXPERIMENTAL_CONFIG_FILE",
    "OTEL_PYTHON_DISTRO",
    "OTEL_PYTHON_TRACER_PROVIDER",
)
_NOBODY: Final = "none"
# What opentelemetry-instrument has every Python import at its start; the function in it has another
# place in each release.
_AS_INSTRUMENT_DOES: Final = "opentelemetry.instrumentation.auto_instrumentation.sitecustomize"


def begin() -> None:
    """Load the instrumentations, and have a tracer provider at hand; never raises.

    It differs from ``opentelemetry-instrument`` in one thing: an application that sets a tracer
    provider of its own keeps it, and the processor and the exporter are added to that one.
    """
    try:
        _begin()
    except SettingError as error:
        warn_once(f"off:{error}", "otel-helicone is off: %s", error)
    except Exception:
        log_failure_once("setting OpenTelemetry up")


def _begin() -> None:
    exporters = os.environ.get("OTEL_TRACES_EXPORTER", "").split(",")
    is_theirs = exporters != ["helicone"] or any(os.environ.get(name) for name in _SAYS_WHO)
    if is_theirs:
        importlib.import_module(_AS_INSTRUMENT_DOES)
    else:
        # The instrumentations come before the provider: what asks for a tracer now gets one that
        # finds its provider with its first span, the application's own by then.
        os.environ[_CONFIGURATOR] = _NOBODY
        try:
            importlib.import_module(_AS_INSTRUMENT_DOES)
        finally:
            del os.environ[_CONFIGURATOR]
    if current_provider() is not None:
        return
    when_provider_is_set(_add_exporter)
    provider = TracerProvider()
    StandIn().register(provider)
    _add_exporter(provider)
    # Not by the public function, for OpenTelemetry takes one provider only, and would refuse the
    # application's. Tests hold the name on the oldest and newest API.
    if hasattr(trace, "_TRACER_PROVIDER"):
        trace._TRACER_PROVIDER = provider  # noqa: SLF001
    else:
        trace.set_tracer_provider(provider)


def _add_exporter(provider: trace.TracerProvider) -> None:
    from otel_helicone.exporter import HeliconeSpanExporter

    add = getattr(provider, "add_span_processor", None)
    if callable(add):
        # A span that the application's own exporter logs too gets the same request id: the local
        # Helicone keeps one of the two.
        add(BatchSpanProcessor(HeliconeSpanExporter()))
