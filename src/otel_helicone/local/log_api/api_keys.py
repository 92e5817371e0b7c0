"""Helicone keys: their form, and which ones a local Helicone knows."""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Iterable
from typing import Final

__all__ = ["ApiKeys", "make_api_key"]

_WELL_FORMED: Final = re.compile(r"[sp]k-(helicone-)?(eu-|cp-)?[a-z0-9]{7}(-[a-z0-9]{7}){3}")


class ApiKeys:
    """The keys that logs are taken with."""

    def __init__(self, keys: Iterable[str] | None = None) -> None:
        """Name the keys.

        Args:
            keys: the only keys that are known; None for every well-formed one.
        """
        self._keys = None if keys is None else frozenset(keys)

    @property
    def are_any(self) -> bool:
        """Whether every well-formed key is known."""
        return self._keys is None

    @staticmethod
    def is_well_formed(key: str) -> bool:
        """Whether a text has the form of a key, ``sk-helicone-`` and four groups of seven."""
        return _WELL_FORMED.fullmatch(key) is not None

    def knows(self, key: str) -> bool:
        """Whether logs are taken with a key."""
        return self.is_well_formed(key) if self._keys is None else key in self._keys


def make_api_key() -> str:
    """Make up a key of the right form, which nobody can guess: 28 random letters and digits."""
    groups = (
        "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(7))
        for _ in range(4)
    )
    return f"sk-helicone-{'-'.join(groups)}"
