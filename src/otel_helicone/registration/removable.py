"""A span processor that can be taken out again, which the SDK has no way to do."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

__all__ = ["RemovableProcessor"]


class RemovableProcessor(SpanProcessor):
    """Hands on to another span processor, until that is taken out.

    A provider keeps each processor for good. What is registered with it is this shell, which costs
    next to nothing once it is empty.

    Args:
        processor: the processor to hand on to.
    """

    def __init__(self, processor: SpanProcessor) -> None:
        self.processor: SpanProcessor | None = processor
        """What is handed on to; None once it was taken out."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Hand a span's start on. Called by the SDK."""
        processor = self.processor
        if processor is not None:
            processor.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Hand a span's end on. Called by the SDK."""
        processor = self.processor
        if processor is not None:
            processor.on_end(span)

    def take_out(self) -> None:
        """Shut the processor down and let go of it; nothing is handed on after that."""
        processor, self.processor = self.processor, None
        if processor is not None:
            processor.shutdown()

    def shutdown(self) -> None:
        """Hand the provider's shutdown on. Called by the SDK."""
        processor = self.processor
        if processor is not None:
            processor.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Hand a flush on. Called by the SDK.

        Args:
            timeout_millis: how long it may take, in milliseconds.

        Returns:
            Whether everything was flushed in that time.
        """
        processor = self.processor
        return processor is None or processor.force_flush(timeout_millis)
