"""The span exporter: logs finished GenAI spans to Helicone."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_helicone.injection import gateway_calls
from otel_helicone.primitives.log_once import log_failure_once, warn_once
from otel_helicone.session_context import finished
from otel_helicone.settings.exporter import (
    ExporterOptions,
    ExporterSettings,
    make_exporter_settings,
)
from otel_helicone.settings.reading import documented

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

    from otel_helicone.delivery import Delivery, Post
    from otel_helicone.logs.translating import Records, Translator

__all__ = ["HeliconeSpanExporter"]


@documented(ExporterSettings)
class HeliconeSpanExporter(SpanExporter):
    """Logs finished GenAI spans to Helicone, whatever instrumentation wrote them.

    For applications that don't send their LLM calls through Helicone's gateway, and for the steps
    that never pass a gateway. With the span processor beside it, a log has the session and the
    path that the gateway would have seen; alone, it goes by what the spans hold.

    Example::

        provider = TracerProvider()
        provider.add_span_processor(HeliconeSpanProcessor())
        provider.add_span_processor(BatchSpanProcessor(HeliconeSpanExporter()))

    Calls that went through the gateway are left out, and a call that several instrumentations saw
    is logged once. Each argument may be given by an environment variable; the argument wins.

    {settings}
        meter_provider: where the exporter's own metrics go; the global one by default.

    Raises:
        SettingError: for a value that can't be used, a key aside; nothing else here ever raises.
    """

    def __init__(
        self, *, meter_provider: MeterProvider | None = None, **options: Unpack[ExporterOptions]
    ) -> None:
        self._settings = make_exporter_settings(options)
        self._is_shut_down = False
        self._exports = _Exports()
        self._translator: Translator | None = None
        self._delivery: Delivery | None = None
        if self._settings.api_key is not None:
            self._begin(self._settings.api_key, meter_provider)

    def _begin(self, api_key: str, meter_provider: MeterProvider | None) -> None:
        # Dialects and delivery are needed by those who export alone.
        from otel_helicone.delivery import Delivery, judge_log
        from otel_helicone.dialects.describe import speaks_any
        from otel_helicone.logs.translating import Translator

        settings = self._settings
        self._translator = Translator(
            include=settings.include,
            capture_content=settings.capture_content,
            redact=settings.redact,
            properties=settings.properties,
        )
        self._delivery = Delivery(
            endpoint=settings.endpoint,
            api_key=api_key,
            judge=judge_log,
            max_in_flight=settings.max_in_flight,
            component_type="helicone_span_exporter",
            meter_provider=meter_provider,
        )
        self._wanted = speaks_any if settings.include == "calls" else _every_span
        finished.want(self._wanted)
        gateway_calls.want()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Log finished spans. Called by a span processor of the SDK; never raises.

        Args:
            spans: the finished spans.

        Returns:
            FAILURE where any log was not taken within the timeout; what was dropped is counted and
            logged.
        """
        if self._is_shut_down:
            warn_once(
                "export-after-shutdown",
                "A HeliconeSpanExporter that was shut down drops the spans that it still gets.",
            )
            return SpanExportResult.FAILURE
        if self._delivery is None or self._translator is None:
            return SpanExportResult.FAILURE
        try:
            with self._exports:
                records = self._translator.records(spans)
                posts = _Posts(records, self._settings.max_body_bytes)
                outcome = self._delivery.send(posts, self._settings.timeout)
        except Exception:
            log_failure_once("exporting spans")
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS if outcome.is_complete else SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait for exports that are under way; nothing is held back between them.

        Args:
            timeout_millis: how long to wait, in milliseconds.

        Returns:
            Whether they ended in that time.
        """
        return self._exports.wait(timeout_millis / 1000)

    def shutdown(self, timeout_millis: float = 30_000) -> None:
        """Stop: exports that are under way may end until then, further ones are dropped.

        Args:
            timeout_millis: how long to wait, in milliseconds.
        """
        if self._is_shut_down:
            return
        self._is_shut_down = True
        try:
            if self._delivery is not None:
                finished.unwant(self._wanted)
                gateway_calls.unwant()
                self._delivery.shutdown(timeout_millis / 1000)
        except Exception:
            log_failure_once("shutting an exporter down")

    def __repr__(self) -> str:
        return f"HeliconeSpanExporter(endpoint={self._settings.endpoint!r})"


def _every_span(_attributes: Mapping[str, Any]) -> bool:
    return True


class _Posts:
    """The posts of records, each made when there is room for it, so that few are held at once."""

    def __init__(self, records: Records, max_body_bytes: int) -> None:
        self._records = records
        self._max_body_bytes = max_body_bytes

    def __iter__(self) -> _Posts:
        return self

    def __next__(self) -> Post:
        from otel_helicone.delivery import Post

        for record in self._records:
            try:
                body = record.to_bytes(self._max_body_bytes)
                return Post(record.path, body, record.request_id)
            except Exception:
                log_failure_once("writing a log")
        raise StopIteration

    def __length_hint__(self) -> int:
        return self._records.__length_hint__()


class _Exports:
    """Counts the exports that are under way in this process."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._count = 0
        self._ended = threading.Condition()

    def __enter__(self) -> None:
        if os.getpid() != self._process:
            self._begin()  # the exports of the parent of a fork end there
        with self._ended:
            self._count += 1

    def __exit__(self, *_error: object) -> None:
        with self._ended:
            self._count -= 1
            self._ended.notify_all()

    def wait(self, seconds: float) -> bool:
        """Wait until none is under way; tell whether it came to that in time."""
        if os.getpid() != self._process:
            return True
        deadline = time.monotonic() + seconds
        with self._ended:
            while self._count:
                left = deadline - time.monotonic()
                if left <= 0 or not self._ended.wait(left):
                    return not self._count
            return True
