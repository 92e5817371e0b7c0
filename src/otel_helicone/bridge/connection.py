"""The HTTP client of the bridge: one attempt to deliver one post.

It is aiohttp, because one POST for each log is nearly the whole cost: in a loop of small posts on
one core it sends about six times as many as httpx2.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Final

import aiohttp

from otel_helicone.delivery.connection import proxy_for, user_agent
from otel_helicone.delivery.post import Post
from otel_helicone.settings.exporter import ExporterSettings

__all__ = ["Connection"]

# Helicone's servers close idle connections after 5 s.
_KEEPALIVE: Final = 4.0
_MAX_BYTES_AT_ONCE: Final = 512 * 1024
_MAX_RESPONSE_BYTES: Final = 64 * 1024


class Connection:
    """A pool of keep-alive connections to one endpoint. To be made in a running loop."""

    def __init__(self, settings: ExporterSettings) -> None:
        """Make the pool; nothing is connected yet.

        Args:
            settings: endpoint, and how long one attempt may take.
        """
        self._endpoint = settings.endpoint
        self._proxy = proxy_for(settings.endpoint)
        self._session = aiohttp.ClientSession(
            # How many there may be is for who sends to say: to wait here would count as an attempt.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE),
            timeout=aiohttp.ClientTimeout(total=settings.timeout),
            headers={
                "Content-Type": "application/json",
                "Accept": "*/*",
                "User-Agent": user_agent(),
            },
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def post(self, post: Post, api_key: str) -> tuple[int, Mapping[str, str], bytes]:
        """Send a post once.

        Args:
            post: the post.
            api_key: the key to send it with.

        Returns:
            Status, headers by lower-case name, and the body or its beginning.

        Raises:
            OSError, TimeoutError, aiohttp.ClientError: where there is no answer.
        """
        # A long one goes out in pieces, with the loop free in between.
        data = post.body if len(post.body) <= _MAX_BYTES_AT_ONCE else io.BytesIO(post.body)
        async with self._session.post(
            self._endpoint + post.path,
            data=data,
            headers={"Authorization": f"Bearer {api_key}"},
            allow_redirects=False,
            proxy=self._proxy,
        ) as response:
            body = await response.content.read(_MAX_RESPONSE_BYTES)
            while len(body) < _MAX_RESPONSE_BYTES and not response.content.at_eof():
                body += await response.content.read(_MAX_RESPONSE_BYTES - len(body))
            headers = {name.lower(): value for name, value in response.headers.items()}
            return response.status, headers, body

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()
