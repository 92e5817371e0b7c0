"""Whether anything in this process uses the Helicone key, besides exporters of spans."""

from __future__ import annotations

__all__ = ["is_noted", "note"]

_is_noted = False


def note() -> None:
    """Note that something uses the key."""
    global _is_noted
    _is_noted = True


def is_noted() -> bool:
    """Return whether anything has."""
    return _is_noted
