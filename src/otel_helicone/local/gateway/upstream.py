"""What answers the gateway's requests: a provider far away, or the built-in one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

__all__ = [
    "RawHeaders",
    "Upstream",
    "UpstreamAnswer",
    "UpstreamBroke",
    "UpstreamRequest",
    "UpstreamUnreachable",
]

RawHeaders: TypeAlias = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """A request as it leaves the gateway.

    Attributes:
        method: the HTTP method.
        path: the path as the caller wrote it, percent-encoding and all; starts with ``/v1/``.
        query: what followed the ``?``, without it; empty where there was none.
        headers: the caller's headers, without ``Helicone-*`` and without those of the connection.
        body: the whole body.
    """

    method: str
    path: bytes
    query: bytes
    headers: RawHeaders
    body: bytes


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """The head of an answer, and its body as it comes.

    Attributes:
        status: the HTTP status.
        headers: the answer's headers, ``Content-Encoding`` included.
        chunks: the body's bytes, not decoded; raises :class:`UpstreamBroke` when it breaks off.
    """

    status: int
    headers: RawHeaders
    chunks: AsyncIterator[bytes]


class UpstreamUnreachable(Exception):
    """No answer came: not reachable, or gone before the first byte. The text says what happened."""


class UpstreamBroke(Exception):
    """An answer that had begun broke off. The text says what happened."""


class Upstream(Protocol):
    """Answers requests for the gateway."""

    def provider(self, path: bytes) -> str:
        """Name the provider of a request, as Helicone does.

        Args:
            path: the path that is asked for.
        """
        ...

    def send(self, request: UpstreamRequest) -> AbstractAsyncContextManager[UpstreamAnswer]:
        """Send a request; the context that is given back ends with the answer.

        Raises:
            UpstreamUnreachable: on entering, when there is no answer.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...
