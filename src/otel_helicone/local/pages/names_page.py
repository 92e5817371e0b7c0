"""The page that groups sessions by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from otel_helicone.local.analysis.names import NameSummary, by_name
from otel_helicone.local.pages.answering import list_answer
from otel_helicone.local.pages.filter_form import FilterForm
from otel_helicone.local.pages.listing import Column, read_listing
from otel_helicone.local.pages.site import Site

__all__ = ["names_page"]

_COLUMNS: Final = (
    Column("name", "Name", numeric=False),
    Column("sessions", "Sessions"),
    Column("failed", "Failed"),
    Column("requests", "Requests"),
    Column("errors", "Errors"),
    Column("tokens", "Tokens"),
    Column("cost", "Cost"),
    Column("p50", "p50"),
    Column("p75", "p75"),
    Column("p90", "p90"),
    Column("p95", "p95"),
    Column("p99", "p99"),
    Column("cost_p50", "p50"),
    Column("cost_p95", "p95"),
    Column("last_start", "Last start"),
)
_KEYS: Final[Mapping[str, Callable[[NameSummary], Any]]] = {
    "name": lambda summary: summary.name.casefold(),
    "sessions": lambda summary: summary.sessions,
    "failed": lambda summary: summary.failed_sessions,
    "requests": lambda summary: summary.requests,
    "errors": lambda summary: summary.errors,
    "tokens": lambda summary: summary.total_tokens,
    "cost": lambda summary: summary.cost_usd,
    "p50": lambda summary: summary.duration_ms.p50,
    "p75": lambda summary: summary.duration_ms.p75,
    "p90": lambda summary: summary.duration_ms.p90,
    "p95": lambda summary: summary.duration_ms.p95,
    "p99": lambda summary: summary.duration_ms.p99,
    "cost_p50": lambda summary: summary.session_cost_usd.p50,
    "cost_p95": lambda summary: summary.session_cost_usd.p95,
    "last_start": lambda summary: summary.last_started_at,
}


@dataclass(frozen=True, slots=True)
class NameRow:
    """One row of the list.

    Attributes:
        summary: what the sessions of a name come to.
        address: the list of these sessions.
    """

    summary: NameSummary
    address: str


def names_page(site: Site, request: Request, now: datetime) -> Response:
    """Answer with the list of session names.

    Args:
        site: what is shown, and how.
        request: what was asked for.
        now: the time that ``last`` counts from.

    Raises:
        WrongQuery: where the address asks for something wrong.
    """
    query = request.query_params.multi_items()
    listing = read_listing(query, "/sessions/names", _COLUMNS, default_sort="sessions")
    summaries = sorted(
        by_name(site.store.session_figures(listing.form.wanted(now))),
        key=_KEYS[listing.sort],
        reverse=listing.descending,
    )
    shown = summaries[listing.offset : listing.offset + listing.size]
    return list_answer(
        site,
        request,
        "names.html",
        listing,
        listing.paging(len(summaries)),
        rows=[NameRow(summary, _address(listing.form, summary.name)) for summary in shown],
    )


def _address(form: FilterForm, name: str) -> str:
    chosen = replace(form, fixed=replace(form.fixed, names=(name,)))
    return chosen.address("/")
