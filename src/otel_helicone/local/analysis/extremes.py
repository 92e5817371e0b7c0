"""The steps that cost most time, and most money."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest

from otel_helicone.local.storage.records import RequestRecord

__all__ = ["dearest", "slowest"]


def slowest(requests: Sequence[RequestRecord], most: int = 5) -> tuple[RequestRecord, ...]:
    """Give the requests with the highest latency, the highest first.

    Args:
        requests: the requests of one session.
        most: how many to give.
    """
    return tuple(nlargest(most, requests, key=lambda request: request.latency_ms))


def dearest(requests: Sequence[RequestRecord], most: int = 5) -> tuple[RequestRecord, ...]:
    """Give the requests with the highest cost, the highest first; those without a cost are not.

    Args:
        requests: the requests of one session.
        most: how many to give.
    """
    priced = [request for request in requests if request.cost_usd]
    return tuple(nlargest(most, priced, key=lambda request: request.cost_usd or 0.0))
