"""Tables on a terminal: where there is no room, the first column gives way before any figure."""

from __future__ import annotations

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

__all__ = ["fits", "new_table", "print_table"]


def new_table(*, header: bool = True) -> Table:
    """Return a table without columns; the one that may be cut off gets ``ratio=1``."""
    return Table(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_header=header
    )


def fits(console: Console, table: Table) -> bool:
    """Return whether a table fits, its columns not narrower than they may be."""
    return _widths(console, table).minimum <= console.width


def print_table(console: Console, table: Table) -> None:
    """Print a table.

    Args:
        console: where to.
        table: the rows. Where it does not fit, the column with a ratio gives way, and only that
            one.
    """
    table.expand = _widths(console, table).maximum > console.width
    console.print(table)


def _widths(console: Console, table: Table) -> Measurement:
    return Measurement.get(console, console.options.update(width=10_000), table)
