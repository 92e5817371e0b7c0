"""What Helicone's API has and the local one has not."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from otel_helicone.local.log_api.api_answers import CORS, json_answer, with_cors
from otel_helicone.local.log_api.intake import without_length

__all__ = ["routes_of_what_is_not_here"]

# Nothing that providers of LLMs have below /v1/ is among them: that goes to the gateway.
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_FAMILIES: Final = (
    "api-keys",
    "dashboard",
    "dataset",
    "evals/query",
    "evals/score-distributions",
    "evals/scores",
    "evaluator",
    "experiment",
    "helicone-dataset",
    "helicone-sql",
    "playground",
    "prompt",
    "prompt-2025",
    "property",
    "request",
    "session",
    "trace",
    "user",
    "vault",
    "webhooks",
)


def routes_of_what_is_not_here() -> list[Route]:
    """Make the routes that say so; they have to come after those of what is here."""
    return [
        Route(path, _not_here, methods=_METHODS)
        for family in _FAMILIES
        for path in (f"/v1/{family}", f"/v1/{family}/{{rest:path}}")
    ]


async def _not_here(request: Request) -> Response:
    if request.method == "OPTIONS":
        return with_cors(without_length(Response(status_code=204, headers=CORS)))
    text = (
        f"The local Helicone does not have {request.method} {request.url.path}."
        " Its API has sessions, requests, properties, scores and tags; docs/local-api.md lists"
        " the paths."
    )
    return with_cors(json_answer({"error": text}, 404))
