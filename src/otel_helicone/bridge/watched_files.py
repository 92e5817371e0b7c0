"""Files that are read again when they change, as those of certificates and keys do."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

__all__ = ["WatchedFiles"]

_Stamp: TypeAlias = tuple[str, int, int, int]


class WatchedFiles:
    """Tells whether files, or those in a folder, are others than before."""

    def __init__(self, *paths: Path) -> None:
        """Note how the files are now.

        Args:
            paths: files and folders; they need not be there.
        """
        self._paths = paths
        self._stamps = self._look()

    def have_changed(self) -> bool:
        """Return whether they are others than at the last call, or at the beginning."""
        before, self._stamps = self._stamps, self._look()
        return self._stamps != before

    def _look(self) -> list[_Stamp]:
        stamps = []
        for path in self._paths:
            try:
                # Kubernetes replaces the files of a Secret by replacing a link to their folder.
                files = sorted(path.iterdir()) if path.is_dir() else [path]
            except OSError:
                continue
            for file in files:
                try:
                    found = file.stat()
                except OSError:
                    continue
                stamps.append((str(file), found.st_mtime_ns, found.st_size, found.st_ino))
        return stamps
