"""Text from requests made fit to be shown: no control characters, no endless lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

__all__ = [
    "NAMELESS",
    "is_invisible",
    "revealed",
    "shortened",
    "shown",
    "shown_block",
    "shown_segment",
]

NAMELESS: Final = "(nameless)"
"""Shown for a segment that is empty, as ``//`` in a path makes it."""

# Joins emoji into one; the other invisible characters can reorder or hide text.
_ZERO_WIDTH_JOINER: Final = "\u200d"


def is_invisible(character: str) -> bool:
    """Return whether a character cannot be seen, though it may hide or reorder those around it.

    White space is none of these, nor is what joins emoji into one.
    """
    return not (character.isprintable() or character.isspace() or character == _ZERO_WIDTH_JOINER)


def _visible(character: str) -> str:
    if character.isprintable() or character == _ZERO_WIDTH_JOINER:
        return character
    return character.encode("unicode_escape").decode("ascii")


def _visible_in_block(character: str) -> str:
    return character if character == "\n" else _visible(character)


def _each(text: str, change: Callable[[str], str]) -> str:
    return text if text.isascii() and text.isprintable() else "".join(map(change, text))


def shown(text: str) -> str:
    r"""Make a text safe for one line of a terminal.

    Args:
        text: any text, from a header for instance.

    Returns:
        The text, with characters that cannot be seen written as escapes: ``\x1b``, ``\u202e``.
    """
    return _each(text, _visible)


def shown_block(text: str) -> str:
    """Make a text of several lines safe for a terminal; like :func:`shown`, but keeps newlines."""
    return _each(text.replace("\r\n", "\n").replace("\t", "    "), _visible_in_block)


def revealed(text: str) -> str:
    """Return a text as it is, but for invisible characters, which are written as escapes.

    Args:
        text: any text; all white space in it stays.
    """
    return _each(
        text, lambda character: _visible(character) if is_invisible(character) else character
    )


def shown_segment(segment: str) -> str:
    """Make one segment of a path readable: percent-decoded, then safe for a terminal.

    Helicone's own page shows the percent-encoded text; what is stored stays as it was sent.

    Args:
        segment: what stands between two slashes of a path.
    """
    return shown(unquote(segment, errors="replace")) or NAMELESS


def shortened(text: str, most: int) -> str:
    """Cut a text off, with ``…`` as the mark.

    Args:
        text: any text.
        most: how many characters it may have, at least 1.
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"
