"""The page of the sessions."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final, cast

from starlette.requests import Request
from starlette.responses import Response

from otel_helicone.local.analysis.over_time import over_time
from otel_helicone.local.pages.answering import list_answer
from otel_helicone.local.pages.charts import HEIGHT, WIDTH, charts_of
from otel_helicone.local.pages.listing import Column, Listing, read_listing
from otel_helicone.local.pages.over_time_table import time_rows
from otel_helicone.local.pages.site import Site
from otel_helicone.local.storage.filters import SessionSort, SortKey

__all__ = ["sessions_page"]

_COLUMNS: Final = (
    Column("name", "Session", numeric=False),
    Column("user", "Users", numeric=False, sortable=False),
    Column("started", "Start"),
    Column("duration", "Duration"),
    Column("requests", "Requests"),
    Column("errors", "Errors"),
    Column("tokens", "Tokens"),
    Column("cost", "Cost"),
)
_SECONDS_TO_COUNT: Final = 0.08


def sessions_page(site: Site, request: Request, now: datetime) -> Response:
    """Answer with the list of sessions.

    Args:
        site: what is shown, and how.
        request: what was asked for.
        now: the time that ``last`` counts from.

    Raises:
        WrongQuery: where the address asks for something wrong.
    """
    query = request.query_params.multi_items()
    listing = read_listing(query, "/", _COLUMNS, default_sort="started")
    wanted = listing.form.wanted(now)
    # The columns that can be sorted by are the keys of a sort.
    sort = SessionSort(cast(SortKey, listing.sort), listing.descending)
    found = site.store.session_page(wanted, sort, offset=listing.offset, limit=listing.size)
    buckets = over_time(site.store.session_figures(wanted)) if found.total else ()
    return list_answer(
        site,
        request,
        "sessions.html",
        listing,
        listing.paging(found.total),
        sessions=found.sessions,
        charts=charts_of(buckets),
        times=time_rows(buckets, listing),
        less_filtered=() if found.total else _less_filtered(site, listing, now),
        is_empty=not found.total and not site.store.session_page(limit=1).total,
        chart_width=WIDTH,
        chart_height=HEIGHT,
    )


def _less_filtered(
    site: Site, listing: Listing, now: datetime
) -> list[tuple[str, str, int | None]]:
    """Give, for each part of a filter that finds nothing, what is found without it.

    In a large store only the first parts are counted: the reader waits for the page.
    """
    found: list[tuple[str, str, int | None]] = []
    deadline = time.monotonic() + _SECONDS_TO_COUNT
    for chip in listing.form.chips():
        total = None
        if time.monotonic() < deadline:
            total = site.store.session_page(chip.without.wanted(now), limit=1).total
        found.append((chip.words, listing.filtered(chip.without), total))
    return found
