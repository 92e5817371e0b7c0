"""Requests as a tree by their paths, and the tree as lines: pure functions of the records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeAlias

from otel_helicone.local.display import shown_segment
from otel_helicone.local.storage.records import RequestRecord

__all__ = ["MAX_SHOWN_DEPTH", "Folder", "TreeLine", "build_tree", "segments_of", "tree_lines"]

MAX_SHOWN_DEPTH: Final = 64
"""How many levels are drawn; the segments below are one name, with their slashes in it.

Helicone stores paths of thousands of levels, which no screen is wide enough for.
"""


@dataclass(frozen=True, slots=True)
class Folder:
    """One place in the tree.

    Attributes:
        segment: the last segment of its path as sent; empty for the root.
        entries: what is there, in the order of their start: calls with exactly this path, and
            folders below. A folder starts when the first call in it does.
    """

    segment: str
    entries: tuple[RequestRecord | Folder, ...]

    def calls(self) -> Iterator[RequestRecord]:
        """Give all calls in this folder and below, folder by folder."""
        for entry in self.entries:
            if isinstance(entry, Folder):
                yield from entry.calls()
            else:
                yield entry

    @property
    def latency_ms(self) -> int:
        """Milliseconds from the earliest start to the latest end in this folder and below."""
        calls = list(self.calls())
        if not calls:
            return 0
        ended = max(call.ended_at for call in calls)
        return round((ended - min(call.started_at for call in calls)).total_seconds() * 1000)


@dataclass(frozen=True, slots=True)
class TreeLine:
    """One line of a drawn tree.

    Attributes:
        guides: the strokes that lead to it, such as ``│  └─ ``.
        label: the segment made readable; empty for a call, whose folder is above it.
        folder: the folder that this line is for, or None.
        call: the call that this line is for, or None. A folder with one call and nothing else is
            one line with both.
    """

    guides: str
    label: str
    folder: Folder | None
    call: RequestRecord | None


def segments_of(path: str | None) -> tuple[str, ...]:
    """Take a path apart at its slashes, as Helicone's page does.

    A missing slash at the start is added; ``//`` and a slash at the end give empty segments;
    nothing is decoded; no path is the root.

    Args:
        path: as sent, or None.
    """
    if path is None or path in ("", "/"):
        return ()
    segments = path.removeprefix("/").split("/")
    if len(segments) > MAX_SHOWN_DEPTH:
        last = "/".join(segments[MAX_SHOWN_DEPTH - 1 :])
        segments[MAX_SHOWN_DEPTH - 1 :] = [last]
    return tuple(segments)


@dataclass(slots=True)
class _Growing:
    folders: dict[str, _Growing] = field(default_factory=dict)
    entries: list[RequestRecord | tuple[str, _Growing]] = field(default_factory=list)

    def below(self, segment: str) -> _Growing:
        folder = self.folders.get(segment)
        if folder is None:
            folder = self.folders[segment] = _Growing()
            self.entries.append((segment, folder))
        return folder

    def grown(self, segment: str) -> Folder:
        return Folder(
            segment,
            tuple(
                entry[1].grown(entry[0]) if isinstance(entry, tuple) else entry
                for entry in self.entries
            ),
        )


def build_tree(requests: Iterable[RequestRecord]) -> Folder:
    """Place requests in a tree by their paths.

    Args:
        requests: the requests of one session, in any order.

    Returns:
        The root. Parents that no request has for its path are folders like the others.
    """

    def start(request: RequestRecord) -> datetime:
        return request.started_at

    root = _Growing()
    for request in sorted(requests, key=start):
        folder = root
        for segment in segments_of(request.session_path):
            folder = folder.below(segment)
        folder.entries.append(request)
    return root.grown("")


_Guides: TypeAlias = tuple[str, str, str, str]
_STROKES: Final[_Guides] = ("├─ ", "└─ ", "│  ", "   ")
_ASCII_STROKES: Final[_Guides] = ("|- ", "`- ", "|  ", "   ")


def tree_lines(root: Folder, *, ascii_only: bool = False) -> list[TreeLine]:
    """Draw a tree, a line for each folder and each call; the root itself has none.

    Args:
        root: from :func:`build_tree`.
        ascii_only: whether to draw without box characters, for terminals that have none.
    """
    return list(_lines(root, "", _ASCII_STROKES if ascii_only else _STROKES))


def _lines(folder: Folder, lead: str, strokes: _Guides) -> Iterator[TreeLine]:
    for number, entry in enumerate(folder.entries, start=1):
        is_last = number == len(folder.entries)
        guides = lead + strokes[1 if is_last else 0]
        if not isinstance(entry, Folder):
            yield TreeLine(guides, "", None, entry)
            continue
        label = shown_segment(entry.segment)
        only = entry.entries[0] if len(entry.entries) == 1 else None
        if isinstance(only, RequestRecord):
            yield TreeLine(guides, label, entry, only)
        else:
            yield TreeLine(guides, label, entry, None)
            yield from _lines(entry, lead + strokes[3 if is_last else 2], strokes)
