"""Session ids on a terminal: what is shown of one finds it again, however narrow the terminal."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_helicone.cli import main
from otel_helicone.local.display import shown
from otel_helicone.local.session_ids import CUT, NotOneSession, find_session_id, unique_starts
from otel_helicone.local.storage.store import Store
from otel_helicone.local.storage.writer import StoreWriter
from tests.local.session_records import call

TRACE = "0af7651916cd43dd8448eb211c80319"
IDS = [
    f"{TRACE}c",
    f"{TRACE}d",
    "b7ad6b71692033314bf92f3577b34da6",
    "checkout-2026-11-27-of-customer-0001-with-a-long-id",
    "checkout-2026-11-27-of-customer-0002-with-a-long-id",
    "trip-1",
    "trip-10",
    "x\u202ey",
]


def store_with(path: Path, session_ids: list[str]) -> Store:
    with closing(StoreWriter(path)) as writer:
        for number, session_id in enumerate(session_ids):
            name = f"The session's name {number} which may be long"
            writer.put(call(f"/plan/step {number}", session_id=session_id, session_name=name))
    return Store(path)


def test_a_start_is_as_long_as_it_has_to_be() -> None:
    starts = unique_starts(IDS)
    assert starts["b7ad6b71692033314bf92f3577b34da6"] == "b7ad6b71…"
    assert starts[f"{TRACE}c"] == f"{TRACE}c"
    assert starts[IDS[3]] == "checkout-2026-11-27-of-customer-0001…"
    assert starts["trip-1"] == "trip-1"
    assert starts["x\u202ey"] == "x\\u202ey"


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 160])
def test_what_is_shown_of_an_id_finds_its_session(
    tmp_path: Path,
    width: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = store_with(tmp_path / "s.db", IDS)
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(["sessions", "--store", str(store.path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = lines[0].startswith("SESSION")
    words = [line.split()[0] for line in lines[table:] if not line.startswith(" ")]
    assert [find_session_id(store, word) for word in words] == IDS[::-1]
    for line in lines:
        assert len(line) <= max(width, 37 if line.split()[0] in words else 0)
    for number in range(len(IDS)):
        assert any("The session's nam" in line[: width + 1] for line in lines), number


@pytest.mark.parametrize("width", [40, 60])
def test_a_session_on_a_narrow_terminal_keeps_its_id_its_paths_and_its_times(
    tmp_path: Path,
    width: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = store_with(tmp_path / "s.db", IDS)
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(["sessions", f"{TRACE}c", "--store", str(store.path)]) == 0
    out = capsys.readouterr().out
    assert f"{TRACE}c" in out
    (line,) = [line for line in out.splitlines() if "step 0" in line and "─" in line]
    assert "  100 ms" in line
    assert all(len(line) <= width for line in out.splitlines())


def test_export_finds_sessions_as_the_list_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = store_with(tmp_path / "s.db", IDS)
    for start in ("b7ad6b71…", "b7a", "x\\u202ey", "trip-1"):
        assert main(["export", start, "--store", str(store.path)]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["export", "checkout", "--store", str(store.path)]) == 1
    assert "'checkout-2026-11-27-of-customer-0001…'" in capsys.readouterr().err
    assert main(["export", "nothing", "--store", str(store.path)]) == 1
    assert "no session's id is or starts with 'nothing'" in capsys.readouterr().err


ids = st.lists(st.text("ab-\u202e", min_size=1, max_size=14), min_size=1, max_size=8, unique=True)


@settings(max_examples=25, deadline=None)
@given(ids)
def test_every_start_finds_the_session_that_it_is_of(
    tmp_path_factory: pytest.TempPathFactory, session_ids: list[str]
) -> None:
    store = store_with(tmp_path_factory.mktemp("ids") / "s.db", session_ids)
    for session_id, start in unique_starts(session_ids).items():
        assert find_session_id(store, start) == session_id
        assert shown(session_id).startswith(start.removesuffix(CUT))
    with pytest.raises(NotOneSession):
        find_session_id(store, "c")
