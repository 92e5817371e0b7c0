"""What an answer of Helicone's means for the post that it answers.

The rules were recorded from Helicone's own servers. Their status codes alone don't tell: the
worker answers 200 to an unknown key and to a log that it failed to keep, and 500 to some logs that
will never do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeAlias

from otel_helicone.delivery.post import Post
from otel_helicone.delivery.retry_after import parse_retry_after

__all__ = ["Judge", "Judgement", "Verdict", "judge_log", "judge_score"]

# Texts inside a 500 that say that the body itself will not do; the same body would fail again.
_FINAL_500: Final = (
    b"Invalid header ",
    b"request entity too large",
    b"Cannot read properties of ",
    b"Failed to construct 'Headers'",
    # A body over 20 MiB, where the worker was set up without the container that takes those.
    b"Containers have not been enabled",
    b"is not valid JSON",
    b"Unexpected end of JSON input",
)
_FINAL_500_OF_SCORES: Final = (*_FINAL_500, b"must be an integer")
_RETRIED_4XX: Final = frozenset({408, 429})
_MAX_REASON_LENGTH: Final = 120


class Verdict(Enum):
    """What becomes of a post after an answer."""

    TAKEN = auto()
    """Helicone has it."""
    RETRY = auto()
    """The same post may be taken later."""
    REFUSED = auto()
    """The same post will never be taken."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its reason.

    Attributes:
        verdict: what becomes of the post.
        reason: the status and the beginning of the answer, for messages; for a post that was
            taken it is empty, unless there is something to tell.
        retry_after: the seconds that the server asks to wait, None where it asks for nothing.
        wrong_key: whether the API key is what was refused.
    """

    verdict: Verdict
    reason: str = ""
    retry_after: float | None = None
    wrong_key: bool = False


Judge: TypeAlias = Callable[[Post, int, Mapping[str, str], bytes], Judgement]
"""Says what an answer means: the post, the status, the headers by lower-case name, the body."""

_TAKEN: Final = Judgement(Verdict.TAKEN)


def judge_log(post: Post, status: int, headers: Mapping[str, str], body: bytes) -> Judgement:
    """Say what an answer of the worker's log API (``POST /oai/v1/log`` and alike) means.

    A log is taken when the status is 200, the body is exactly ``ok`` and there is a
    ``helicone-id``; the worker's other answers with a 200 are errors.

    Args:
        post: what was sent.
        status: the answer's status.
        headers: the answer's headers, by their names in lower case.
        body: the answer's body, or its beginning.

    Returns:
        The judgement.
    """
    if status != 200:
        return _judge_failure(status, headers, body, _FINAL_500)
    helicone_id = headers.get("helicone-id")
    if body == b"ok" and helicone_id:
        if helicone_id.lower() == post.request_id.lower():
            return _TAKEN
        return Judgement(Verdict.TAKEN, "Helicone replaced the request id of a log by its own")
    if b"Auth failed!" in body:
        return Judgement(Verdict.REFUSED, _reason(status, body), wrong_key=True)
    return Judgement(Verdict.REFUSED, _reason(status, body))


def judge_score(post: Post, status: int, headers: Mapping[str, str], body: bytes) -> Judgement:
    """Say what an answer of the API server to ``POST /v1/request/{id}/score`` means.

    It answers 201; a fraction among the scores is a 500 that says ``must be an integer``.

    Args:
        post: what was sent.
        status: the answer's status.
        headers: the answer's headers, by their names in lower case.
        body: the answer's body, or its beginning.

    Returns:
        The judgement.
    """
    if status in (200, 201):
        return _TAKEN
    return _judge_failure(status, headers, body, _FINAL_500_OF_SCORES)


def _judge_failure(
    status: int, headers: Mapping[str, str], body: bytes, final_500: tuple[bytes, ...]
) -> Judgement:
    reason = _reason(status, body)
    if status in (401, 403):
        return Judgement(Verdict.REFUSED, reason, wrong_key=True)
    if status in _RETRIED_4XX or status >= 500:
        if status == 500 and any(text in body for text in final_500):
            return Judgement(Verdict.REFUSED, reason)
        wait = parse_retry_after(headers.get("retry-after"), headers.get("date"), time.time())
        return Judgement(Verdict.RETRY, reason, retry_after=wait)
    # The rest of 4xx; redirects, which are not followed, because the key would go elsewhere; and
    # what nobody should answer to a POST.
    return Judgement(Verdict.REFUSED, reason)


def _reason(status: int, body: bytes) -> str:
    text = body[:1000].decode("utf-8", "replace")
    text = "".join(char if char.isprintable() else " " for char in text)
    text = " ".join(text.split())
    if len(text) > _MAX_REASON_LENGTH:
        text = f"{text[:_MAX_REASON_LENGTH]}…"
    return f"{status} {text}".rstrip()
