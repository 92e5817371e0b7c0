"""What the endpoints of Helicone's API server share: how they read bodies, refuse and answer."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from otel_helicone.local.log_api.api_keys import ApiKeys
from otel_helicone.local.log_api.intake import MOST_LOGGED, decoded
from otel_helicone.local.wire.javascript import NotJson, parse, stringify

__all__ = [
    "CORS",
    "BodyRefused",
    "internal_error",
    "json_answer",
    "no_such_path",
    "parsed_body",
    "refused_key",
    "with_cors",
]

CORS: Final = {
    "access-control-allow-methods": "GET,POST,PUT,PATCH,DELETE,OPTIONS",
    "access-control-allow-headers": "Content-Type,Authorization,Helicone-Authorization,"
    "x-vercel-set-bypass-cookie,x-vercel-protection-bypass",
}
"""The headers of an answer to ``OPTIONS``."""


class BodyRefused(Exception):
    """A body cannot be read; the API server answers 500 with this message in the body."""


def parsed_body(request: Request, raw: bytes | None) -> Mapping[str, object]:
    """Parse a body as the API server does.

    Args:
        request: its headers are looked at.
        raw: the body as it came; None for one that is too long.

    Returns:
        The object; an empty one for a body that is no object, or not said to be JSON.

    Raises:
        BodyRefused: for a body that is too long or broken.
    """
    if raw is None:
        raise BodyRefused("request entity too large")
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json" or not raw:
        return {}
    data = decoded(raw, tuple(request.scope["headers"]), MOST_LOGGED)
    if len(data) > MOST_LOGGED:
        raise BodyRefused("request entity too large")
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    if text.lstrip()[:1] not in ("{", "["):
        # Nothing but objects and lists is taken; the rest is called no JSON at all.
        raise BodyRefused(_not_strict(text))
    try:
        body = parse(text)
    except NotJson as error:
        raise BodyRefused(str(error)) from None
    return body if isinstance(body, Mapping) else {}


def _not_strict(text: str) -> str:
    shown = f'"{text}"' if len(text) <= 20 else f'"{text[:10]}"...'
    return f"Unexpected token '{text.lstrip()[:1]}', {shown} is not valid JSON"


def refused_key(request: Request, keys: ApiKeys) -> Response | None:
    """Give the answer to a request without a good key; None for one that has it.

    Args:
        request: the request.
        keys: the good ones.
    """
    authorization = request.headers.get("authorization", "")
    message = "No authorization header"
    if authorization:
        if keys.knows(authorization.removeprefix("Bearer ").strip()):
            return None
        message = "No API key found"
    return json_answer({"error": message, "trace": "isAuthenticated.error"}, 401)


def with_cors(response: Response) -> Response:
    """Add the header that all of the API server's answers have."""
    response.headers["access-control-allow-credentials"] = "true"
    return response


def json_answer(body: object, status: int) -> Response:
    """Answer with JSON, written as JavaScript writes it."""
    headers = {"content-type": "application/json; charset=utf-8"}
    return Response(stringify(body).encode("utf-8", "replace"), status, headers=headers)


def internal_error(details: str) -> Response:
    """Answer that the server has failed, without its stack."""
    return json_answer({"message": "Internal Server Error", "details": details}, 500)


def no_such_path(request: Request) -> Response:
    """Answer that a path, or a method of it, does not exist."""
    said = escape(f"Cannot {request.method} {request.url.path}")
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Error</title>\n'
        f"</head>\n<body>\n<pre>{said}</pre>\n</body>\n</html>\n"
    )
    return Response(
        page,
        404,
        headers={
            "content-type": "text/html; charset=utf-8",
            "content-security-policy": "default-src 'none'",
            "x-content-type-options": "nosniff",
        },
    )
