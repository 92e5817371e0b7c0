"""The span exporter: logs finished GenAI spans to Helicone."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Unpack

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_helicone.injection import gateway_calls
from otel_helicone.primitives.after_fork import ForkedLock
from otel_helicone.primitives.log_once import log_failure_once, warn_once
from otel_helicone.session_context import finished
from otel_helicone.settings.exporter import (
    ExporterOptions,
    ExporterSettings,
    make_exporter_settings,
)
from otel_helicone.settings.reading import documented
from otel_helicone.worker_processes import flush_at_the_end

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

    from otel_helicone.delivery import Delivery, Post
    from otel_helicone.logs.translating import Records, Translator

__all__ = ["HeliconeSpanExporter"]

_SECONDS_TO_DEFERRED: Final = 0.1


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
    is logged once. A call without content waits some seconds for what is around it; call
    :meth:`force_flush` of the exporter to have it logged now. Each argument may be given by an
    environment variable; the argument wins.

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
        self._deferred: deque[Sequence[ReadableSpan]] = deque()
        self._alarm = _Alarm(self._release_due)
        self._translator: Translator | None = None
        self._delivery: Delivery | None = None
        if self._settings.api_key is not None:
            self._begin(self._settings.api_key, meter_provider)

    def _begin(self, api_key: str, meter_provider: MeterProvider | None) -> None:
        # Dialects and delivery are needed by those who export alone.
        from otel_helicone.delivery import Delivery, judge_log
        from otel_helicone.dialects.describe import speaks_any
        from otel_helicone.logs.holding import HeldCalls
        from otel_helicone.logs.translating import Translator

        settings = self._settings
        self._translator = Translator(
            include=settings.include,
            capture_content=settings.capture_content,
            redact=settings.redact,
            properties=settings.properties,
            held=HeldCalls() if settings.capture_content else None,
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
        flush_at_the_end(self, settings.timeout)

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
        if self._exports.has_this_thread or self._delivery.is_in_its_own_thread:
            # A signal handler or a finalizer that interrupted an export: what it interrupted holds
            # locks, and can't go on before this returns.
            self._deferred.append(spans)
            if self._delivery.is_in_its_own_thread:
                self._delivery.call_in_a_thread(self._export_deferred)
            return SpanExportResult.SUCCESS
        is_complete = self._export(spans)
        self._export_deferred()
        return SpanExportResult.SUCCESS if is_complete else SpanExportResult.FAILURE

    def _export(self, spans: Sequence[ReadableSpan]) -> bool:
        """Log spans; return whether each log was taken."""
        assert self._translator is not None
        try:
            with self._exports:
                is_complete = self._send(self._translator.records(spans), self._settings.timeout)
                self._set_alarm()
            return is_complete
        except Exception:
            log_failure_once("exporting spans")
            return False

    def _export_deferred(self) -> None:
        # Those of now: where interruptions come faster than logs are taken, there is no end to it.
        for _ in range(len(self._deferred)):
            try:
                spans = self._deferred.popleft()
            except IndexError:
                return  # another thread was faster
            self._export(spans)
        if self._deferred:
            self._alarm.set(_SECONDS_TO_DEFERRED)

    def _send(self, records: Records, timeout: float) -> bool:
        """Deliver the logs; return whether each was taken."""
        assert self._delivery is not None
        posts = _Posts(records, self._settings.max_body_bytes)
        return self._delivery.send(posts, timeout).is_complete

    def _set_alarm(self) -> None:
        """Have calls that wait for their content let go in time, should nothing more come."""
        seconds = None if self._translator is None else self._translator.seconds_until_due()
        if seconds is not None and not self._is_shut_down:
            # The next export may bring what is around them.
            self._alarm.set(max(seconds, 1.0) if self._exports.are_elsewhere else seconds)

    def _release_due(self) -> None:
        self._export_deferred()
        if not self._exports.are_elsewhere:
            self._release(self._settings.timeout, release_all=False)
        self._set_alarm()

    def _release(self, timeout: float, *, release_all: bool) -> bool:
        """Log calls that have waited for their content; return whether each was taken."""
        if self._translator is None or self._exports.has_this_thread:
            return self._translator is None
        if self._translator.seconds_until_due() is None:
            return True
        try:
            with self._exports:
                records = self._translator.due_records(release_all=release_all)
                return self._send(records, timeout)
        except Exception:
            log_failure_once("exporting spans")
            return False

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Log the calls that wait for their content, and wait for exports that are under way.

        Args:
            timeout_millis: how long to wait, in milliseconds.

        Returns:
            Whether they ended in that time.
        """
        deadline = time.monotonic() + timeout_millis / 1000
        while self._deferred and not self._exports.has_this_thread:
            self._export_deferred()
            if time.monotonic() >= deadline:
                break
        is_complete = self._release(timeout_millis / 1000, release_all=True)
        return self._exports.wait(max(deadline - time.monotonic(), 0)) and is_complete

    def shutdown(self, timeout_millis: float = 30_000) -> None:
        """Stop: exports that are under way may end until then, further ones are dropped.

        Calls that wait for their content are logged first.

        Args:
            timeout_millis: how long to wait, in milliseconds.
        """
        if self._is_shut_down:
            return
        self._is_shut_down = True
        deadline = time.monotonic() + timeout_millis / 1000
        try:
            self._alarm.cancel()
            if not self._exports.has_this_thread:
                self._export_deferred()
            self._release(timeout_millis / 1000, release_all=True)
            if self._delivery is not None:
                finished.unwant(self._wanted)
                gateway_calls.unwant()
                self._delivery.shutdown(max(deadline - time.monotonic(), 0))
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
    """The exports that are under way in this process, by their threads."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._threads: set[int] = set()
        self._ended = threading.Condition()  # on a lock that its thread may take again

    def __enter__(self) -> None:
        if os.getpid() != self._process:
            self._begin()  # the exports of the parent of a fork end there
        self._threads.add(threading.get_ident())

    def __exit__(self, *_error: object) -> None:
        self._threads.discard(threading.get_ident())
        with self._ended:
            self._ended.notify_all()

    @property
    def has_this_thread(self) -> bool:
        """Whether this thread is in the middle of one."""
        return os.getpid() == self._process and threading.get_ident() in self._threads

    @property
    def are_elsewhere(self) -> bool:
        """Whether other threads are in the middle of any."""
        return os.getpid() == self._process and bool(self._threads - {threading.get_ident()})

    def wait(self, seconds: float) -> bool:
        """Wait until no other thread is in one; return whether it came to that in time."""
        deadline = time.monotonic() + seconds
        with self._ended:
            while self.are_elsewhere:
                left = deadline - time.monotonic()
                if left <= 0 or not self._ended.wait(left):
                    return not self.are_elsewhere
        return not self.has_this_thread


class _Alarm:
    """Calls a function after some seconds, in a thread that lives only so long."""

    def __init__(self, function: Callable[[], None]) -> None:
        # A weak one: a thread that sleeps keeps no exporter alive.
        self._function = weakref.WeakMethod(function)
        self._lock = ForkedLock()
        self._timer: threading.Timer | None = None
        self._process = os.getpid()

    def set(self, seconds: float) -> None:
        """Have it called, unless that is going to happen anyway."""
        with self._lock:
            if self._timer is not None and self._process == os.getpid():
                return
            self._process = os.getpid()  # of the timers of its parent, a fork has none
            self._timer = threading.Timer(seconds, self._ring)
            self._timer.daemon = True
            self._timer.name = "otel-helicone-held-calls"
            self._timer.start()

    def cancel(self) -> None:
        """Have it not called."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        with self._lock:
            self._timer = None
        function = self._function()
        if function is not None:
            try:
                function()
            except Exception:
                log_failure_once("exporting spans")
