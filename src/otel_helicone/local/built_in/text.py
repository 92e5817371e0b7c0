"""Texts, token counts and vectors that depend on nothing but the request."""

from __future__ import annotations

import hashlib
import math
import random
import re
from dataclasses import dataclass
from typing import Final

from otel_helicone.local.gateway.usage import member

__all__ = ["MadeText", "count_tokens", "make_text", "make_vector", "seed_of", "texts_in"]

_VOCABULARY: Final = """
    a about above across after again air all along among an and answer any around as at away be
    because before begin below between bright by call can carry change clear close cold come count
    day deep draw each early earth edge end even every far fast field find first follow for form
    from gather give go great grow half hand hold how in into it keep kind know large last learn
    less light like line little long look made make many map mark may mean measure might moon more
    most move much name near need new next night no not note now number of often old on once one
    open or orbit order other our out over part path place plain plan point read rest right ring
    river road round same say sea second see set shape short show side simple since sky slow small
    so some space star start state step still stone story such sun take tell than that the their
    them then there these they thing this those through time to together trace tree turn two under
    until up use very view voice wait walk warm water way we well what when where which while wide
    will wind with within without word work world write year
"""
_WORDS: Final = tuple(_VOCABULARY.split())

_PIECE: Final = re.compile(r"\w{1,6}|[^\w\s]")
# Deep enough for every request that is meant as one.
_MOST_NESTED: Final = 16


@dataclass(frozen=True, slots=True)
class MadeText:
    """A text and how it ends.

    Attributes:
        words: the words, each with the blank before it where there is one.
        cut: whether the request's limit of tokens cut it short.
    """

    words: tuple[str, ...]
    cut: bool

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.words)


def seed_of(data: bytes) -> random.Random:
    """Give a source of numbers that depends on these bytes only."""
    return random.Random(hashlib.sha256(data).digest())


def make_text(numbers: random.Random, most_tokens: int | None) -> MadeText:
    """Make some plain sentences.

    Args:
        numbers: where the choices come from.
        most_tokens: the limit that the request sets, counted as words, or None.
    """
    length = numbers.randint(12, 40)
    words: list[str] = []
    left = 0
    for _ in range(length):
        word = numbers.choice(_WORDS)
        if left == 0:
            left = numbers.randint(5, 12)
            word = word.capitalize()
        left -= 1
        words.append((" " if words else "") + word + ("." if left == 0 else ""))
    words[-1] = words[-1].rstrip(".") + "."
    most = length if most_tokens is None else max(most_tokens, 1)
    return MadeText(tuple(words[:most]), most < length)


def make_vector(text: str, dimensions: int) -> list[float]:
    """Make a vector of length 1, the same for the same text.

    Args:
        text: what to make it of.
        dimensions: how many numbers.
    """
    numbers = seed_of(text.encode("utf-8", "surrogatepass"))
    vector = [numbers.gauss(0.0, 1.0) for _ in range(dimensions)]
    length = math.sqrt(sum(number * number for number in vector)) or 1.0
    return [number / length for number in vector]


def texts_in(value: object, nested: int = 0) -> list[str]:
    """Collect the texts of messages or of an input: strings, and what is below content and text.

    Args:
        value: parsed JSON.
        nested: how deep inside this is; beyond a limit nothing is collected.
    """
    if isinstance(value, str):
        return [value]
    if nested > _MOST_NESTED:
        return []
    if isinstance(value, list):
        return [text for part in value for text in texts_in(part, nested + 1)]
    return [
        text
        for key in ("content", "text", "output", "arguments")
        for text in texts_in(member(value, key) or [], nested + 1)
    ]


def count_tokens(texts: list[str]) -> int:
    """Count tokens about as a tokenizer would: by pieces of words, three more for each text."""
    return sum(len(_PIECE.findall(text)) + 3 for text in texts)
