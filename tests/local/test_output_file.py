"""Where ``otel-helicone export`` writes, and where it does not."""

from __future__ import annotations

import gzip
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_helicone.cli import main
from tests.local.stores import fill, snapshot

EXPORT = [sys.executable, "-m", "otel_helicone", "export", "--store"]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    return fill(folder / "s.db", requests=3)


def text(path: Path) -> None:
    path.write_text("a thesis\n")


def other_store(path: Path) -> None:
    fill(path.with_name("other.db"), requests=1).rename(path)


def log_of_a_database(path: Path) -> None:
    fill(path.with_name("other.db"), requests=1)
    path.with_name("other.db-wal").touch()
    path.symlink_to("other.db-wal")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.symlink_to("s.db"), "is a database, perhaps the store itself"),
        (lambda path: path.hardlink_to(path.with_name("s.db")), "is a database"),
        (other_store, "is a database"),
        (log_of_a_database, "belongs to the database"),
        (lambda path: path.mkdir(), "is a folder"),
        (text, "is there already and is something else"),
        (lambda path: path.write_text('{"a": 1}\n'), "is something else"),
        (lambda path: path.write_bytes(b"\x1f\x8b broken"), "is something else"),
        (lambda path: path.write_bytes(gzip.compress(b"a thesis")), "is something else"),
        (lambda path: path.symlink_to("no/where"), "No such file or directory"),
    ],
)
def test_what_is_no_earlier_export_is_not_written_over(
    store: Path,
    make: Callable[[Path], object],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = store.with_name("output")
    make(output)
    before = snapshot(store.parent)
    assert main(["export", "--store", str(store), "--output", str(output)]) == 1
    err = capsys.readouterr().err
    assert said in err
    assert str(output) in err
    assert err.count("\n") == 1
    assert snapshot(store.parent) == before


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
def test_the_store_is_never_the_output(
    store: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(store.parent)
    monkeypatch.chdir(store.parent)
    for name in (f"s.db{suffix}", f"../folder/s.db{suffix}", f"{store}{suffix}"):
        assert main(["export", "--store", str(store), "--output", name]) == 1
        assert snapshot(store.parent) == before


def test_an_earlier_export_is_replaced_whole_and_for_its_owner_alone(store: Path) -> None:
    output, other = store.with_name("e.jsonl"), store.with_name("kept.jsonl")
    assert main(["export", "trip-1", "--store", str(store), "--output", str(output)]) == 0
    one = output.read_bytes()
    output.chmod(0o644)
    other.hardlink_to(output)
    assert main(["export", "--store", str(store), "--output", str(output)]) == 0
    assert len(output.read_bytes().splitlines()) == 4
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    # What the other name leads to is another file now, and as it was.
    assert other.read_bytes() == one
    assert sorted(path.name for path in store.parent.iterdir()) == [
        "e.jsonl",
        "kept.jsonl",
        "s.db",
    ]


@pytest.mark.parametrize("first", ["e.jsonl", "e.jsonl.gz"])
def test_an_earlier_export_is_known_whatever_its_name(store: Path, first: str) -> None:
    made, output = store.with_name(first), store.with_name("x.gz")
    assert main(["export", "--store", str(store), "--output", str(made)]) == 0
    made.rename(output)
    assert main(["export", "trip-1", "--store", str(store), "--output", str(output)]) == 0
    assert len(gzip.decompress(output.read_bytes()).splitlines()) == 2


def test_a_link_to_an_export_stays_a_link(store: Path) -> None:
    (store.parent / "real").mkdir()
    link = store.with_name("link.jsonl")
    link.symlink_to("real/e.jsonl")
    for _ in range(2):  # made, then replaced
        assert main(["export", "--store", str(store), "--output", str(link)]) == 0
        assert link.is_symlink()
        assert [path.name for path in (store.parent / "real").iterdir()] == ["e.jsonl"]


def test_a_dash_is_standard_output(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(store.parent)
    assert main(["export", "--store", str(store), "--output", "-"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert [path.name for path in store.parent.iterdir()] == ["s.db"]


def test_pipes_are_written_as_they_are(store: Path) -> None:
    done = subprocess.run(
        [*EXPORT, str(store), "--output", "/dev/stdout"], capture_output=True, check=True
    )
    assert len(done.stdout.splitlines()) == 4
    pipe = store.with_name("pipe")
    os.mkfifo(pipe)
    with subprocess.Popen([*EXPORT, str(store), "--output", str(pipe)]) as process:
        assert len(pipe.read_bytes().splitlines()) == 4
    assert process.returncode == 0
    assert pipe.is_fifo()


def test_standard_output_that_is_the_store_is_refused(store: Path) -> None:
    before = store.read_bytes()
    with store.open("ab") as appending:
        done = subprocess.run(
            [*EXPORT, str(store)], stdout=appending, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert "standard output is the store" in done.stderr
    assert store.read_bytes() == before


def test_a_name_as_long_as_names_can_be_is_written(store: Path) -> None:
    output = store.with_name("e" * 255)
    assert main(["export", "--store", str(store), "--output", str(output)]) == 0
    assert output.exists()
