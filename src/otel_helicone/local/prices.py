"""What tokens cost, by the price list that the library ``genai-prices`` keeps.

The list is the one that was installed; nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from importlib.metadata import version
from typing import Final

from otel_helicone.local.storage.records import RequestRecord

__all__ = ["PriceList", "cost_of", "price_list"]

_PROVIDERS: Final[Mapping[str, str]] = {
    "ANTHROPIC": "anthropic",
    "AZURE": "azure",
    "BEDROCK": "aws",
    "COHERE": "cohere",
    "DEEPSEEK": "deepseek",
    "FIREWORKS": "fireworks",
    "GOOGLE": "google",
    "GROQ": "groq",
    "MISTRAL": "mistral",
    "OPENAI": "openai",
    "OPENROUTER": "openrouter",
    "PERPLEXITY": "perplexity",
    "TOGETHER": "together",
    "X": "x-ai",
}
"""Helicone's names of providers, and the list's. Others, such as ``CUSTOM``, have no price, as in
Helicone."""


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


def cost_of(record: RequestRecord) -> float | None:
    """Work out what a request cost.

    Args:
        record: the request. Whether it failed plays no part, as in Helicone.

    Returns:
        US dollars; None where no price is known: for providers and models that are not on the
        list, for logs of tools, retrievals and data, and where no tokens are told.
    """
    provider = _PROVIDERS.get(record.provider)
    used_in = (
        record.prompt_tokens + record.prompt_cache_read_tokens + record.prompt_cache_write_tokens
    )
    used_out = record.completion_tokens + record.reasoning_tokens
    if provider is None or not record.model or record.kind != "llm" or not used_in + used_out:
        return None
    # Imported when it is needed: its list takes a third of a second to read.
    from genai_prices import Usage, calc_price

    usage = Usage(
        input_tokens=used_in,
        output_tokens=used_out,
        cache_read_tokens=record.prompt_cache_read_tokens,
        cache_write_tokens=record.prompt_cache_write_tokens,
    )
    try:
        price = calc_price(
            usage, record.model, provider_id=provider, genai_request_timestamp=record.started_at
        )
    except (LookupError, ValueError):
        return None
    return float(price.total_price)


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
