"""What the two HTTP stacks have in common, as types: ``httpx2`` and ``httpx`` share their API.

Neither is imported here: an application pays only for the one that it uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

__all__ = ["Headers", "Request", "Response", "Url"]


class Url(Protocol):
    """A parsed URL."""

    @property
    def scheme(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def raw_host(self) -> bytes: ...
    @property
    def port(self) -> int | None: ...
    @property
    def netloc(self) -> bytes: ...
    def copy_with(self, **parts: object) -> Url: ...


class Headers(Protocol):
    """Headers, as the case-insensitive multi-dict of both stacks."""

    @property
    def raw(self) -> Sequence[tuple[bytes, bytes]]: ...
    def __setitem__(self, key: str, value: str) -> None: ...
    def __contains__(self, key: object) -> bool: ...
    def get(self, key: str) -> str | None: ...


class Request(Protocol):
    """A request about to be sent."""

    headers: Headers
    url: Url


class Response(Protocol):
    """A response whose headers have come."""

    @property
    def headers(self) -> Headers: ...
