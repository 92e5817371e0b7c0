"""Moving a store, or a session of it, from file to file."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_helicone.cli import main
from otel_helicone.local.storage.records import RequestRecord
from otel_helicone.local.storage.store import Store
from otel_helicone.local.storage.transfer import (
    FIRST_LINE,
    NotAnExport,
    exported_lines,
    imported_records,
)
from otel_helicone.local.storage.writer import StoreWriter
from tests.local.session_records import call

RECORDS = [
    call("/plan", 0, request_body='{"a": "é"}', properties={"env": "prod"}, cost_usd=0.5),
    call("/book", 100, session_id="trip-2", user_id="ada", status=-3),
    call("/", 200, session_id=None, session_name=None, model=None),
]


@pytest.fixture
def filled(tmp_path: Path) -> str:
    with closing(StoreWriter(tmp_path / "filled.db")) as writer:
        for record in RECORDS:
            writer.put(record)
    return str(tmp_path / "filled.db")


@pytest.mark.parametrize("name", ["requests.jsonl", "requests.jsonl.gz"])
def test_a_store_is_the_same_in_another_file(filled: str, tmp_path: Path, name: str) -> None:
    file, other = tmp_path / name, tmp_path / "other.db"
    file.touch(0o644)
    assert main(["export", "--store", filled, "--output", str(file)]) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for _ in range(2):  # once more changes nothing
        assert main(["import", str(file), "--store", str(other)]) == 0
        assert Store(other).requests() == RECORDS
    assert Store(other).sessions()[0].user_ids == ("ada",)


def test_one_session_goes_through_a_pipe(
    filled: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main(["export", "trip-1", "--store", filled]) == 0
    lines = capsys.readouterr().out
    assert lines.isascii()
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    assert main(["import", "-", "--store", str(tmp_path / "other.db")]) == 0
    assert Store(tmp_path / "other.db").requests() == RECORDS[:1]
    assert main(["export", "trip", "--store", filled]) == 1
    assert "the start of 2 session ids" in capsys.readouterr().err


texts = st.text(max_size=10)
records = st.builds(
    call,
    texts | st.none(),
    st.integers(0, 10**6),
    st.integers(-5, 10**6),
    session_id=texts | st.none(),
    properties=st.dictionaries(texts, texts, max_size=2),
    request_body=texts,
    cost_usd=st.none() | st.floats(0, 10),
)


@given(st.lists(records, max_size=4))
def test_lines_are_read_as_they_were_written(written: list[RequestRecord]) -> None:
    lines = list(exported_lines(written))
    assert all("\n" not in line for line in lines)
    assert list(imported_records(lines)) == written


GOOD = json.loads(list(exported_lines(RECORDS))[1])


def changed(**values: Any) -> str:
    return json.dumps({**GOOD, **values})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2 is no JSON"),
        ("[]", "line 2 is no request"),
        ("{}", "line 2: 'completion_tokens' is missing"),
        (changed(colour="red"), "line 2: 'colour' is nothing that a request has"),
        (changed(status="200"), "line 2: 'status' is '200', which it can't be"),
        (changed(status=True), "line 2: 'status' is True"),
        (changed(session_id=5), "line 2: 'session_id' is 5"),
        (changed(started_at="soon"), "line 2: 'started_at' is 'soon', which is no time"),
        (changed(started_at="2026-01-01T00:00:00"), "which is no time"),
        (changed(started_at="0001-01-01T00:00:00+23:59"), "which is no time"),
        (changed(latency_ms=10**13), "line 2: 'latency_ms' is 10000000000000"),
        (changed(status=2**70), "line 2: 'status' is"),
        (changed(cost_usd=float("nan")), "line 2: 'cost_usd' is nan"),
        (changed(provider="\ud800"), "line 2: 'provider' is"),
        (changed(properties={"a": 1}), "line 2: 'properties' is {'a': 1}"),
        (changed(scores={"a": 0.5}), "line 2: 'scores' is {'a': 0.5}"),
        (changed(helicone_headers=[["a"]]), "line 2: 'helicone_headers' is [['a']]"),
        ("[" * 100_000, "line 2 is no JSON"),
    ],
    ids=lambda text: text[-30:],  # the same in every process: the lines have random ids
)
def test_a_wrong_line_is_named_with_what_is_wrong(line: str, said: str) -> None:
    with pytest.raises(NotAnExport) as refused:
        list(imported_records([json.dumps(FIRST_LINE), line]))
    assert said in str(refused.value)


@pytest.mark.parametrize("lines", [["{}"], ['{"otel_helicone_export": 2}'], [], [" ", ""]])
def test_other_files_are_refused(lines: list[str]) -> None:
    with pytest.raises(NotAnExport, match=r"is no file that|nothing in it"):
        list(imported_records(lines))


def test_what_came_before_a_wrong_line_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "broken.jsonl"
    file.write_text("\n".join([*exported_lines(RECORDS), "oops"]))
    assert main(["import", str(file), "--store", str(tmp_path / "s.db")]) == 1
    assert f"{file}: line 5 is no JSON" in capsys.readouterr().err
    assert len(Store(tmp_path / "s.db").requests()) == 3


def test_an_import_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, all_of_them, store = tmp_path / "one.jsonl", tmp_path / "all.gz", tmp_path / "s.db"
    one.write_text("\n".join(exported_lines(RECORDS[:1])))
    all_of_them.write_bytes(gzip.compress("\n".join(exported_lines(RECORDS)).encode()))
    assert main(["import", str(one), str(all_of_them), "--store", str(store)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"Read 1 request from {one} into {store}.",
        f"Read 3 requests from {all_of_them} into {store}.",
    ]


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_an_export_that_was_cut_off_is_said_to_be(
    filled: str, tmp_path: Path, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "--store", filled]) == 0
    whole = capsys.readouterr().out.splitlines(keepends=True)
    cut, store = tmp_path / "cut.jsonl", tmp_path / "s.db"
    cut.write_text("".join(whole[:lines]))
    assert main(["import", str(cut), "--store", str(store)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert f"it has {lines - 1} requests where its first line says 3: it was cut off" in err
    assert len(Store(store).requests()) == lines - 1
    cut.write_text("".join([*whole, whole[1]]))
    assert main(["import", str(cut), "--store", str(store)]) == 1
    assert "it has 4 requests where its first line says 3" in capsys.readouterr().err


@pytest.mark.parametrize("count", ['"3"', "true", "3.0"])
def test_a_first_line_with_a_count_that_is_none_is_refused(count: str) -> None:
    first = f'{{"otel_helicone_export": 1, "requests": {count}}}'
    with pytest.raises(NotAnExport, match="is no file that"):
        list(imported_records([first]))


def test_requests_without_their_bodies_are_not_left_out_in_silence(
    filled: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(filled)) as connection:
        connection.execute("DELETE FROM body WHERE row = 2")
        connection.commit()
    output = tmp_path / "out.jsonl"
    assert main(["export", "--store", filled, "--output", str(output)]) == 1
    assert "1 of 3 requests are without their bodies" in capsys.readouterr().err
    assert not output.exists()


def test_files_that_cannot_be_read_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(b"x" * 1000)[:-10])
    plain = tmp_path / "plain.gz"
    plain.write_bytes(b"plain")
    for file in (cut, plain, tmp_path / "missing"):
        assert main(["import", str(file), "--store", str(tmp_path / "s.db")]) == 1
        assert str(file) in capsys.readouterr().err
    assert main(["export", "--store", str(tmp_path / "no.db")]) == 1
    assert "There is no store" in capsys.readouterr().err
