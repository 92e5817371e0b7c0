"""Session ids on a terminal: shown by a start that tells each from the others, and found by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final

from otel_helicone.local.display import shown
from otel_helicone.local.storage.store import Store

__all__ = ["CUT", "NotOneSession", "find_session_id", "unique_starts"]

CUT: Final = "…"
"""The mark of an id that is longer than what is shown of it."""

_MIN_START: Final = 8
_MAX_NAMED: Final = 5


class NotOneSession(Exception):
    """What was given is the start of no session's id, or of several; the text says of which."""


def unique_starts(session_ids: Iterable[str]) -> Mapping[str, str]:
    """Return for each id the start of it that no other one has, of eight characters at least.

    Args:
        session_ids: all ids, as they are stored.

    Returns:
        The starts as they are shown, with ``…`` where something is left out.
    """
    as_shown = {session_id: shown(session_id) for session_id in session_ids}
    texts = sorted(set(as_shown.values()))
    # Of all others, the neighbours have the most in common with a text.
    common = [0, *(_in_common(*pair) for pair in pairwise(texts)), 0]
    starts = {}
    for text, before, after in zip(texts, common, common[1:], strict=False):
        length = max(before + 1, after + 1, _MIN_START)
        starts[text] = text[:length] + CUT if length + len(CUT) < len(text) else text
    return {session_id: starts[text] for session_id, text in as_shown.items()}


def _in_common(one: str, other: str) -> int:
    differ = (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differ, min(len(one), len(other)))


def find_session_id(store: Store, start: str) -> str:
    """Return the one session id that is, or starts with, a text.

    Args:
        store: where the sessions are.
        start: the id or its start, as it is stored or as it was shown.

    Raises:
        NotOneSession: where there is none, or more than one.
    """
    # Copied from the list, it may end with the mark, and have escapes in it.
    found = store.session_ids(start) or store.session_ids(start.removesuffix(CUT))
    if not found:
        as_shown = start.removesuffix(CUT)
        found = [one for one in store.session_ids("") if shown(one).startswith(as_shown)]
        found = [one for one in found if shown(one) == as_shown] or found
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotOneSession(f"no session's id is or starts with {start!r}")
    starts = unique_starts(store.session_ids(""))
    some = ", ".join(f"'{starts[session_id]}'" for session_id in found[:_MAX_NAMED])
    more = f" and {len(found) - _MAX_NAMED} more" if len(found) > _MAX_NAMED else ""
    raise NotOneSession(f"{start!r} is the start of {len(found)} session ids: {some}{more}")
