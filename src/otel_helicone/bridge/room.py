"""How much room there is for more: in the spool's file, and on the volume that it is on.

SQLite keeps the pages of what was deleted in its file, for what is stored next. So room is what the
volume has left and these pages together; and pages that are more than will be needed soon are given
back to the volume.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from otel_helicone.bridge.stored import SpoolFull

__all__ = ["Pages", "check_volume", "journal_limit"]

_MIB: Final = 1024 * 1024
# What the volume must have left, so that sending, which makes room, is never stopped for want of
# it: a transaction that makes logs writes some 4 MiB twice. A small volume can't spare that much.
_MAX_RESERVE: Final = 32 * _MIB
_RESERVED_PART: Final = 1 / 8
# How large the write-ahead log stays on the disk once it was larger.
_MAX_JOURNAL: Final = 64 * _MIB
_JOURNAL_PART: Final = 1 / 16
# So many free pages are kept for what comes next: to give them back and to take them again costs
# more than they are worth.
_KEPT: Final = 8 * _MIB


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of the spool's file, in bytes.

    Attributes:
        used: those that hold something.
        free: those that will hold what is stored next.
    """

    used: int
    free: int

    @property
    def surplus(self) -> int:
        """How much of what is free is more than will be needed soon."""
        return max(self.free - max(self.used, _KEPT), 0)


def check_volume(folder: Path, size: int, pages: Pages) -> None:
    """Check whether the volume has room for a request.

    Args:
        folder: where the spool is.
        size: how large the request is, in bytes.
        pages: those of the spool's file.

    Raises:
        SpoolFull: where it has none.
    """
    volume = shutil.disk_usage(folder)
    reserve = min(_MAX_RESERVE, int(volume.total * _RESERVED_PART))
    # Spans are written twice: to the write-ahead log, which is beside the file and finds no room in
    # free pages, and then to the file.
    is_short = volume.free < size + reserve // 2
    if is_short or volume.free + pages.free < 2 * size + reserve:
        raise SpoolFull("the disk is nearly full")


def journal_limit(folder: Path) -> int:
    """Return how large the write-ahead log may stay on the disk, in bytes.

    Args:
        folder: where the spool is.
    """
    return min(_MAX_JOURNAL, int(shutil.disk_usage(folder).total * _JOURNAL_PART))
