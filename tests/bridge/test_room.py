"""Room for the spool: what it may take of its volume, and what it gives back."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from otel_helicone.bridge import schema
from otel_helicone.bridge.spool import Spool
from otel_helicone.bridge.stored import Look, SpoolFull
from tests.bridge.test_spool import (
    WAIT,
    add_posts,
    arrival,
    names_of_posts,
    post,
    trace_id,
    waiting,
)

MB = 1_000_000


class Usage(NamedTuple):
    total: int
    used: int
    free: int


class Volume:
    """A volume of some size, of which others use a part. Only the system's answer is made up."""

    def __init__(self, folder: Path, total: int, others: int) -> None:
        self.folder = folder
        self.total = total
        self.others = others

    @property
    def free(self) -> int:
        sizes = [file.stat().st_blocks * 512 for file in self.folder.iterdir()]
        return max(self.total - self.others - sum(sizes), 0)

    def usage(self, _path: object) -> Usage:
        return Usage(self.total, self.total - self.free, self.free)


MakeVolume = Callable[[int, int], Volume]


@pytest.fixture
def make_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeVolume:
    def make(total: int, free: int) -> Volume:
        volume = Volume(tmp_path, total, total - free)
        monkeypatch.setattr(shutil, "disk_usage", volume.usage)
        return volume

    return make


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


@pytest.fixture
def open_spool(path: Path) -> Iterator[Callable[[], Spool]]:
    opened: list[Spool] = []

    def make() -> Spool:
        for spool in opened:
            spool.close()
        opened.append(Spool(path, max_bytes=4000 * MB))
        return opened[-1]

    yield make
    for spool in opened:
        spool.close()


def fill(spool: Spool, size: int = MB) -> int:
    """Store spans until no more are taken; return how many were."""
    number = 0
    while True:
        try:
            spool.check_room(size)
        except SpoolFull:
            return number
        number += 1
        spool.add([arrival(1, trace=number, content=bytes(size))], 1.0, WAIT)


def empty(spool: Spool, traces: range) -> None:
    """Let go of traces, as when Helicone has taken their logs and they are forgotten."""
    for trace in traces:
        rows, _ = spool.waiting(trace_id(trace), 0, 100, 100 * MB)
        spool.settle([Look(trace_id(trace), 1.0, settled=[(row.id, b"") for row in rows])], [])
    while spool.forget(2.0, 100):
        pass


def give_back(spool: Spool) -> int:
    steps = 0
    while spool.give_back():
        steps += 1
    return steps


# Each with the room that is left on it; and how much of that a spool may take at least.
VOLUMES = pytest.mark.parametrize(
    ("total", "free", "least"),
    [
        (80 * MB, 80 * MB, 60 * MB),
        (100 * MB, 100 * MB, 80 * MB),
        (500 * MB, 120 * MB, 80 * MB),
        (5000 * MB, 120 * MB, 80 * MB),
    ],
    ids=["80 MB", "100 MB", "500 MB", "5 GB"],
)


@VOLUMES
def test_once_a_full_volume_has_been_emptied_spans_are_taken_again(
    make_volume: MakeVolume,
    open_spool: Callable[[], Spool],
    path: Path,
    total: int,
    free: int,
    least: int,
) -> None:
    volume = make_volume(total, free)
    spool = open_spool()
    first = fill(spool)
    assert first * MB >= least
    assert volume.free >= min(total / 16, 16 * MB)
    empty(spool, range(1, first + 1))
    # At once, into the pages that are free now; and through a restart, too.
    spool.check_room(MB)
    spool = open_spool()
    spool.check_room(MB)
    # Then the volume has it back.
    assert give_back(spool) > 1
    assert path.stat().st_size < 20 * MB
    assert volume.free > free - 30 * MB
    # As much as before fits again.
    assert fill(spool) >= first - 8


@VOLUMES
def test_a_full_volume_leaves_room_to_make_logs_and_to_send_them(
    make_volume: MakeVolume, open_spool: Callable[[], Spool], total: int, free: int, least: int
) -> None:
    volume = make_volume(total, free)
    spool = open_spool()
    fill(spool)
    before = volume.free
    ((row, *_), _) = spool.waiting(trace_id(), 0, 1, MB)
    log = post("a", bytes(2 * MB))
    spool.settle([Look(trace_id(), 1.0, [(1.0, "", log)], settled=[(row.id, b"")])], [])
    assert names_of_posts(spool) == ["a"]
    spool.finish([spool.posts(0, 1, MB)[0].id], [], 2.0)
    assert before // 3 < volume.free


def test_others_on_the_volume_are_left_their_room(
    make_volume: MakeVolume, open_spool: Callable[[], Spool]
) -> None:
    make_volume(5000 * MB, 20 * MB)
    with pytest.raises(SpoolFull, match="the disk is nearly full"):
        open_spool().check_room(0)


def test_pages_that_will_be_needed_soon_are_kept(
    make_volume: MakeVolume, open_spool: Callable[[], Spool], path: Path
) -> None:
    make_volume(5000 * MB, 5000 * MB)
    spool = open_spool()
    for number in range(1, 21):
        spool.add([arrival(1, trace=number, content=bytes(MB))], 1.0, WAIT)
    empty(spool, range(1, 6))
    assert not spool.give_back()
    assert waiting(spool, 6) == [1]


def test_a_spool_of_an_earlier_version_gives_room_back_once_little_is_in_it(
    make_volume: MakeVolume,
    open_spool: Callable[[], Spool],
    path: Path,
) -> None:
    make_volume(5000 * MB, 5000 * MB)
    open_spool().close()
    without_auto_vacuum(path)
    spool = open_spool()
    add_posts(spool, post("kept"))
    for number in range(1, 41):
        spool.add([arrival(1, trace=number, content=bytes(MB))], 1.0, WAIT)
    empty(spool, range(1, 21))
    assert not spool.give_back()  # too much is in it to write it anew
    assert waiting(spool, 40) == [1]
    empty(spool, range(21, 40))
    give_back(spool)
    assert path.stat().st_size < 10 * MB
    # Nothing of it is lost, and from now on it is as one of this version.
    spool = open_spool()
    assert (waiting(spool, 40), names_of_posts(spool)) == ([1], ["kept"])
    assert spool._database.read("PRAGMA auto_vacuum") == [(schema.INCREMENTAL,)]


def without_auto_vacuum(path: Path) -> None:
    """Make a spool as it was made before free pages were given back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA auto_vacuum=NONE")
        database.execute("VACUUM")
        assert database.execute("PRAGMA auto_vacuum").fetchone() == (0,)
