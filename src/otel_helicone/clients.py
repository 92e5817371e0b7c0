"""Session headers for chosen HTTP clients, where not all of them are to have them.

A processor in use puts them on the requests of all clients, and these functions add nothing to
that. With ``inject=False`` only the clients that are named here get them. The rules are the same:
headers go to Helicone's hosts and those that were named as gateways, what the caller set stays, and
a redirect to another origin loses every ``Helicone-*`` header. Nothing is added while no
``HeliconeSpanProcessor`` is in use, so it doesn't matter which is made first.

None of these libraries is imported here; they come with the object that is given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from otel_helicone.injection.aiohttp_sessions import origin_of_url as origin_of_yarl_url
from otel_helicone.injection.plain_requests import (
    add_headers,
    goes_to_helicone,
    keeps_credentials,
    take_off_helicone,
)
from otel_helicone.injection.requests_sessions import take_off_redirect
from otel_helicone.injection.urllib3_pools import origin_of_url, prepared_headers
from otel_helicone.primitives.log_once import log_failure_once

if TYPE_CHECKING:
    import aiohttp
    import requests
    import urllib3

__all__ = ["for_aiohttp", "for_botocore", "for_requests", "for_urllib3"]

_Client = TypeVar("_Client")
_Session = TypeVar("_Session", bound="requests.Session")
_Pool = TypeVar("_Pool", bound="urllib3.PoolManager")

_ADDING: Final = "adding session headers to a request"


def for_requests(session: _Session) -> _Session:
    """Make a session of ``requests`` add session headers.

    Example::

        http = for_requests(requests.Session())

    Args:
        session: the session; its ``send`` and ``rebuild_auth`` are wrapped, on this object alone.

    Returns:
        The same session.
    """
    send: Callable[..., requests.Response] = session.send
    rebuild_auth: Callable[..., None] = session.rebuild_auth

    def send_with_session(request: requests.PreparedRequest, **options: Any) -> requests.Response:
        try:
            origin = origin_of_url(request.url)
            if goes_to_helicone(origin, even_without_inject=True):
                request = request.copy()  # it may be sent again, in another session
                add_headers(origin, request.headers, even_without_inject=True)
        except Exception:
            log_failure_once(_ADDING)
        return send(request, **options)

    def rebuild_without(request: requests.PreparedRequest, response: requests.Response) -> None:
        rebuild_auth(request, response)
        take_off_redirect(request, response)

    # By name: a method of an instance is not to be assigned to, as far as types go.
    vars(session).update(send=send_with_session, rebuild_auth=rebuild_without)
    return session


def for_urllib3(pool: _Pool) -> _Pool:
    """Make a ``PoolManager`` of ``urllib3`` add session headers.

    Example::

        http = for_urllib3(urllib3.PoolManager())

    Args:
        pool: the pool manager; its ``urlopen`` is wrapped, on this object alone.

    Returns:
        The same pool manager.
    """
    urlopen = pool.urlopen

    def urlopen_with_session(
        method: str, url: str, redirect: bool = True, **options: Any
    ) -> urllib3.BaseHTTPResponse:
        try:
            given = options.get("headers")
            headers, _ = prepared_headers(
                origin_of_url(url),
                pool.headers if given is None else given,
                options.get("retries"),
                even_without_inject=True,
            )
            options = {**options, "headers": headers}
        except Exception:
            log_failure_once(_ADDING)
        return urlopen(method, url, redirect=redirect, **options)

    vars(pool).update(urlopen=urlopen_with_session)
    return pool


def for_aiohttp() -> aiohttp.TraceConfig:
    """Make a trace configuration, with which a session of ``aiohttp`` adds session headers.

    Example::

        http = aiohttp.ClientSession(trace_configs=[for_aiohttp()])

    Returns:
        A new trace configuration.
    """
    import aiohttp

    async def on_start(
        _session: Any, _context: Any, start: aiohttp.TraceRequestStartParams
    ) -> None:
        add_headers(origin_of_yarl_url(start.url), start.headers, even_without_inject=True)

    async def on_redirect(
        _session: Any, _context: Any, redirect: aiohttp.TraceRequestRedirectParams
    ) -> None:
        try:
            response = redirect.response.headers
            location = response.get("Location") or response.get("URI") or ""
            # The class of URLs that aiohttp itself reads the location with.
            to = redirect.url.join(type(redirect.url)(location))
            hops = [origin_of_yarl_url(redirect.url), origin_of_yarl_url(to)]
            if not keeps_credentials(hops):
                take_off_helicone(redirect.headers)
            add_headers(hops[-1], redirect.headers, even_without_inject=True)
        except Exception:
            log_failure_once("taking Helicone's headers off a redirect")

    config = aiohttp.TraceConfig()
    config.on_request_start.append(on_start)
    config.on_request_redirect.append(on_redirect)
    return config


def for_botocore(client: _Client) -> _Client:
    """Make a client of ``botocore``, or of ``boto3``, add session headers.

    The headers are added to each attempt after it has been signed, and are no part of what is
    signed.

    Example::

        bedrock = for_botocore(boto3.client("bedrock-runtime", endpoint_url=...))

    Args:
        client: the client; a handler for its event ``before-send`` is registered.

    Returns:
        The same client.
    """
    cast("Any", client).meta.events.register("before-send", _before_send)
    return client


def _before_send(request: Any, **_: Any) -> None:
    try:
        add_headers(origin_of_url(str(request.url)), request.headers, even_without_inject=True)
    except Exception:
        log_failure_once(_ADDING)
