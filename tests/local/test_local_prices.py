"""What requests cost: by provider, model, day and kind of token."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from genai_prices import Usage, calc_price
from hypothesis import given
from hypothesis import strategies as st

from otel_helicone.local.prices import PriceList, cost_of, price_list
from otel_helicone.local.storage.records import RequestRecord

REQUEST = RequestRecord(
    request_id="8f2b8c1e-5d4a-4e6f-8a7b-1c2d3e4f5a6b",
    session_id=None,
    session_path=None,
    session_name=None,
    user_id=None,
    properties={},
    provider="OPENAI",
    model="gpt-4o-mini",
    method="POST",
    target_path="/v1/chat/completions",
    status=200,
    prompt_tokens=1000,
    completion_tokens=500,
    total_tokens=1500,
    started_at=datetime(2026, 11, 21, 22, 26, 40, tzinfo=UTC),
    latency_ms=1500,
    time_to_first_token_ms=None,
    request_body="",
    response_body="",
)


@pytest.mark.parametrize(
    ("provider", "model", "cost"),
    [
        ("OPENAI", "gpt-4o-mini", 0.00045),
        ("OPENAI", "GPT-4o-Mini", 0.00045),
        ("OPENAI", "gpt-4o-mini-2024-07-18", 0.00045),
        ("AZURE", "gpt-4o-mini", 0.00045),
        ("OPENROUTER", "openai/gpt-4o-mini", 0.00045),
        ("ANTHROPIC", "claude-sonnet-4-20250514", 0.0105),
        ("BEDROCK", "anthropic.claude-3-haiku-20240307-v1:0", 0.000875),
        ("OPENAI", "openai/gpt-4o-mini", None),
        ("OPENAI", "claude-sonnet-4-20250514", None),
        ("ANTHROPIC", "gpt-4o-mini", None),
        ("CUSTOM", "gpt-4o-mini", None),
        ("openai", "gpt-4o-mini", None),
        ("OPENAI", "nobodys-model", None),
        ("OPENAI", None, None),
    ],
)
def test_a_price_needs_a_provider_and_a_model_that_are_on_the_list(
    provider: str, model: str | None, cost: float | None
) -> None:
    assert cost_of(replace(REQUEST, provider=provider, model=model)) == pytest.approx(cost)


@pytest.mark.parametrize("kind", ["tool", "data", "vector_db"])
def test_what_is_no_call_of_a_model_has_no_price(kind: str) -> None:
    assert cost_of(replace(REQUEST, kind=kind)) is None


def test_a_request_without_tokens_has_no_price() -> None:
    assert cost_of(replace(REQUEST, prompt_tokens=0, completion_tokens=0)) is None


def test_a_failed_request_with_tokens_is_paid_for_all_the_same() -> None:
    assert cost_of(replace(REQUEST, status=500)) == pytest.approx(0.00045)


def test_cached_tokens_are_cheaper_and_reasoning_is_paid_for_as_text() -> None:
    """The numbers are those of a log that Helicone priced."""
    request = replace(
        REQUEST,
        prompt_tokens=600,
        prompt_cache_read_tokens=400,
        completion_tokens=400,
        reasoning_tokens=100,
    )
    assert cost_of(request) == pytest.approx(0.00042)


def test_a_long_request_costs_more_for_each_token_where_the_list_says_so() -> None:
    short = replace(REQUEST, provider="ANTHROPIC", model="claude-sonnet-4-5", prompt_tokens=50_000)
    short = replace(short, completion_tokens=0)
    long = replace(short, prompt_tokens=250_000)
    short_cost, long_cost = cost_of(short), cost_of(long)
    assert short_cost is not None
    assert long_cost is not None
    assert short_cost == pytest.approx(0.15)
    assert long_cost > 5 * short_cost * 1.5


tokens = st.integers(0, 400_000)


@given(
    model=st.sampled_from(
        [
            ("OPENAI", "openai", "gpt-4o-mini"),
            ("OPENAI", "openai", "gpt-5-mini"),
            ("ANTHROPIC", "anthropic", "claude-sonnet-4-5"),
            ("ANTHROPIC", "anthropic", "claude-3-haiku-20240307"),
            ("GOOGLE", "google", "gemini-2.5-pro"),
            ("DEEPSEEK", "deepseek", "deepseek-chat"),
        ]
    ),
    at=st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
    fresh=tokens,
    read=tokens,
    written=tokens,
    out=st.integers(1, 400_000),
)
def test_a_cost_is_what_the_library_says(
    model: tuple[str, str, str], at: datetime, fresh: int, read: int, written: int, out: int
) -> None:
    ours, theirs, name = model
    request = replace(
        REQUEST,
        provider=ours,
        model=name,
        started_at=at,
        prompt_tokens=fresh,
        prompt_cache_read_tokens=read,
        prompt_cache_write_tokens=written,
        completion_tokens=out,
    )
    usage = Usage(
        input_tokens=fresh + read + written,
        output_tokens=out,
        cache_read_tokens=read,
        cache_write_tokens=written,
    )
    price = calc_price(usage, name, provider_id=theirs, genai_request_timestamp=at)
    assert cost_of(request) == pytest.approx(float(price.total_price), rel=1e-9)


def test_a_request_of_a_known_model_is_priced_within_50_microseconds() -> None:
    for model, provider in (("gpt-4o-mini", "OPENAI"), ("claude-sonnet-4-5", "ANTHROPIC")):
        request = replace(REQUEST, provider=provider, model=model)
        cost_of(request)
        best = min(_seconds_for(request, 200) for _ in range(5))
        assert best / 200 < 50e-6


def _seconds_for(request: RequestRecord, times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        cost_of(request)
    return time.perf_counter() - began


def test_the_list_tells_its_version_and_since_when_its_newest_price_holds() -> None:
    prices = price_list()
    assert prices.source == "genai-prices"
    assert prices.newest is not None
    assert date(2025, 1, 1) < prices.newest <= datetime.now(UTC).date()
    assert str(prices) == (
        f"genai-prices {prices.version}, newest price of {prices.newest.isoformat()}"
    )
    assert str(PriceList("a list", "1.0", None)) == "a list 1.0"


def test_the_list_is_read_when_the_first_price_is_asked_for_and_not_before() -> None:
    program = (
        "import sys\n"
        "import otel_helicone.cli, otel_helicone.local.server\n"
        "assert 'genai_prices' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
