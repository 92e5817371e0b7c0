"""The pages of the local Helicone in a real browser: looks, keyboard, accessibility, safety."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import openai
import pytest

from examples.space_course.__main__ import main as run_demo
from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.records import RequestRecord
from otel_helicone.local.storage.writer import StoreWriter
from tests.integration.browsers import NARROW, WIDE, Browser, Scheme, Visit, open_browser

STARTED = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
HOSTILE = (
    "<script>document.title='broken'</script>"
    "<img src=x onerror=\"document.title='broken'\">"
    "\"'><svg onload=document.title='broken'>\u202egpj.exe"
)


def call(
    session_id: str,
    path: str,
    *,
    name: str = "Trip",
    start_ms: int = 0,
    latency_ms: int = 100,
    status: int = 200,
    question: str = "Where to?",
    answer: str = "To the sea.",
    user_id: str | None = "ada",
    model: str = "gpt-4o-mini",
) -> RequestRecord:
    asked = {"model": model, "messages": [{"role": "user", "content": question}]}
    said: dict[str, object] = {"error": {"message": answer}}
    if status == 200:
        message = {"role": "assistant", "content": answer}
        said = {"model": model, "choices": [{"index": 0, "message": message}]}
    return RequestRecord(
        request_id=str(uuid.uuid4()),
        session_id=session_id,
        session_path=path,
        session_name=name,
        user_id=user_id,
        properties={"environment": "test"},
        provider="OPENAI",
        model=model,
        method="POST",
        target_path="/v1/chat/completions",
        status=status,
        prompt_tokens=12,
        completion_tokens=5 if status == 200 else 0,
        total_tokens=17 if status == 200 else 12,
        started_at=STARTED + timedelta(milliseconds=start_ms),
        latency_ms=latency_ms,
        time_to_first_token_ms=None,
        request_body=json.dumps(asked),
        response_body=json.dumps(said),
        cost_usd=0.0000048,
    )


ORDINARY = [
    call("ordinary", "/plan", latency_ms=900),
    call("ordinary", "/plan/flight", start_ms=950, latency_ms=2000),
    call("ordinary", "/plan/hotel", start_ms=960, latency_ms=700),
    call("ordinary", "/book", start_ms=3400, latency_ms=300),
]
TROUBLED = [
    call("troubled", "/plan", latency_ms=400, status=429, answer="Rate limit reached"),
    call("troubled", "/plan", start_ms=500, latency_ms=300, status=500, answer="Overloaded"),
    call("troubled", "/plan", start_ms=900, latency_ms=800),
    call("troubled", "/book", start_ms=1800, latency_ms=100, status=-3),
]
ATTACK = [
    call(
        HOSTILE,
        f"/{HOSTILE.replace('/', '%2F')}",
        name=HOSTILE,
        question=HOSTILE,
        answer=HOSTILE,
        user_id=HOSTILE,
        model=HOSTILE,
    )
]
LONG = [
    call("long", f"/batch/{n % 20}/item {n}", name="Long", start_ms=n * 5, latency_ms=40)
    for n in range(10_000)
]


def stored(path: Path, records: Sequence[RequestRecord]) -> Path:
    writer = StoreWriter(path)
    for record in records:
        writer.put(record)
    writer.close()
    return path


@dataclass(frozen=True)
class Stores:
    """Servers by what is in their stores."""

    filled: LocalHelicone
    empty: LocalHelicone


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    folder = tmp_path_factory.mktemp("stores")
    filled = stored(folder / "filled.db", [*ORDINARY, *TROUBLED, *ATTACK, *LONG])
    assert run_demo(["--store", str(filled)]) == 0
    with LocalHelicone(filled, latency=0) as one, LocalHelicone(folder / "empty.db") as other:
        yield Stores(one, other)


@pytest.fixture(scope="module")
def browser(stores: Stores) -> Iterator[Browser]:
    # The demo has an event loop of its own, for which there is no room beside the browser's.
    assert stores.filled.is_running
    with open_browser() as browser:
        yield browser


def session(session_id: str, name: str = "Trip") -> str:
    return "/session?" + urlencode({"id": session_id, "name": name})


def demo_session(stores: Stores) -> str:
    (demo,) = (s for s in stores.filled.store.sessions() if s.session_name == "Space Course")
    return session(demo.session_id, demo.session_name)


def request_page(records: Sequence[RequestRecord], number: int = 0) -> str:
    return "/request?" + urlencode({"id": records[number].request_id})


PAGES = {
    "sessions": "/",
    "names": "/sessions/names",
    "users": "/users",
    "properties": "/properties?name=environment",
    "ordinary session": session("ordinary"),
    "troubled session": session("troubled"),
    "hostile session": session(HOSTILE, HOSTILE),
    "long session": session("long", "Long"),
    "ordinary request": request_page(ORDINARY),
    "failed request": request_page(TROUBLED),
    "hostile request": request_page(ATTACK),
    "conversation": session("ordinary").replace("/session?", "/session/chat?"),
    "hostile conversation": session(HOSTILE, HOSTILE).replace("/session?", "/session/chat?"),
    "the demo": "demo",
}


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_pages_are_accessible_and_fit_the_screen(
    browser: Browser, stores: Stores, page: str, scheme: Scheme, size: tuple[int, int]
) -> None:
    address = demo_session(stores) if page == "the demo" else PAGES[page]
    with browser.visit(stores.filled.host, scheme=scheme, size=size) as visit:
        visit.open(address)
        assert visit.accessibility_problems() == []
        assert not visit.is_wider_than_the_screen()
        assert visit.page.title() != "broken"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", ["/", "/sessions/names", "/users", "/properties"])
def test_an_empty_store_says_how_to_begin(
    browser: Browser, stores: Stores, page: str, scheme: Scheme
) -> None:
    with browser.visit(stores.empty.host, scheme=scheme, size=NARROW) as visit:
        visit.open(page)
        assert visit.accessibility_problems() == []
        assert not visit.is_wider_than_the_screen()
        if page == "/":
            assert stores.empty.base_url in visit.page.inner_text("main")


@pytest.mark.parametrize("page", PAGES)
def test_pages_work_without_scripts(browser: Browser, stores: Stores, page: str) -> None:
    address = demo_session(stores) if page == "the demo" else PAGES[page]
    with browser.visit(stores.filled.host, scripts=False) as visit:
        visit.open(address)
        assert visit.page.locator("h1").inner_text()


def tab_to(visit: Visit, text: str, most: int = 120) -> None:
    """Press the tab key until something with this text has the focus."""
    for _ in range(most):
        visit.page.keyboard.press("Tab")
        if text in visit.focused() and visit.focuses_a_link():
            return
    raise AssertionError(f"{text!r} cannot be reached with the tab key")


def test_the_keyboard_alone_leads_from_the_list_to_a_request(
    browser: Browser, stores: Stores
) -> None:
    with browser.visit(stores.filled.host) as visit:
        visit.open("/?search=ordinary")
        visit.page.keyboard.press("Tab")
        assert visit.focused() == "Skip to the content"
        visit.page.keyboard.press("Enter")
        tab_to(visit, "Trip")
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_url("**/session?**")
        tab_to(visit, "flight")
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_url("**/request?**")
        assert "To the sea." in visit.page.inner_text("main")


def test_hostile_text_is_shown_and_never_run(browser: Browser, stores: Stores) -> None:
    with browser.visit(stores.filled.host) as visit:
        for page in ("hostile session", "hostile request", "hostile conversation"):
            visit.open(PAGES[page])
            shown = visit.page.inner_text("main")
            assert "<script>" in shown or "%3Cscript" in shown
            assert "\u202e" not in shown
            assert visit.page.locator("main script, main img[src=x], main svg[onload]").count() == 0
            assert visit.page.evaluate("document.title") != "broken"


def test_an_exported_session_shows_the_same_from_a_file(
    browser: Browser, stores: Stores, tmp_path: Path
) -> None:
    with browser.visit(stores.filled.host) as visit:
        address = PAGES["hostile session"].replace("/session?", "/session/export.html?")
        exported = tmp_path / "session.html"
        exported.write_bytes(visit.page.request.get(f"http://{stores.filled.host}{address}").body())
        visit.host = ""
        visit.page.goto(exported.as_uri())
        assert "<script>" in visit.page.inner_text("body")
        assert visit.page.title() != "broken"
        assert visit.accessibility_problems() == []
        visit.strangers = [url for url in visit.strangers if not url.startswith("file:")]


def test_a_running_session_fills_while_one_watches(browser: Browser, stores: Stores) -> None:
    helicone = stores.empty
    headers = {"Helicone-Session-Id": "live", "Helicone-Session-Name": "Live"}
    with openai.OpenAI(base_url=helicone.base_url, api_key="none") as client:

        def ask(path: str) -> None:
            client.chat.completions.create(
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": "Hello"}],
                extra_headers={**headers, "Helicone-Session-Path": path},
            )
            assert helicone.settle()

        ask("/first")
        with browser.visit(helicone.host) as visit:
            visit.open(session("live", "Live"))
            assert "second" not in visit.page.inner_text("main")
            link = visit.page.get_by_role("link", name="first").first
            link.focus()
            ask("/second")
            visit.page.get_by_text("second").first.wait_for(timeout=60_000)
            # The reader's place is kept.
            assert "first" in visit.focused()


def test_a_session_is_deleted_from_its_page(browser: Browser, tmp_path: Path) -> None:
    path = stored(tmp_path / "requests.db", ORDINARY)
    with LocalHelicone(path) as helicone, browser.visit(helicone.host) as visit:
        visit.open(session("ordinary"))
        visit.page.get_by_text("Delete", exact=False).first.click()
        visit.page.get_by_role("button", name="Delete").last.click()
        visit.page.wait_for_url(f"http://{helicone.host}/")
        assert helicone.store.sessions() == []


def test_forms_of_other_sites_are_refused(browser: Browser, stores: Stores, tmp_path: Path) -> None:
    """A page of another site, open in the developer's browser, posts to the local Helicone."""
    form = (
        f'<form method="post" action="{stores.empty.url}/v1/chat/completions"'
        ' enctype="text/plain"><input name="a" value="b"><button>Send</button></form>'
    )
    other = tmp_path / "other.html"
    other.write_text(form)
    with browser.visit(stores.empty.host) as visit:
        visit.page.goto(other.as_uri())
        with visit.page.expect_navigation() as navigation:
            visit.page.click("button")
        assert navigation.value.status == 403
        visit.errors.clear()  # the console tells of the 403
        visit.strangers = [url for url in visit.strangers if not url.startswith("file:")]
