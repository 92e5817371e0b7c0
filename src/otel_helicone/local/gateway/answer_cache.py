"""Answers that are kept in memory for requests that come again."""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from otel_helicone.local.gateway.upstream import RawHeaders

__all__ = ["LARGEST_ANSWER", "AnswerCache", "CachedAnswer"]

LARGEST_ANSWER: Final = 8 * 1024 * 1024
"""How many bytes an answer may have that is kept."""

_MOST_ANSWERS: Final = 10_000
_MOST_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """An answer with the status 200.

    Attributes:
        headers: its headers, without those of a connection or an encoding.
        chunks: its body, as it came and decoded.
        latency_ms: how long it took when it was first given, in milliseconds.
    """

    headers: RawHeaders
    chunks: tuple[bytes, ...]
    latency_ms: int

    @property
    def length(self) -> int:
        """About how many bytes of memory it takes."""
        of_headers = sum(len(name) + len(value) for name, value in self.headers)
        return sum(map(len, self.chunks)) + of_headers


class AnswerCache:
    """Keeps a bucket of answers for each key; the longest unused ones give way to new ones."""

    def __init__(
        self,
        most_answers: int = _MOST_ANSWERS,
        most_bytes: int = _MOST_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with nothing kept.

        Args:
            most_answers: how many answers to keep.
            most_bytes: how many bytes all of them may have.
            clock: gives the time in seconds.
        """
        self._most_answers = most_answers
        self._most_bytes = most_bytes
        self._clock = clock
        self._kept: OrderedDict[tuple[bytes, int], tuple[float, CachedAnswer]] = OrderedDict()
        self._bytes = 0

    def find(self, key: bytes, bucket_size: int) -> tuple[int, CachedAnswer] | None:
        """Pick an answer at random, once as many were saved as the bucket takes.

        Args:
            key: what the requests have in common.
            bucket_size: how many answers the bucket takes.

        Returns:
            The answer's index in the bucket, and the answer.
        """
        found = [answer for n in range(bucket_size) if (answer := self._at(key, n)) is not None]
        if not found or len(found) < bucket_size:
            return None
        index = random.randrange(bucket_size)
        return index, found[index]

    def save(self, key: bytes, bucket_size: int, seconds: int, answer: CachedAnswer) -> None:
        """Keep an answer, where its bucket has a place for it.

        Args:
            key: what the requests have in common.
            bucket_size: how many answers the bucket takes.
            seconds: how long to keep it.
            answer: what to keep.
        """
        free = [n for n in range(bucket_size) if self._at(key, n) is None]
        if not free or answer.length > LARGEST_ANSWER:
            return
        self._kept[key, free[0]] = self._clock() + seconds, answer
        self._bytes += answer.length
        while len(self._kept) > self._most_answers or self._bytes > self._most_bytes:
            _, (_, oldest) = self._kept.popitem(last=False)
            self._bytes -= oldest.length

    def _at(self, key: bytes, index: int) -> CachedAnswer | None:
        if (key, index) not in self._kept:
            return None
        until, answer = self._kept[key, index]
        if self._clock() >= until:
            del self._kept[key, index]
            self._bytes -= answer.length
            return None
        self._kept.move_to_end((key, index))
        return answer
