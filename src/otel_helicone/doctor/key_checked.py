"""Asks the log API whether it knows the key, without a log being stored."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from otel_helicone.delivery.connection import Connection
from otel_helicone.delivery.post import Post

__all__ = ["KeyChecked", "check_key"]

_PATH: Final = "/custom/v1/log"
_SECONDS: Final = 15.0
# Helicone looks a key up only when the log itself is complete, so this one is; but it has neither
# a request nor an answer. With a key that it knows, Helicone answers that it can't log that, and
# stores nothing; with one that it doesn't, that the authentication failed.
_EMPTY_LOG: Final = {
    "providerRequest": {"url": "otel-helicone-doctor", "json": None, "meta": {}},
    "providerResponse": {"json": None, "status": 200, "headers": {}},
    "timing": {
        "startTime": {"seconds": 1700000000, "milliseconds": 0},
        "endTime": {"seconds": 1700000000, "milliseconds": 0},
    },
}


@dataclass(frozen=True, kw_only=True)
class KeyChecked:
    """What the log API said about the key.

    Attributes:
        endpoint: the log API.
        is_good: whether it knows the key.
        said: what that means, for people.
    """

    endpoint: str
    is_good: bool
    said: str


def check_key(endpoint: str, api_key: str, *, seconds: float = _SECONDS) -> KeyChecked:
    """Ask the log API whether it knows a key; nothing is stored.

    Args:
        endpoint: scheme and host of the log API.
        api_key: the key.
        seconds: how long to wait for an answer.
    """
    try:
        answer = asyncio.run(_ask(endpoint, api_key, seconds))
    except TimeoutError:
        return KeyChecked(endpoint=endpoint, is_good=False, said=f"no answer in {seconds:g} s")
    except Exception as error:  # whatever the network does
        said = f"it can't be reached: {str(error) or type(error).__name__}"
        return KeyChecked(endpoint=endpoint, is_good=False, said=said)
    is_good, said = _meaning(*answer)
    return KeyChecked(endpoint=endpoint, is_good=is_good, said=said)


async def _ask(endpoint: str, api_key: str, seconds: float) -> tuple[int, bytes]:
    log: Mapping[str, object] = _EMPTY_LOG
    connection = Connection(endpoint, api_key, 1)
    try:
        async with asyncio.timeout(seconds):
            post = Post(_PATH, json.dumps(log).encode(), str(uuid.uuid4()))
            status, _, body = await connection.post(post)
    finally:
        await connection.close()
    return status, body


def _meaning(status: int, body: bytes) -> tuple[bool, str]:
    if status == 200 and b"Error logging" in body:
        return True, "the key is good; nothing was stored"
    if status == 200 and b"Auth failed!" in body:
        return False, "the key is not known there, or was revoked"
    if status == 200 and body == b"ok":
        return True, "the key is good, and the empty log of this check was taken"
    if status in (401, 403):
        return False, f"the key was refused: {_beginning(body)}"
    if status == 404:
        return False, "this is not Helicone's log API: it has no such path"
    return False, f"an unexpected answer, {status} {_beginning(body)}".rstrip()


def _beginning(body: bytes) -> str:
    text = body[:300].decode("utf-8", "replace")
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= 120 else f"{text[:120]}…"
