"""The spool by itself: what was taken is there, whatever happens to the file or the process."""

from __future__ import annotations

import json
import logging
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from otel_helicone.bridge.spans import Arrival, Traits
from otel_helicone.bridge.spool import Spool
from otel_helicone.bridge.spool_file import SpoolError
from otel_helicone.bridge.stored import Added, Look, SpoolFull
from otel_helicone.cli import main
from otel_helicone.delivery.post import Post

MIB = 1024 * 1024
WAITS, KNOWN, ROOT = Traits.WANTED, Traits(0), Traits.ROOT
ORIGIN = ResourceSpans(schema_url="https://a.example").SerializeToString()
WAIT = 60.0

OpenSpool = Callable[..., Spool]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "spool.db"


@pytest.fixture
def open_spool(path: Path) -> Iterator[OpenSpool]:
    opened: list[Spool] = []

    def make(max_bytes: int = 100 * MIB) -> Spool:
        if opened:
            opened[-1].close()
        opened.append(Spool(path, max_bytes=max_bytes))
        return opened[-1]

    yield make
    if opened:
        opened[-1].close()


@pytest.fixture
def spool(open_spool: OpenSpool) -> Spool:
    return open_spool()


def arrival(
    number: int, trace: int = 1, traits: int = WAITS, content: bytes = b"content"
) -> Arrival:
    ids = trace.to_bytes(16, "big"), number.to_bytes(8, "big")
    parent = None if traits & ROOT else bytes(7) + b"\x01"
    return Arrival(*ids, parent, traits, ORIGIN, content)


def trace_id(trace: int = 1) -> bytes:
    return trace.to_bytes(16, "big")


def post(name: str = "1", body: bytes = b"{}") -> Post:
    return Post("/oai/v1/log", body, name)


def waiting(spool: Spool, trace: int = 1) -> list[int]:
    rows, _ = spool.waiting(trace_id(trace), 0, 1000, MIB)
    return [int.from_bytes(row.span_id, "big") for row in rows]


def due(spool: Spool, now: float) -> list[bytes]:
    return [found[0] for found in spool.due_traces(now, 100)]


def add_posts(spool: Spool, *posts: Post, received: float = 5.0) -> None:
    spool.settle([Look(trace_id(), 0.0, [(received, "", each) for each in posts])], [])


def numbers(spool: Spool) -> list[int]:
    return [found.id for found in spool.posts(0, 100, MIB)]


def names_of_posts(spool: Spool) -> list[str]:
    return [found.post.request_id for found in spool.posts(0, 100, MIB)]


def test_spans_are_counted_as_new_repeated_and_waiting(spool: Spool) -> None:
    first = spool.add([arrival(1), arrival(2), arrival(3, traits=KNOWN)], 1.0, WAIT)
    assert first == Added(stored=3, repeated=0, waiting=2)
    again = spool.add([arrival(2), arrival(3), arrival(4), arrival(4)], 2.0, WAIT)
    assert again == Added(stored=1, repeated=3, waiting=1)
    assert (spool.counts().waiting_spans, spool.counts().oldest) == (3, 1.0)


def test_the_first_of_two_spans_with_one_id_counts(spool: Spool) -> None:
    spool.add([arrival(1, content=b"first"), arrival(1, content=b"second")], 1.0, WAIT)
    spool.add([arrival(1, content=b"third"), arrival(1, trace=2, content=b"other")], 1.0, WAIT)
    rows = [*spool.waiting(trace_id(1), 0, 9, MIB)[0], *spool.waiting(trace_id(2), 0, 9, MIB)[0]]
    assert [row.content for row in rows] == [b"first", b"other"]


def test_a_trace_without_its_top_waits_and_one_with_it_is_due_at_once(spool: Spool) -> None:
    spool.add([arrival(1, trace=1), arrival(1, trace=2), arrival(9, 2, ROOT)], 100.0, WAIT)
    assert due(spool, 100.0) == [trace_id(2)]
    assert due(spool, 100.0 + WAIT) == [trace_id(2), trace_id(1)]
    # Each span of a trace puts the time off at which it is taken for complete.
    spool.add([arrival(2, trace=1)], 130.0, WAIT)
    assert due(spool, 100.0 + WAIT) == [trace_id(2)]
    spool.add([arrival(9, trace=1, traits=ROOT)], 140.0, WAIT)
    # One in which nothing is wanted never is.
    spool.add([arrival(1, 3, ROOT), arrival(2, 3, KNOWN)], 100.0, WAIT)
    assert due(spool, 140.0) == [trace_id(2), trace_id(1)]


def test_a_look_is_stored_whole_or_not_at_all(spool: Spool) -> None:
    spool.add([arrival(1), arrival(2)], 1.0, WAIT)
    rows, _ = spool.waiting(trace_id(), 0, 10, MIB)
    settled = [(row.id, b"skeleton") for row in rows]
    posts = [(1.0, "", post("1")), (1.0, "", post("2", body=None))]  # type: ignore[arg-type]
    with pytest.raises(SpoolError):
        spool.settle([Look(trace_id(), 1.0, posts, settled=settled)], [])
    assert (waiting(spool), names_of_posts(spool), spool.next_due()) == ([1, 2], [], 1.0 + WAIT)
    assert spool.counts().waiting_spans == 2
    spool.settle(
        [Look(trace_id(), 1.0, [(1.0, "", post("1"))], settled=settled)], [("s", "n", 1.0)]
    )
    assert (waiting(spool), names_of_posts(spool), spool.next_due()) == ([], ["1"], None)
    assert spool.session_name("s") == ("n",)
    assert spool.counts().waiting_spans == 0


@pytest.mark.parametrize("now", [2.0, 1.0, 0.5], ids=["later", "the same time", "earlier"])
def test_what_comes_in_during_a_look_is_looked_at_next(spool: Spool, now: float) -> None:
    # Two requests are read at the same time, and clocks are set back: times need not rise.
    spool.add([arrival(1, traits=WAITS | ROOT)], 1.0, WAIT)
    ((found, last, _),) = spool.due_traces(1.0, 1)
    rows, _ = spool.waiting(found, 0, 10, MIB)
    spool.add([arrival(2)], now, WAIT)
    spool.settle([Look(found, last, settled=[(row.id, b"") for row in rows])], [])
    assert waiting(spool) == [2]
    assert due(spool, 2.0) == [found]


def test_spans_are_read_in_order_and_no_more_than_was_asked_for(spool: Spool) -> None:
    spool.add([arrival(n, content=b"x" * 100) for n in range(1, 8)], 1.0, WAIT)
    first, is_all = spool.waiting(trace_id(), 0, 3, MIB)
    assert ([row.id for row in first], is_all) == ([1, 2, 3], False)
    second, is_all = spool.waiting(trace_id(), first[-1].id, 100, 250)
    assert ([row.id for row in second], is_all) == ([4, 5], False)
    third, is_all = spool.waiting(trace_id(), second[-1].id, 100, MIB)
    assert ([row.id for row in third], is_all) == ([6, 7], True)
    # One that is much longer than those before it comes alone.
    spool.add([arrival(8, content=b"x" * 5000)], 1.0, WAIT)
    assert not spool.waiting(trace_id(), 5, 100, 1000)[1]
    assert [row.id for row in spool.waiting(trace_id(), 7, 100, 1000)[0]] == [8]


def test_posts_come_in_order_up_to_a_limit_of_bytes(spool: Spool) -> None:
    add_posts(spool, *(post(str(n), b"x" * 100) for n in range(1, 6)))
    found = spool.posts(0, 2, MIB)
    found += spool.posts(found[-1].id, 100, 250)
    found += spool.posts(found[-1].id, 100, 10)  # one at least
    assert [each.post.request_id for each in found] == ["1", "2", "3", "4", "5"]
    assert (found[4].post, found[4].received) == (post("5", b"x" * 100), 5.0)


def test_what_was_taken_goes_and_what_was_refused_is_kept_apart(spool: Spool) -> None:
    add_posts(spool, post("a"), post("b"), post("c"))
    taken, refused, _ = numbers(spool)
    spool.finish([taken], [(refused, "400 too large")], 9.0)
    counts = spool.counts()
    assert (names_of_posts(spool), counts.posts, counts.dead) == (["c"], 1, 1)
    # What a crash left unfinished is finished twice.
    spool.finish([taken], [(refused, "400 too large")], 9.0)
    assert spool.counts().dead == 1


def test_a_restart_keeps_everything(open_spool: OpenSpool) -> None:
    spool = open_spool()
    spool.add([arrival(1), arrival(2, traits=ROOT)], 1.0, WAIT, progress=("file", 77))
    add_posts(spool, post("a"), post("b"))
    spool.settle([Look(trace_id(), 0.0)], [("s", None, 1.0)])
    spool.finish([], [(numbers(spool)[1], "400")], 1.0)
    before = (spool.counts(), spool.next_due(), waiting(spool), spool.posts(0, 9, MIB))
    again = open_spool()
    assert (again.counts(), again.next_due(), waiting(again), again.posts(0, 9, MIB)) == before
    assert (again.counts().posts, again.counts().dead) == (1, 1)
    assert again.progress("file") == 77
    assert (again.session_name("s"), again.session_name("other")) == ((None,), None)
    assert again.add([arrival(1)], 2.0, WAIT).repeated == 1


def test_traces_in_which_nothing_waits_are_forgotten_the_oldest_first(spool: Spool) -> None:
    spool.add([arrival(1, 1, ROOT), arrival(2, 1, KNOWN)], 10.0, WAIT)
    for trace, now, traits in ((2, 20.0, ROOT), (3, 30.0, ROOT), (4, 5.0, WAITS)):
        spool.add([arrival(1, trace, traits)], now, WAIT)
    assert spool.forget(before=30.0, most=1) == 1
    assert spool.span(trace_id(1), arrival(2).span_id) is None
    assert spool.span(trace_id(2), arrival(1).span_id) is not None
    assert spool.forget(before=30.0, most=10) == 1
    assert spool.forget(before=30.0, most=10) == 0
    assert spool.span(trace_id(3), arrival(1).span_id) is not None
    assert waiting(spool, 4) == [1]


def test_a_request_that_does_not_fit_is_told_so_before(open_spool: OpenSpool) -> None:
    spool = open_spool(max_bytes=MIB)
    spool.check_room(MIB // 2)
    with pytest.raises(SpoolFull, match="the spool is full"):
        spool.check_room(MIB)
    spool.add([arrival(1, content=bytes(2 * MIB))], 1.0, WAIT)
    with pytest.raises(SpoolFull, match="the spool is full"):
        spool.check_room(0)
    # What is deleted makes room at once.
    rows, _ = spool.waiting(trace_id(), 0, 1, MIB)
    spool.settle([Look(trace_id(), 1.0, settled=[(rows[0].id, b"")])], [])
    spool.check_room(MIB // 2)


def test_a_full_disk_loses_nothing_that_was_taken(spool: Spool) -> None:
    connection = spool._database._connection

    def limit(pages: int) -> None:
        # The error is the one that SQLite gives for a disk that is full.
        (used,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={used + pages}")

    spool.add([arrival(1)], 1.0, WAIT)
    add_posts(spool, post("a"))
    limit(2)
    other = replace(arrival(2), origin=ResourceSpans(schema_url="b").SerializeToString())
    many = [other, *(arrival(n, content=bytes(5000)) for n in range(3, 50))]
    with pytest.raises(SpoolFull, match="the disk is full"):
        spool.add(many, 2.0, WAIT)
    with pytest.raises(SpoolFull, match="the disk is full"):
        add_posts(spool, post("b", bytes(MIB)))
    assert (waiting(spool), names_of_posts(spool), spool.counts().posts) == ([1], ["a"], 1)
    spool.finish(numbers(spool), [], 3.0)  # what makes room is possible still
    limit(10_000)
    spool.add(many, 2.0, WAIT)
    assert waiting(spool) == list(range(1, 50))


def test_the_files_are_for_their_owners_eyes_only(spool: Spool, path: Path) -> None:
    spool.add([arrival(1)], 1.0, WAIT)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    names = ("spool.db", "spool.db-wal", "spool.db-shm", "spool.db.lock")
    assert modes == dict.fromkeys(names, 0o600)


def aside(path: Path) -> list[Path]:
    return sorted(file for file in path.parent.iterdir() if ".damaged-" in file.name)


def check_told(caplog: pytest.LogCaptureFixture, path: Path) -> Path:
    (kept,) = [file for file in aside(path) if not file.name.endswith(("-wal", "-shm"))]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert f"The spool {path} is damaged" in record.getMessage()
    assert str(kept) in record.getMessage()
    return kept


def test_a_spool_with_garbage_in_its_middle_is_set_aside(
    open_spool: OpenSpool, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(path, max_bytes=100 * MIB)
    spool.add([arrival(n, content=b"an important text " * 20) for n in range(500)], 1.0, WAIT)
    spool.close()
    damaged = bytearray(path.read_bytes())
    middle = len(damaged) // 2
    damaged[middle : middle + 8192] = b"\xa5" * 8192
    path.write_bytes(damaged)
    again = open_spool()
    assert again.add([arrival(1)], 1.0, WAIT).stored == 1
    assert check_told(caplog, path).read_bytes() == damaged


def test_a_spool_that_is_damaged_while_it_is_in_use_is_set_aside(
    spool: Spool, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # More than SQLite keeps in memory.
    spool.add([arrival(n, content=b"x" * 500) for n in range(20_000)], 1.0, WAIT)
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(65536)
        file.write(b"\xa5" * (path.stat().st_size - 65536))
    with pytest.raises(SpoolError, match="damaged and has begun anew"):
        spool.waiting(trace_id(), 0, 20_000, 100 * MIB)
    check_told(caplog, path)
    # The resource of these spans was known to the old one.
    assert spool.add([arrival(7)], 2.0, WAIT).stored == 1
    assert waiting(spool) == [7]
    assert spool.counts().waiting_spans == 1


def dead(*arguments: object) -> int:
    return main(["bridge", "dead", *map(str, arguments)])


@pytest.fixture
def refused(spool: Spool) -> Spool:
    """A spool in use with three refused logs."""
    add_posts(spool, *(post(name, json.dumps({"n": name}).encode()) for name in "abc"))
    spool.finish([], [(number, "400 Bad Request") for number in numbers(spool)], 86_400.0)
    return spool


def test_refused_logs_are_listed_while_the_spool_is_in_use(
    refused: Spool, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dead("list", "--spool", path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines] == [
        [str(n), "1970-01-02T00:00:00+00:00", name, "/oai/v1/log"]
        for n, name in enumerate("abc", 1)
    ]
    assert all(line.endswith("10 bytes  400 Bad Request") for line in lines)
    assert dead("list", "--json", "--spool", path) == 0
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = [(entry["number"], entry["body"]) for entry in entries]
    assert found == [(1, {"n": "a"}), (2, {"n": "b"}), (3, {"n": "c"})]


def test_refused_logs_are_sent_again_or_deleted_while_the_spool_is_in_use(
    refused: Spool, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dead("retry", 2, "--spool", path) == 0
    assert dead("drop", 1, 7, "--spool", path) == 1
    said = capsys.readouterr()
    assert said.out == "1 will be sent again.\n1 deleted.\n"
    assert said.err == "otel-helicone: no refused log has the number 7\n"
    assert (names_of_posts(refused), refused.counts().dead) == (["b"], 1)
    assert dead("retry", "--all", "--spool", path) == 0
    assert dead("drop", "--all", "--spool", path) == 0
    assert capsys.readouterr().out == "1 will be sent again.\n0 deleted.\n"
    assert (names_of_posts(refused), refused.counts().dead) == (["b", "c"], 0)
    assert dead("list", "--spool", path) == 0
    assert capsys.readouterr().out == f"No refused logs in {path}.\n"


def test_refused_logs_of_what_is_no_spool(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dead("list", "--spool", path) == 1
    path.parent.mkdir()
    path.write_bytes(b"notes " * 1000)
    assert dead("drop", "--all", "--spool", path) == 1
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE dead (id INTEGER)")
    assert dead("drop", "--all", "--spool", path) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[0] == f"otel-helicone: there is no spool {path}; name it with --spool"
    assert told[1].startswith(f"otel-helicone: the spool {path} can't be read: ")
    assert told[2] == f"otel-helicone: {path} is no spool of a bridge"
