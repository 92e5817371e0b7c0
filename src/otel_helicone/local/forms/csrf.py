"""Tokens that forms carry, so that no other site can send them."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["CSRF_FIELD", "CsrfTokens"]

CSRF_FIELD: Final = "csrf"
"""The name of the form's field."""

_COOKIE: Final = "otel_helicone_page"


class CsrfTokens:
    """Makes and checks the tokens of one server's forms.

    A browser gets a random cookie that scripts can't read and that other sites can't have sent; a
    form's token is made from it with a secret that ends with the process.
    """

    def __init__(self) -> None:
        """Begin with a new secret."""
        self._secret = secrets.token_bytes(32)

    def token_for(self, request: Request) -> tuple[str, str | None]:
        """Give the token for the forms of a page.

        Args:
            request: the one that asks for the page.

        Returns:
            The token, and the cookie that has to be set with :meth:`set_cookie`, or None where the
            browser has one.
        """
        cookie = request.cookies.get(_COOKIE)
        if cookie:
            return self._token(cookie), None
        new = secrets.token_urlsafe(24)
        return self._token(new), new

    def set_cookie(self, response: Response, cookie: str | None) -> None:
        """Have the browser keep what :meth:`token_for` gave.

        Args:
            response: the page.
            cookie: the cookie's value; None where there is none to set.
        """
        if cookie is not None:
            response.set_cookie(_COOKIE, cookie, path="/", httponly=True, samesite="strict")

    def is_valid(self, request: Request, form: Mapping[str, str]) -> bool:
        """Tell whether a form was on a page of this server.

        Args:
            request: the one that brought the form.
            form: its fields; see :func:`~.forms.read_form`.
        """
        cookie, given = request.cookies.get(_COOKIE), form.get(CSRF_FIELD)
        if not cookie or given is None:
            return False
        return hmac.compare_digest(self._token(cookie).encode(), given.encode())

    def _token(self, cookie: str) -> str:
        return hmac.new(self._secret, cookie.encode("utf-8", "replace"), "sha256").hexdigest()
