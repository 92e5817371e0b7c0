"""What Helicone's servers do because they run JavaScript: JSON, texts of values, messages."""

from __future__ import annotations

import json
import re
from typing import Final, NoReturn

__all__ = ["NotJson", "as_string", "parse", "stringify", "without_lone_surrogates"]

_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_CONTEXT: Final = 10


class NotJson(Exception):
    """A text is not JSON; the message is the one that JavaScript gives."""


def parse(text: str) -> object:
    """Parse JSON as strictly as ``JSON.parse``.

    Args:
        text: the whole text.

    Raises:
        NotJson: for a text that is not JSON, ``NaN`` included.
    """
    try:
        parsed: object = json.loads(text, parse_constant=_refuse, parse_float=_number)
    except json.JSONDecodeError as error:
        if "property name" in error.msg and text.rstrip().endswith(","):
            where = f"in JSON at position {len(text)}"
            raise NotJson(f"Expected double-quoted property name {where}") from None
        raise NotJson(_message(text, error.pos)) from None
    except _Constant as error:
        raise NotJson(_message(text, text.find(str(error)))) from None
    except (ValueError, RecursionError):
        raise NotJson("Maximum call stack size exceeded") from None
    return parsed


def stringify(value: object) -> str:
    """Write JSON as ``JSON.stringify`` does: no blanks, lone surrogates as escapes."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def as_string(value: object) -> str:
    """Give the text that ``String(value)`` gives for parsed JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ",".join("" if each is None else as_string(each) for each in value)
    return "[object Object]" if isinstance(value, dict) else stringify(value)


def without_lone_surrogates(text: str) -> str:
    """Put U+FFFD in the place of lone surrogates, so that the text can be encoded."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class _Constant(Exception):
    """``NaN`` or ``Infinity``, which Python reads and JavaScript does not."""


def _refuse(name: str) -> NoReturn:
    raise _Constant(name)


def _number(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 1e21 else number


def _message(text: str, position: int) -> str:
    if position >= len(text.rstrip()):
        return "Unexpected end of JSON input"
    start, end = max(position - _CONTEXT, 0), position + _CONTEXT
    if len(text) <= 2 * _CONTEXT:
        start, end = 0, len(text)
    before, after = "..." if start else "", "..." if end < len(text) else ""
    around = f'{before}"{text[start:end]}"{after}'
    return f"Unexpected token '{text[position]}', {around} is not valid JSON"
