"""The pages' addresses."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from otel_helicone.local.pages.list_pages import list_routes
from otel_helicone.local.pages.session_pages import session_routes
from otel_helicone.local.pages.site import Site

__all__ = ["page_routes"]

_STATIC: Final = Path(__file__).parent / "static"


def page_routes(site: Site) -> list[BaseRoute]:
    """Give the routes of all pages.

    Args:
        site: what they show, and how.
    """
    return [
        *list_routes(site),
        *session_routes(site),
        Mount("/static", StaticFiles(directory=_STATIC), name="static"),
    ]
