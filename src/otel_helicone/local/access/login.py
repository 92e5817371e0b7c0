"""The page on which a key is shown, where pages are for those who have one."""

from __future__ import annotations

import hmac
import secrets
from typing import Final

import anyio
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from otel_helicone.local.forms.form import FormRefused, read_form
from otel_helicone.local.log_api.api_keys import ApiKeys
from otel_helicone.local.pages.rendering import Templates

__all__ = ["Login"]

_COOKIE: Final = "otel_helicone_login"
# What a guess costs, in seconds.
_SECONDS_FOR_A_WRONG_KEY: Final = 0.5


class Login:
    """Lets in browsers whose owner knows a key.

    The cookie is made from a secret that ends with the process; the key itself is not in it.
    """

    def __init__(self, keys: ApiKeys, templates: Templates) -> None:
        """Begin with nobody let in.

        Args:
            keys: the Helicone keys that are known.
            templates: the pages' templates.
        """
        self._keys = keys
        self._templates = templates
        self._known = hmac.new(secrets.token_bytes(32), b"login", "sha256").hexdigest()

    def routes(self) -> list[Route]:
        """Give the routes of the page and its form."""
        return [Route("/login", self._answer, methods=["GET", "POST"])]

    def is_known(self, request: Request) -> bool:
        """Tell whether a request comes from a browser that was let in."""
        cookie = request.cookies.get(_COOKIE, "")
        return hmac.compare_digest(cookie.encode(), self._known.encode())

    async def _answer(self, request: Request) -> Response:
        asked = _own_address(request.query_params.get("next", "/"))
        if request.method != "POST":
            return self._templates.page("login.html", asked=asked, wrong=False)
        try:
            key = (await read_form(request)).get("key", "").strip()
        except FormRefused:
            key = ""
        if not self._keys.knows(key):
            await anyio.sleep(_SECONDS_FOR_A_WRONG_KEY)
            return self._templates.page("login.html", 403, asked=asked, wrong=True)
        response = RedirectResponse(asked, 303)
        response.set_cookie(_COOKIE, self._known, path="/", httponly=True, samesite="strict")
        return response


def _own_address(asked: str) -> str:
    """Give the address to go on to, which has to be one of this server's pages."""
    if asked.startswith("/") and not asked.startswith(("//", "/\\")) and asked.isprintable():
        return asked
    return "/"
