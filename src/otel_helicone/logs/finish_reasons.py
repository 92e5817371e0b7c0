"""Why models stopped, in the words of OpenAI's API, whoever said it and however it was written."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["finish_reason_of_openai"]

_WORDS: Final = {
    "stop": (
        "complete",
        "completed",
        "end",
        "end_turn",
        "eos",
        "eos_token",
        "finish",
        "finished",
        "pause_turn",
        "stop",
        "stop_sequence",
    ),
    "length": (
        "incomplete",
        "length",
        "max_length",
        "max_output_tokens",
        "max_tokens",
        "model_context_window_exceeded",
        "model_length",
        "token_limit",
    ),
    "tool_calls": ("tool_call", "tool_calls", "tool_use"),
    "function_call": ("function_call",),
    "content_filter": (
        "blocklist",
        "content_filter",
        "content_filtered",
        "guardrail_intervened",
        "image_prohibited_content",
        "image_safety",
        "language",
        "prohibited_content",
        "recitation",
        "refusal",
        "safety",
        "spii",
    ),
    # Said, but no reason that the API has.
    "": (
        "",
        "error",
        "finish_reason_unspecified",
        "none",
        "null",
        "other",
        "unknown",
        "unspecified",
    ),
}
_KNOWN: Final = {word: reason for reason, words in _WORDS.items() for word in words}
# A member of an enum as Python's `str` and `repr` write it: `FinishReason.STOP`,
# `<FinishReason.STOP: 1>`, `<FinishReason.STOP: 'stop'>`.
_MEMBER: Final = re.compile(r"<?(?:\w+\.)+(\w+)(?:: .*>)?")


def finish_reason_of_openai(told: str | None) -> str | None:
    """Return OpenAI's word for why a model stopped.

    Args:
        told: what was said; a word that nobody is known to use is returned as it is.

    Returns:
        The word; None where nothing was said, or that there is no reason.
    """
    if told is None:
        return None
    member = _MEMBER.fullmatch(told.strip())
    word = (member[1] if member is not None else told.strip()).replace("-", "_").lower()
    found = _KNOWN.get(word, _KNOWN.get(word.removeprefix("finish_reason_")))
    return told if found is None else found or None
