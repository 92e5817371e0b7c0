"""What the answers of all lists have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from otel_helicone.local.pages.filter_form import PERIODS, STATUSES
from otel_helicone.local.pages.listing import Listing, Paging
from otel_helicone.local.pages.site import Site

__all__ = ["list_answer"]


def list_answer(
    site: Site,
    request: Request,
    template: str,
    listing: Listing,
    paging: Paging,
    *,
    property_names: Sequence[str] | None = None,
    **values: Any,
) -> Response:
    """Answer with a list.

    Args:
        site: what is shown, and how.
        request: what was asked for.
        template: the list's template.
        listing: the list as it was asked for.
        paging: which of its rows are shown.
        property_names: the properties that there are; None to read them.
        values: what this template alone refers to.
    """
    names = site.store.property_names() if property_names is None else property_names
    return site.templates.page(
        template,
        here=listing.path,
        listing=listing,
        paging=paging,
        property_names=names,
        periods=PERIODS,
        statuses=STATUSES,
        base_url=f"{request.base_url}v1",
        **values,
    )
