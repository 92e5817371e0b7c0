"""Paths as a tree, and text made fit for a terminal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_helicone.local.analysis.tree import (
    MAX_SHOWN_DEPTH,
    Folder,
    TreeLine,
    build_tree,
    segments_of,
    tree_lines,
)
from otel_helicone.local.display import NAMELESS, shortened, shown, shown_block, shown_segment
from otel_helicone.local.storage.records import RequestRecord

PATHS = st.one_of(st.none(), st.text(), st.text(alphabet="/ab%", max_size=40))


def call(path: str | None, second: float = 0, latency_ms: int = 100) -> RequestRecord:
    return RequestRecord(
        request_id=f"{path} at {second}",
        session_id="s",
        session_path=path,
        session_name=None,
        user_id=None,
        properties={},
        provider="OPENAI",
        model="m",
        method="POST",
        target_path="/v1/chat/completions",
        status=200,
        prompt_tokens=1,
        completion_tokens=2,
        total_tokens=3,
        started_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second),
        latency_ms=latency_ms,
        time_to_first_token_ms=None,
        request_body="",
        response_body="",
    )


def drawn(*calls: RequestRecord) -> list[str]:
    def text(line: TreeLine) -> str:
        return f"{line.guides}{line.label}{'*' if line.call else ''}"

    return [text(line) for line in tree_lines(build_tree(calls))]


def test_calls_are_placed_by_their_paths_in_the_order_of_their_start() -> None:
    assert drawn(
        call("/abstract", 0),
        call("/outline/two/b", 5),
        call("/outline/one", 2),
        call("/outline", 1),
        call("/outline/one", 3),
        call(None, 4),
    ) == [
        "├─ abstract*",
        "├─ outline",
        "│  ├─ *",
        "│  ├─ one",
        "│  │  ├─ *",
        "│  │  └─ *",
        "│  └─ two",
        "│     └─ b*",
        "└─ *",
    ]


def test_without_box_characters_it_is_drawn_in_ascii() -> None:
    lines = tree_lines(build_tree([call("/a/b"), call("/c", 1)]), ascii_only=True)
    assert [line.guides + line.label for line in lines] == ["|- a", "|  `- b", "`- c"]


def test_a_folder_lasts_from_its_earliest_start_to_its_latest_end() -> None:
    root = build_tree([call("/a", 1, 500), call("/a/b", 0, 100), call("/a", 2, 250)])
    assert root.latency_ms == 2250
    assert Folder("", ()).latency_ms == 0


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        (None, ()),
        ("/", ()),
        ("/a/b", ("a", "b")),
        ("a/b", ("a", "b")),
        ("//a//b", ("", "a", "", "b")),
        ("/a/", ("a", "")),
        ("/a%2Fb/c d", ("a%2Fb", "c d")),
        ("/a/./b/../c", ("a", ".", "b", "..", "c")),
    ],
)
def test_paths_are_taken_apart_at_slashes_and_nowhere_else(
    path: str | None, segments: tuple[str, ...]
) -> None:
    assert segments_of(path) == segments


def test_a_path_of_thousands_of_levels_is_drawn_to_a_limit() -> None:
    path = "/a" * 30_720
    assert len(segments_of(path)) == MAX_SHOWN_DEPTH
    assert "/" + "/".join(segments_of(path)) == path
    assert len(tree_lines(build_tree([call(path)]))) == MAX_SHOWN_DEPTH


@given(st.lists(st.tuples(PATHS, st.integers(0, 3)), max_size=12))
def test_every_call_is_in_the_tree_and_on_a_line_once(drafts: list[tuple[str | None, int]]) -> None:
    calls = [call(path, second) for path, second in drafts]
    root = build_tree(calls)
    wanted = sorted(map(id, calls))
    assert sorted(id(found) for found in root.calls()) == wanted
    lines = tree_lines(root)
    assert sorted(id(line.call) for line in lines if line.call is not None) == wanted
    assert all((line.label + line.guides).replace("\u200d", "").isprintable() for line in lines)


@given(PATHS)
def test_a_path_can_be_put_together_again(path: str | None) -> None:
    rebuilt = "/" + "/".join(segments_of(path))
    assert rebuilt == (path if path and path.startswith("/") else f"/{path or ''}")


@given(st.text())
def test_nothing_that_is_shown_can_steer_a_terminal(text: str) -> None:
    for safe in (shown(text), shown_segment(text), shown_block(text).replace("\n", "")):
        assert safe.replace("\u200d", "").isprintable()


def test_what_cannot_be_seen_is_written_as_an_escape() -> None:
    assert shown("a\x1b[31mb\u202e\x00\n") == "a\\x1b[31mb\\u202e\\x00\\n"
    assert shown("Café 日本 👩\u200d🚀") == "Café 日本 👩\u200d🚀"
    assert shown_segment("caf%C3%A9 %2F%1B") == "café /\\x1b"
    assert shown_segment("") == NAMELESS
    assert shown_block("a\r\n\tb\x07") == "a\n    b\\x07"


@given(st.text(), st.integers(1, 50))
def test_a_shortened_text_keeps_to_its_length(text: str, most: int) -> None:
    short = shortened(text, most)
    assert len(short) <= most
    assert short == text or text.startswith(short.removesuffix("…"))
