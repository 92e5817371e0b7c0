"""What tokens cost, by the price list that the library ``genai-prices`` keeps.

The list is the one that was installed; nothing is fetched.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache, lru_cache
from importlib.metadata import version
from typing import Final

from otel_helicone.local.storage.records import RequestRecord

__all__ = ["PriceList", "cost_of", "price_list"]

_PROVIDERS: Final[Mapping[str, str]] = {
    "ANTHROPIC": "anthropic",
    "AVIAN": "avian",
    "AWS": "aws",
    "AZURE": "azure",
    "BASETEN": "baseten",
    "BEDROCK": "aws",
    "CEREBRAS": "cerebras",
    "CLOUDFLARE": "cloudflare",
    "COHERE": "cohere",
    "DEEPSEEK": "deepseek",
    "FIREWORKS": "fireworks",
    "GOOGLE": "google",
    "GROQ": "groq",
    "MISTRAL": "mistral",
    "NOVITA": "novita",
    "OPENAI": "openai",
    "OPENROUTER": "openrouter",
    "PERPLEXITY": "perplexity",
    "TOGETHER": "together",
    "X": "x-ai",
}
"""Helicone's names of providers, and the list's. Others, such as ``CUSTOM``, have no price, as in
Helicone; so have names in lower case."""

# No tier of a price that depends on the length of a request starts below this.
_BELOW_TIERS: Final = 100_000
# More than any tier starts at.
_ABOVE_TIERS: Final = 100_000_000


@dataclass(frozen=True, slots=True)
class PriceList:
    """Where prices come from.

    Attributes:
        source: the library's name.
        version: its version.
        newest: since when its newest price has been in force; None where it tells none.
    """

    source: str
    version: str
    newest: date | None

    def __str__(self) -> str:
        """Write it for the foot of a page."""
        of = f", newest price of {self.newest.isoformat()}" if self.newest else ""
        return f"{self.source} {self.version}{of}"


@dataclass(frozen=True, slots=True)
class _Tokens:
    """What is paid for: cached tokens are no part of ``fresh``."""

    fresh: int = 0
    read: int = 0
    written: int = 0
    out: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.fresh + self.read + self.written + self.out


@dataclass(frozen=True, slots=True)
class _Rates:
    """US dollars for one token each, in requests of at most so many tokens."""

    fresh: float
    read: float
    written: float
    out: float
    most_tokens: int

    def cost_of(self, tokens: _Tokens) -> float:
        """Give US dollars."""
        return (
            self.fresh * tokens.fresh
            + self.read * tokens.read
            + self.written * tokens.written
            + self.out * tokens.out
        )


def cost_of(record: RequestRecord) -> float | None:
    """Work out what a request cost.

    Args:
        record: the request. Whether it failed plays no part, as in Helicone.

    Returns:
        US dollars; None where no price is known: for providers and models that are not on the
        list, for logs of tools, retrievals and data, and where no tokens are told.
    """
    provider = _PROVIDERS.get(record.provider)
    tokens = _Tokens(
        record.prompt_tokens,
        record.prompt_cache_read_tokens,
        record.prompt_cache_write_tokens,
        record.completion_tokens + record.reasoning_tokens,
    )
    if provider is None or not record.model or record.kind != "llm" or not tokens.total:
        return None
    model = record.model.lower()
    found = _rates(provider, model, record.started_at.astimezone(UTC).date())
    if isinstance(found, _Rates) and tokens.total <= found.most_tokens:
        return found.cost_of(tokens)
    return _listed(provider, model, record.started_at, tokens) if found else None


@cache
def price_list() -> PriceList:
    """Tell which prices are in use."""
    from genai_prices.data_snapshot import get_snapshot

    today = datetime.now(UTC).date()
    starts = (
        getattr(getattr(price, "constraint", None), "start_date", None)
        for provider in get_snapshot().providers
        for model in provider.models
        for price in (model.prices if isinstance(model.prices, list) else ())
    )
    known = [start for start in starts if isinstance(start, date) and start <= today]
    return PriceList("genai-prices", version("genai-prices"), max(known, default=None))


@lru_cache(maxsize=4096)
def _rates(provider: str, model: str, day: date) -> _Rates | bool:
    """Give what one token of each sort costs on a day, so that a request is priced at once.

    Returns:
        The rates; True where the price of a token depends on the time of day or on how many there
        are, so that each request is looked up; False where the list has no price.
    """
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)

    def listed(tokens: _Tokens) -> float | None:
        return _listed(provider, model, noon, tokens)

    one, out = listed(_Tokens(fresh=1000)), listed(_Tokens(out=1000))
    if one is None or out is None:
        return False
    read, written = listed(_Tokens(read=1000)), listed(_Tokens(written=1000))
    if read is None or written is None or _varies_by_time(provider, model):
        return True
    for most in (_ABOVE_TIERS, _BELOW_TIERS):
        rates = _Rates(one / 1000, read / 1000, written / 1000, out / 1000, most)
        mixed = _Tokens(*(most // 4 for _ in range(4)))
        if _are_same(listed(mixed), rates.cost_of(mixed)):
            return rates
    return True


def _are_same(listed: float | None, worked_out: float) -> bool:
    return listed is not None and math.isclose(listed, worked_out, rel_tol=1e-9)


def _varies_by_time(provider: str, model: str) -> bool:
    from genai_prices.data_snapshot import get_snapshot

    _, found = get_snapshot().find_provider_model(model, None, provider, None)
    prices = found.prices if isinstance(found.prices, list) else []
    return any(hasattr(getattr(price, "constraint", None), "start_time") for price in prices)


def _listed(provider: str, model: str, at: datetime, tokens: _Tokens) -> float | None:
    # Imported when it is needed: its list takes a third of a second to read.
    from genai_prices import Usage, calc_price

    usage = Usage(
        input_tokens=tokens.fresh + tokens.read + tokens.written,
        output_tokens=tokens.out,
        cache_read_tokens=tokens.read,
        cache_write_tokens=tokens.written,
    )
    try:
        price = calc_price(usage, model, provider_id=provider, genai_request_timestamp=at)
    except (LookupError, ValueError):
        return None
    return float(price.total_price)
