"""The ``LIKE`` and ``ILIKE`` of Helicone's database, in SQLite."""

from __future__ import annotations

import re
import sqlite3
from functools import lru_cache
from typing import Final

__all__ = ["add_likeness", "ilike", "is_like", "like", "matches"]

_FUNCTION: Final = "helicone_like"
_MOST_OF_SQLITE: Final = 10_000
_ESCAPED: Final = ("%", "_", "\\")


def add_likeness(connection: sqlite3.Connection) -> None:
    """Give a connection what the conditions of this module call."""
    connection.create_function(_FUNCTION, 3, _function, deterministic=True)


def like(column: str) -> str:
    """Give the SQL for "is like a pattern", upper and lower case told apart.

    Args:
        column: an SQL expression; the pattern is the statement's next parameter.
    """
    return f"{_FUNCTION}({column}, ?, 0)"


def ilike(column: str, pattern: str) -> str:
    """Give the SQL for "is like a pattern", whatever the case.

    Args:
        column: an SQL expression; the pattern is the statement's next parameter.
        pattern: the pattern, which the choice of the SQL depends on.
    """
    # SQLite's own is many times faster, and knows the case of ASCII letters only.
    if pattern.isascii() and len(pattern) <= _MOST_OF_SQLITE and is_like(pattern):
        return f"{column} LIKE ? ESCAPE '\\'"
    return f"{_FUNCTION}({column}, ?, 1)"


def is_like(pattern: str) -> bool:
    """Whether each backslash of a pattern escapes something that needs it."""
    return re.fullmatch(r"(?s)(?:[^\\]|\\[%_\\])*", pattern) is not None


def matches(text: str, pattern: str, *, any_case: bool) -> bool:
    r"""Whether a text is like a pattern.

    Args:
        text: the whole text.
        pattern: ``%`` stands for any characters, ``_`` for one; ``\%``, ``\_`` and ``\\`` stand
            for the character itself. Any other backslash is one.
        any_case: whether upper and lower case are the same.
    """
    first, *rest = _pieces(pattern, any_case)
    if not rest:
        return first.fullmatch(text) is not None
    found = first.match(text)
    for piece in rest[:-1]:
        # The first place is as good as any, so that no pattern takes long.
        found = found and piece.search(text, found.end())
    if found is None:
        return False
    return rest[-1].search(text, found.end()) is not None


def _function(text: str, pattern: str, any_case: int) -> bool:
    return matches(text, pattern, any_case=any_case != 0)


@lru_cache(maxsize=256)
def _pieces(pattern: str, any_case: bool) -> tuple[re.Pattern[str], ...]:
    """Give what stands between the ``%`` of a pattern, each as an expression."""
    pieces = [""]
    characters = iter(range(len(pattern)))
    for at in characters:
        character = pattern[at]
        if character == "%":
            pieces.append("")
        elif character == "_":
            pieces[-1] += "."
        elif character == "\\" and pattern[at + 1 : at + 2] in _ESCAPED:
            pieces[-1] += re.escape(pattern[at + 1])
            next(characters)
        else:
            pieces[-1] += re.escape(character)
    flags = re.DOTALL | (re.IGNORECASE if any_case else 0)
    # What follows the last one has to reach to the end of the text.
    return tuple(re.compile(piece, flags) for piece in (*pieces[:-1], pieces[-1] + r"\Z"))
