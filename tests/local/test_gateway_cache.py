"""Answers from the gateway's cache, asked for with Helicone's headers by the openai client."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_helicone.local.gateway.answer_cache import LARGEST_ANSWER, AnswerCache, CachedAnswer
from otel_helicone.local.gateway.cache_settings import cache_key, cache_settings
from otel_helicone.local.gateway.upstream import UpstreamRequest
from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.records import RequestRecord

StartUpstream = Callable[[Callable[[socket.socket], None]], str]
ReadRequest = Callable[[socket.socket], bytes]

CACHED = {"Helicone-Cache-Enabled": "true"}


@pytest.fixture
def upstream(scripted_upstream: StartUpstream, request_reader: ReadRequest) -> str:
    """Give the URL of an API that counts its answers, and packs them."""
    numbers = count(1)

    def answer(connection: socket.socket) -> None:
        request_reader(connection)
        said = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-4o-mini",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": f"answer {next(numbers)}"},
                }
            ],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500},
        }
        body = gzip.compress(json.dumps(said).encode())
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
            f"X-Request-Id: up-1\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(head.encode() + body)

    return scripted_upstream(answer)


@pytest.fixture
def helicone(tmp_path: Path, upstream: str) -> Iterator[LocalHelicone]:
    with LocalHelicone(tmp_path / "requests.db", upstream=upstream) as server:
        yield server


class Asker:
    """Asks by the openai client, and tells what came."""

    def __init__(self, client: openai.OpenAI) -> None:
        self._client = client

    def __call__(
        self, question: str = "hello", headers: dict[str, str] = CACHED, **more: Any
    ) -> tuple[str, httpx2.Headers]:
        got = self._client.chat.completions.with_raw_response.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": question}],
            extra_headers=headers,
            **more,
        )
        return str(got.parse().choices[0].message.content), httpx2.Headers(dict(got.headers))


@pytest.fixture
def ask(client: openai.OpenAI) -> Asker:
    return Asker(client)


def stored(helicone: LocalHelicone) -> list[RequestRecord]:
    assert helicone.settle()
    return helicone.store.requests()


def test_the_same_request_is_answered_from_the_cache(helicone: LocalHelicone, ask: Asker) -> None:
    first, missed = ask()
    second, hit = ask()
    assert (first, second) == ("answer 1", "answer 1")
    assert missed["helicone-cache"] == "MISS"
    assert "helicone-cache-bucket-idx" not in missed
    assert hit["helicone-cache"] == "HIT"
    assert hit["helicone-cache-bucket-idx"] == "0"
    assert int(hit["helicone-cache-latency"]) >= 0
    assert hit["helicone-status"] == "success"
    assert hit["helicone-id"] != missed["helicone-id"]
    assert hit["x-request-id"] == "up-1"


def test_a_hit_is_stored_without_tokens_and_with_what_it_once_cost(
    helicone: LocalHelicone, ask: Asker
) -> None:
    ask()
    _, headers = ask()
    first, second = stored(helicone)
    assert (first.from_cache, second.from_cache) == (False, True)
    assert second.request_id == headers["helicone-id"]
    assert (first.total_tokens, second.total_tokens) == (1500, 0)
    assert (second.prompt_tokens, second.completion_tokens) == (0, 0)
    assert first.cost_usd == second.cost_usd == pytest.approx(0.00045)
    assert first.response_body == second.response_body
    assert second.model == "gpt-4o-mini"
    assert second.properties == {"Helicone-Cache-Enabled": "true"}


def test_nothing_is_cached_unless_it_is_asked_for(ask: Asker) -> None:
    for headers in ({}, {"Helicone-Cache-Enabled": "false"}, {"Cache-Control": "max-age=60"}):
        answers = {ask(headers=headers)[0] for _ in range(2)}
        assert len(answers) == 2
    assert "helicone-cache" not in ask(headers={})[1]


def test_saving_and_reading_can_be_asked_for_apart(ask: Asker) -> None:
    # What is saved under one header is not found under another: caching headers count.
    saved, told = ask(headers={"Helicone-Cache-Save": "true"})
    assert (saved, "helicone-cache" in told) == ("answer 1", False)
    assert ask(headers={"Helicone-Cache-Read": "true"})[1]["helicone-cache"] == "MISS"
    both = {"Helicone-Cache-Save": "true", "Helicone-Cache-Read": "true"}
    assert [ask(headers=both)[1]["helicone-cache"] for _ in range(2)] == ["MISS", "HIT"]


@pytest.mark.parametrize(
    "other",
    [
        {"question": "goodbye"},
        {"temperature": 0.5},
        {"headers": CACHED | {"Helicone-Cache-Seed": "2"}},
        {"headers": CACHED | {"Authorization": "Bearer another"}},
        {"headers": CACHED | {"Helicone-Auth": "Bearer another"}},
    ],
    ids=["text", "parameter", "seed", "provider key", "Helicone key"],
)
def test_another_request_is_not_answered_from_the_cache(ask: Asker, other: dict[str, Any]) -> None:
    ask()
    assert ask(**other)[1]["helicone-cache"] == "MISS"
    assert ask(**other)[1]["helicone-cache"] == "HIT"


def test_session_and_property_headers_make_no_difference(
    helicone: LocalHelicone, ask: Asker
) -> None:
    for number in (1, 2):
        ask(headers=CACHED | {"Helicone-Session-Id": f"s-{number}", "Helicone-Session-Path": "/a"})
    first, second = stored(helicone)
    assert second.from_cache
    assert (first.session_id, second.session_id) == ("s-1", "s-2")


def test_a_bucket_collects_different_answers_before_it_gives_one(ask: Asker) -> None:
    headers = CACHED | {"Helicone-Cache-Bucket-Max-Size": "3"}
    collected = [ask(headers=headers) for _ in range(3)]
    assert [told["helicone-cache"] for _, told in collected] == ["MISS"] * 3
    given_again = [ask(headers=headers) for _ in range(30)]
    assert {told["helicone-cache"] for _, told in given_again} == {"HIT"}
    answers = [answer for answer, _ in collected]
    for answer, told in given_again:
        assert answer == answers[int(told["helicone-cache-bucket-idx"])]
    assert {answer for answer, _ in given_again} == set(answers)


def test_a_bucket_that_is_too_large_is_refused_and_not_stored(
    helicone: LocalHelicone, ask: Asker
) -> None:
    with pytest.raises(openai.InternalServerError) as refused:
        ask(headers=CACHED | {"Helicone-Cache-Bucket-Max-Size": "21"})
    assert refused.value.response.text == "Cache bucket size cannot be greater than 20"
    assert stored(helicone) == []


@pytest.mark.parametrize("size", ["0", "-1", "many"])
def test_a_bucket_without_a_place_caches_nothing(ask: Asker, size: str) -> None:
    headers = CACHED | {"Helicone-Cache-Bucket-Max-Size": size}
    assert [ask(headers=headers)[1]["helicone-cache"] for _ in range(2)] == ["MISS", "MISS"]


def test_keys_of_the_body_can_be_ignored(ask: Asker) -> None:
    headers = CACHED | {"Helicone-Cache-Ignore-Keys": "metadata, user"}
    assert ask(headers=headers, user="ann")[1]["helicone-cache"] == "MISS"
    again, told = ask(headers=headers, user="bob", metadata={"a": "b"})
    assert (again, told["helicone-cache"]) == ("answer 1", "HIT")
    assert ask(headers=headers, user="bob", seed=1)[1]["helicone-cache"] == "MISS"


def test_an_answer_is_given_until_its_age_is_over(ask: Asker) -> None:
    at_once = CACHED | {"Cache-Control": "max-age=0"}
    assert [ask(headers=at_once)[1]["helicone-cache"] for _ in range(2)] == ["MISS", "MISS"]
    # The age is no part of what requests have in common, so the next one is found by the first.
    assert ask(headers=CACHED | {"Cache-Control": "max-age=60"})[1]["helicone-cache"] == "MISS"
    assert ask(headers=at_once)[1]["helicone-cache"] == "HIT"


def test_streams_are_cached_chunk_by_chunk(tmp_path: Path) -> None:
    with (
        LocalHelicone(tmp_path / "streams.db", latency=0) as helicone,
        openai.OpenAI(base_url=helicone.base_url, api_key="none") as client,
    ):
        chunks = [
            [
                chunk.model_dump()
                for chunk in client.chat.completions.create(
                    model="gpt-4o-mini",
                    messages=[{"role": "user", "content": "hello"}],
                    stream=True,
                    stream_options={"include_usage": True},
                    extra_headers=CACHED,
                )
            ]
            for _ in range(2)
        ]
        first, second = stored(helicone)
    assert len(chunks[0]) > 2
    assert chunks[0] == chunks[1]
    assert (first.from_cache, second.from_cache) == (False, True)
    assert second.time_to_first_token_ms is not None
    assert first.response_body == second.response_body
    assert second.cost_usd == first.cost_usd


def test_errors_are_not_cached(tmp_path: Path) -> None:
    with LocalHelicone(tmp_path / "errors.db", latency=0) as helicone:
        for _ in range(2):
            answer = httpx2.post(
                f"{helicone.base_url}/chat/completions",
                content=b"[]",
                headers=CACHED,
                trust_env=False,
            )
            assert (answer.status_code, answer.headers["helicone-cache"]) == (400, "MISS")


def test_an_answer_that_breaks_off_is_not_cached(
    tmp_path: Path, scripted_upstream: StartUpstream, request_reader: ReadRequest
) -> None:
    def answer(connection: socket.socket) -> None:
        request_reader(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

    with LocalHelicone(tmp_path / "b.db", upstream=scripted_upstream(answer)) as helicone:
        told = [
            httpx2.get(f"{helicone.base_url}/models", headers=CACHED, trust_env=False).headers
            for _ in range(2)
        ]
    assert [headers["helicone-cache"] for headers in told] == ["MISS", "MISS"]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def answer_of(body: bytes) -> CachedAnswer:
    return CachedAnswer((), (body,), 1)


def test_an_answer_is_forgotten_when_its_time_is_over() -> None:
    clock = Clock()
    cache = AnswerCache(clock=clock)
    cache.save(b"key", 1, 60, answer_of(b"1"))
    clock.now = 59.9
    assert cache.find(b"key", 1) == (0, answer_of(b"1"))
    clock.now = 60.0
    assert cache.find(b"key", 1) is None
    cache.save(b"key", 1, 60, answer_of(b"2"))
    assert cache.find(b"key", 1) == (0, answer_of(b"2"))


def test_the_cache_lets_go_of_what_was_not_asked_for_longest() -> None:
    cache = AnswerCache(most_answers=2)
    for key in (b"a", b"b"):
        cache.save(key, 1, 60, answer_of(key))
    cache.find(b"a", 1)
    cache.save(b"c", 1, 60, answer_of(b"c"))
    found = [key for key in (b"a", b"b", b"c") if cache.find(key, 1) is not None]
    assert found == [b"a", b"c"]


def test_the_cache_keeps_within_its_bytes() -> None:
    cache = AnswerCache(most_bytes=1000)
    for number in range(10):
        cache.save(b"%d" % number, 1, 60, answer_of(b"x" * 300))
    assert [n for n in range(10) if cache.find(b"%d" % n, 1) is not None] == [7, 8, 9]
    cache.save(b"large", 1, 60, answer_of(b"x" * (LARGEST_ANSWER + 1)))
    assert cache.find(b"large", 1) is None


@pytest.mark.parametrize(
    ("control", "seconds"),
    [
        ("", 604_800),
        ("no-store", 604_800),
        ("max-age=60", 60),
        ("public, max-age=60, s-maxage=30", 30),
        ("max-age=99999999", 31_536_000),
        ("max-age=soon", 604_800),
    ],
)
def test_the_age_is_read_as_helicone_reads_it(control: str, seconds: int) -> None:
    headers = ((b"Helicone-Cache-Enabled", b"true"), (b"Cache-Control", control.encode()))
    assert cache_settings(headers).seconds == seconds


def key_of(body: bytes) -> bytes:
    request = UpstreamRequest("POST", b"/v1/chat/completions", b"", (), body)
    return cache_key(request, (), cache_settings(()))


@given(st.text(max_size=40), st.text(max_size=40))
def test_different_questions_have_different_keys(one: str, other: str) -> None:
    bodies = [json.dumps({"input": text}).encode() for text in (one, other)]
    assert (key_of(bodies[0]) == key_of(bodies[1])) == (one == other)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_bodies_that_are_no_json_have_a_key_for_each(one: bytes, other: bytes) -> None:
    assert (key_of(b"{{" + one) == key_of(b"{{" + other)) == (one == other)


def test_blanks_in_a_json_body_make_no_difference() -> None:
    assert key_of(b'{"a": [1, 2]}') == key_of(b'{"a":[1,2]}')
