"""The lists as a browser gets them: sessions, names, users, models, properties."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.records import RequestRecord
from otel_helicone.local.storage.writer import StoreWriter
from tests.local.page_reading import Page

STARTED = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
PROD = {"environment": "prod"}
HOSTILE = "<script>alert('1')</script>\u202e\"'><img src=x>"


Visit = Callable[[str], Page]
Opening = Callable[[Sequence[RequestRecord]], Visit]


@pytest.fixture
def opening(tmp_path: Path) -> Iterator[Opening]:
    """Give a function that stores records, starts the local Helicone, and reads its pages."""
    with ExitStack() as stack:

        def open_pages(records: Sequence[RequestRecord]) -> Visit:
            path = tmp_path / "requests.db"
            writer = StoreWriter(path)
            for record in records:
                writer.put(record)
            writer.close()
            helicone = stack.enter_context(LocalHelicone(path, latency=0))
            browser = stack.enter_context(httpx2.Client(base_url=helicone.url))
            return lambda address: Page(browser.get(address, follow_redirects=True))

        yield open_pages


def call(
    session_id: str | None = "one",
    name: str | None = "Trip",
    *,
    user_id: str | None = "ada",
    status: int = 200,
    after: timedelta = timedelta(0),
    latency_ms: int = 1000,
    cost_usd: float | None = 0.01,
    model: str = "gpt-4o-mini",
    properties: Mapping[str, str] | None = None,
) -> RequestRecord:
    return RequestRecord(
        request_id=str(uuid.uuid4()),
        session_id=session_id,
        session_path="/plan",
        session_name=name,
        user_id=user_id,
        properties=properties or {},
        provider="OPENAI",
        model=model,
        method="POST",
        target_path="/v1/chat/completions",
        status=status,
        prompt_tokens=900,
        completion_tokens=100,
        total_tokens=1000,
        started_at=STARTED + after,
        latency_ms=latency_ms,
        time_to_first_token_ms=None,
        request_body="{}",
        response_body="{}",
        cost_usd=cost_usd,
    )


THREE = [
    call("trip-1", "Trip", user_id="ada", properties=PROD),
    call("trip-1", "Trip", user_id="bob", after=timedelta(seconds=4), properties=PROD),
    call("trip-2", "Trip", user_id="ada", status=500, after=timedelta(hours=1), cost_usd=0.05),
    call(
        "chat-1",
        "Chat",
        user_id=None,
        after=timedelta(hours=2),
        latency_ms=90_000,
        cost_usd=None,
        model="local",
        properties={"environment": "test"},
    ),
]


def sessions_of(page: Page) -> list[str]:
    """Give the ids of the list's sessions in their order."""
    found = [
        dict(parse_qsl(urlsplit(href).query))["id"]
        for href in page.links.values()
        if href.startswith("/session?")
    ]
    return list(dict.fromkeys(found))


def test_a_session_has_its_figures_in_its_row(opening: Opening) -> None:
    page = opening(THREE)("/")
    assert page.row("Trip trip-1") == [
        "Trip trip-1",
        "ada , bob",
        "2026-05-04 12:00:00 UTC",
        "5000 ms",
        "2",
        "0",
        "2,000",
        "$0.0200",
    ]
    assert page.row("Trip trip-2")[5] == "1"
    assert page.row("Chat chat-1")[-1] == "$0 1 without a price"
    assert "3 sessions" in page.words
    assert page.links["Trip trip-1"] == "/session?id=trip-1&name=Trip"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["chat-1", "trip-2", "trip-1"]),
        ("search=TRIP-", ["trip-2", "trip-1"]),
        ("name=Chat", ["chat-1"]),
        ("name=Chat&name=Trip", ["chat-1", "trip-2", "trip-1"]),
        ("user=bob", ["trip-1"]),
        ("without=user", ["chat-1"]),
        ("model=local", ["chat-1"]),
        ("status=error", ["trip-2"]),
        ("status=success", ["chat-1", "trip-1"]),
        ("status=500", ["trip-2"]),
        ("property=environment&value=prod", ["trip-1"]),
        ("property=environment&value=prod&property=environment&value=test", []),
        ("from=2026-05-04T13:00", ["chat-1", "trip-2"]),
        ("to=2026-05-04T13:00", ["trip-1"]),
        ("cost_from=0.03", ["trip-2"]),
        ("cost_from=0.01&cost_to=0.03", ["trip-1"]),
        ("duration_from=60", ["chat-1"]),
        ("duration_to=4.5", ["trip-2"]),
        ("user=ada&status=error", ["trip-2"]),
        ("sort=cost", ["trip-2", "trip-1", "chat-1"]),
        ("sort=duration&order=asc", ["trip-2", "trip-1", "chat-1"]),
        ("sort=name", ["chat-1", "trip-1", "trip-2"]),
        ("sort=requests", ["trip-1", "chat-1", "trip-2"]),
    ],
)
def test_sessions_are_filtered_and_sorted_by_the_address(
    opening: Opening, query: str, expected: list[str]
) -> None:
    found = sessions_of(opening(THREE)(f"/?{query}"))
    if query == "sort=requests":  # the two with one request may stand either way
        assert found[0] == expected[0]
        found, expected = sorted(found), sorted(expected)
    assert found == expected


def test_the_last_hour_counts_from_now(opening: Opening) -> None:
    recently = datetime.now(UTC) - timedelta(minutes=10) - STARTED
    visit = opening([call("old"), call("new", after=recently)])
    assert sessions_of(visit("/?last=hour")) == ["new"]


def test_parts_of_a_filter_are_taken_off_one_by_one(opening: Opening) -> None:
    visit = opening(THREE)
    page = visit("/?user=ada&status=error")
    assert "Take off User: ada" in page.links
    fewer = visit(page.links["Take off Status: with errors"])
    assert sessions_of(fewer) == ["trip-2", "trip-1"]
    assert page.links["Take all off"] == "/"


def test_where_nothing_is_found_the_page_says_what_to_take_off(opening: Opening) -> None:
    page = opening(THREE)("/?user=bob&status=error&sort=cost")
    assert "No session has all of this." in page.words
    assert re.search(r"Take off “User: bob”\s*: 1 session\n", page.words)
    assert re.search(r"Take off “Status: with errors”\s*: 1 session\n", page.words)
    assert page.links["Take off “User: bob”"] == "/?status=error&sort=cost"
    assert page.attributes("table") == []


@pytest.mark.parametrize("address", ["/", "/?user=ada", "/sessions/names", "/users", "/models"])
def test_an_empty_store_says_how_to_begin(opening: Opening, address: str) -> None:
    page = opening([])(address)
    assert page.status == 200
    if address != "/?user=ada":
        assert re.search(r"http://127\.0\.0\.1:\d+/v1", page.words)
        assert "Helicone-Session-Id" in page.words


def test_what_a_form_leaves_empty_is_not_in_the_address(opening: Opening) -> None:
    visit = opening(THREE)
    page = visit("/?search=&name=&user=ada&model=&property=&value=&last=&cost_from=&sort=cost")
    assert page.attributes("div", id="live")[0]["data-live"] == "/?user=ada&sort=cost"


def test_a_form_keeps_the_order_and_gives_back_what_was_asked_for(opening: Opening) -> None:
    page = opening(THREE)(
        "/?sort=cost&order=asc&size=100&user=ada&without=name&status=418"
        "&property=environment&value=prod&from=2026-01-01T10:00"
    )
    hidden = {given["name"]: given["value"] for given in page.attributes("input", type="hidden")}
    assert hidden == {"sort": "cost", "order": "asc", "size": "100", "without": "name"}
    assert page.attributes("input", name="user")[0]["value"] == "ada"
    assert page.attributes("input", name="from")[0]["value"] == "2026-01-01T10:00:00"
    assert [given["value"] for given in page.attributes("input", name="property")] == [
        "environment",
        "",
    ]
    assert "selected" in page.attributes("option", value="418")[0]
    assert [given["value"] for given in page.attributes("option")][-1] == "environment"


def test_a_heading_tells_the_order_and_turns_it(opening: Opening) -> None:
    visit = opening(THREE)
    page = visit("/?sort=cost")
    assert page.attributes("th", **{"aria-sort": "descending"})
    turned = visit(page.links["Cost"])
    assert turned.attributes("th", **{"aria-sort": "ascending"})
    assert sessions_of(turned) == ["chat-1", "trip-1", "trip-2"]


def test_a_long_list_has_pages(opening: Opening) -> None:
    visit = opening([call(f"s-{n:03}", after=timedelta(minutes=n)) for n in range(120)])
    page = visit("/")
    assert "1 to 50 of 120 sessions" in page.words
    assert "Previous" not in page.links
    page = visit(visit(page.links["Next"]).links["Next"])
    assert "101 to 120 of 120 sessions" in page.words
    assert sessions_of(page)[0] == "s-019"
    assert "Next" not in page.links
    assert len(sessions_of(visit(page.links["100"]))) == 100
    beyond = visit("/?page=7")
    assert "There is no page 7: the last one is 3." in beyond.words
    assert "101 to 120 of 120 sessions" in visit(beyond.links["Previous"]).words


def test_charts_have_the_same_numbers_as_their_table(opening: Opening) -> None:
    visit = opening(THREE)
    page = visit("/")
    pictures = page.attributes("svg", role="img")
    assert [str(given["aria-label"]).partition(".")[0] for given in pictures] == [
        "Sessions over time: 3 sessions, 1 with errors",
        "Session duration over time: p95 up to 90",
        "Cost over time: $0",
    ]
    failed = page.row("2026-05-04 13:00:00 UTC")
    assert failed[1:] == ["1", "1", "1000 ms", "1000 ms", "$0.0500"]
    assert sessions_of(visit(page.links["2026-05-04 13:00:00 UTC"])) == ["trip-2"]


@pytest.mark.parametrize("page", ["/", "/sessions/names", "/users", "/models", "/properties"])
def test_wrong_values_are_refused_on_every_list(opening: Opening, page: str) -> None:
    refused = opening(THREE)(f"{page}?cost_from=abc")
    assert refused.status == 400
    assert "The field 'cost_from' cannot be 'abc': give a number" in refused.words


def test_names_group_sessions_with_percentiles(opening: Opening) -> None:
    visit = opening(THREE)
    page = visit("/sessions/names?sort=cost")
    assert page.row("Trip") == [
        "Trip",
        *("2", "1", "3", "1", "3,000", "$0.0700"),
        *("3000 ms", "4000 ms", "4600 ms", "4800 ms", "4960 ms"),
        *("$0.0350", "$0.0485"),
        "2026-05-04 13:00:00 UTC",
    ]
    assert sessions_of(visit(page.links["Trip"])) == ["trip-2", "trip-1"]


def test_names_keep_the_filter_on_the_way_to_their_sessions(opening: Opening) -> None:
    visit = opening([*THREE, call("nameless", None, user_id="bob")])
    page = visit("/sessions/names?user=bob")
    assert page.links["(no name)"] == "/?without=name&user=bob"
    assert sessions_of(visit(page.links["(no name)"])) == ["nameless"]
    assert sessions_of(visit(page.links["Trip"])) == ["trip-1"]
    assert [row[0] for row in visit("/sessions/names?sort=name").rows[2:]] == [
        "(no name)",
        "Chat",
        "Trip",
    ]


def test_users_show_who_costs_what_and_whose_sessions_fail(opening: Opening) -> None:
    visit = opening(THREE)
    page = visit("/users")
    assert page.row("ada") == [
        *("ada", "2", "1 50.0%", "2", "1 50.0%", "2,000", "$0.0600", "85.7%", "1000 ms")
    ]
    assert [row[0] for row in page.rows[1:]] == ["ada", "bob", "(no user)"]
    assert sessions_of(visit(page.links["ada"])) == ["trip-2", "trip-1"]
    assert sessions_of(visit(page.links["(no user)"])) == ["chat-1"]
    by_latency = visit(page.links["Mean latency"])
    assert by_latency.rows[1][0] == "(no user)"


def test_requests_in_no_session_count_for_their_user(opening: Opening) -> None:
    page = opening([call(None, None, user_id="eve")])("/users")
    assert page.row("eve")[1:4] == ["0", "0", "1"]


def test_models_are_listed_with_their_costs(opening: Opening) -> None:
    visit = opening(THREE)
    page = visit("/models")
    assert page.row("gpt-4o-mini")[6:8] == ["$0.0700", "100.0%"]
    assert sessions_of(visit(page.links["local"])) == ["chat-1"]


def test_a_property_is_chosen_and_its_values_compared(opening: Opening) -> None:
    visit = opening([*THREE, call("trip-3", properties={"tenant": "t1"})])
    page = visit("/properties?name=environment")
    assert page.row("prod")[:4] == ["prod", "1", "0", "2"]
    assert sessions_of(visit(page.links["test"])) == ["chat-1"]
    other = visit(page.links["tenant"])
    assert other.row("t1")[1] == "1"
    assert visit("/properties").row("prod")


def test_the_property_page_keeps_its_property_when_filtered(opening: Opening) -> None:
    page = opening(THREE)("/properties?name=environment&user=bob")
    assert page.attributes("input", type="hidden")[0] == {
        "type": "hidden",
        "name": "name",
        "value": "environment",
    }
    assert [row[0] for row in page.rows[1:]] == ["prod"]


def test_without_properties_the_page_says_how_to_set_one(opening: Opening) -> None:
    visit = opening([call()])
    assert "Helicone-Property-Environment" in visit("/properties").words
    assert "No request has the property tenant." in visit("/properties?name=tenant").words


@pytest.mark.parametrize(
    "address",
    [
        *("/", "/sessions/names", "/users", "/models", "/properties"),
        "/?search=%3Cscript%3E",
        "/?user=%3Cscript%3E",
        "/?status=%3Cscript%3E",
        "/properties?name=%3Cscript%3E",
    ],
)
def test_hostile_text_is_shown_as_text(opening: Opening, address: str) -> None:
    record = call(HOSTILE, HOSTILE, user_id=HOSTILE, model=HOSTILE, properties={HOSTILE: HOSTILE})
    page = opening([record])(address)
    scripts = [given.get("src") for tag, given in page.tags if tag == "script"]
    assert scripts == ["/static/pages.js"]
    assert page.attributes("img") == []
    assert "\u202e" not in page.words
    assert "<script>" in page.words


def test_ids_with_any_characters_lead_to_their_session(opening: Opening) -> None:
    odd = "a/b?c=d&e#f%20 g\u00e9"
    page = opening([call(odd, odd)])("/")
    (address,) = (href for href in page.links.values() if href.startswith("/session?"))
    assert dict(parse_qsl(urlsplit(address).query)) == {"id": odd, "name": odd}


def test_lists_ask_for_nothing_that_the_security_policy_forbids(opening: Opening) -> None:
    visit = opening(THREE)
    for address in ("/", "/sessions/names", "/users", "/models", "/properties"):
        page = visit(address)
        for tag, given in page.tags:
            assert tag != "style"
            assert "style" not in given
            assert not any(name.startswith("on") for name in given)
