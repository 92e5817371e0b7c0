"""Session headers on the requests of ``urllib3``, and of what sends through it.

``HTTPConnectionPool.urlopen``, a public method, is replaced while injection is on. ``requests``,
``botocore`` and ``PoolManager`` itself end there, once for each hop of a redirect; a retry calls it
again from within. The headers are put on a copy of those that are given, so that what was added
never reaches the next hop. What the caller has set does, also to another host: ``urllib3`` takes
off the names that ``Retry.remove_headers_on_redirect`` lists, and Helicone's are not among them.
But ``Retry.history`` tells the hops, so they are taken off here. A session of ``requests`` follows
redirects itself; see ``requests_sessions``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import Span

from otel_helicone.injection.answers import note_answer_headers
from otel_helicone.injection.plain_requests import (
    add_headers,
    keeps_credentials,
    take_off_helicone,
)
from otel_helicone.injection.replaced_methods import Method, replace_method
from otel_helicone.primitives.hosts import Origin
from otel_helicone.primitives.log_once import log_failure_once
from otel_helicone.settings.in_use import injecting, is_gateway

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    import urllib3

__all__ = ["install", "origin_of_url", "prepared_headers"]


def install(module: ModuleType) -> None:
    """Make connection pools add session headers; once, however often it is called.

    Args:
        module: ``urllib3.connectionpool``.
    """
    pool = getattr(module, "HTTPConnectionPool", None)
    if isinstance(pool, type) and callable(getattr(pool, "urlopen", None)):
        replace_method(pool, "urlopen", _sending)


def origin_of_url(url: str | None) -> Origin:
    """Return the origin that ``urllib3``, and what is built on it, connects to for a URL."""
    from urllib3.util import parse_url

    parsed = parse_url(url or "")
    return Origin.of(parsed.scheme or "http", (parsed.host or "").strip("[]"), parsed.port)


def prepared_headers(
    origin: Origin,
    given: Any,
    retries: urllib3.Retry | None,
    *,
    even_without_inject: bool = False,
) -> tuple[MutableMapping[str, str], Span | None]:
    """Return the headers to send on one hop, in a mapping of its own.

    Args:
        origin: where the hop goes.
        given: the headers that are to be sent.
        retries: what ``urllib3`` keeps of the hops before.
        even_without_inject: as for ``goes_to_helicone``.

    Returns:
        The headers, and the current span; None for the span if it doesn't go to Helicone.
    """
    # urllib3 itself asks mappings for a `copy`, save on the way through a tunnel.
    headers = given.copy() if hasattr(given, "copy") else dict(given)
    if not keeps_credentials([*_hops_before(retries), origin]):
        take_off_helicone(headers)
    return headers, add_headers(origin, headers, even_without_inject=even_without_inject)


def _hops_before(retries: urllib3.Retry | None) -> Iterator[Origin]:
    for attempt in getattr(retries, "history", ()):
        # Retries inside a pool tell the path alone; they go where the attempt before went.
        if attempt.url and not attempt.url.startswith("/"):
            yield origin_of_url(attempt.url)


def _sending(send: Method) -> Method:
    @functools.wraps(send)
    def urlopen(
        self: Any,
        method: str,
        url: str,
        body: Any = None,
        headers: Any = None,
        retries: Any = None,
        *others: Any,
        **options: Any,
    ) -> Any:
        span = None
        try:
            if is_gateway(self.scheme, self.host, self.port) or (
                # Only these go elsewhere than to the pool's host, or come from elsewhere.
                (self.proxy is not None or getattr(retries, "history", None)) and injecting()
            ):
                headers, span = prepared_headers(
                    _origin(self, url), self.headers if headers is None else headers, retries
                )
        except Exception:
            log_failure_once("adding session headers to a request")
        response = send(self, method, url, body, headers, retries, *others, **options)
        if span is not None:
            note_answer_headers(response, span)
        return response

    return urlopen


def _origin(pool: Any, url: str) -> Origin:
    """Return where a pool sends a request for a URL, or has its proxy send it."""
    if pool.proxy is not None and not url.startswith("/") and _is_at(pool.proxy, pool):
        return origin_of_url(url)
    return Origin.of(pool.scheme, pool.host.strip("[]"), pool.port)


def _is_at(proxy: Any, pool: Any) -> bool:
    there = Origin.of(proxy.scheme or "http", (proxy.host or "").strip("[]"), proxy.port)
    return there == Origin.of(pool.scheme, pool.host.strip("[]"), pool.port)
