"""The HTTP client underneath: one attempt to deliver one post.

It uses httpx2's transport and not its client. For small posts the transport alone takes 10 % less
CPU, and the clients are what this library instruments: its own posts would get session headers,
which Helicone prefers to what the log says. A transport follows no redirects.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from otel_helicone.delivery.post import Post

if TYPE_CHECKING:
    import httpx2

__all__ = ["Connection", "proxy_for", "user_agent"]

# Helicone's servers close idle connections after 5 s.
_KEEPALIVE_EXPIRY: Final = 4.0
# Answers are a few bytes; what a wrong server sends is read no further than this.
_MAX_RESPONSE_BYTES: Final = 64 * 1024


def proxy_for(endpoint: str) -> str | None:
    """Return the proxy that the environment names for an endpoint, as httpx2's clients do.

    Args:
        endpoint: the URL.

    Returns:
        The proxy's URL, None to go without one.
    """
    parts = urlsplit(endpoint)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(parts.netloc):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def user_agent() -> str:
    """Return what this library calls itself to servers."""
    try:
        return f"otel-helicone/{version('otel-helicone')}"
    except PackageNotFoundError:
        return "otel-helicone/unknown"


class Connection:
    """A pool of keep-alive connections to one endpoint."""

    def __init__(self, endpoint: str, api_key: str, max_in_flight: int) -> None:
        """Make the pool; nothing is connected yet. Imports httpx2."""
        import httpx2

        self._httpx2 = httpx2
        self._endpoint = endpoint
        self._urls: dict[str, httpx2.URL] = {}
        self._headers = [
            ("Host", httpx2.URL(endpoint).netloc.decode("ascii")),
            ("Authorization", f"Bearer {api_key}"),
            ("Content-Type", "application/json"),
            ("Accept", "*/*"),
            ("User-Agent", user_agent()),
        ]
        self._transport = httpx2.AsyncHTTPTransport(
            proxy=proxy_for(endpoint),
            limits=httpx2.Limits(
                max_connections=max_in_flight,
                max_keepalive_connections=max_in_flight,
                keepalive_expiry=_KEEPALIVE_EXPIRY,
            ),
        )

    def was_dropped(self, error: BaseException) -> bool:
        """Return whether an error is that of a connection which the server had closed."""
        # httpx2 makes no difference between these and a server that dies while it answers.
        httpx2 = self._httpx2
        return isinstance(error, httpx2.RemoteProtocolError | httpx2.ReadError | httpx2.WriteError)

    async def post(self, post: Post) -> tuple[int, Mapping[str, str], bytes]:
        """Send a post once.

        Returns:
            Status, headers by lower-case name, and the body or its beginning.

        Raises:
            Exception: whatever httpx2 raises.
        """
        url = self._urls.get(post.path)
        if url is None:
            url = self._httpx2.URL(self._endpoint + post.path)
            if len(self._urls) < 100:
                self._urls[post.path] = url
        request = self._httpx2.Request("POST", url, headers=self._headers, content=post.body)
        response = await self._transport.handle_async_request(request)
        try:
            body = b""
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) >= _MAX_RESPONSE_BYTES:
                    body = body[:_MAX_RESPONSE_BYTES]
                    break
        finally:
            await response.aclose()
        return response.status_code, response.headers, body

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.aclose()
