"""The names that sessions were first sent with, by their ids.

Helicone groups requests by id and name together, so a session that comes again under another name,
in the next trace of a conversation for one, would be drawn as two. What is remembered is bounded:
of the sessions that were not asked for lately, the names are forgotten.
"""

from __future__ import annotations

from typing import Final

__all__ = ["first_name", "forget_all", "sent_name"]

# Two generations of this many: an entry takes about 300 bytes, so 5 MB at the most.
_MAX_NAMES: Final = 8192
_recent: dict[str, str] = {}
_older: dict[str, str] = {}


def sent_name(session_id: str) -> str | None:
    """Return the name that a session was first sent with, None where that is not known."""
    name = _recent.get(session_id)
    if name is None:
        name = _older.get(session_id)
        if name is not None:
            _remember(session_id, name)
    return name


def first_name(session_id: str, name: str) -> str:
    """Return the name that a session was first sent with, which is this one if it never was."""
    return sent_name(session_id) or _remember(session_id, name)


def _remember(session_id: str, name: str) -> str:
    # No lock, for a signal handler may come in between: setdefault is atomic, and a thread that
    # still has the dict of before in its hands writes to what is the older one now.
    global _recent, _older
    if len(_recent) >= _MAX_NAMES:
        _recent, _older = {}, _recent
    return _recent.setdefault(session_id, name)


def forget_all() -> None:
    """Forget all names; for tests."""
    _recent.clear()
    _older.clear()
