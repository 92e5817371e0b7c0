"""The upstream that is a provider's API somewhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_helicone.local.gateway.provider import provider_of
from otel_helicone.local.gateway.upstream import (
    UpstreamAnswer,
    UpstreamBroke,
    UpstreamRequest,
    UpstreamUnreachable,
)

__all__ = ["ForwardingUpstream", "parse_upstream_url"]


def parse_upstream_url(text: str) -> str:
    """Check the URL of an upstream.

    Args:
        text: such as ``https://api.openai.com``; a ``/v1`` at its end may be there, since every
            path that is asked for starts with it.

    Returns:
        The URL without ``/v1`` and without a slash at its end.

    Raises:
        ValueError: for what is not an ``http`` or ``https`` URL; the message says so.
    """
    try:
        url = httpx2.URL(text.strip())
    except httpx2.InvalidURL as error:
        raise ValueError(f"{text!r} is not a URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
        raise ValueError(
            f"give the upstream as a URL, such as https://api.openai.com, not {text!r}"
        )
    return str(url).rstrip("/").removesuffix("/v1").rstrip("/")


class ForwardingUpstream:
    """Passes requests on to an OpenAI-compatible API and its answers back, chunk by chunk."""

    def __init__(self, url: str) -> None:
        """Make a client for one API.

        Args:
            url: where to; see :func:`parse_upstream_url`.

        Raises:
            ValueError: for what is not an ``http`` or ``https`` URL.
        """
        self._url = httpx2.URL(parse_upstream_url(url))
        self._prefix = self._url.raw_path.rstrip(b"/")
        self._client = httpx2.AsyncClient(
            # As patient as the openai client, whose timeout is ten minutes.
            timeout=httpx2.Timeout(600.0, connect=10.0),
            # Many servers, Helicone's among them, close idle connections after five seconds.
            limits=httpx2.Limits(
                max_connections=None, max_keepalive_connections=20, keepalive_expiry=4.0
            ),
            follow_redirects=False,
        )
        # The caller's headers are the only ones: no other user agent, no other Accept-Encoding.
        for name in list(self._client.headers):
            del self._client.headers[name]

    def provider(self, path: bytes) -> str:
        """Name the provider of a request; see :meth:`~.upstream.Upstream.provider`."""
        return provider_of(self._url.host, path.decode("latin-1"))

    @asynccontextmanager
    async def send(self, request: UpstreamRequest) -> AsyncIterator[UpstreamAnswer]:
        """Send a request; see :meth:`~.upstream.Upstream.send`."""
        target = self._prefix + request.path
        if request.query:
            target += b"?" + request.query
        try:
            outgoing = self._client.build_request(
                request.method,
                self._url.copy_with(raw_path=target),
                headers=list(request.headers),
                content=request.body or None,
            )
            # The gateway may run in the process that is traced; it is no part of the trace.
            with suppress_instrumentation():
                response = await self._client.send(outgoing, stream=True)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise UpstreamUnreachable(f"{self._url}: {_said(error)}") from error
        try:
            yield UpstreamAnswer(
                response.status_code, tuple(response.headers.raw), _chunks(response)
            )
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()


async def _chunks(response: httpx2.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.aiter_raw():
            yield chunk
    except httpx2.HTTPError as error:
        raise UpstreamBroke(_said(error)) from error


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
