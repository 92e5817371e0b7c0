"""Short answers in the shapes that callers of an OpenAI-compatible API expect."""

from __future__ import annotations

import json

from starlette.types import Send

from otel_helicone.local.gateway.upstream import RawHeaders
from otel_helicone.local.wire.javascript import stringify

__all__ = ["error_answer", "error_body", "helicone_error", "send_answer"]


def error_body(message: str, kind: str = "invalid_request_error") -> bytes:
    """Give an error as the OpenAI API words it.

    Args:
        message: a sentence for the developer.
        kind: the error's ``type``.
    """
    error = {"message": message, "type": kind, "param": None, "code": None}
    return json.dumps({"error": error}).encode()


def helicone_error(message: str) -> bytes:
    """Give an error of Helicone's worker itself, as it words it.

    Args:
        message: what the worker's runtime says.
    """
    said = {
        "helicone-message": f"Helicone ran into an error servicing your request: {message}",
        "support": "Please reach out on our discord or email us at help@helicone.ai, we'd love"
        " to help!",
        "helicone-error": "{}",
    }
    return stringify(said).encode()


async def send_answer(send: Send, status: int, body: bytes, headers: RawHeaders) -> None:
    """Send a whole answer at once.

    Args:
        send: ASGI's send.
        status: the HTTP status.
        body: the whole body.
        headers: all headers but the length.
    """
    length = (b"content-length", str(len(body)).encode())
    await send(
        {"type": "http.response.start", "status": status, "headers": [*headers, length]},
    )
    await send({"type": "http.response.body", "body": body})


async def error_answer(
    send: Send,
    status: int,
    message: str,
    kind: str = "invalid_request_error",
    headers: RawHeaders = (),
) -> bytes:
    """Send an error and give its body; see :func:`error_body` and :func:`send_answer`."""
    body = error_body(message, kind)
    await send_answer(send, status, body, ((b"content-type", b"application/json"), *headers))
    return body
