"""JSON that was cut off by a limit on the length of attributes: what is left of it.

What is whole stays, and the text in which the cut fell stays as far as it goes, with a mark. Words
that say what something is, such as a role, and numbers are left out where the cut fell in them:
half of one is another.
"""

from __future__ import annotations

from typing import Any, Final

from otel_helicone.dialects.description import Json

__all__ = ["CUT_MARK", "parse_cut_json"]

CUT_MARK: Final = " [... cut off by the limit on the length of attributes]"

_TELLING: Final = frozenset(
    {
        *("role", "type", "id", "call_id", "tool_call_id", "toolCallId", "name", "toolName"),
        *("finish_reason", "finishReason", "stop_reason", "model", "mime_type", "modality"),
    }
)


def parse_cut_json(text: str) -> Json:
    """Return what is left of JSON whose end is missing, or None where a text is no such thing.

    Args:
        text: the text; not one that is JSON as it stands.
    """
    if text[:1] not in ("{", "["):
        return None
    # It comes with openai too; imported where it is needed, for it is seldom.
    from jiter import from_json

    data = text.encode("utf-8", "replace")
    try:
        from_json(data)
    except ValueError as error:
        if not str(error).startswith("EOF while parsing"):
            return None
    try:
        left = from_json(data, partial_mode="trailing-strings")
        whole = from_json(data, partial_mode=True)
    except ValueError:
        return None
    _mark(left, is_in_text=left != whole)
    return left if left else None


def _mark(left: Any, *, is_in_text: bool) -> None:
    """Mark the end of what is left, where that is a text; take it out where it says nothing."""
    inner: Any = left
    items: Any = None
    while isinstance(inner, (dict, list)) and inner:
        outer = inner
        key: Any = len(outer) - 1 if isinstance(outer, list) else next(reversed(outer))
        if isinstance(outer, list) and isinstance(outer[-1], dict):
            items = outer
        inner = outer[key]
        if isinstance(inner, str):
            if key not in _TELLING:
                outer[key] = inner + CUT_MARK
            elif is_in_text:
                del outer[key]
        elif isinstance(inner, (int, float)) and not isinstance(inner, bool):
            del outer[key]
    if items is not None:
        _leave_out_without_a_role(items)


def _leave_out_without_a_role(items: list[Any]) -> None:
    """Leave the last of some messages out where the cut fell before its role."""
    *others, last = items
    if "role" not in last and any(isinstance(one, dict) and "role" in one for one in others):
        items.pop()
