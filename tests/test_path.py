"""Paths: the place of a request in its session's tree, bounded."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from otel_helicone.primitives.escaping import escape_segment
from otel_helicone.primitives.path import MAX_PATH_LENGTH, ROOT_PATH, Path

segments = st.text(max_size=300).map(escape_segment)


def test_a_path_is_its_segments_root_first() -> None:
    assert ROOT_PATH.text == "/"
    assert Path(Path(ROOT_PATH, "parent"), "child").text == "/parent/child"


@given(st.lists(segments, max_size=40))
def test_every_path_is_well_formed(names: list[str]) -> None:
    text = Path.of(names).text
    assert text.startswith("/")
    assert text == "/" or not text.endswith("/")
    assert "//" not in text
    assert len(text) <= MAX_PATH_LENGTH
    if len("/" + "/".join(names)) <= MAX_PATH_LENGTH:
        assert text == "/" + "/".join(names)


def test_a_deep_path_keeps_both_ends_and_says_how_many_levels_are_missing() -> None:
    text = Path.of(f"step {level}" for level in range(10_000)).text
    parts = text.split("/")[1:]
    mark = next(part for part in parts if part.startswith("[... "))
    found = re.fullmatch(r"\[\.\.\. (\d+) more \.\.\.\]", mark)
    assert found is not None
    assert len(parts) - 1 + int(found[1]) == 10_000
    assert parts[0] == "step 0"
    assert parts[-1] == "step 9999"
    assert len(text) <= MAX_PATH_LENGTH


def test_siblings_far_down_share_everything_but_their_own_segment() -> None:
    above = Path.of(["x" * 200] * 50)
    one, two = Path(above, "one").text, Path(above, "two").text
    assert one.removesuffix("/one") == two.removesuffix("/two")
    assert one != two


def test_ten_thousand_levels_are_let_go_without_deep_recursion() -> None:
    path = Path.of(str(level) for level in range(200_000))
    del path
