"""Who may ask the local Helicone for what: hosts, other sites, keys, and what pages may do."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from otel_helicone.local import server as local_server
from otel_helicone.local.access.rules import AccessRules, WrongAccess, make_access_rules
from otel_helicone.local.log_api.api_keys import ApiKeys
from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.writer import StoreWriter
from tests.local.session_records import call

KEY = "sk-helicone-1234567-abcdefg-7654321-gfedcba"
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}
PAGES = ("/", "/sessions/names", "/users", "/properties", "/session?id=x", "/request?id=x", "/no")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def serve(stack: ExitStack, tmp_path: Path, **settings: Any) -> tuple[LocalHelicone, httpx2.Client]:
    server = LocalHelicone(tmp_path / "requests.db", latency=0, **settings)
    helicone = stack.enter_context(server)
    client = httpx2.Client(base_url=helicone.url, trust_env=False)
    return helicone, stack.enter_context(client)


def rules(listen_on: str = "127.0.0.1", **settings: Any) -> AccessRules:
    return make_access_rules(listen_on, keys=ApiKeys(), login=False, **settings)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8787",
        "127.0.0.1:1",
        "127.9.9.9",
        "[::1]:80",
        "a.localhost",
        "LOCALHOST",
    ],
)
def test_names_of_this_machine_are_known(host: str) -> None:
    assert rules().knows_host(host)


@pytest.mark.parametrize(
    "host",
    [
        *("evil.test", "localhost.evil.test", "10.0.0.1", "127.0.0.1.evil.test", "evil.test:8787"),
        *("user@localhost", "localhost/x", "[::1", "localhost:x", "2130706433", "local\u0000host"),
        *("[::1].evil", "[::1]evil:80", "[::1].evil:8787", "evil[::1]", "[::1]@evil", "[[::1]]"),
        *("[127.0.0.1]", "[localhost]", "[::1%25eth0]", "[::1]:99999", "::1", "localhost:-1"),
        *("localhost:80:80", "localhost\\.evil", "localhost#.evil", "localhost ", "[]", ":80", "."),
    ],
)
def test_other_names_are_not(host: str) -> None:
    assert not rules().knows_host(host)


def test_a_name_can_be_allowed_and_beyond_loopback_an_address_will_do() -> None:
    assert rules(allowed_hosts=["Helicone.test"]).knows_host("helicone.test:8787")
    assert rules("0.0.0.0").knows_host("192.168.0.7:8787")
    assert not rules("0.0.0.0").knows_host("evil.test")
    assert rules("my-machine").knows_host("my-machine:1")


@pytest.mark.parametrize("host", ["a:80", "http://a", "", "a b/c"])
def test_what_is_no_name_cannot_be_allowed(host: str) -> None:
    with pytest.raises(WrongAccess, match="is no host name"):
        rules(allowed_hosts=[host])


@pytest.mark.parametrize(
    "origin", ["http://[::1].evil", "http://[", "http://a@b", "http://", "https://a?b"]
)
def test_an_origin_is_a_scheme_and_a_host(origin: str) -> None:
    with pytest.raises(WrongAccess, match="is no origin"):
        rules(allowed_origins=[origin])


@pytest.mark.parametrize("origin", ["localhost", "http://a/", "ftp://a", "null", "http://a/b"])
def test_what_is_no_origin_cannot_be_allowed(origin: str) -> None:
    with pytest.raises(WrongAccess, match="is no origin"):
        rules(allowed_origins=[origin])


strange = st.text(max_size=30) | st.text("[]:.1@/%#?hptle\\ ", max_size=12)


@given(strange)
def test_no_host_and_no_origin_is_too_strange(text: str) -> None:
    assert rules().knows_host(text) in (True, False)
    for origin in (text, f"http://{text}", f"http://[::1]{text}"):
        assert rules().knows_origin(origin, "localhost") in (True, False)
        with suppress(WrongAccess):
            rules(allowed_origins=[origin])


@pytest.mark.parametrize("known", ["localhost", "[::1]", "127.0.0.1"])
@given(text=strange)
def test_after_a_known_name_comes_a_port_or_nothing(known: str, text: str) -> None:
    assume(not text.startswith(known[-1]))
    if rules().knows_host(f"{known}{text}"):
        assert re.fullmatch(r"\.?(:[0-9]*)?|[0-9.]+(:[0-9]*)?|[^:]*\.localhost(:[0-9]*)?", text)


def test_a_request_to_a_strange_host_is_answered_with_the_remedy(
    stack: ExitStack, tmp_path: Path
) -> None:
    helicone, http = serve(stack, tmp_path)
    for path in ("/", "/v1/models", "/live", "/healthz", "/static/pages.css"):
        for host in ("evil.test", "[::1].evil"):
            refused = http.get(path, headers={"Host": host})
            assert refused.status_code == 421
            assert repr(host) in refused.text
            assert "--allow-host" in refused.text
    posted = http.post("/v1/chat/completions", json=CHAT, headers={"Host": "evil.test"})
    assert posted.status_code == 421
    assert helicone.settle()
    assert helicone.store.requests() == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_sites_can_send_nothing(
    stack: ExitStack, tmp_path: Path, headers: dict[str, str]
) -> None:
    helicone, http = serve(stack, tmp_path)
    for path in ("/v1/chat/completions", "/oai/v1/log", "/session/delete", "/v1/session/query"):
        refused = http.post(path, json=CHAT, headers=headers)
        assert refused.status_code == 403
        assert "--allow-origin" in refused.text
    assert helicone.settle()
    assert helicone.store.requests() == []


def test_an_allowed_site_may(stack: ExitStack, tmp_path: Path) -> None:
    site = {"Origin": "http://localhost:3000"}
    _, http = serve(stack, tmp_path, allowed_origins=[site["Origin"]])
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-a"}
    before = http.request("OPTIONS", "/v1/chat/completions", headers={**site, **asked})
    assert before.status_code == 204
    assert before.headers["access-control-allow-origin"] == site["Origin"]
    assert before.headers["access-control-allow-headers"] == "x-a"
    answer = http.post("/v1/chat/completions", json=CHAT, headers=site)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == site["Origin"]
    assert "access-control-allow-origin" not in http.post("/v1/chat/completions", json=CHAT).headers


def test_pages_may_run_and_load_nothing_but_their_own(stack: ExitStack, tmp_path: Path) -> None:
    _, http = serve(stack, tmp_path)
    for path in (*PAGES, "/static/pages.js"):
        headers = http.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        if path.startswith("/static"):
            continue
        assert headers["cache-control"] == "no-store"
        assert not re.search(
            r"<script(?! src=\"/static/)|<style| on\w+=| style=", http.get(path).text
        )
    assert "content-security-policy" not in http.get("/v1/models").headers


def test_beyond_this_machine_a_key_is_needed(stack: ExitStack, tmp_path: Path) -> None:
    helicone, http = serve(stack, tmp_path, listen_on="0.0.0.0")
    key = helicone.made_up_key
    assert key is not None
    assert ApiKeys.is_well_formed(key)
    for path in PAGES:
        asked = http.get(path)
        assert (asked.status_code, asked.headers["location"][:12]) == (303, "/login?next=")
    assert http.get("/healthz").status_code == 200
    refused = http.post("/v1/chat/completions", json=CHAT)
    assert refused.status_code == 401
    assert "Helicone-Auth" in refused.json()["error"]["message"]
    for wrong in (KEY, key[:-1], "x"):
        auth = {"Helicone-Auth": f"Bearer {wrong}"}
        assert http.post("/v1/chat/completions", json=CHAT, headers=auth).status_code == 401
    auth = {"Helicone-Auth": f"Bearer {key}"}
    assert http.post("/v1/chat/completions", json=CHAT, headers=auth).status_code == 200
    assert http.post("/v1/session/query", json={}).status_code == 401


def test_a_browser_logs_in_with_the_key_and_goes_on(stack: ExitStack, tmp_path: Path) -> None:
    _, http = serve(stack, tmp_path, login=True, api_keys=[KEY])
    asked = http.get("/users?search=a").headers["location"]
    assert asked == "/login?next=%2Fusers%3Fsearch%3Da"
    started = time.monotonic()
    wrong = http.post(asked, data={"key": "wrong"})
    assert wrong.status_code == 403
    assert time.monotonic() - started > 0.4
    assert "not known here" in wrong.text
    assert http.get("/users").status_code == 303
    done = http.post(asked, data={"key": f" {KEY} "})
    assert (done.status_code, done.headers["location"]) == (303, "/users?search=a")
    cookie = done.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert KEY not in cookie
    assert http.get("/users").status_code == 200


@pytest.mark.parametrize(
    "asked", ["//evil.test", "https://evil.test", "/\\evil.test", "x", "/\n/a"]
)
def test_the_login_leads_to_own_pages_only(stack: ExitStack, tmp_path: Path, asked: str) -> None:
    _, http = serve(stack, tmp_path, login=True, api_keys=[KEY])
    done = http.post("/login", params={"next": asked}, data={"key": KEY})
    assert (done.status_code, done.headers["location"]) == (303, "/")


def form_of(page: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))


def test_forms_are_taken_only_with_the_token_of_the_page(stack: ExitStack, tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "requests.db")
    writer.put(call())
    writer.close()
    helicone, http = serve(stack, tmp_path)
    form = form_of(http.get("/session/delete?id=trip-1&name=Trip").text)
    assert form["id"] == "trip-1"
    with httpx2.Client(base_url=helicone.url, trust_env=False) as other_browser:
        assert other_browser.post("/session/delete", data=form).status_code == 403
        other_browser.get("/session?id=trip-1")
        assert other_browser.post("/session/delete", data=form).status_code == 403
    for wrong in ({"csrf": ""}, {"csrf": form["csrf"][:-1]}, {"csrf": "é"}):
        assert http.post("/session/delete", data={**form, **wrong}).status_code == 403
    assert http.post("/session/delete", json=form).status_code == 400
    assert http.post("/session/delete", data={**form, "x": "y" * 70_000}).status_code == 400
    assert len(helicone.store.sessions()) == 1
    assert http.post("/session/delete", data=form).status_code == 303
    assert helicone.store.sessions() == []


def test_the_server_stops_at_once_while_somebody_watches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_server, "_SECONDS_TO_STOP", 600)
    with httpx2.Client(trust_env=False, timeout=30) as http, ExitStack() as stack:
        with LocalHelicone(tmp_path / "requests.db") as helicone:
            watching = stack.enter_context(http.stream("GET", f"{helicone.url}/live"))
            lines = watching.iter_lines()
            assert next(lines).startswith("retry")
            started = time.monotonic()
        assert time.monotonic() - started < 300
