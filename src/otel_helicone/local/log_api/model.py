"""The model and the kind of a logged request, as Helicone names them."""

from __future__ import annotations

import re
from typing import Final

from otel_helicone.local.gateway.usage import member

__all__ = ["NotAModel", "kind_of", "model_of"]

_IN_URL: Final = re.compile(r"/(?:engines|models)/([^/:?]+)")


class NotAModel(Exception):
    """The model is no text: the worker loses the log."""


def kind_of(request: object, response: object) -> str:
    """Give ``tool``, ``data``, ``vector_db`` or ``llm``.

    Args:
        request: the request's JSON, or the whole log at the worker.
        response: the response's JSON.
    """
    for body in (request, response):
        kind = member(body, "_type")
        if isinstance(kind, str) and kind in ("tool", "data", "vector_db"):
            return kind
    return "llm"


def model_of(
    request: object, response: object, override: str | None, url: str, *, strict: bool
) -> str:
    """Name the model; empty where there is none.

    Args:
        request: the request's JSON, or the whole log at the worker, which looks no deeper.
        response: the response's JSON.
        override: what ``Helicone-Model-Override`` says; not used for tools and the like.
        url: where the model is looked for at last; empty at the API server.
        strict: whether a model that is no text loses the log, as at the worker.

    Raises:
        NotAModel: where it does.
    """
    of_request = _typed(request)
    if of_request:
        return of_request
    named = member(response, "model")
    if named is not None and not isinstance(named, str):
        if strict:
            raise NotAModel(str(named))
        return override or ""
    of_response = named or _assistant(response) or _typed(response)
    if _typed(response) and of_response.startswith(("tool:", "data:", "vector_db")):
        return of_response
    if isinstance(response, str):
        of_response = "unknown"
    asked = member(request, "model")
    of_request = (asked if isinstance(asked, str) else "") or _assistant(request)
    in_url = _IN_URL.search(url)
    return override or of_response or of_request or (in_url[1] if in_url else "")


def _typed(body: object) -> str:
    kind = member(body, "_type")
    if kind == "vector_db":
        return "vector_db"
    if kind == "tool" or kind == "data":
        name = member(body, "toolName" if kind == "tool" else "name")
        return f"{kind}:{'undefined' if name is None else name}"
    return ""


def _assistant(body: object) -> str:
    # Helicone takes whatever has one of these for a call of OpenAI's Assistants API.
    has_one = isinstance(body, dict) and ("metadata" in body or "assistant_id" in body)
    return "assistant-call" if has_one else ""
