"""The spans that Anthropic's own SDK writes: OpenTelemetry's conventions, but for a few names."""

from __future__ import annotations

from typing import Final

from otel_helicone.dialects.dialect import Dialect, texts

__all__ = ["ANTHROPIC_SDK"]

ANTHROPIC_SDK: Final = Dialect(
    name="Anthropic SDK",
    roots=frozenset({"anthropic"}),
    finish_reasons=texts("anthropic.message.stop_reason"),
)
