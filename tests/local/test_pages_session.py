"""The pages of one session and of its requests, read as a browser would."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from otel_helicone.local.analysis.report import report
from otel_helicone.local.pages.session_rows import MOST_ROWS, find_folder, session_rows
from otel_helicone.local.pages.trace_link import trace_link
from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.records import RequestRecord
from otel_helicone.local.storage.writer import StoreWriter
from otel_helicone.settings.local import checked_trace_url
from tests.local.page_reading import Page
from tests.local.session_records import call

Serve = Callable[..., "Browser"]
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


class Browser:
    """Asks for pages, and keeps what forms need."""

    def __init__(self, helicone: LocalHelicone, http: httpx2.Client) -> None:
        self.helicone = helicone
        self.http = http

    def get(self, page: str, status: int = 200, /, **query: str | int) -> str:
        answer = self.http.get(f"{page}?{urlencode(query)}")
        assert answer.status_code == status, answer.text
        return answer.text

    def session(self, **query: str | int) -> str:
        return self.get("/session", 200, **{"id": "trip-1", "name": "Trip", **query})

    def send(self, page: str, action: str, **fields: str) -> httpx2.Response:
        """Fill in a form of a page, and send it."""
        (form,) = re.findall(rf'<form[^>]*action="{action}".*?</form>', page, re.DOTALL)
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))
        given = {name: html.unescape(value) for name, value in hidden.items()}
        return self.http.post(action, data={**given, **fields})


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(*records: RequestRecord, **settings: Any) -> Browser:
            path = tmp_path / "requests.db"
            writer = StoreWriter(path)
            for record in records:
                writer.put(record)
            writer.close()
            helicone = stack.enter_context(LocalHelicone(path, latency=0, **settings))
            http = httpx2.Client(base_url=helicone.url, trust_env=False)
            return Browser(helicone, stack.enter_context(http))

        yield start


def text_of(page: str) -> str:
    """Give the words of a page."""
    main = page.partition("<main")[2].partition("</main>")[0] or page
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())


def section(page: str, heading: str) -> str:
    """Give the words below a heading, up to the next one."""
    after = page.partition(f">{heading}</h2>")[2]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", after.split("<h2")[0])).split())


TRIP = [
    call("/plan", 0, 400, status=429, response_body='{"error": {"message": "Slow down"}}'),
    call("/plan", 500, 300, cost_usd=0.5),
    call("/plan/flight", 900, 800, user_id="ada", properties={"env": "prod"}),
    call("/plan/hotel", 950, 200),
    call("/caf%C3%A9", 2000, 100, cost_usd=0.25),
]


def test_a_session_tells_where_its_time_went(serve: Serve) -> None:
    page = serve(*TRIP).session()
    words = text_of(page)
    for said in ("trip-1", "ada", "2100 ms", "at most 2 at once", "$0.75", "1 error"):
        assert said in words or said == "1 error"
    assert "café" in words  # decoded for people
    assert "Of 2100 ms, 1600 ms (76 %)" in section(page, "Critical path")
    assert "/plan was tried 2 times and succeeded at last" in section(page, "Errors and retries")
    assert "429 Slow down" in section(page, "Errors and retries")
    assert "attempt 1 of 2" in section(page, "Tree and timeline")
    assert section(page, "Slowest steps").startswith("/plan/flight 800 ms")
    assert section(page, "Dearest steps").startswith("/plan $0.5")
    assert "3 gaps, 500 ms in all" in section(page, "Tree and timeline")
    assert "env : prod (1 requests)" in section(page, "Properties")


def test_bars_stand_where_the_requests_were(serve: Serve) -> None:
    page = serve(call("/a", 0, 500), call("/b", 500, 500)).session()
    bars = re.findall(r'<rect class="usual" x="([\d.]+)" y="2" width="([\d.]+)"', page)
    assert bars[:2] == [("0.0", "500.0"), ("500.0", "500.0")]
    assert page.count('<span class="mark"') == 2


def test_short_sessions_are_not_explained_at_length(serve: Serve) -> None:
    page = serve(call("/plan")).session()
    for heading in ("Critical path", "Time by segment", "Slowest steps", "Compared"):
        assert f">{heading}" not in page


def test_a_session_is_compared_with_others_of_its_name(serve: Serve) -> None:
    others = [call("/plan", session_id=f"trip-{n}") for n in (2, 3, 4)]
    page = serve(*others, call("/plan", 0, 900), call("/new", 900, 50)).session()
    words = section(page, "Compared with the usual")
    assert "3 other sessions" in words
    assert "Duration 950 ms 100 ms 100 %" in words
    assert "/plan 900 ms 100 ms +800 ms" in words
    assert "/new 50 ms new +50 ms" in words


def test_an_id_with_two_names_asks_which(serve: Serve) -> None:
    browser = serve(call(), call(session_name="Other & more"))
    page = browser.get("/session", id="trip-1")
    assert "One id, several sessions" in text_of(page)
    (address,) = [html.unescape(a) for a in re.findall(r'href="(/session\?[^"]*Other[^"]*)"', page)]
    assert "<h1>Other &amp; more</h1>" in browser.http.get(address).text


@pytest.mark.parametrize(
    ("path", "query", "status", "said"),
    [
        ("/session", {"id": "no"}, 404, "No session has the id 'no'"),
        ("/session", {}, 404, "No session has the id ''"),
        ("/session", {"id": "trip-1", "name": "x"}, 404, "and the name 'x'"),
        ("/session", {"id": "trip-1", "path": "/no"}, 404, "nothing at the path '/no'"),
        ("/session", {"id": "trip-1", "from": "x"}, 400, "'from' is 'x'. Give a number"),
        ("/request", {"id": "no"}, 404, "No request has the id 'no'"),
        ("/session/delete", {"id": "no"}, 404, "No session has the id 'no'"),
        ("/session/chat", {"id": "no"}, 404, "No session"),
        ("/session/export.html", {"id": "no"}, 404, "No session"),
    ],
)
def test_what_is_not_there_is_said(
    serve: Serve, path: str, query: dict[str, str], status: int, said: str
) -> None:
    assert said in text_of(serve(call()).get(path, status, **query))


def test_a_request_shows_what_was_said_and_how_long_it_took(serve: Serve) -> None:
    asked = call(
        "/plan",
        session_id=TRACE_ID,
        request_body=json.dumps({"messages": [{"role": "user", "content": "Where to?"}]}),
        response_body=json.dumps({"choices": [{"message": {"content": "To the sea."}}]}),
        cost_usd=0.125,
    )
    before, after = (call("/x", n, session_id=TRACE_ID) for n in (-500, 500))
    browser = serve(before, asked, after, trace_url="http://jaeger.test/trace/{trace_id}")
    page = browser.get("/request", id=asked.request_id.upper())
    words = text_of(page)
    for said in ("Where to?", "To the sea.", "$0.125", "200", "50.0 out a second"):
        assert said in words
    assert f'href="http://jaeger.test/trace/{TRACE_ID}"' in page
    assert f'rel="prev" href="/request?id={before.request_id}"' in page
    assert f'rel="next" href="/request?id={after.request_id}"' in page
    assert f"curl {browser.helicone.url}/v1/chat/completions" in words


def test_bodies_that_were_not_stored_are_not_missed(serve: Serve) -> None:
    asked = call(request_body="", response_body="")
    page = serve(asked).get("/request", id=asked.request_id)
    assert "The bodies were not stored." in text_of(page)


def test_a_conversation_is_shown_page_by_page(serve: Serve) -> None:
    body = [json.dumps({"messages": [{"role": "user", "content": f"No. {n}"}]}) for n in range(60)]
    browser = serve(*(call("/plan", n, request_body=body[n]) for n in range(60)))
    first = text_of(browser.get("/session/chat", id="trip-1"))
    assert "No. 0" in first
    assert "No. 50" not in first
    assert "Requests 1 to 50 of 60" in first
    rest = text_of(browser.get("/session/chat", id="trip-1", **{"from": 50}))
    assert "No. 59" in rest


def test_long_sessions_are_shown_in_parts(serve: Serve) -> None:
    records = [call(f"/batch/{n % 3}", n * 10, 5) for n in range(2000)]
    browser = serve(*records, call("/end", 20_000))
    page = browser.session()
    assert page.count("<tr") < MOST_ROWS + 60
    links = re.findall(r'href="([^"]+)">… ([\d,]+) more here', page)
    assert [count for _, count in links] == ["567", "567", "566"]
    part = browser.http.get(html.unescape(links[0][0])).text
    assert "Only /batch/0 from entry 101." in text_of(part)
    assert part.count("<tr") > 400


def test_rows_never_pass_their_limit_and_leave_nothing_unsaid() -> None:
    records = [call(f"/{n % 7}/{n % 50}/{n}", n) for n in range(3000)]
    told = report(records)
    for most in (10, 100, MOST_ROWS):
        rows = session_rows(told, most=most)
        assert len(rows) <= most + 8
        shown = sum(row.requests for row in rows if row.request is not None)
        assert shown < 3000
        assert any(row.more for row in rows)
    everything = session_rows(report(records[:40]))
    assert sum(row.requests for row in everything if row.request is not None) == 40
    assert find_folder(told.tree, ["3"]) is not None
    assert find_folder(told.tree, ["3", "no"]) is None


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "\u202ebidi\u200b",
    "a\x00b\x1b[2J",
    "x" * 10_000,
    "/../..//",
]
PAGES_OF_A_SESSION = ("/session", "/session/chat", "/session/export.html")


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_stays_text(serve: Serve, text: str) -> None:
    said = json.dumps({"messages": [{"role": text, "content": text}], "error": text})
    asked = call(
        text,
        session_id=text,
        session_name=text,
        user_id=text,
        model=text,
        properties={"p": text},
        request_body=said,
        response_body=said,
        status=500,
    )
    browser = serve(asked, call(text, 500, session_id=text, session_name=text))
    addresses = [
        *(f"{path}?{urlencode({'id': text})}" for path in PAGES_OF_A_SESSION),
        *(f"/request?id={asked.request_id}", "/", "/users", "/models", "/properties?name=p"),
    ]
    for address in addresses:
        page = Page(browser.http.get(address))
        assert page.status == 200
        tags = [tag for tag, _ in page.tags]
        assert tags.count("script") <= 1
        assert "img" not in tags
        for _, attributes in page.tags:
            assert not [name for name in attributes if name.startswith("on") or name == "style"]
            for name in ("href", "src", "action"):
                assert not (attributes.get(name) or "").strip().lower().startswith("javascript")
        assert "49{%" not in page.words
        assert not set("\u202e\u200b\x1b\x00") & set(page.words)


def test_an_export_is_one_file_that_loads_nothing(serve: Serve) -> None:
    said = json.dumps({"messages": [{"role": "user", "content": "a secret plan"}]})
    browser = serve(*TRIP, call("/x", 3000, request_body=said))
    answer = browser.http.get("/session/export.html?id=trip-1")
    assert answer.headers["content-disposition"] == 'attachment; filename="Trip-trip-1.html"'
    assert "a secret plan" in answer.text
    assert "default-src &#39;none&#39;" in answer.text or "default-src 'none'" in answer.text
    assert not re.search(r"<(script|link|a|img|form)\b", answer.text)
    assert section(answer.text, "Critical path") == section(browser.session(), "Critical path")
    bare = browser.http.get("/session/export.html?id=trip-1&bodies=0").text
    assert "a secret plan" not in bare


def test_the_json_export_is_what_the_command_prints(serve: Serve) -> None:
    browser = serve(call("/plan", request_body='{"a": 1}', session_name="Größe/x"))
    answer = browser.http.get("/session/export.json?id=trip-1")
    (exported,) = answer.json()
    assert exported["session_path"] == "/plan"
    assert exported["request_body"] == '{"a": 1}'
    assert re.fullmatch(
        r'attachment; filename="[A-Za-z0-9._-]+\.json"', answer.headers["content-disposition"]
    )
    bare = browser.http.get("/session/export.json?id=trip-1&bodies=0").json()
    assert bare[0]["request_body"] == ""


def test_a_session_is_tagged_and_a_request_scored_from_their_pages(serve: Serve) -> None:
    asked = call("/plan")
    browser = serve(asked)
    assert browser.send(browser.session(), "/session/tag", tag=" mine ").status_code == 303
    assert "Tag mine" in text_of(browser.session())
    page = browser.get("/request", id=asked.request_id)
    for value, stored in (("7", {"good": 7}), ("true", {"good": 7, "good-hcone-bool": 1})):
        done = browser.send(page, "/request/score", score="good", value=value)
        assert done.status_code == 303
        (scored,) = browser.helicone.store.requests()
        assert scored.scores == stored
    for wrong in ("0.5", "", "much"):
        refused = browser.send(page, "/request/score", score="good", value=wrong)
        assert refused.status_code == 400
        assert "a whole number, true or false" in text_of(refused.text)
    assert browser.send(browser.session(), "/session/tag", tag="x" * 201).status_code == 400


def test_deleting_asks_first(serve: Serve) -> None:
    browser = serve(*TRIP)
    page = browser.get("/session/delete", id="trip-1", name="Trip")
    assert "5 requests" in text_of(page)
    assert len(browser.helicone.store.requests()) == 5
    assert browser.send(page, "/session/delete").headers["location"] == "/"
    assert browser.helicone.store.requests() == []


def events(lines: Iterator[str], most: int) -> list[str]:
    found: list[str] = []
    for line in lines:
        if line.startswith("event:"):
            found.append(line)
            if len(found) == most:
                break
    return found


def test_pages_are_told_when_something_was_stored(serve: Serve) -> None:
    browser = serve(call())
    with browser.http.stream("GET", "/live", timeout=60) as watching:
        lines = watching.iter_lines()
        assert next(lines) == "retry: 2000"
        chat = {"model": "gpt-4o-mini", "messages": []}
        with httpx2.Client(trust_env=False) as other:
            other.post(f"{browser.helicone.base_url}/chat/completions", json=chat)
        assert events(lines, 1) == ["event: change"]


def test_too_many_watchers_are_asked_to_wait(serve: Serve) -> None:
    browser = serve()
    limits = httpx2.Limits(max_connections=100)
    with (
        ExitStack() as stack,
        httpx2.Client(base_url=browser.helicone.url, trust_env=False, limits=limits) as http,
    ):
        listening = []  # an iterator that is let go of hangs up
        for _ in range(64):
            answer = stack.enter_context(http.stream("GET", "/live"))
            assert answer.status_code == 200
            listening.append(answer.iter_lines())
            assert next(listening[-1]).startswith("retry")
        refused = stack.enter_context(http.stream("GET", "/live"))
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")


@pytest.mark.parametrize(
    ("template", "session_id", "address"),
    [
        ("http://j/{trace_id}", TRACE_ID, f"http://j/{TRACE_ID}"),
        ("http://j/{trace_id}", "0af76519-16cd-43dd-8448-eb211c80319c", f"http://j/{TRACE_ID}"),
        ("http://j/{trace_id}", "trip 1", None),
        ("http://j/?s={session_id}", "trip 1/&", "http://j/?s=trip%201%2F%26"),
        ("", TRACE_ID, None),
    ],
)
def test_a_session_leads_to_its_trace(template: str, session_id: str, address: str | None) -> None:
    assert trace_link(checked_trace_url(template), session_id) == address


def names(rows: Sequence[Any]) -> list[str | None]:
    return [row.segment for row in rows]


def test_a_folder_with_one_request_is_one_row() -> None:
    rows = session_rows(report([call("/a/b", 0), call("/a/c", 200), call("/a", 400)]))
    assert names(rows) == ["a", "b", "c", None]
    assert [row.depth for row in rows] == [0, 1, 1, 1]
