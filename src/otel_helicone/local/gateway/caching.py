"""Caching of one request's answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from otel_helicone.local.gateway.answer_cache import LARGEST_ANSWER, AnswerCache, CachedAnswer
from otel_helicone.local.gateway.cache_settings import cache_key, cache_settings
from otel_helicone.local.gateway.upstream import RawHeaders, UpstreamAnswer, UpstreamRequest

__all__ = ["Caching"]

_MISS: Final = ((b"helicone-cache", b"MISS"),)


class Caching:
    """Looks a request up in the cache, or collects its answer for it."""

    def __init__(self, cache: AnswerCache, headers: RawHeaders) -> None:
        """Read what a request wants.

        Args:
            cache: what is looked at.
            headers: all headers of the request, as they came.

        Raises:
            CacheRefused: for a request that wants what is not allowed.
        """
        self._cache = cache
        self._headers = headers
        self._settings = cache_settings(headers)
        self._key = b""
        self._length = 0
        self._collected: list[bytes] = []

    @property
    def miss(self) -> RawHeaders:
        """Give the headers of an answer that is not from the cache."""
        return _MISS if self._settings.reads else ()

    def find(self, request: UpstreamRequest) -> UpstreamAnswer | None:
        """Give an answer that was kept; None where there is none, or none is wanted.

        Args:
            request: the request as it goes to the upstream.
        """
        settings = self._settings
        if not settings.reads and not settings.saves:
            return None
        self._key = cache_key(request, self._headers, settings)
        found = self._cache.find(self._key, settings.bucket_size) if settings.reads else None
        if found is None:
            return None
        index, answer = found
        told = (
            (b"helicone-cache", b"HIT"),
            (b"helicone-cache-bucket-idx", str(index).encode()),
            (b"helicone-cache-latency", str(answer.latency_ms).encode()),
        )
        return UpstreamAnswer(200, answer.headers + told, _chunks(answer))

    def received(self, data: bytes) -> None:
        """Collect some of the answer's body, decoded, if it is to be kept."""
        if not self._settings.saves or self._length > LARGEST_ANSWER:
            return
        self._length += len(data)
        self._collected.append(data)
        if self._length > LARGEST_ANSWER:
            self._collected.clear()

    def save(self, headers: RawHeaders, latency_ms: int) -> None:
        """Keep the answer, which is complete and has the status 200.

        Args:
            headers: the answer's headers, without those of the connection.
            latency_ms: how long it took, in milliseconds.
        """
        settings = self._settings
        if not settings.saves or self._length > LARGEST_ANSWER:
            return
        kept = tuple(
            (name, value)
            for name, value in headers
            if name.lower() not in (b"content-encoding", b"content-length")
        )
        answer = CachedAnswer(kept, tuple(self._collected), latency_ms)
        self._cache.save(self._key, settings.bucket_size, settings.seconds, answer)


async def _chunks(answer: CachedAnswer) -> AsyncIterator[bytes]:
    for chunk in answer.chunks:
        yield chunk
