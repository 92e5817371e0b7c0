"""What the bridge tells of itself, in the text form of Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client import Counter as PrometheusCounter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from otel_helicone.bridge.stored import Counts

__all__ = ["BridgeMetrics"]

_PREFIX: Final = "otel_helicone_bridge"
_REFUSALS: Final = (
    *("token", "path", "content-type", "encoding", "too-large", "unreadable", "aborted"),
    *("busy", "slow", "full", "spool", "failure"),
)
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LONG_SECONDS: Final = (0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400)


class BridgeMetrics:
    """Counts what happens; each bridge has its own.

    Names begin with ``otel_helicone_bridge_``; ``docs/bridge.md`` lists them.
    """

    def __init__(self) -> None:
        """Begin at zero."""
        self._registry = CollectorRegistry()

        def counter(name: str, about: str, labels: Iterable[str] = ()) -> PrometheusCounter:
            return PrometheusCounter(f"{_PREFIX}_{name}", about, labels, registry=self._registry)

        self._requests = counter("requests", "Requests, by the status of the answer.", ["status"])
        self._received = counter("spans_received", "Spans that were stored.")
        self._refused = counter("spans_refused", "Spans without valid ids.", ["reason"])
        self._refused_requests = counter(
            "requests_refused", "Requests that were not taken, by the reason.", ["reason"]
        )
        for reason in _REFUSALS:
            # There from the beginning: Prometheus sees no increase in a counter that begins at 1.
            self._refused_requests.labels(reason)
        self._sent = counter("logs_sent", "Logs that Helicone took.")
        self._sent_bytes = counter("logs_sent_bytes", "How long their bodies were.")
        self._failed = counter("logs_failed", "Logs that Helicone refused for good.", ["status"])
        self._retried = counter("retries", "Attempts that have to be made again.")
        self._attempts = Histogram(
            f"{_PREFIX}_attempt_seconds",
            "How long one attempt to send a log took, by status or kind of trouble.",
            ["outcome"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._delivery = Histogram(
            f"{_PREFIX}_delivery_seconds",
            "The time from the arrival of a span until Helicone had its log.",
            buckets=_LONG_SECONDS,
            registry=self._registry,
        )
        self._repeated_and_skipped: Counter[str] = Counter()

    def watch(
        self,
        counts: Callable[[], Counts],
        now: Callable[[], float],
        skipped: Callable[[], Mapping[str, int]],
        in_flight: Callable[[], int],
        without_key: Callable[[], int],
    ) -> None:
        """Say where to ask for what is only counted when somebody looks.

        Args:
            counts: what the spool holds.
            now: the time by which that is dated.
            skipped: how many spans were not logged, by the reason.
            in_flight: how many posts are in flight.
            without_key: how many wait for a key that is not known.
        """
        self._registry.register(
            _Watched(counts, now, skipped, in_flight, without_key, self._repeated_and_skipped)
        )

    def answered(self, status: str) -> None:
        """Count a request, by the status of HTTP or the name of gRPC's."""
        self._requests.labels(status).inc()

    def received(self, stored: int, repeated: int, filtered: int) -> None:
        """Count the spans of a request that was taken.

        Args:
            stored: how many were stored.
            repeated: how many had come before.
            filtered: how many of the stored ones need no log.
        """
        self._received.inc(stored)
        self._repeated_and_skipped["repeated"] += repeated
        self._repeated_and_skipped["filtered"] += filtered

    def refused_request(self, reason: str) -> None:
        """Count a request that was not taken; how many spans it had is not known then."""
        self._refused_requests.labels(reason).inc()

    def refused(self, reason: str, spans: int) -> None:
        """Count spans that can't be used."""
        self._refused.labels(reason).inc(spans)

    def sent(self, size: int, seconds: float) -> None:
        """Count a log that Helicone took, this long after its span arrived."""
        self._sent.inc()
        self._sent_bytes.inc(size)
        self._delivery.observe(max(seconds, 0.0))

    def failed(self, status: str) -> None:
        """Count a log that Helicone refused for good."""
        self._failed.labels(status).inc()

    def retried(self) -> None:
        """Count an attempt that has to be made again."""
        self._retried.inc()

    def attempted(self, seconds: float, outcome: str) -> None:
        """Count an attempt to send."""
        self._attempts.labels(outcome).observe(seconds)

    def text(self) -> bytes:
        """Return all of it, in the text form of Prometheus."""
        return generate_latest(self._registry)


class _Watched(Collector):
    def __init__(
        self,
        counts: Callable[[], Counts],
        now: Callable[[], float],
        skipped: Callable[[], Mapping[str, int]],
        in_flight: Callable[[], int],
        without_key: Callable[[], int],
        more_skipped: Mapping[str, int],
    ) -> None:
        self._counts = counts
        self._now = now
        self._skipped = skipped
        self._in_flight = in_flight
        self._without_key = without_key
        self._more_skipped = more_skipped

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        counts = self._counts()
        age = 0.0 if counts.oldest is None else max(self._now() - counts.oldest, 0.0)
        for name, about, value in (
            ("spans_waiting", "Spans that wait for the rest of their trace.", counts.waiting_spans),
            ("logs_waiting", "Logs that wait to be sent.", counts.posts),
            ("logs_in_flight", "Logs that are being sent.", self._in_flight()),
            (
                "logs_without_key",
                "Logs that wait for a key that is not known.",
                self._without_key(),
            ),
            ("logs_dead", "Logs that Helicone refused for good and that are kept.", counts.dead),
            ("spool_bytes", "How much of the spool is in use.", counts.used_bytes),
            ("spool_limit_bytes", "How much of it may be.", counts.max_bytes),
            ("spool_age_seconds", "The age of the oldest span or log that waits.", age),
        ):
            yield GaugeMetricFamily(f"{_PREFIX}_{name}", about, value=value)
        skipped = CounterMetricFamily(
            f"{_PREFIX}_spans_skipped",
            "Spans that are not logged: filtered (not asked for), gateway (logged by Helicone's"
            " gateway), joined (of a call that is logged), repeated (came before), unreadable.",
            labels=["reason"],
        )
        reasons = Counter(dict(self._more_skipped))
        reasons.update(self._skipped())
        for reason in ("filtered", "gateway", "joined", "repeated", "unreadable"):
            skipped.add_metric([reason], reasons[reason])
        yield skipped
