"""What came in and the store does not take: kept elsewhere, and said at the end."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from otel_helicone.cli import main
from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.changes import Scores
from otel_helicone.local.storage.store import Store
from otel_helicone.local.storage.unwritten import UnwrittenRequests
from otel_helicone.local.storage.writer import StoreWriter
from tests.local.session_records import call
from tests.local.stores import corrupt_middle, fill

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}
LOG = {
    "providerRequest": {"url": "x", "json": {"model": "gpt-4o"}, "meta": {}},
    "providerResponse": {"status": 200, "headers": {}, "json": {"id": "x"}},
    "timing": {
        "startTime": {"seconds": 1, "milliseconds": 0},
        "endTime": {"seconds": 2, "milliseconds": 0},
    },
}
KEY = {"Authorization": "Bearer sk-helicone-1234567-abcdefg-7654321-gfedcba"}


@pytest.fixture
def http() -> Iterator[httpx2.Client]:
    with httpx2.Client(trust_env=False, timeout=30) as client:
        yield client


def break_tables(store: Path) -> None:
    """Have every request that is written fail, as on a disk that is broken there."""
    with closing(sqlite3.connect(store)) as connection:
        connection.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON body BEGIN SELECT raise(ABORT, 'broken'); END"
        )
        connection.commit()


def mend_tables(store: Path) -> None:
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("DROP TRIGGER broken")
        connection.commit()


def test_requests_that_the_store_does_not_take_can_be_imported(
    tmp_path: Path, http: httpx2.Client, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "s.db"
    with LocalHelicone(store, latency=0) as helicone:
        break_tables(store)
        for number in range(3):
            headers = {"Helicone-Session-Id": f"trip-{number}"}
            url = f"{helicone.base_url}/chat/completions"
            assert http.post(url, json=CHAT, headers=headers).status_code == 200
        assert http.post(f"{helicone.url}/custom/v1/log", json=LOG, headers=KEY).text == "ok"
        assert helicone.settle()
    assert Store(store).requests() == []
    unwritten = helicone.unwritten
    assert (unwritten.kept, unwritten.lost) == (4, 0)
    assert unwritten.path is not None
    assert unwritten.path.parent == tmp_path
    assert unwritten.path.stat().st_mode & 0o777 == 0o600
    # Once for the cause, once for the file, without a traceback.
    assert [record.exc_info for record in caplog.records] == [None, None]
    assert str(unwritten.path) in caplog.text
    mend_tables(store)
    assert main(["import", str(unwritten.path), "--store", str(store)]) == 0
    ids = [session.session_id for session in Store(store).sessions()]
    assert sorted(ids) == ["trip-0", "trip-1", "trip-2"]
    assert len(Store(store).requests()) == 4


def test_the_server_says_at_its_end_what_is_not_in_the_store(
    tmp_path: Path, http: httpx2.Client
) -> None:
    store = fill(tmp_path / "s.db")
    corrupt_middle(store)
    command = [sys.executable, "-m", "otel_helicone", "serve", "--port", "0", "--latency", "0"]
    with subprocess.Popen(
        [*command, "--store", str(store)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        greeting = "".join(process.stdout.readline() for _ in range(7))
        found = re.search(r"base_url +(\S+)/v1", greeting)
        assert found is not None
        for number in range(40, 300, 10):
            headers = {"Helicone-Session-Id": f"trip-{number}", "Helicone-Session-Name": "Trip"}
            url = f"{found[1]}/v1/chat/completions"
            assert http.post(url, json=CHAT, headers=headers).status_code == 200
        pages = [http.get(found[1], params={"page": 1})]
        pages += [
            http.get(f"{found[1]}/session", params={"id": f"trip-{number}", "name": "Trip"})
            for number in range(0, 300, 20)
        ]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "everything that came in is stored" not in out
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    said = re.search(r"Stopped; (\d+) requests could not be written to the store and", last)
    assert said is not None
    (kept,) = tmp_path.glob("s.db.unwritten-*.jsonl")
    assert str(kept) in last
    assert len(kept.read_text().splitlines()) == int(said[1]) + 1
    failed = [page for page in pages if page.status_code == 500]
    assert failed
    assert all("is damaged" in page.text for page in failed)


def test_pages_and_the_api_say_what_is_wrong_with_the_store(
    tmp_path: Path, http: httpx2.Client, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "s.db"
    with LocalHelicone(store, latency=0) as helicone:
        with closing(sqlite3.connect(store)) as connection:
            connection.execute("ALTER TABLE session RENAME TO gone")
        pages = (
            "/",
            "/sessions/names",
            "/session?id=x",
            "/session/chat?id=x",
            "/session/export.json?id=x",
        )
        for path in (*pages, "/session/delete?id=x"):
            answer = http.get(helicone.url + path)
            assert answer.status_code == 500, path
            assert "The store cannot be read" in answer.text
            assert f"The store {store} cannot be used: no such table" in answer.text
        answer = http.post(
            f"{helicone.url}/v1/session/query",
            json={
                "search": "",
                "timeFilter": {"startTimeUnixMs": 0, "endTimeUnixMs": 1},
                "timezoneDifference": 0,
                "filter": "all",
            },
            headers=KEY,
        )
        assert answer.status_code == 500
        assert "no such table" in answer.text
    assert all(record.exc_info is None for record in caplog.records)


def test_what_can_be_kept_nowhere_is_counted_and_its_sender_told(
    tmp_path: Path, http: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "s.db"
    helicone = LocalHelicone(store, latency=0)
    # Both places for the file are no folders.
    helicone.unwritten = UnwrittenRequests(store / "x")
    monkeypatch.setattr("tempfile.tempdir", str(store))
    with helicone:
        break_tables(store)
        url = f"{helicone.url}/v1/trace/custom/log"
        assert http.post(url, json=LOG, headers=KEY).status_code == 200
        assert helicone.settle()
        assert http.post(url, json=LOG, headers=KEY).status_code == 500
        answer = http.post(f"{helicone.url}/custom/v1/log", json=LOG, headers=KEY)
        assert answer.status_code == 500
        assert "send this log again" in answer.text
        assert helicone.settle()
        assert (helicone.unwritten.kept, helicone.unwritten.lost) == (0, 3)
        mend_tables(store)
        http.post(url, json=LOG, headers=KEY)
        assert helicone.settle()
        assert http.post(url, json=LOG, headers=KEY).status_code == 200


def test_a_store_that_is_locked_for_a_while_takes_everything_afterwards(tmp_path: Path) -> None:
    store = tmp_path / "s.db"
    unwritten = UnwrittenRequests(store)
    with (
        closing(StoreWriter(store, unwritten=unwritten.keep)) as writer,
        closing(sqlite3.connect(store, isolation_level=None)) as holder,
    ):
        holder.execute("BEGIN IMMEDIATE")
        for number in range(300):
            writer.put(call("/", number))
        assert not writer.flush(0.05)
        holder.execute("COMMIT")
        assert writer.flush(30)
    assert len(Store(store).requests()) == 300
    assert unwritten.path is None


def test_a_store_that_stays_locked_does_not_keep_the_server_from_stopping(tmp_path: Path) -> None:
    store = tmp_path / "s.db"
    unwritten = UnwrittenRequests(store)
    writer = StoreWriter(store, unwritten=unwritten.keep, lock_timeout=0)
    with closing(sqlite3.connect(store, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        for number in range(2000):
            writer.put(call("/", number))
        writer.close()
    assert Store(store).requests() == []
    assert unwritten.kept == 2000
    assert "is locked by another program" in str(writer.error)


def test_bodies_that_are_not_stored_are_not_kept_elsewhere_either(tmp_path: Path) -> None:
    store = tmp_path / "s.db"
    unwritten = UnwrittenRequests(store)
    with closing(StoreWriter(store, bodies=False, unwritten=unwritten.keep)) as writer:
        break_tables(store)
        writer.put(call(request_body="a secret", response_body="another secret"))
    assert unwritten.path is not None
    assert "secret" not in unwritten.path.read_text()


def test_only_what_can_be_read_again_is_kept(tmp_path: Path) -> None:
    unwritten = UnwrittenRequests(tmp_path / "s.db")
    good = call(user_id="lone \ud800")
    unwritten.keep([good, replace(good, latency_ms=2**70), Scores("x", {"good": 1})], "why")
    unwritten.keep([call("/later", session_id="later")], "why")
    assert (unwritten.kept, unwritten.lost) == (2, 2)
    assert unwritten.path is not None
    assert json.loads(unwritten.path.read_text().splitlines()[1])["user_id"] == "lone \ufffd"
    assert main(["import", str(unwritten.path), "--store", str(tmp_path / "new.db")]) == 0
    assert len(Store(tmp_path / "new.db").requests()) == 2


def test_half_a_line_is_never_left(tmp_path: Path) -> None:
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from otel_helicone.local.storage.unwritten import UnwrittenRequests\n"
        "from tests.local.session_records import call\n"
        "unwritten = UnwrittenRequests(Path(sys.argv[1]))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "for number in range(20):\n"
        "    unwritten.keep([call(f'/{number}', request_body='x' * 1000)], 'why')\n"
        "print(unwritten.kept, unwritten.lost)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "s.db")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    kept, lost = map(int, done.stdout.split())
    assert kept + lost == 20
    assert lost > 0
    (path,) = tmp_path.glob("s.db.unwritten-*")
    assert main(["import", str(path), "--store", str(tmp_path / "new.db")]) == 0
    assert len(Store(tmp_path / "new.db").requests()) == kept
