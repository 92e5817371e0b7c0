"""What a delivery tells about itself, through the OpenTelemetry metrics API.

The metrics follow those that OpenTelemetry defines for SDK exporters (``otel.sdk.exporter.*``), of
one log instead of one span:

- ``otel_helicone.exporter.log.inflight`` (UpDownCounter, ``{log}``): logs handed over and not done
  with, those that wait for a retry included
- ``otel_helicone.exporter.log.exported`` (Counter, ``{log}``): logs done with; ``error.type`` says
  that one was not delivered, and why: a status, ``timeout``, ``wrong_key``
- ``otel_helicone.exporter.log.dropped`` (Counter, ``{log}``): the undelivered ones among them
- ``otel_helicone.exporter.log.retries`` (Counter, ``{log}``): attempts after the first one
- ``otel_helicone.exporter.log.size`` (Counter, ``By``): the bodies that were taken
- ``otel_helicone.exporter.operation.duration`` (Histogram, ``s``): each attempt

All carry ``otel.component.type``, ``otel.component.name``, ``server.address`` and ``server.port``;
the duration also ``http.response.status_code``, or ``error.type`` for an attempt without an answer
or with a failure. Without a metrics SDK each call is one that does nothing.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Final

from opentelemetry.metrics import MeterProvider, get_meter, get_meter_provider

__all__ = ["DeliveryMetrics"]

_PREFIX: Final = "otel_helicone.exporter"
_numbers: Final[defaultdict[str, itertools.count[int]]] = defaultdict(itertools.count)


class DeliveryMetrics:
    """The instruments of one delivery.

    Attributes:
        component_name: the type and a number, such as ``helicone_span_exporter/0``.
    """

    def __init__(
        self, component_type: str, host: str, port: int, provider: MeterProvider | None
    ) -> None:
        """Make the instruments.

        Args:
            component_type: what ``otel.component.type`` says.
            host: the endpoint's host.
            port: the endpoint's port.
            provider: where the meter comes from; None for the global one.
        """
        self.component_name = f"{component_type}/{next(_numbers[component_type])}"
        self._attributes: dict[str, str | int] = {
            "otel.component.type": component_type,
            "otel.component.name": self.component_name,
            "server.address": host,
            "server.port": port,
        }
        meter = get_meter("otel_helicone", meter_provider=provider or get_meter_provider())
        self._inflight = meter.create_up_down_counter(
            f"{_PREFIX}.log.inflight", "{log}", "Logs handed over for delivery and not done with"
        )
        self._exported = meter.create_counter(
            f"{_PREFIX}.log.exported", "{log}", "Logs done with, delivered or not"
        )
        self._dropped = meter.create_counter(
            f"{_PREFIX}.log.dropped", "{log}", "Logs that were not delivered"
        )
        self._retries = meter.create_counter(
            f"{_PREFIX}.log.retries", "{log}", "Attempts to deliver a log after the first one"
        )
        self._size = meter.create_counter(
            f"{_PREFIX}.log.size", "By", "Bodies of the logs that were delivered"
        )
        self._duration = meter.create_histogram(
            f"{_PREFIX}.operation.duration", "s", "Duration of each attempt to deliver a log"
        )

    def started(self) -> None:
        """Note that a log was handed over."""
        self._inflight.add(1, self._attributes)

    def taken(self, size: int) -> None:
        """Note that a log was delivered, with the bytes of its body."""
        self._inflight.add(-1, self._attributes)
        self._exported.add(1, self._attributes)
        self._size.add(size, self._attributes)

    def dropped(self, error_type: str, count: int = 1, *, started: bool = True) -> None:
        """Note that logs were not delivered.

        Args:
            error_type: why, as one of few words.
            count: how many.
            started: whether they had been noted as handed over.
        """
        attributes = {**self._attributes, "error.type": error_type}
        if started:
            self._inflight.add(-count, self._attributes)
        self._exported.add(count, attributes)
        self._dropped.add(count, attributes)

    def retried(self) -> None:
        """Note an attempt after the first one."""
        self._retries.add(1, self._attributes)

    def attempted(self, seconds: float, status: int | None, error_type: str | None) -> None:
        """Note an attempt.

        Args:
            seconds: how long it took.
            status: the answer's status, None where none came.
            error_type: what was wrong, None for nothing.
        """
        attributes = self._attributes.copy()
        if status is not None:
            attributes["http.response.status_code"] = status
        if error_type is not None:
            attributes["error.type"] = error_type
        self._duration.record(seconds, attributes)
