"""The span exporter: logs finished GenAI spans to Helicone."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_helicone.exporter_settings import make_exporter_settings
from otel_helicone.injection import gateway_calls
from otel_helicone.log_once import log_failure_once, warn_once
from otel_helicone.session_context import finished

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

    from otel_helicone.delivery import Delivery, Post
    from otel_helicone.logs.translating import Include, Records, Redact, Translator

__all__ = ["HeliconeSpanExporter"]


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

    Args:
        api_key: the Helicone key. Without one a single line is logged, and nothing is sent, save
            to an endpoint on this machine. ``HELICONE_API_KEY``.
        endpoint: scheme and host of Helicone's log API; ``https://api.worker.helicone.ai`` by
            default. ``HELICONE_ENDPOINT``.
        include: which spans are logged: ``"calls"`` (the default: LLM calls, embeddings, tools and
            retrievals), ``"all"`` (agents, workflows and everything else too, as ``data``), or a
            function of the finished span that tells whether it is. ``HELICONE_INCLUDE``, as a word
            or as ``package.module:function``.
        capture_content: whether messages, arguments and results are sent; True by default.
            ``HELICONE_CAPTURE_CONTENT``.
        redact: a function that takes each body, a dict, before it leaves, and returns the one that
            does, or None for none. If it raises, the content is left out and the rest is logged.
            Model, usage and names stay. ``HELICONE_REDACT``, as ``package.module:function``.
        timeout: how long one export may take, in seconds; 30 by default. ``HELICONE_TIMEOUT``.
        max_in_flight: how many posts may be under way at once; 16 by default.
            ``HELICONE_MAX_IN_FLIGHT``.
        max_body_bytes: how long one post may be, in bytes; 5 MiB by default. The texts in a longer
            one are shortened. ``HELICONE_MAX_BODY_BYTES``.
        properties: custom properties of every log. ``HELICONE_PROPERTIES``, as ``name=value``
            pairs with commas between them.
        meter_provider: where the exporter's own metrics go; the global one by default.

    Raises:
        SettingError: for a value that can't be used, a key aside; nothing else here ever raises.
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        endpoint: str | None = None,
        include: Include | None = None,
        capture_content: bool | None = None,
        redact: Redact | None = None,
        timeout: float | None = None,
        max_in_flight: int | None = None,
        max_body_bytes: int | None = None,
        properties: Mapping[str, str] | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self._settings = make_exporter_settings(
            api_key=api_key,
            endpoint=endpoint,
            include=include,
            capture_content=capture_content,
            redact=redact,
            timeout=timeout,
            max_in_flight=max_in_flight,
            max_body_bytes=max_body_bytes,
            properties=properties,
        )
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
