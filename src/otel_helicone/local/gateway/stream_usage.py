"""``Helicone-Stream-Usage``: streams that tell their usage although nobody asked for it."""

from __future__ import annotations

from otel_helicone.local.wire.javascript import NotJson, parse, stringify

__all__ = ["asking_for_usage"]


def asking_for_usage(path: bytes, body: bytes) -> bytes:
    """Add ``stream_options.include_usage`` to the body of a chat that is streamed.

    Args:
        path: the path that is asked for; other APIs than that of chats do not know the option.
        body: the request's body.

    Returns:
        The body with the option, or as it was where it is no such request.
    """
    if not path.endswith(b"/completions"):
        return body
    try:
        asked = parse(body.decode("utf-8", "replace"))
    except NotJson:
        return body
    if not isinstance(asked, dict) or asked.get("stream") is not True:
        return body
    options = asked.get("stream_options")
    told = {**options} if isinstance(options, dict) else {}
    return stringify({**asked, "stream_options": {**told, "include_usage": True}}).encode()
