"""Of bodies that are too large, pictures and files go first, each as a whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_helicone.logs.media import without_media
from otel_helicone.logs.translating import Translator
from tests.made_spans import ANY_JSON, CHAT, span

PICTURE = "data:image/png;base64," + "iVBORw0KGgo" * 300
BYTES = "iVBORw0KGgo" * 300


@pytest.mark.parametrize(
    ("part", "left"),
    [
        (PICTURE, "[image/png, 2.5 kB, left out]"),
        (f"See ![this]({PICTURE}) here", "See ![this]([image/png, 2.5 kB, left out]) here"),
        (
            {"type": "image_url", "image_url": {"url": PICTURE}},
            {"type": "text", "text": "[image/png, 2.5 kB, left out]"},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": BYTES, "format": "wav"}},
            {"type": "text", "text": "[audio/wav, 2.5 kB, left out]"},
        ),
        (
            {"type": "base64", "media_type": "application/pdf", "data": BYTES},
            {
                "type": "base64",
                "media_type": "application/pdf",
                "data": "[application/pdf, 2.5 kB, left out]",
            },
        ),
        ({"data": BYTES}, {"data": BYTES}),
        ({"type": [], "a": PICTURE}, {"type": [], "a": "[image/png, 2.5 kB, left out]"}),
        ("data:image/svg+xml," + "%3C" * 700, "[image/svg+xml, 2.1 kB, left out]"),
        ([0.5] * 1536, "[1,536 numbers, left out]"),
        ("https://example.com/a.png", "https://example.com/a.png"),
        ("data: " + "x" * 3000, "data: " + "x" * 3000),
        ([1, 2, True], [1, 2, True]),
    ],
)
def test_marks_take_the_place_of_pictures_sounds_files_and_vectors(part: Any, left: Any) -> None:
    assert without_media({"content": [part]}, 1024) == {"content": [left]}
    assert without_media({"content": [part]}, 10_000) == {"content": [part]}


@given(ANY_JSON, st.integers(0, 5))
def test_any_body_can_be_looked_through_for_pictures(body: Any, longest: int) -> None:
    marked = without_media(body, longest)
    assert json.dumps(without_media(marked, longest)) == json.dumps(marked)


@given(st.lists(st.just(PICTURE) | st.text(max_size=200), max_size=5), st.integers(600, 9000))
def test_no_log_holds_half_of_a_picture(texts: list[str], most: int) -> None:
    told = {**CHAT, "gen_ai.input.messages": json.dumps([{"role": "user", "content": texts}])}
    (record,) = Translator().records([span(told)])
    body = record.to_bytes(most).decode("utf-8", "replace")
    assert body.count("iVBORw0KGgo" * 3) == body.count(PICTURE) * 100
