"""The spool's file: nobody else's is touched, one bridge has it alone, and it does not get lost."""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from otel_helicone.bridge.spool import Spool
from otel_helicone.bridge.spool_file import APPLICATION_ID, SpoolError
from otel_helicone.cli import main
from tests.bridge.conftest import KEY
from tests.bridge.test_spool import (
    MIB,
    WAIT,
    add_posts,
    arrival,
    names_of_posts,
    numbers,
    post,
    waiting,
)

LINES = b'{"resourceSpans":[]}\n' * 50


def database(path: Path, *statements: str) -> None:
    """Make an SQLite database as another program does that is still running, or has crashed."""
    with closing(sqlite3.connect(path)) as made:
        for statement in statements:
            made.execute(statement)
        made.commit()


def crashed_database(path: Path) -> None:
    beside = path.with_name("original.db")
    with closing(sqlite3.connect(beside)) as made:
        made.execute("PRAGMA journal_mode=WAL")
        made.execute("CREATE TABLE note (text TEXT)")
        made.commit()
        for suffix in ("", "-wal"):
            shutil.copy(f"{beside}{suffix}", f"{path}{suffix}")
    beside.unlink()


NOTE = "CREATE TABLE note (text TEXT)"
OTHERS: dict[str, Callable[[Path], object]] = {
    "a short text": lambda path: path.write_bytes(b"a note\n"),
    "a text": lambda path: path.write_bytes(b"notes of mine " * 1000),
    "zeros": lambda path: path.write_bytes(bytes(8192)),
    "an export": lambda path: path.write_bytes(LINES),
    "a packed export": lambda path: path.write_bytes(gzip.compress(LINES)),
    "a database": lambda path: database(path, NOTE),
    "a database in WAL mode": lambda path: database(path, "PRAGMA journal_mode=WAL", NOTE),
    "a database whose program crashed": crashed_database,
    "a database that is named": lambda path: database(path, "PRAGMA application_id=77"),
    "a database with a version": lambda path: database(path, "PRAGMA user_version=3"),
    "the beginning of a database": lambda path: path.write_bytes(b"SQLite format 3\0" + b"x" * 50),
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
}


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        file.name: file.read_bytes() if file.is_file() else None
        for file in folder.iterdir()
        # A reader of such a database leaves its index beside it, as SQLite itself does.
        if not file.name.endswith("-shm")
    }


@pytest.mark.parametrize("make", OTHERS.values(), ids=list(OTHERS))
@pytest.mark.parametrize("command", ["bridge", "replay", "dead list", "dead drop"])
def test_what_is_no_spool_is_refused_and_left_as_it_is(
    make: Callable[[Path], object],
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HELICONE_API_KEY", KEY)
    monkeypatch.setenv("HELICONE_ENDPOINT", "http://127.0.0.1:9")
    traces = tmp_path / "traces.jsonl"
    traces.write_bytes(LINES)
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "notes.txt"
    make(path)
    before = contents(folder)
    commands = {
        "bridge": ["bridge", "--port", "0"],
        "replay": ["replay", str(traces)],
        "dead list": ["bridge", "dead", "list"],
        "dead drop": ["bridge", "dead", "drop", "--all"],
    }
    assert main([*commands[command], "--spool", str(path)]) == 1
    told = capsys.readouterr().err
    assert told.startswith("otel-helicone: ")
    assert str(path) in told
    assert told.count("\n") == 1
    assert contents(folder) == before


def test_a_file_to_replay_is_no_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HELICONE_API_KEY", KEY)
    traces = tmp_path / "traces.jsonl"
    traces.write_bytes(LINES)
    assert main(["replay", str(traces), "--spool", str(traces)]) == 1
    assert "is no spool of a bridge" in capsys.readouterr().err
    assert contents(tmp_path) == {"traces.jsonl": LINES}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "spool.db"


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    with closing(Spool(path, max_bytes=100 * MIB)) as spool:
        yield spool


def begin(path: Path) -> subprocess.CompletedProcess[str]:
    """Open a spool in another process, and close it again."""
    program = (
        "import sys; from pathlib import Path\n"
        "from otel_helicone.bridge.spool import Spool\n"
        "Spool(Path(sys.argv[1]), max_bytes=10**9).close()"
    )
    command = [sys.executable, "-c", program, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def linked(path: Path, link: Callable[[Path, Path], object]) -> Path:
    other = path.parent.parent / "elsewhere" / "other.db"
    other.parent.mkdir()
    link(path, other)
    return other


def without_lock(path: Path) -> Path:
    path.with_name(f"{path.name}.lock").unlink()
    return path


OTHER_WAYS: dict[str, Callable[[Path], Path]] = {
    "the same name": lambda path: path,
    "a symbolic link": lambda path: linked(path, os.symlink),
    "a hard link": lambda path: linked(path, os.link),
    "a link to its folder": lambda path: linked(path.parent, os.symlink) / path.name,
    "without its lock file": without_lock,
}


@pytest.mark.parametrize("other_way", OTHER_WAYS.values(), ids=list(OTHER_WAYS))
def test_a_second_bridge_is_kept_away_by_whatever_way_it_comes(
    spool: Spool, path: Path, other_way: Callable[[Path], Path]
) -> None:
    spool.add([arrival(1)], 1.0, WAIT)
    other = other_way(path)
    refused = begin(other)
    assert refused.returncode == 1
    assert f"the spool {other} is in use by another bridge" in refused.stderr
    with pytest.raises(SpoolError, match="in use by another bridge"):
        Spool(other, max_bytes=MIB)
    # It has not been harmed by that.
    assert begin(other).returncode == 1
    spool.add([arrival(2)], 1.0, WAIT)
    assert waiting(spool) == [1, 2]
    spool.close()
    assert begin(other).returncode == 0


def after_a_kill(path: Path, tmp_path: Path) -> Spool:
    """Open what would be there if the process that has the spool were killed now."""
    found = tmp_path / "found"
    shutil.copytree(path.parent, found)
    return Spool(found / path.name, max_bytes=100 * MIB)


DELETED = {
    "the file": ("spool.db",),
    "the log": ("spool.db-wal",),
    "the log and its index": ("spool.db-wal", "spool.db-shm"),
    "the file and its log": ("spool.db", "spool.db-wal"),
    "all": ("spool.db", "spool.db-wal", "spool.db-shm", "spool.db.lock"),
}


@pytest.mark.parametrize("names", DELETED.values(), ids=list(DELETED))
def test_a_spool_that_is_deleted_while_it_is_in_use_loses_nothing(
    spool: Spool,
    path: Path,
    tmp_path: Path,
    names: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    spool.add([arrival(n, content=bytes(10_000)) for n in range(1, 100)], 1.0, WAIT)
    add_posts(spool, post("a"))
    for name in names:
        (path.parent / name).unlink()
    spool.add([arrival(100)], 2.0, WAIT)
    with closing(after_a_kill(path, tmp_path)) as found:
        assert waiting(found) == list(range(1, 101))
        assert names_of_posts(found) == ["a"]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert f"The spool {path} was deleted while it was in use" in record.getMessage()
    # It goes on as before, and is one bridge's alone.
    spool.add([arrival(101)], 3.0, WAIT)
    spool.finish(numbers(spool), [], 3.0)
    assert begin(path).returncode == 1
    spool.close()
    with closing(Spool(path, max_bytes=100 * MIB)) as again:
        assert (waiting(again), names_of_posts(again)) == (list(range(1, 102)), [])


def test_a_spool_whose_folder_is_deleted_is_made_again(
    spool: Spool, path: Path, tmp_path: Path
) -> None:
    spool.add([arrival(1)], 1.0, WAIT)
    shutil.rmtree(path.parent)
    spool.check_room(0)
    with closing(after_a_kill(path, tmp_path)) as found:
        assert waiting(found) == [1]


def test_a_file_that_was_put_in_the_place_of_the_spool_is_left_as_it_is(
    spool: Spool, path: Path
) -> None:
    spool.add([arrival(1)], 1.0, WAIT)
    add_posts(spool, post("a"))
    path.unlink()
    path.write_bytes(b"notes of mine")
    for _ in range(2):
        with pytest.raises(SpoolError, match="was deleted or replaced"):
            spool.check_room(0)
        with pytest.raises(SpoolError, match="was deleted or replaced"):
            spool.add([arrival(2)], 1.0, WAIT)
    # What it has is sent still.
    assert names_of_posts(spool) == ["a"]
    spool.finish(numbers(spool), [], 2.0)
    spool.close()
    assert path.read_bytes() == b"notes of mine"


def test_a_spool_says_whose_it_is_from_its_first_moment(spool: Spool, path: Path) -> None:
    # The process may be killed before its write-ahead log has been carried over.
    assert path.read_bytes()[68:72] == APPLICATION_ID.to_bytes(4, "big")


def test_a_spool_of_an_earlier_version_is_known_by_what_its_log_says(
    path: Path, tmp_path: Path
) -> None:
    # It wrote whose it is into the log, and was killed before that was carried over.
    with closing(Spool(path, max_bytes=MIB)) as spool:
        schema = [
            sql.replace(",\n    key_name TEXT NOT NULL DEFAULT ''", "")
            for (sql,) in spool._database.read("SELECT sql FROM sqlite_schema WHERE sql NOT NULL")
            if "sqlite_sequence" not in sql and "post_key" not in sql
        ]
    old, killed = tmp_path / "old.db", tmp_path / "killed.db"
    with closing(sqlite3.connect(old, isolation_level=None)) as made:
        made.execute("PRAGMA journal_mode=WAL")
        made.execute("BEGIN")
        for statement in schema:
            made.execute(statement)
        made.execute("INSERT INTO sqlite_sequence VALUES ('post', 1)")
        made.execute("INSERT INTO post VALUES (2, 'an-id', '/custom/v1/log', 1.0, 'body')")
        made.execute(f"PRAGMA application_id={APPLICATION_ID}")
        made.execute("PRAGMA user_version=1")
        made.execute("COMMIT")
        for suffix in ("", "-wal"):
            shutil.copy(f"{old}{suffix}", f"{killed}{suffix}")
    assert killed.read_bytes()[68:72] == bytes(4)
    for _ in range(2):
        with closing(Spool(killed, max_bytes=MIB)) as spool:
            assert spool.add([arrival(1)], 1.0, WAIT).waiting <= 1
            assert [one.post.request_id for one in spool.posts(0, 10, MIB)] == ["an-id"]
