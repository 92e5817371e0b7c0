"""Bodies that are too large, made shorter: the texts in them, and never what Helicone counts by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otel_helicone.dialects.description import Json

__all__ = ["shortened"]

_MAX_DEPTH: Final = 64


def shortened(value: Json, longest: int) -> Json:
    """Return a copy in which no text is longer than so many characters.

    Args:
        value: the body.
        longest: the limit; a longer text loses its middle to a mark that says how much is missing.
    """
    return _shortened(value, longest, _MAX_DEPTH)


def _shortened(value: Json, longest: int, levels: int) -> Json:
    if isinstance(value, str):
        if len(value) <= longest:
            return value
        half = longest // 2
        return f"{value[:half]}[... {len(value) - 2 * half} more characters ...]{value[-half:]}"
    if levels == 0:
        return "[...]"
    if isinstance(value, Mapping):
        return {
            _shortened(key, 256, 1) if isinstance(key, str) else key: _shortened(
                inner, longest, levels - 1
            )
            for key, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_shortened(inner, longest, levels - 1) for inner in value]
    return value
