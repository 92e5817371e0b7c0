"""Session paths: ``/`` followed by segments, each path sharing what is above it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# ruff: noqa: SLF001 - a path looks into the paths above it, which are of its own class

__all__ = ["MAX_PATH_DEPTH", "MAX_PATH_LENGTH", "Path"]

# Helicone stores 60 KiB and 200 levels whole; the proxies on the way hold less, and nobody reads
# a tree of more levels than this.
MAX_PATH_LENGTH: Final = 2048
MAX_PATH_DEPTH: Final = 128
# Half of what is allowed for each end, less the room that the mark takes.
_END_LENGTH: Final = MAX_PATH_LENGTH // 2 - 24
_END_DEPTH: Final = MAX_PATH_DEPTH // 2


class Path:
    """The place of a request in its session's tree.

    A path is made from the one above it in constant time. Deeper than :data:`MAX_PATH_DEPTH`
    levels, or longer than :data:`MAX_PATH_LENGTH` characters, it is shortened in the middle with a
    mark in place of the levels that are missing: ``/a/b/[... 9872 more ...]/y/z``.
    """

    __slots__ = ("_head", "_parent", "_segment", "depth", "prefix", "room", "text")

    depth: int
    """How many segments lead here, those that the text leaves out included."""
    text: str
    """The path as it is sent: starts with ``/``, never ends with one, save the root, ``/``."""
    prefix: str
    """What the text of a path below this one starts with, where it is not shortened."""
    room: int
    """How long a segment below may be for its path not to be shortened; 0 where any would be."""

    def __init__(self, parent: Path | None, segment: str) -> None:
        self._parent = parent
        self._segment = segment
        # Where the first half ends, for this path and for all below it.
        self._head: Path | None = None
        if parent is None:
            self.depth = 0
            self.text = self.prefix = "/"
        else:
            self.depth = parent.depth + 1
            self.text = parent.text_of_child(segment)
            self.prefix = f"{self.text}/"
            if len(segment) > parent.room:
                self._head = parent._head or parent._find_head()
        whole = self._head is None and self.depth < MAX_PATH_DEPTH
        self.room = max(MAX_PATH_LENGTH - len(self.prefix), 0) if whole else 0

    @staticmethod
    def root() -> Path:
        """Give the path with no segments, ``/``."""
        return _ROOT

    @staticmethod
    def of(segments: Iterable[str]) -> Path:
        """Give the path of these segments, which are escaped already."""
        path = _ROOT
        for segment in segments:
            path = path.child(segment)
        return path

    def child(self, segment: str) -> Path:
        """Give the path one level below this one.

        Args:
            segment: an escaped segment; see :func:`~.escaping.escape_segment`.
        """
        return Path(self, segment)

    def text_of_child(self, segment: str) -> str:
        """Give the text of the path one level below this one, without the path itself.

        Args:
            segment: an escaped segment.
        """
        if len(segment) <= self.room:
            return self.prefix + segment
        return self._shortened(segment, self._head or self._find_head())

    def _find_head(self) -> Path:
        """Find the longest start of this path that fits into the first half."""
        path = self
        while path._parent is not None and (
            path.depth > _END_DEPTH or len(path.text) > _END_LENGTH
        ):
            path = path._parent
        return path

    def _shortened(self, segment: str, head: Path) -> str:
        tail = [segment]
        length = len(segment) + 1
        path = self
        while path is not head and path._parent is not None and len(tail) < _END_DEPTH:
            length += len(path._segment) + 1
            if length > _END_LENGTH:
                break
            tail.append(path._segment)
            path = path._parent
        left_out = self.depth + 1 - head.depth - len(tail)
        return f"{head.prefix}[... {left_out} more ...]/{'/'.join(reversed(tail))}"


_ROOT: Final = Path(None, "")
