"""Whatever file a command is given: it says one sentence, and changes nothing of its user's."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import pytest

from otel_helicone.cli import main
from otel_helicone.local.storage import schema
from otel_helicone.local.storage.store import Store
from tests.local.stores import BAD_STORES, corrupt_middle, fill, hold_locked, snapshot

COMMAND = [sys.executable, "-m", "otel_helicone"]
# Longer than any of them takes: one that does not end has failed.
SECONDS = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with what is there before: a store, and an export of it."""
    folder = tmp_path / "folder"
    folder.mkdir()
    fill(folder / "good.db", requests=3)
    exporting = ["export", "--store", str(folder / "good.db"), "--output", str(folder / "e.jsonl")]
    assert main(exporting) == 0
    return folder


LOCKED = ("sessions", "export", "import", "serve", "run")


def commands(folder: Path, store: Path) -> dict[str, list[str]]:
    """Return a use of each command for a store."""
    return {
        "sessions": ["sessions", "--store", str(store)],
        "session": ["sessions", "trip-1", "--store", str(store)],
        "json": ["sessions", "--json", "--store", str(store)],
        "export": ["export", "--store", str(store), "--output", str(folder / "e.jsonl")],
        "export to standard output": ["export", "--store", str(store)],
        "import": ["import", str(folder / "e.jsonl"), "--store", str(store)],
        "serve": ["serve", "--port", "0", "--store", str(store)],
        "run": ["run", "--port", "0", "--store", str(store), "python", "-c", "pass"],
    }


def start(arguments: Sequence[str], command: Sequence[str] = COMMAND) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def with_room_for(size: int) -> list[str]:
    """Return a command that can make no file longer than this, as where there is no room."""
    script = (
        "import resource, sys\n"
        "from otel_helicone.cli import main\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
        "sys.exit(main())"
    )
    return [sys.executable, "-c", script]


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for a command, and return its exit status and what it said."""
    try:
        out, err = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return process.returncode, out, err


def is_a_sentence(said: str) -> bool:
    return said.startswith("otel-helicone: ") and said.count("\n") == 1 and said.endswith("\n")


@pytest.mark.parametrize("kind", BAD_STORES)
def test_what_is_no_store_is_said_and_left_alone(
    folder: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make, said = BAD_STORES[kind]
    store = folder / "bad"
    make(store)
    before = snapshot(folder)
    uses = commands(folder, store)
    serving = start(uses.pop("serve"))
    for use, arguments in uses.items():
        assert main(arguments) == 1, use
        out, err = capsys.readouterr()
        assert (out, is_a_sentence(err)) == ("", True), (use, err)
        assert said in err, use
    code, out, err = ended(serving)
    assert (code, out, is_a_sentence(err)) == (1, "", True), err
    assert said in err
    assert snapshot(folder) == before


def test_a_store_that_another_program_holds_is_left_alone(folder: Path) -> None:
    before = snapshot(folder)
    # Whoever reads the file in this process meanwhile would let go of the lock.
    with hold_locked(folder / "good.db"):
        uses = commands(folder, folder / "good.db")
        running = {use: start(uses[use]) for use in LOCKED}
        answers = {use: ended(process) for use, process in running.items()}
    for use, (code, out, err) in answers.items():
        assert (code, out, is_a_sentence(err)) == (1, "", True), (use, err)
        assert "is locked by another program" in err, use
    assert snapshot(folder) == before


def test_a_store_that_is_damaged_within_is_left_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = fill(folder / "bad.db")
    corrupt_middle(store)
    before = snapshot(folder)
    uses = commands(folder, store)
    for use in ("export", "export to standard output"):
        assert main(uses[use]) == 1
        assert is_a_sentence(capsys.readouterr().err), use
        assert snapshot(folder) == before
    for use in ("sessions", "session", "json", "import"):
        code = main(uses[use])
        err = capsys.readouterr().err
        assert (code, err) == (0, "") or (code == 1 and is_a_sentence(err)), (use, err)


def test_what_is_missing_is_not_made_by_reading(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(folder)
    uses = commands(folder, folder / "no" / "missing.db")
    for use in ("sessions", "session", "json", "export", "export to standard output"):
        assert main(uses[use]) == 1
        out, err = capsys.readouterr()
        assert (out, is_a_sentence(err)) == ("", True), use
        assert "There is no store at" in err
    assert snapshot(folder) == before


@pytest.mark.parametrize("name", ["x" * 300, "good.db/below", "loop", "loop/below"])
def test_a_path_that_leads_nowhere_is_said(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "loop").symlink_to("loop")
    before = snapshot(folder)
    path, good, export = folder / name, folder / "good.db", folder / "e.jsonl"
    uses = commands(folder, path)
    serving = start(uses.pop("serve"))
    uses["output"] = ["export", "--store", str(good), "--output", str(path)]
    uses["input"] = ["import", str(path), "--store", str(good)]
    uses["second input"] = ["import", str(export), str(path), "--store", str(folder / "new.db")]
    for use, arguments in uses.items():
        assert main(arguments) == 1, use
        out, err = capsys.readouterr()
        assert (out, is_a_sentence(err)) == ("", True), (use, err)
        assert str(path) in err, use
    code, out, err = ended(serving)
    assert (code, out, is_a_sentence(err)) == (1, "", True), err
    assert snapshot(folder) == before


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_an_empty_file_is_no_store_to_read(
    folder: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = folder / f"empty{suffix}"
    empty.touch()
    for use in ("sessions", "export"):
        assert main(commands(folder, empty)[use]) == 1
        assert "is empty, not a store" in capsys.readouterr().err
    assert empty.stat().st_size == 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda file: None, "No such file or directory"),
        (lambda file: file.mkdir(), "Is a directory"),
        (lambda file: file.write_text("dear diary"), "line 1 is no JSON"),
        (lambda file: file.write_bytes(b"\xff\xfe\x00"), "it is not text"),
        (lambda file: fill(file, requests=1), "it is not text"),
        (lambda file: file.write_bytes(b""), "there is nothing in it"),
        (lambda file: file.write_text('{"otel_helicone_export": 7}\n'), "by a later version"),
        (lambda file: file.symlink_to("nowhere"), "No such file or directory"),
    ],
)
@pytest.mark.parametrize("name", ["input", "input.gz"])
def test_an_input_is_looked_at_before_a_store_is_made(
    folder: Path, make: object, said: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(make)
    make(folder / name)
    before = snapshot(folder)
    good = str(folder / "e.jsonl")
    assert main(["import", good, str(folder / name), "--store", str(folder / "new.db")]) == 1
    out, err = capsys.readouterr()
    assert (out, is_a_sentence(err)) == ("", True)
    assert f"{folder / name}: " in err
    if not name.endswith(".gz"):
        assert said in err
    assert snapshot(folder) == before


def test_a_store_is_not_an_input_of_its_own(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(folder)
    assert main(["import", str(folder / "good.db"), "--store", str(folder / "good.db")]) == 1
    assert is_a_sentence(capsys.readouterr().err)
    assert main(["import", str(folder / "e.jsonl"), "--store", str(folder / "e.jsonl")]) == 1
    assert "cannot be used as a store" in capsys.readouterr().err
    assert snapshot(folder) == before


def read_only(folder: Path, arguments: Sequence[str]) -> tuple[int, str, str]:
    """Run a command where a folder can't be written: on a read-only mount, or by its modes."""
    if os.geteuid() != 0:
        for path in (*folder.iterdir(), folder):
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            return ended(start(arguments))
        finally:
            folder.chmod(0o755)
    if shutil.which("unshare") is None:
        pytest.skip("root may write everywhere, and mounts need unshare")
    script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" || exit 99; exec "$@"'
    mounted = ["unshare", "--mount", "sh", "-c", script, str(folder), *COMMAND]
    code, out, err = ended(start(arguments, mounted))
    if code == 99 or "unshare failed" in err:
        pytest.skip("root may mount nothing here")
    return code, out, err


def closed_well(folder: Path) -> Path:
    return folder / "good.db"


def left_by_a_crash(folder: Path) -> Path:
    """Make a store whose last requests are in its write-ahead log alone."""
    with closing(sqlite3.connect(folder / "good.db", isolation_level=None)) as connection:
        connection.execute("UPDATE request SET latency_ms = latency_ms + 1")
        for suffix in ("", "-wal"):
            copy = folder / f"crashed.db{suffix}"
            copy.write_bytes((folder / f"good.db{suffix}").read_bytes())
    assert (folder / "crashed.db-wal").stat().st_size
    return folder / "crashed.db"


def of_an_earlier_version(folder: Path) -> Path:
    path = folder / "old.db"
    with closing(sqlite3.connect(path)) as connection:
        for statement in schema._MIGRATIONS[0]:
            connection.execute(statement)
        for number in range(3):
            connection.execute(
                "INSERT INTO request VALUES (?, ?, ?, '/', 'Trip', NULL, '{}', 'OPENAI', NULL,"
                " 'POST', '/v1/x', 200, 1, 2, 3, 0, 5, NULL, '', '', '[]')",
                [number, f"r{number}", f"trip-{number}"],
            )
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    return path


@pytest.mark.parametrize("make", [closed_well, left_by_a_crash, of_an_earlier_version])
def test_a_store_that_cannot_be_written_can_be_read(
    folder: Path, tmp_path: Path, make: object
) -> None:
    assert callable(make)
    store = make(folder)
    before = snapshot(folder)
    code, out, err = read_only(folder, ["sessions", "--store", str(store)])
    assert (code, err) == (0, "")
    assert all(f"trip-{number}" in out for number in range(3))
    output = tmp_path / "out.jsonl"
    exporting = ["export", "--store", str(store), "--output", str(output)]
    assert read_only(folder, exporting)[0] == 0
    assert len(output.read_text().splitlines()) == 4
    assert snapshot(folder) == before


def test_what_would_write_to_a_store_that_cannot_be_written_says_so(folder: Path) -> None:
    before = snapshot(folder)
    for use in ("import", "serve", "run", "export"):
        code, out, err = read_only(folder, commands(folder, folder / "good.db")[use])
        assert (code, out, is_a_sentence(err)) == (1, "", True), (use, err)
    assert snapshot(folder) == before


def test_a_link_to_a_store_is_a_store(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "link.db").symlink_to("good.db")
    uses = commands(folder, folder / "link.db")
    for use in ("sessions", "session", "json", "export", "export to standard output", "import"):
        assert main(uses[use]) == 0, capsys.readouterr().err
    assert (folder / "link.db").is_symlink()
    assert len(Store(folder / "good.db").requests()) == 3


def test_where_there_is_no_room_nothing_is_left_behind(folder: Path) -> None:
    store = fill(folder / "big.db")
    before = snapshot(folder)
    exporting = commands(folder, store)["export"]
    code, out, err = ended(start(exporting, with_room_for(100_000)))
    assert (code, out, is_a_sentence(err)) == (1, "", True), err
    assert f"{folder / 'e.jsonl'} cannot be written" in err
    assert snapshot(folder) == before
    assert main([*exporting[:-1], str(folder / "big.jsonl")]) == 0
    importing = ["import", str(folder / "big.jsonl"), "--store", str(folder / "good.db")]
    code, out, err = ended(start(importing, with_room_for(400_000)))
    assert (code, out, is_a_sentence(err)) == (1, "", True), err
    assert str(folder / "good.db") in err
    assert Store(folder / "good.db").request(Store(folder / "good.db").requests()[0].request_id)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_output_that_goes_nowhere_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    uses = commands(folder, folder / "good.db")
    for use in ("sessions", "session", "json", "export to standard output", "import"):
        # What is left in its buffer can't be written when it is closed, either.
        with suppress(OSError), Path("/dev/full").open("w") as full:
            monkeypatch.setattr("sys.stdout", full)
            code = main(uses[use])
        monkeypatch.undo()
        assert code == 1
        err = capsys.readouterr().err
        assert is_a_sentence(err), (use, err)
        assert "standard output cannot be written: No space left" in err
    assert main([*uses["export"][:-1], "/dev/full"]) == 1
    assert "/dev/full cannot be written: No space left" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("use", ["sessions", "serve"])
def test_output_that_goes_nowhere_is_said_once(folder: Path, use: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, *commands(folder, folder / "good.db")[use]],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert (done.returncode, is_a_sentence(done.stderr)) == (1, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_export_that_is_stopped_leaves_the_earlier_one(folder: Path, number: int) -> None:
    fill(folder / "big.db", requests=2000)
    before = snapshot(folder)
    process = start(commands(folder, folder / "big.db")["export"])
    while process.poll() is None and not list(folder.glob(".otel-helicone-*.part")):
        pass  # until it writes
    process.send_signal(number)
    code, _, err = ended(process)
    assert code == 0 or (code == 130 and is_a_sentence(err)), err
    assert sorted(snapshot(folder)) == sorted(before)
    if code:
        assert snapshot(folder) == before
