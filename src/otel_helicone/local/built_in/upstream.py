"""The upstream that needs no key and no network: plausible answers, made from the request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

from otel_helicone.local.built_in.chat import chat_completion
from otel_helicone.local.built_in.embeddings import embeddings
from otel_helicone.local.built_in.responses import response
from otel_helicone.local.built_in.text import seed_of
from otel_helicone.local.gateway.answers import error_body
from otel_helicone.local.gateway.provider import provider_of
from otel_helicone.local.gateway.upstream import UpstreamAnswer, UpstreamRequest
from otel_helicone.local.gateway.usage import parse_json
from otel_helicone.settings.local import DEFAULT_LATENCY_MS

__all__ = ["BuiltInUpstream"]

_Endpoint: TypeAlias = Callable[[Mapping[str, object], bytes], bytes | list[bytes]]

_ENDPOINTS: Final[Mapping[str, _Endpoint]] = {
    "/v1/chat/completions": chat_completion,
    "/v1/responses": response,
    "/v1/embeddings": embeddings,
}
_MODELS: Final = ("gpt-4o", "gpt-4o-mini", "text-embedding-3-small")
_WHAT_IS_THERE: Final = f"GET /v1/models and POST {', POST '.join(_ENDPOINTS)}"
_JSON: Final = (b"content-type", b"application/json")
_EVENTS: Final = (b"content-type", b"text/event-stream; charset=utf-8")


class BuiltInUpstream:
    """Answers chats, responses and embeddings with texts and vectors that it makes up.

    The same request always gets the same text, usage and duration.
    """

    def __init__(self, latency_ms: float = DEFAULT_LATENCY_MS) -> None:
        """Set how long answers take.

        Args:
            latency_ms: the longest that an answer takes, in milliseconds. Each request takes its
                own part of it, so that a tree shows different durations; 0 answers at once.
        """
        self._latency_ms = latency_ms

    def provider(self, path: bytes) -> str:
        """Name the provider that is stood in for."""
        return provider_of("", path.decode("latin-1"))

    @asynccontextmanager
    async def send(self, request: UpstreamRequest) -> AsyncIterator[UpstreamAnswer]:
        """Answer a request; see :meth:`~otel_helicone.local.gateway.upstream.Upstream.send`."""
        status, made = _answer(request)
        share = seed_of(request.path + b"\n" + request.body).uniform(0.25, 1.0)
        seconds = self._latency_ms * share / 1000 if status == 200 else 0.0
        if isinstance(made, bytes):
            await asyncio.sleep(seconds)
            yield UpstreamAnswer(status, (_JSON,), _paced([made], 0.0))
        else:
            await asyncio.sleep(seconds / 3)
            yield UpstreamAnswer(status, (_EVENTS,), _paced(made, seconds * 2 / 3))

    async def aclose(self) -> None:
        """Do nothing: there is nothing to let go of."""


async def _paced(pieces: list[bytes], seconds: float) -> AsyncIterator[bytes]:
    pause = seconds / max(len(pieces) - 1, 1)
    for number, piece in enumerate(pieces):
        if number and pause:
            await asyncio.sleep(pause)
        yield piece


def _answer(request: UpstreamRequest) -> tuple[int, bytes | list[bytes]]:
    path = request.path.decode("latin-1").rstrip("/")
    if path == "/v1/models" and request.method in ("GET", "HEAD"):
        return 200, _models()
    endpoint = _ENDPOINTS.get(path)
    if endpoint is None or request.method != "POST":
        asked = f"{request.method} {path}"
        text = f"The built-in upstream has no {asked}; it has {_WHAT_IS_THERE}."
        return 404, error_body(f"{text} Start with --upstream to reach a real API.")
    body = parse_json(request.body)
    if not isinstance(body, dict):
        return 400, error_body("The request's body is not a JSON object.")
    return 200, endpoint(body, request.body)


def _models() -> bytes:
    models = [
        {"id": name, "object": "model", "created": 1715367049, "owned_by": "built-in"}
        for name in _MODELS
    ]
    return json.dumps({"object": "list", "data": models}).encode()
