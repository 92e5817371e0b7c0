"""Characters that hide or reorder text: written out on pages, kept where they are sent again."""

from __future__ import annotations

import html
import json
import re
import shlex
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_helicone.local.display import is_invisible, revealed
from otel_helicone.local.pages.curl import curl_command
from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.changes import Scores, SessionTag
from otel_helicone.local.storage.writer import StoreWriter
from tests.local.session_records import call

# Overrides, embeddings, isolates and marks of direction; a soft hyphen, a joiner, a tag.
HIDING = (
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"
    "\u00ad\u2060\ufeff\U000e0041"
)
EVIL = f"a{HIDING}b"
BODY = {
    "model": EVIL,
    "messages": [{"role": "user", "content": EVIL}, {"role": EVIL, "content": EVIL, "name": EVIL}],
    "tools": [{"type": "function", "function": {"name": EVIL, "description": EVIL}}],
}
ANSWER = {"model": EVIL, "choices": [{"message": {"role": "assistant", "content": EVIL}}]}
REQUESTS = [
    call(
        f"/{EVIL}/{quote(EVIL)}",
        number * 200,
        status=status,
        session_id=EVIL,
        session_name=EVIL,
        user_id=EVIL,
        model=EVIL,
        kind=kind,
        properties={EVIL: EVIL},
        request_body=json.dumps(BODY, ensure_ascii=False),
        response_body=json.dumps(answer, ensure_ascii=False),
    )
    for number, (status, answer, kind) in enumerate(
        [
            (200, ANSWER, "llm"),
            (500, {"error": {"message": EVIL, "type": EVIL, "code": EVIL}}, "llm"),
            (200, {"name": EVIL}, EVIL),
        ]
    )
]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[httpx2.Client]:
    writer = StoreWriter(tmp_path / "requests.db")
    for request in REQUESTS:
        writer.put(request)
        writer.put(Scores(request.request_id, {EVIL: 1}))
    writer.put(SessionTag(EVIL, EVIL))
    writer.close()
    with (
        LocalHelicone(tmp_path / "requests.db", latency=0) as helicone,
        httpx2.Client(base_url=helicone.url, trust_env=False) as client,
    ):
        yield client


def pages() -> list[str]:
    evil = quote(EVIL)
    filtered = f"search={evil}&name={evil}&user={evil}&model={evil}&property={evil}&value={evil}"
    session = f"id={evil}&name={evil}"
    return [
        "/",
        f"/?{filtered}",
        f"/?search={evil}x",
        f"/?status={evil}",
        f"/?sort={evil}",
        "/sessions/names",
        "/users",
        f"/users?{filtered}",
        "/models",
        "/properties",
        f"/properties?of={evil}",
        f"/session?id={evil}",
        f"/session?{session}",
        f"/session?{session}&path={quote('/' + EVIL)}",
        f"/session?id={evil}x",
        f"/session/chat?{session}",
        f"/session/export.html?{session}",
        f"/session/export.json?{session}",
        f"/session/delete?{session}",
        f"/session/delete?{session}x",
        *(f"/request?id={request.request_id}" for request in REQUESTS),
        f"/request?id={evil}",
        f"/{evil}",
    ]


def test_no_page_has_them_raw(site: httpx2.Client) -> None:
    told = set()
    for path in pages():
        page = site.get(path)
        assert page.status_code in (200, 400, 404), path
        raw = [character for character in page.text if character in HIDING]
        assert raw == [], path
        if "\\u202e" in page.text:
            told.add(path.partition("?")[0])
    assert told >= {
        "/",
        "/users",
        "/models",
        "/properties",
        "/session",
        "/session/chat",
        "/request",
    }


def test_forms_send_what_is_stored(site: httpx2.Client) -> None:
    page = site.get("/session/delete", params={"id": EVIL, "name": EVIL}).text
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
    form = {name: html.unescape(value) for name, value in fields.items()}
    assert form["id"] == form["name"] == EVIL
    assert site.post("/session/delete", data=form).status_code == 303
    assert site.get("/session", params={"id": EVIL}).status_code == 404


def test_a_curl_command_sends_the_same_json() -> None:
    command = curl_command(REQUESTS[0], "http://localhost")
    assert command is not None
    assert not any(character in HIDING for character in command)
    words = shlex.split(command.replace("\\\n", " "))
    assert json.loads(words[words.index("--data-raw") + 1]) == BODY


@given(st.text())
def test_only_what_is_invisible_is_written_out(text: str) -> None:
    shown = revealed(text)
    assert not any(map(is_invisible, shown))
    if not any(map(is_invisible, text)):
        assert shown == text


@given(st.characters())
def test_marks_of_direction_are_invisible_and_text_is_not(character: str) -> None:
    if unicodedata.bidirectional(character) in {
        *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    }:
        assert is_invisible(character)
    if character.isprintable() or character in " \t\n\r\u00a0":
        assert not is_invisible(character)
