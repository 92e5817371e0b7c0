"""Session headers for HTTP clients that are not instrumented by themselves, one line for each.

Clients on ``httpx2`` and ``httpx`` need nothing of this. The rules are the same as theirs: headers
go to Helicone's hosts and those that were named as gateways, what the caller set stays, and a
redirect to another origin loses every ``Helicone-*`` header. Nothing is added while no
``HeliconeSpanProcessor`` that injects is in use, so it doesn't matter which is made first.

None of these libraries is imported here; they come with the object that is given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from otel_helicone.injection.plain_requests import (
    add_headers,
    goes_to_helicone,
    without_helicone,
)
from otel_helicone.primitives.header_names import HELICONE_PREFIX
from otel_helicone.primitives.hosts import Origin
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
_TAKING_OFF: Final = "taking Helicone's headers off a redirect"


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
            origin = _urllib3_origin(request.url)
            if goes_to_helicone(origin):
                request = request.copy()  # it may be sent again, in another session
                add_headers(origin, request.headers)
        except Exception:
            log_failure_once(_ADDING)
        return send(request, **options)

    def rebuild_without(request: requests.PreparedRequest, response: requests.Response) -> None:
        # Where requests takes `Authorization` off.
        rebuild_auth(request, response)
        try:
            before = _urllib3_origin(response.request.url)
            if not before.keeps_credentials_to(_urllib3_origin(request.url)):
                _take_off(request.headers)
        except Exception:
            log_failure_once(_TAKING_OFF)

    # By name: a method of an instance is not to be assigned to, as far as types go.
    vars(session).update(send=send_with_session, rebuild_auth=rebuild_without)
    return session


def for_urllib3(pool: _Pool) -> _Pool:
    """Make a ``PoolManager`` of ``urllib3`` add session headers.

    Example::

        http = for_urllib3(urllib3.PoolManager())

    On a redirect, ``urllib3`` takes headers off by their names and for every other host, another
    one of Helicone's included; the session's are then added again.

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
            origin = _urllib3_origin(url)
            if goes_to_helicone(origin):
                options = {**options, **_urllib3_options(pool, origin, redirect, options)}
        except Exception:
            log_failure_once(_ADDING)
        return urlopen(method, url, redirect=redirect, **options)

    vars(pool).update(urlopen=urlopen_with_session)
    return pool


def _urllib3_origin(url: str | None) -> Origin:
    """Return the origin that ``urllib3``, and what is built on it, connects to."""
    from urllib3.util import parse_url

    parsed = parse_url(url or "")
    return Origin.of(parsed.scheme or "http", (parsed.host or "").strip("[]"), parsed.port)


def _urllib3_options(
    pool: urllib3.PoolManager, origin: Origin, redirect: bool, options: dict[str, Any]
) -> dict[str, Any]:
    from urllib3 import HTTPHeaderDict, Retry

    given = options.get("headers")
    headers = HTTPHeaderDict(pool.headers if given is None else given)
    add_headers(origin, headers)
    default = pool.connection_pool_kw.get("retries")
    retries = Retry.from_int(options.get("retries"), redirect=redirect, default=default)
    of_helicone = {name.lower() for name in headers} - {
        name.lower() for name, _ in without_helicone(headers.items())
    }
    return {
        "headers": headers,
        "retries": retries.new(
            remove_headers_on_redirect=retries.remove_headers_on_redirect | of_helicone
        ),
    }


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
        add_headers(_yarl_origin(start.url), start.headers)

    async def on_redirect(
        _session: Any, _context: Any, redirect: aiohttp.TraceRequestRedirectParams
    ) -> None:
        try:
            response = redirect.response.headers
            location = response.get("Location") or response.get("URI") or ""
            # The class of URLs that aiohttp itself reads the location with.
            to = redirect.url.join(type(redirect.url)(location))
            if not _yarl_origin(redirect.url).keeps_credentials_to(_yarl_origin(to)):
                _take_off(redirect.headers)
            add_headers(_yarl_origin(to), redirect.headers)
        except Exception:
            log_failure_once(_TAKING_OFF)

    config = aiohttp.TraceConfig()
    config.on_request_start.append(on_start)
    config.on_request_redirect.append(on_redirect)
    return config


def _yarl_origin(url: Any) -> Origin:
    return Origin.of(url.scheme, url.raw_host or "", url.port)


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
        add_headers(_urllib3_origin(str(request.url)), request.headers)
    except Exception:
        log_failure_once(_ADDING)


def _take_off(headers: Any) -> None:
    for name in list(headers):
        if name.lower().startswith(HELICONE_PREFIX):
            headers.pop(name, None)
