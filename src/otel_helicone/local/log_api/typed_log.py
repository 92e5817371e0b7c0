"""The validation of ``/v1/trace/custom/log/typed``, with the API server's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["typed_problems"]

_ROOT: Final = "traceBody"
# Those that the API server's list has, as far as it is known.
_UPPER: Final = (
    "OPENAI ANTHROPIC AZURE LOCAL HELICONE AMDBARTEK ANYSCALE CLOUDFLARE 2YFV TOGETHER LEMONFOX"
    " FIREWORKS PERPLEXITY GOOGLE OPENROUTER WISDOMINANUTSHELL GROQ COHERE MISTRAL DEEPINFRA"
    " QSTASH FIRECRAWL AWS BEDROCK DEEPSEEK X AVIAN NEBIUS NOVITA OPENPIPE CHUTES LLAMA NVIDIA"
    " VERCEL CEREBRAS BASETEN CANOPYWAVE CUSTOM"
)
_LOWER: Final = (
    "openai anthropic azure bedrock vertex google-ai-studio groq deepseek mistral xai cohere"
    " openrouter novita deepinfra perplexity nebius helicone cerebras baseten fireworks"
    " canopywave chutes"
)
_PROVIDERS: Final = frozenset(f"{_UPPER} {_LOWER}".split())

Details = dict[str, dict[str, object]]


def typed_problems(body: Mapping[str, object]) -> Details:
    """Check a log.

    Args:
        body: the posted object.

    Returns:
        The ``details`` of the answer 422, by the path of what is wrong; empty for a good log.
    """
    details: Details = {}
    sent = _object(details, body, "providerRequest", _ROOT)
    if sent is not None:
        at = f"{_ROOT}.providerRequest"
        _text(details, sent, "url", at)
        _object(details, sent, "json", at)
        _texts(details, sent, "meta", at)
        _excess(details, sent, at, "url", "json", "meta")
    answered = _object(details, body, "providerResponse", _ROOT)
    if answered is not None:
        at = f"{_ROOT}.providerResponse"
        if "json" in answered:
            _object(details, answered, "json", at)
        if "textBody" in answered:
            _text(details, answered, "textBody", at)
        _number(details, answered, "status", at)
        _texts(details, answered, "headers", at)
        _excess(details, answered, at, "json", "textBody", "status", "headers")
    if "timing" in body:
        timing = _object(details, body, "timing", _ROOT)
        if timing is not None:
            at = f"{_ROOT}.timing"
            if "timeToFirstToken" in timing:
                _number(details, timing, "timeToFirstToken", at)
            _text(details, timing, "startTime", at)
            _text(details, timing, "endTime", at)
            _excess(details, timing, at, "timeToFirstToken", "startTime", "endTime")
    provider = body.get("provider", "OPENAI")
    if not isinstance(provider, str) or provider not in _PROVIDERS:
        message = "Could not match the union against any of the items."
        details[f"{_ROOT}.provider"] = {"message": message, "value": provider}
    _excess(details, body, _ROOT, "providerRequest", "providerResponse", "timing", "provider")
    return details


def _missing(details: Details, holder: Mapping[str, object], name: str, at: str) -> bool:
    if name in holder:
        return False
    details[f"{at}.{name}"] = {"message": f"'{name}' is required"}
    return True


def _object(
    details: Details, holder: Mapping[str, object], name: str, at: str
) -> Mapping[str, object] | None:
    if _missing(details, holder, name, at):
        return None
    value = holder[name]
    if isinstance(value, Mapping):
        return value
    details[f"{at}.{name}"] = {"message": "invalid object", "value": value}
    return None


def _text(details: Details, holder: Mapping[str, object], name: str, at: str) -> None:
    if not _missing(details, holder, name, at) and not isinstance(holder[name], str):
        details[f"{at}.{name}"] = {"message": "invalid string value", "value": holder[name]}


def _texts(details: Details, holder: Mapping[str, object], name: str, at: str) -> None:
    texts = _object(details, holder, name, at)
    for key in texts or ():
        _text(details, texts or {}, key, f"{at}.{name}")


def _number(details: Details, holder: Mapping[str, object], name: str, at: str) -> None:
    if _missing(details, holder, name, at):
        return
    value = holder[name]
    try:
        good = isinstance(value, int | float | str) and not isinstance(value, bool)
        float(value if good else "none")  # type: ignore[arg-type]  # `good` says that it is one
    except ValueError:
        details[f"{at}.{name}"] = {"message": "invalid float number", "value": value}


def _excess(details: Details, holder: Mapping[str, object], at: str, *names: str) -> None:
    for name in holder:
        if name not in names:
            message = f'"{name}" is an excess property and therefore is not allowed'
            details[f"{at}.{name}"] = {"message": message, "value": name}
