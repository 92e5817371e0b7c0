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
    has_mark = False
    while isinstance(inner, (dict, list)) and inner:
        outer = inner
        key: Any = len(outer) - 1 if isinstance(outer, list) else next(reversed(outer))
        if items is None and _are_messages(outer):
            items = outer
        inner = outer[key]
        if isinstance(inner, str):
            if key not in _TELLING:
                outer[key] = inner + CUT_MARK
                has_mark = True
            elif is_in_text:
                del outer[key]
        elif isinstance(inner, (int, float)) and not isinstance(inner, bool):
            del outer[key]
    if items is not None:
        _leave_out_without_a_role(items)
        if not has_mark and items and isinstance(items[-1], dict):
            _mark_message(items[-1])


def _are_messages(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(one, dict) and "role" in one for one in value)


def _leave_out_without_a_role(items: list[Any]) -> None:
    """Leave the last of some messages out where the cut fell before its role."""
    if isinstance(items[-1], dict) and "role" not in items[-1]:
        items.pop()


def _mark_message(message: dict[str, Any]) -> None:
    """Mark a message of which the cut has left no text."""
    mark = CUT_MARK.strip()
    if isinstance(message.get("parts"), list):
        message["parts"].append({"type": "text", "content": mark})
    elif isinstance(message.get("content"), list):
        message["content"].append({"type": "text", "text": mark})
    elif not message.get("content"):
        message["content"] = mark
