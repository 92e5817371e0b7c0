"""What one span tells of a call, completed by what another one tells of it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Final

from otel_helicone.dialects.description import Description, Failure, Message, Usage
from otel_helicone.dialects.token_counts import whole_usage

__all__ = ["enriched"]

_FIELDS: Final = tuple(field.name for field in fields(Description) if field.name != "kind")


def enriched(first: Description, second: Description) -> Description:
    """Complete a description by another one of the same call; what the first tells stays.

    Args:
        first: the description that counts.
        second: where to look for what the first does not tell.
    """
    changes: dict[str, Any] = {}
    for name in _FIELDS:
        told, other = getattr(first, name), getattr(second, name)
        if other is None or told == other:
            continue
        if name == "usage":
            changes[name] = _usage(told, other)
        elif name == "failure":
            changes[name] = _failure(told, other)
        elif name in ("parameters", "properties"):
            changes[name] = {**other, **(told or {})}
        elif name in ("omit_request", "omit_response"):
            changes[name] = bool(told) or bool(other)
        elif name in ("input", "output"):
            if _said(told) < _said(other):
                changes[name] = other
        elif told is None:
            changes[name] = other
    return replace(first, **changes) if changes else first


def _said(messages: tuple[Message, ...] | None) -> int:
    """Count what messages hold, so that those without content give way to those with it."""
    return sum(
        len(message.parts) + len(message.tool_calls) + (message.reasoning is not None)
        for message in messages or ()
    )


def _usage(first: Usage | None, second: Usage) -> Usage:
    if first is None:
        return second
    told = {
        field.name: getattr(second, field.name)
        for field in fields(Usage)
        if getattr(first, field.name) is None
    }
    return whole_usage(replace(first, **told))


def _failure(first: Failure | None, second: Failure) -> Failure:
    if first is None:
        return second
    return Failure(
        first.type or second.type,
        first.message or second.message,
        first.http_status or second.http_status,
    )
