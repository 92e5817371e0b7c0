"""The pages that list: sessions, their names, users, models and properties."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from otel_helicone.local.pages.names_page import names_page
from otel_helicone.local.pages.query_fields import WrongQuery, without_empty
from otel_helicone.local.pages.sessions_page import sessions_page
from otel_helicone.local.pages.site import Site
from otel_helicone.local.pages.values_page import models_page, properties_page, users_page

__all__ = ["list_routes"]


def list_routes(site: Site) -> list[BaseRoute]:
    """Give the routes of the lists.

    Args:
        site: what they show, and how.
    """
    pages = {
        "/": sessions_page,
        "/sessions": sessions_page,
        "/sessions/names": names_page,
        "/users": users_page,
        "/models": models_page,
        "/properties": properties_page,
    }
    return [
        Route(path, _answering(site, page), methods=["GET"], name=path)
        for path, page in pages.items()
    ]


def _answering(
    site: Site, page: Callable[[Site, Request, datetime], Response]
) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        query = request.query_params.multi_items()
        # A form sends what was not filled in too; the address is to say only what is asked for.
        filled = without_empty(query)
        if len(filled) < len(query):
            path = request.url.path
            address = f"{path}?{urlencode(filled)}" if filled else path
            return RedirectResponse(address, status_code=302)
        try:
            return page(site, request, datetime.now(UTC))
        except WrongQuery as error:
            return site.templates.page(
                "message.html", 400, heading="This cannot be asked for", text=str(error)
            )

    return answer
