"""The store's file: made, migrated, refused, private."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import openai
import pytest

from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.schema import SCHEMA_VERSION, StoreError, connect
from otel_helicone.local.storage.store import Store
from otel_helicone.local.storage.writer import StoreWriter


def test_a_new_store_has_the_version_of_its_tables_and_a_write_ahead_log(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "requests.db"
    with closing(connect(path, create=True)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Store(path).requests() == []


def test_a_store_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "requests.db"
    for _ in range(2):
        with (
            LocalHelicone(path, latency=0) as helicone,
            openai.OpenAI(base_url=helicone.base_url, api_key="none") as client,
        ):
            client.models.list()
    assert len(Store(path).requests()) == 2


def test_a_store_that_is_not_there_is_not_made_by_reading(tmp_path: Path) -> None:
    path = tmp_path / "requests.db"
    with pytest.raises(StoreError, match="There is no store at"):
        Store(path).sessions()
    assert not path.exists()


def test_a_store_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "requests.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="later otel-helicone"):
        StoreWriter(path)


def test_a_file_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    database, text = tmp_path / "other.db", tmp_path / "notes.txt"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE mine (a)")
    text.write_text("dear diary, " * 100)
    with pytest.raises(StoreError, match="something else"):
        StoreWriter(database)
    with pytest.raises(StoreError, match="cannot be used as a store"):
        StoreWriter(text)
    assert text.read_text().startswith("dear diary")


def test_a_session_is_found_by_the_start_of_its_id(
    helicone: LocalHelicone, client: openai.OpenAI
) -> None:
    for session_id in ("abc", "abcd", "a%", "b"):
        client.models.list(extra_headers={"Helicone-Session-Id": session_id})
    client.models.list()
    helicone.settle()
    assert helicone.store.session_ids("a") == ["a%", "abc", "abcd"]
    assert helicone.store.session_ids("abc") == ["abc"]
    assert helicone.store.session_ids("a%") == ["a%"]
    assert helicone.store.session_ids("%") == []
    assert [session.session_id for session in helicone.store.sessions()] == [
        "b",
        "a%",
        "abcd",
        "abc",
    ]
    assert len(helicone.store.requests("abc")) == 1
    assert len(helicone.store.requests()) == 5
