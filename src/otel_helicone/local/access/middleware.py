"""Lets in what the rules allow, before anything else of a request is looked at."""

from __future__ import annotations

import json
from typing import Final
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from otel_helicone.local.access.login import Login
from otel_helicone.local.access.rules import AccessRules
from otel_helicone.local.log_api.worker_log import WORKER_PROVIDERS

__all__ = ["Access"]

_HARMLESS: Final = ("GET", "HEAD", "OPTIONS")
# These look at the key themselves, and answer as Helicone does.
_OF_LOGS: Final = tuple(f"/{endpoint}/" for endpoint in WORKER_PROVIDERS)
# Applications speak with these; everything else is for people with a browser.
_FOR_APPLICATIONS: Final = ("/v1/", "/run/", "/healthz", *_OF_LOGS)
_WITHOUT_LOGIN: Final = ("/healthz", "/login", "/static/")
_PAGE_HEADERS: Final = {
    # What is shown comes from prompts: nothing in it may run, load or send anything.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    # With no-referrer, browsers send the forms of these pages with an origin of "null".
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Access:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, rules: AccessRules, login: Login) -> None:
        """Wrap an application.

        Args:
            app: what answers the requests that are let in.
            rules: what is let in.
            login: knows the browsers of those who have shown a key.
        """
        self._app = app
        self._rules = rules
        self._login = login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        path: str = scope["path"]
        for_people = not path.startswith(_FOR_APPLICATIONS)
        refused = self._refusal(scope, headers, path)
        if refused is None and for_people:
            await self._app(scope, receive, _with_page_headers(send))
        elif refused is None and (origin := headers.get("origin")) in self._rules.origins:
            await self._app(scope, receive, _with_origin(send, str(origin)))
        elif refused is None:
            await self._app(scope, receive, send)
        else:
            await refused(scope, receive, _with_page_headers(send) if for_people else send)

    def _refusal(self, scope: Scope, headers: Headers, path: str) -> Response | None:
        """Give the answer to what is not let in, or to a question whether it will be."""
        host = headers.get("host", "")
        # Without a host it is no browser: HTTP/1.1 asks for one.
        if host and not self._rules.knows_host(host):
            text = (
                f"This local Helicone does not go by the name {host!r}. If it should, start it"
                " with --allow-host and that name (without the port).\n"
            )
            return PlainTextResponse(text, 421)
        origin = headers.get("origin")
        if origin in self._rules.origins and scope["method"] == "OPTIONS":
            asked = headers.get("access-control-request-headers", "")
            return Response(status_code=204, headers=_cors(str(origin), asked))
        if scope["method"] not in _HARMLESS and not self._is_own(headers, host):
            text = (
                "Pages of other sites may not send anything to this local Helicone. If this one"
                " may, start it with --allow-origin and its origin.\n"
            )
            return PlainTextResponse(text, 403)
        if self._rules.login and not path.startswith(_WITHOUT_LOGIN):
            return self._without_key(scope, headers, path)
        return None

    def _is_own(self, headers: Headers, host: str) -> bool:
        """Tell whether a request was sent by no browser, by an own page, or an allowed one."""
        origin = headers.get("origin")
        if origin is not None:
            return self._rules.knows_origin(origin, host)
        return headers.get("sec-fetch-site", "none") in ("none", "same-origin")

    def _without_key(self, scope: Scope, headers: Headers, path: str) -> Response | None:
        if path.startswith(_OF_LOGS):
            return None
        for name in ("helicone-auth", "authorization"):
            kind, _, key = headers.get(name, "").partition(" ")
            if kind.lower() == "bearer" and self._rules.keys.knows(key.strip()):
                return None
        if path.startswith(_FOR_APPLICATIONS):
            text = "This local Helicone asks for a key that it knows: send it as Helicone-Auth."
            body = json.dumps({"error": {"message": text, "type": "invalid_request_error"}})
            return Response(body, 401, media_type="application/json")
        if self._login.is_known(Request(scope)):
            return None
        query = scope["query_string"].decode("latin-1")
        asked = f"{path}?{query}" if query else path
        return RedirectResponse(f"/login?next={quote(asked, safe='')}", 303)


def _cors(origin: str, asked_headers: str) -> dict[str, str]:
    return {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
        "access-control-allow-headers": asked_headers,
        "vary": "Origin",
    }


def _with_origin(send: Send, origin: str) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["access-control-allow-origin"] = origin
            headers["access-control-expose-headers"] = "*"
            headers.add_vary_header("Origin")
        await send(message)

    return sending


def _with_page_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _PAGE_HEADERS.items():
                headers.setdefault(name, value)
            if headers.get("content-type", "").startswith("text/html"):
                headers["cache-control"] = "no-store"
        await send(message)

    return sending
