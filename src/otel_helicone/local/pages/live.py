"""Tells pages that something was stored, so that they show it while one watches."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Final

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from otel_helicone.local.pages.site import Site
from otel_helicone.local.storage.errors import StoreError

__all__ = ["Live"]

_MAX_LISTENERS: Final = 64
_SECONDS_BETWEEN_LOOKS: Final = 0.5
# So that whatever is between here and the browser sees that the connection is alive.
_SECONDS_BETWEEN_SIGNS: Final = 15.0


class Live:
    """Server-sent events: one whenever the store has changed.

    The store is looked at twice a second, and only while a page listens.
    """

    def __init__(self, site: Site) -> None:
        """Begin with nobody listening.

        Args:
            site: whose store is watched.
        """
        self._site = site
        self._listeners = 0

    async def answer(self, _request: Request) -> Response:
        """Answer a page that wants to listen, unless too many do already."""
        if self._listeners >= _MAX_LISTENERS:
            text = f"{_MAX_LISTENERS} pages are watching already.\n"
            return PlainTextResponse(text, 503, headers={"retry-after": "30"})
        return StreamingResponse(
            self._events(),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    async def _events(self) -> AsyncIterator[bytes]:
        self._listeners += 1
        try:
            known = await self._version()
            yield b"retry: 2000\n\n"
            said = time.monotonic()
            while not self._site.stopping():
                await anyio.sleep(_SECONDS_BETWEEN_LOOKS)
                version = await self._version()
                if version is not None and version != known:
                    known = version
                    yield f"event: change\ndata: {version}\n\n".encode()
                elif time.monotonic() - said < _SECONDS_BETWEEN_SIGNS:
                    continue
                else:
                    yield b": still here\n\n"
                said = time.monotonic()
        finally:
            self._listeners -= 1

    async def _version(self) -> int | None:
        """Return what changes with the store; None where it cannot be read, which pages say."""
        try:
            return await anyio.to_thread.run_sync(self._site.store.version)
        except StoreError:
            return None
