"""The instrumentor: sessions for applications that are started by ``opentelemetry-instrument``."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from opentelemetry import trace
from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]  # has none
    BaseInstrumentor,
)

from otel_helicone.primitives.log_once import log_failure_once, warn_once
from otel_helicone.registration.global_provider import current_provider, when_provider_is_set
from otel_helicone.registration.stand_in import StandIn
from otel_helicone.settings.processor import make_processor_settings
from otel_helicone.settings.reading import SettingError

__all__ = ["HeliconeInstrumentor"]


class HeliconeInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # for the same reason
    """Adds a :class:`otel_helicone.HeliconeSpanProcessor` to the global tracer provider.

    ``opentelemetry-instrument`` finds and calls it by its entry point, ``helicone``; the settings
    come from environment variables. ``OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=helicone`` turns it
    off. In code::

        HeliconeInstrumentor().instrument()

    Where no global tracer provider is set yet, the processor is added as soon as there is one. As
    soon as the application registers a ``HeliconeSpanProcessor`` of its own with that provider,
    before or after this, this one steps aside.

    Nothing here raises. With a setting that can't be used a single line is logged, and everything
    stays off; :func:`otel_helicone.setup` raises a ``SettingError`` instead.

    Added in 0.2.0.
    """

    _stand_in: StandIn | None = None
    _call_off: Callable[[], None] | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the packages that have to be there for this: none."""
        return ()

    def instrument(self, **kwargs: Any) -> None:
        """Add the processor; see the class.

        Args:
            kwargs: ``tracer_provider``, to use another one than the global one, and the arguments
                of :class:`otel_helicone.HeliconeSpanProcessor`, as the declarative configuration
                file may give them.
        """
        # opentelemetry-instrument calls every instrumentor, with one of these arguments, after the
        # configuration file called those that it names. That is no mistake to warn of.
        automatic = kwargs.keys() & {"skip_dep_check", "raise_exception_on_conflict"}
        if automatic and self.is_instrumented_by_opentelemetry:
            return
        super().instrument(**kwargs)

    def _instrument(self, **kwargs: Any) -> None:
        try:
            provider = kwargs.pop("tracer_provider", None)
            if not _are_good(kwargs):
                return
            if provider is None:
                provider = current_provider()
            if provider is None:
                self._call_off = when_provider_is_set(
                    lambda provider: self._add_to(provider, kwargs)
                )
            else:
                self._add_to(provider, kwargs)
        except Exception:
            log_failure_once("instrumenting")

    def _uninstrument(self, **kwargs: Any) -> None:
        """Take the processor out, and injection off with it."""
        try:
            call_off, self._call_off = self._call_off, None
            if call_off is not None:
                call_off()
            stand_in, self._stand_in = self._stand_in, None
            if stand_in is not None:
                stand_in.step_aside()
        except Exception:
            log_failure_once("uninstrumenting")

    def _add_to(self, provider: trace.TracerProvider, settings: dict[str, Any]) -> None:
        self._call_off = None
        if not callable(getattr(provider, "add_span_processor", None)):
            warn_once(
                "no-processors",
                "otel-helicone is off: the global tracer provider is a %s, which takes no span"
                " processors. It works with the OpenTelemetry SDK's.",
                type(provider).__qualname__,
            )
            return
        stand_in = StandIn(**settings)
        stand_in.register(provider)  # type: ignore[arg-type]  # was just looked at
        self._stand_in = stand_in


def _are_good(settings: dict[str, Any]) -> bool:
    """Return whether the settings can be used; log a line if not."""
    try:
        make_processor_settings(settings)
    except SettingError as error:
        warn_once(f"off:{error}", "otel-helicone is off: %s", error)
    except TypeError as error:  # an argument that is none, from a configuration file
        warn_once(f"off:{error}", "otel-helicone is off: a setting is not known: %s", error)
    else:
        return True
    return False
