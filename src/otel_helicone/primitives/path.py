"""Session paths: ``/`` followed by segments, each path sharing what is above it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["MAX_PATH_DEPTH", "MAX_PATH_LENGTH", "ROOT_PATH", "Path"]

# Helicone stores 60 KiB and 200 levels whole; the proxies on the way hold less, and nobody reads
# a tree of more levels than this.
MAX_PATH_LENGTH: Final = 2048
MAX_PATH_DEPTH: Final = 128
# Half of what is allowed for each end, less the room that the mark takes.
_MAX_END_LENGTH: Final = MAX_PATH_LENGTH // 2 - 24
_MAX_END_DEPTH: Final = MAX_PATH_DEPTH // 2


class Path:
    """The place of a request in its session's tree; never changed once it is made.

    A path is made from the one above it in constant time. Deeper than :data:`MAX_PATH_DEPTH`
    levels, or longer than :data:`MAX_PATH_LENGTH` characters, it is shortened in the middle with a
    mark in place of the levels that are missing: ``/a/b/[... 9872 more ...]/y/z``.
    """

    __slots__ = ("depth", "head", "parent", "prefix", "segment")

    depth: int
    """How many segments lead here, those that the text leaves out included."""
    parent: Path | None
    """The path one level above; None for the root."""
    segment: str
    """The last segment, escaped; empty for the root."""
    head: Path | None
    """The first half of a path that is shortened, the same for all below it; None of others."""
    prefix: str
    """What the text of a path below starts with, where this one is not shortened: ``/a/b``, and
    nothing for the root."""

    def __init__(self, parent: Path | None, segment: str) -> None:
        self.parent = parent
        self.segment = segment
        if parent is None:
            self.depth = 0
            self.prefix = ""
            self.head = None
            return
        self.depth = depth = parent.depth + 1
        self.head = head = parent.head
        if head is None:
            self.prefix = prefix = f"{parent.prefix}/{segment}"
            if depth > MAX_PATH_DEPTH or len(prefix) > MAX_PATH_LENGTH:
                self.head = parent.find_head()

    @property
    def text(self) -> str:
        """The path as it is sent: starts with ``/``, never ends with one, save the root, ``/``."""
        if self.head is None:
            return self.prefix or "/"
        return self._shortened(self.head)

    @staticmethod
    def of(segments: Iterable[str]) -> Path:
        """Return the path of these segments, which are escaped already."""
        path = ROOT_PATH
        for segment in segments:
            path = Path(path, segment)
        return path

    def find_head(self) -> Path:
        """Return the longest start of this path that fits into the first half."""
        path = self
        while path.parent is not None and (
            path.depth > _MAX_END_DEPTH or len(path.prefix) > _MAX_END_LENGTH
        ):
            path = path.parent
        return path

    def _shortened(self, head: Path) -> str:
        # Made when it is asked for: of a thousand levels, only the last one may be.
        tail: list[str] = []
        length = 0
        path = self
        while path is not head and path.parent is not None and len(tail) < _MAX_END_DEPTH:
            length += len(path.segment) + 1
            if tail and length > _MAX_END_LENGTH:
                break
            tail.append(path.segment)
            path = path.parent
        left_out = self.depth - head.depth - len(tail)
        return f"{head.prefix}/[... {left_out} more ...]/{'/'.join(reversed(tail))}"


ROOT_PATH: Final = Path(None, "")
"""The path with no segments, ``/``."""
