"""One call that sets everything up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, Unpack

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel_helicone.primitives.log_once import log_failure_once
from otel_helicone.processor import HeliconeSpanProcessor
from otel_helicone.registration.global_provider import current_provider
from otel_helicone.registration.removable import RemovableProcessor
from otel_helicone.set_up_faults.sentences import UNUSED_KEY
from otel_helicone.settings.exporter import (
    ExporterOptions,
    ExporterSettings,
    make_exporter_settings,
)
from otel_helicone.settings.processor import (
    ProcessorOptions,
    ProcessorSettings,
    make_processor_settings,
)
from otel_helicone.settings.reading import SettingError, documented, rows_of
from otel_helicone.worker_processes import note_processor

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

    from otel_helicone.exporter import HeliconeSpanExporter

__all__ = ["Setup", "setup"]

_SECRETS: Final = frozenset({"api_key", "route"})


class SetupOptions(ProcessorOptions, ExporterOptions, total=False):
    """The arguments of :func:`setup` that are settings."""


class Setup:
    """What one call of :func:`setup` made; to be taken down again with :meth:`shutdown`.

    Attributes:
        tracer_provider: the tracer provider that it was made for. Where there was none, it is a
            new one, which was set as the global one.

    Added in 0.2.0.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider,
        processors: Iterable[RemovableProcessor],
    ) -> None:
        self.tracer_provider = tracer_provider
        self._processors = tuple(processors)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export now what has ended, such as before the process is frozen; never raises.

        Each export ends within the exporter's ``timeout``. Processors and exporters of others are
        left alone; ``tracer_provider.force_flush()`` flushes those too.

        Args:
            timeout_millis: how long calls that wait for their content, and exports that are under
                way, may take, in milliseconds.

        Returns:
            Whether everything was flushed; True without ``export=True``.

        Added in 0.2.0.
        """
        try:
            # All of them, not only up to the first that fails.
            flushed = [processor.force_flush(timeout_millis) for processor in self._processors]
        except Exception:
            log_failure_once("flushing what setup() made")
            return False
        return all(flushed)

    def shutdown(self) -> None:
        """Export what is left, and take everything off the provider again; never raises.

        The provider itself stays, with all its other processors, because a global provider can't
        be replaced; :func:`setup` may be called for it again.
        """
        with _lock:
            made = _made.get(id(self.tracer_provider))
            if made is not None and made[0] is self:
                del _made[id(self.tracer_provider)]
            # The exporter comes before the processor, which knows what the last spans were.
            for processor in reversed(self._processors):
                try:
                    processor.take_out()
                except Exception:
                    log_failure_once("shutting down what setup() made")

    def __repr__(self) -> str:
        return f"<Setup of {self.tracer_provider!r}>"


class _Batches(BatchSpanProcessor):
    """A batch processor whose flush reaches the exporter, as OpenTelemetry specifies it.

    The SDK's ends once the exporter has got the spans; then calls still wait for their content.
    """

    def __init__(self, exporter: HeliconeSpanExporter) -> None:
        super().__init__(exporter)
        self._exporter = exporter

    def force_flush(self, timeout_millis: int | None = None) -> bool:
        """Export the spans, and then what the exporter holds back.

        Args:
            timeout_millis: how long it may take, in milliseconds.

        Returns:
            Whether everything was flushed in that time.
        """
        milliseconds = 30_000 if timeout_millis is None else timeout_millis
        deadline = time.monotonic() + milliseconds / 1000
        is_flushed = super().force_flush(milliseconds)
        left = round(1000 * (deadline - time.monotonic()))
        # Calls that are let go with no time left would be lost.
        return left > 0 and self._exporter.force_flush(left) and is_flushed


_lock: Final = threading.RLock()
# What was made for each provider, by its id(), with the settings in effect. Not by the provider
# itself, for that of logfire has no hash; what was made holds it, so that no other gets its id.
_made: Final[dict[int, tuple[Setup, Mapping[str, object]]]] = {}


@documented(ProcessorSettings, ExporterSettings)
def setup(
    *,
    tracer_provider: trace.TracerProvider | None = None,
    export: bool = False,
    meter_provider: MeterProvider | None = None,
    **options: Unpack[SetupOptions],
) -> Setup:
    """Give an application Helicone sessions, in one call.

    It registers a :class:`otel_helicone.HeliconeSpanProcessor`, and with ``export=True`` a batch
    span processor with a :class:`otel_helicone.HeliconeSpanExporter` too, with the global tracer
    provider, or with the one that is given. Where there is no global one, an SDK tracer provider
    is made and set.

    Example::

        import otel_helicone

        otel_helicone.setup(export=True)

    Called again for the same provider with the same settings, it adds nothing and returns the
    same object; with other settings it raises.

    Args:
        tracer_provider: the provider to register with; the global one by default. One that is
            given is not made the global one.
        export: whether finished GenAI spans are logged to Helicone; False by default. Leave it
            where ``OTEL_TRACES_EXPORTER`` names ``helicone``, or each call is logged twice.
        meter_provider: where the exporter's own metrics go; the global one by default.
        options: the arguments of :class:`otel_helicone.HeliconeSpanProcessor`, and with
            ``export=True`` those of :class:`otel_helicone.HeliconeSpanExporter`. What both have,
            such as ``properties``, is given to both.

    Returns:
        What was made, to shut it down.

    Raises:
        SettingError: for a value that can't be used, for other settings than at the call before,
            and for a tracer provider that takes no span processors.

    Added in 0.2.0.
    """
    if not isinstance(export, bool):
        raise SettingError("export", export, "give true or false")
    given = {name: _kept(value) for name, value in options.items()}
    of_processor = _of(ProcessorSettings, given)
    of_exporter = _of(ExporterSettings, given)
    unknown = given.keys() - of_processor.keys() - of_exporter.keys()
    if unknown:
        raise TypeError(f"setup() got unexpected keyword arguments: {', '.join(sorted(unknown))}")
    # Everything is checked before anything is made, a provider for one.
    in_effect: dict[str, object] = {
        "export": export,
        **_values(make_processor_settings(of_processor)),
    }
    if export:
        in_effect |= _values(make_exporter_settings(of_exporter))
        in_effect["meter_provider"] = meter_provider
    with _lock:
        provider = _provider(tracer_provider)
        before = _made.get(id(provider))
        if before is not None:
            _check_same(before[1], in_effect)
            return before[0]
        if given.get("api_key") and not export and in_effect["route"] is None:
            UNUSED_KEY.say()
        processors = [RemovableProcessor(HeliconeSpanProcessor(**of_processor))]
        if export:
            from otel_helicone.exporter import HeliconeSpanExporter

            exporter = HeliconeSpanExporter(meter_provider=meter_provider, **of_exporter)
            batches = _Batches(exporter)
            note_processor(batches)
            processors.append(RemovableProcessor(batches))
        for processor in processors:
            provider.add_span_processor(processor)
        made = Setup(provider, processors)
        _made[id(provider)] = (made, in_effect)
        return made


def _of(settings: type, given: Mapping[str, Any]) -> dict[str, Any]:
    names = {row.name for row in rows_of(settings)}
    return {name: value for name, value in given.items() if name in names}


def _kept(given: Any) -> Any:
    """Keep what can be read only once; it is read twice, to be checked and to be used."""
    reads_once = isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping)
    return list(given) if reads_once else given


def _values(settings: ProcessorSettings | ExporterSettings) -> dict[str, object]:
    return {field.name: getattr(settings, field.name) for field in fields(settings) if field.init}


def _provider(given: trace.TracerProvider | None) -> TracerProvider:
    provider = given if given is not None else current_provider()
    if provider is None:
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    # Wrappers around the SDK's provider have the method and not the class.
    if not callable(getattr(provider, "add_span_processor", None)):
        raise SettingError(
            "tracer_provider", provider, "give a provider that takes span processors, as the SDK's"
        )
    return provider  # type: ignore[return-value]


def _check_same(before: Mapping[str, object], now: Mapping[str, object]) -> None:
    for name in now:  # "export" first: the exporter's own settings are there with it alone
        if before.get(name) != now[name]:
            remedy = "setup() was called before, with another value; shut that down first"
            value = "…" if name in _SECRETS else now[name]
            raise SettingError(name, value, remedy)
