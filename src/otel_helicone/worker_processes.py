"""Worker processes: what they have not sent yet is sent at their end.

A process that ``multiprocessing`` has forked, by itself or from its fork server, ends with
``os._exit``, and so does one of Celery's pool. Nothing that was registered with ``atexit`` runs
there, the SDK's shutdown neither, and the spans of the last seconds are lost. Both have a hook of
their own for the end of a worker. Neither is imported for it: only where the application has done
so are there such workers.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakSet

from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter

from otel_helicone.primitives.log_once import log_failure_once

__all__ = ["flush_at_the_end", "note_processor"]

# After the finalizers of the application, with 0 or more, and after a worker's own children, for
# these may end spans yet; before a multiprocessing.Queue, with -5, that waits for its reader.
_EXIT_PRIORITY: Final = -1

_seconds: Final[WeakKeyDictionary[SpanExporter, float]] = WeakKeyDictionary()
_processors: Final[WeakSet[SpanProcessor]] = WeakSet()


class _Worker:
    """What is arranged for the end of this process; a fork inherits it."""

    def __init__(self) -> None:
        self.is_announced = False
        self.is_connected = False
        self.finalizer: Any = None

    def arrange(self) -> None:
        """Have the end of this process, or of one forked from it, flush the exporters."""
        if not _seconds:
            return
        try:
            # A worker's process begins without the finalizers that it has inherited, or got while
            # it imported the application, and then calls what is announced here.
            util = sys.modules.get("multiprocessing.util")
            if util is not None:
                if not self.is_announced:
                    util.register_after_fork(self, _Worker.add_finalizer)
                    self.is_announced = True
                if sys.modules["multiprocessing.process"].parent_process() is not None:
                    self.add_finalizer()
            signals = sys.modules.get("celery.signals")
            if signals is not None and not self.is_connected:
                signal = signals.worker_process_shutdown
                # One that was held at the moment of a fork stays so in the child.
                if not signal.lock.locked():
                    signal.connect(_flush, weak=False, dispatch_uid="otel-helicone")
                    self.is_connected = True
        except Exception:
            log_failure_once("preparing for the end of a worker process")

    def add_finalizer(self) -> None:
        """Add the finalizer, unless this process has it."""
        if self.finalizer is None or not self.finalizer.still_active():
            util = sys.modules["multiprocessing.util"]
            self.finalizer = util.Finalize(None, _flush, exitpriority=_EXIT_PRIORITY)


_worker: Final = _Worker()


def flush_at_the_end(exporter: SpanExporter, seconds: float) -> None:
    """Have an exporter, and the batch processors of its spans, flushed where a worker ends.

    Args:
        exporter: is not kept alive. Its processors are those of the global tracer provider, and
            those that :func:`note_processor` was told.
        seconds: how long the end of a worker may take for it.
    """
    _seconds[exporter] = seconds
    _worker.arrange()


def note_processor(processor: SpanProcessor) -> None:
    """Have a span processor flushed, too, that the global tracer provider may not have.

    Args:
        processor: has an exporter that :func:`flush_at_the_end` was given; it is not kept alive.
    """
    _processors.add(processor)


def _flush(*_arguments: object, **_named: object) -> None:
    """Send what is left in this process; return within the exporters' time, and never raise."""
    try:
        seconds = max(_seconds.values(), default=0.0)
        # A batch processor has no limit of its own for several batches, each of which may take
        # as long as the exporter allows.
        thread = threading.Thread(
            target=_flush_all,
            args=(time.monotonic() + seconds,),
            name="otel-helicone last flush",
            daemon=True,
        )
        thread.start()
        thread.join(seconds)
    except Exception:
        log_failure_once("sending the last spans of a worker process")


def _flush_all(deadline: float) -> None:
    try:
        exporters = list(_seconds)
        left: list[SpanProcessor | SpanExporter] = [*_processors_of(exporters), *exporters]
        for flushed in left:
            milliseconds = round(1000 * (deadline - time.monotonic()))
            if milliseconds > 0:
                flushed.force_flush(milliseconds)
    except Exception:
        log_failure_once("sending the last spans of a worker process")


def _processors_of(exporters: list[SpanExporter]) -> Iterator[SpanProcessor]:
    """Yield the span processors that hold spans for any of these exporters."""
    # Only these, and not the whole provider: an exporter of somebody else's that gets no answer
    # would hold the worker up. The SDK has nothing public that tells a provider's processors; where
    # these private names are missing, those that setup() made are flushed all the same.
    active = getattr(trace.get_tracer_provider(), "_active_span_processor", None)
    registered: tuple[SpanProcessor, ...] = getattr(active, "_span_processors", ())
    seen: set[int] = set()
    for processor in (*registered, *_processors):
        exporter = getattr(processor, "span_exporter", None)
        if id(processor) not in seen and any(exporter is known for known in exporters):
            seen.add(id(processor))
            yield processor


if hasattr(os, "register_at_fork"):  # Windows has no fork
    # The application may import what it makes its workers with after the exporter was made.
    os.register_at_fork(after_in_child=_worker.arrange)
