"""Any text becomes a header value that every HTTP client sends and Helicone stores unchanged."""

from __future__ import annotations

from urllib.parse import unquote

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_helicone.primitives.escaping import (
    MAX_PROPERTY_VALUE_LENGTH,
    MAX_SEGMENT_LENGTH,
    MAX_VALUE_LENGTH,
    escape_property_name,
    escape_segment,
    escape_session_id,
    escape_value,
    split_path,
)

# Everything a str can hold, lone surrogates and NUL included; and what is not a str at all.
texts = st.text(st.characters(), max_size=600)
anything = st.one_of(texts, st.none(), st.integers(), st.binary(), st.lists(st.integers()))


def assert_can_be_sent(name: str, value: str) -> None:
    """Let h11, which both HTTP stacks send with, judge a header."""
    h11.Request(method="GET", target="/", headers=[("Host", "x"), (name, value)])
    assert value.isascii()
    assert value.isprintable()
    assert value == value.strip()
    assert value


@given(anything)
def test_every_name_becomes_a_segment(name: object) -> None:
    segment = escape_segment(name)
    assert_can_be_sent("Helicone-Session-Path", f"/{segment}")
    assert "/" not in segment
    assert len(segment) <= MAX_SEGMENT_LENGTH
    assert segment == escape_segment(name)


@given(texts.filter(lambda text: len(text.strip()) <= 20 and bool(text.strip())))
def test_a_short_name_can_be_read_back_from_its_segment(name: str) -> None:
    readable = name.strip().encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if "\ufffd" not in readable:
        assert unquote(escape_segment(name)) == name.strip()


@pytest.mark.parametrize(
    ("name", "segment"),
    [
        ("child", "child"),
        ("two words, & more: (really?)", "two words, & more: (really?)"),
        ("GET /items/{id}", "GET %2Fitems%2F{id}"),
        ("100%", "100%25"),
        ("%2F", "%252F"),
        ("", "[unnamed]"),
        ("   ", "[unnamed]"),
        (" outer ", "outer"),
        ("/", "%2F"),
        ("a\r\nX-Evil: 1", "a%0D%0AX-Evil: 1"),
        ("nul\0", "nul%00"),
        ("tab\tbed", "tab%09bed"),
        ("naïve 東京", "na%C3%AFve %E6%9D%B1%E4%BA%AC"),
        ("🚀", "%F0%9F%9A%80"),
        ("\u202eright to left", "%E2%80%AEright to left"),
        ("\ud800", "%EF%BF%BD"),
        ("\\u0000", "%5Cu0000"),
        (7, "7"),
        (None, "[unnamed]"),
    ],
)
def test_segments(name: object, segment: str) -> None:
    assert escape_segment(name) == segment


def test_a_long_name_is_shortened_in_the_middle_with_a_mark_that_says_how_much() -> None:
    name = "start-" + "x" * 100_000 + "-end"
    segment = escape_segment(name)
    assert segment.startswith("start-xxx")
    assert segment.endswith("xxx-end")
    kept = len(segment) - len("[...  more ...]") - len("99774")
    assert f"[... {len(name) - kept} more ...]" in segment
    assert len(segment) <= MAX_SEGMENT_LENGTH


def test_no_character_is_cut_in_two() -> None:
    segment = escape_segment("é" * 1000)
    head, _, tail = segment.partition("[... ")
    assert unquote(head, errors="strict") == "é" * (len(head) // 6)
    assert unquote(tail.partition("...]")[2], errors="strict").strip("é") == ""


@given(anything)
def test_every_value_can_be_sent_or_is_left_out(value: object) -> None:
    for escaped, most in (
        (escape_value(value), MAX_VALUE_LENGTH),
        (escape_value(value, MAX_PROPERTY_VALUE_LENGTH), MAX_PROPERTY_VALUE_LENGTH),
        (escape_session_id(value), MAX_VALUE_LENGTH),
    ):
        if escaped is not None:
            assert_can_be_sent("Helicone-Session-Name", escaped)
            assert len(escaped) <= most


def test_slashes_and_percent_signs_stay_in_values() -> None:
    assert escape_value("GET /items/50%") == "GET /items/50%"
    assert escape_session_id("user/7") == "user/7"


@pytest.mark.parametrize("value", ["", "  ", "\n", None])
def test_a_value_with_nothing_in_it_is_none(value: object) -> None:
    # Helicone takes an empty header as if it were absent.
    assert escape_value(value) is None
    assert escape_session_id(value) is None


def test_long_session_ids_with_the_same_ends_stay_different() -> None:
    ends = "a" * 300, "z" * 300
    one, two = (escape_session_id(ends[0] + middle + ends[1]) for middle in ("1", "2"))
    assert one != two
    assert one is not None
    assert "sha256:" in one


@given(anything)
def test_every_property_name_is_a_header_name_or_left_out(name: object) -> None:
    escaped = escape_property_name(name)
    if escaped is not None:
        assert_can_be_sent(f"Helicone-Property-{escaped}", "x")
        assert escaped == escaped.lower()


def test_property_names() -> None:
    assert escape_property_name("Env") == "env"
    assert escape_property_name("a_b.c-d") == "a_b.c-d"
    assert escape_property_name("My key: x/y") == "my_key_x_y"
    assert escape_property_name("") is None


@given(texts)
def test_every_path_that_an_application_writes_becomes_clean_segments(path: str) -> None:
    for segment in split_path(path):
        assert_can_be_sent("Helicone-Session-Path", f"/{segment}")
        assert "/" not in segment


@given(st.lists(texts, max_size=5))
def test_a_path_of_ours_can_be_handed_back(names: list[str]) -> None:
    segments = [escape_segment(name) for name in names]
    assert split_path("/" + "/".join(segments)) == segments


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("/parent/child", ["parent", "child"]),
        ("parent//child/", ["parent", "child"]),
        ("/a%2Fb/50%", ["a%2Fb", "50%25"]),
        ("/", []),
        ("", []),
    ],
)
def test_paths(path: str, segments: list[str]) -> None:
    assert split_path(path) == segments


def test_a_value_whose_str_raises_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("a defect of the application")

    caplog.failures_are_expected = True  # type: ignore[attr-defined]
    assert escape_value(Broken()) is None
    assert escape_segment(Broken()) == "[unnamed]"
