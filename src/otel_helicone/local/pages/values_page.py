"""The pages of users, models and properties: who costs what, and what fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from otel_helicone.local.pages.answering import list_answer
from otel_helicone.local.pages.filter_form import FilterForm, Pairs
from otel_helicone.local.pages.listing import Column, Listing, read_listing
from otel_helicone.local.pages.query_fields import QueryFields
from otel_helicone.local.pages.site import Site
from otel_helicone.local.storage.filters import SessionFilter, ValueSummary

__all__ = ["ValueRow", "models_page", "properties_page", "users_page"]

_KEYS: Final[Mapping[str, Callable[[ValueSummary], Any]]] = {
    "value": lambda summary: summary.value.casefold(),
    "sessions": lambda summary: summary.sessions,
    "failed": lambda summary: _share(summary.failed_sessions, summary.sessions),
    "requests": lambda summary: summary.requests,
    "errors": lambda summary: _share(summary.errors, summary.requests),
    "tokens": lambda summary: summary.total_tokens,
    "cost": lambda summary: summary.cost_usd,
    "latency": lambda summary: _share(summary.latency_ms, summary.requests),
}


@dataclass(frozen=True, slots=True)
class ValueRow:
    """One row of the list.

    Attributes:
        summary: what the requests with a value come to.
        address: the list of the sessions they are in.
        failed_share: how many of the sessions failed, from 0 to 1.
        error_share: how many of the requests failed, from 0 to 1.
        cost_share: their part of the whole list's cost, from 0 to 1.
        latency_ms: the mean latency of a request.
    """

    summary: ValueSummary
    address: str
    failed_share: float
    error_share: float
    cost_share: float
    latency_ms: int


def users_page(site: Site, request: Request, now: datetime) -> Response:
    """Answer with the list of users.

    Args:
        site: what is shown, and how.
        request: what was asked for.
        now: the time that ``last`` counts from.

    Raises:
        WrongQuery: where the address asks for something wrong.
    """
    listing = _listing(request.query_params.multi_items(), "/users", "User")
    rows, total = _rows(site, listing, "user", now, lambda fixed, value: replace(fixed, user=value))
    return list_answer(site, request, "users.html", listing, listing.paging(total), rows=rows)


def models_page(site: Site, request: Request, now: datetime) -> Response:
    """Answer with the list of models; arguments and errors are those of :func:`users_page`."""
    listing = _listing(request.query_params.multi_items(), "/models", "Model")
    rows, total = _rows(
        site, listing, "model", now, lambda fixed, value: replace(fixed, model=value)
    )
    return list_answer(site, request, "models.html", listing, listing.paging(total), rows=rows)


def properties_page(site: Site, request: Request, now: datetime) -> Response:
    """Answer with the list of a property's values.

    ``name`` in the address is the property here, the first one where it is not given; the list
    can therefore not be filtered by session names. Arguments and errors are those of
    :func:`users_page`.
    """
    query = request.query_params.multi_items()
    asked = QueryFields((pair for pair in query if pair[0] == "name"), {"name"}).text("name")
    names = site.store.property_names()
    chosen = asked if asked is not None else next(iter(names), "")
    listing = _listing(
        [pair for pair in query if pair[0] != "name"],
        "/properties",
        "Value",
        (("name", chosen),) if chosen else (),
    )
    rows, total = _rows(
        site,
        listing,
        f"property:{chosen}",
        now,
        lambda fixed, value: replace(
            fixed, properties=tuple(dict.fromkeys((*fixed.properties, (chosen, value))))
        ),
    )
    tabs = [(name, replace(listing, own=(("name", name),), page=1).address) for name in names]
    return list_answer(
        site,
        request,
        "properties.html",
        listing,
        listing.paging(total),
        property_names=names,
        rows=rows,
        chosen=chosen,
        tabs=tabs,
    )


def _listing(query: Sequence[tuple[str, str]], path: str, label: str, own: Pairs = ()) -> Listing:
    columns = (
        Column("value", label, numeric=False),
        Column("sessions", "Sessions"),
        Column("failed", "Failed sessions"),
        Column("requests", "Requests"),
        Column("errors", "Errors"),
        Column("tokens", "Tokens"),
        Column("cost", "Cost"),
        Column("share", "Share of the cost", sortable=False),
        Column("latency", "Mean latency"),
    )
    return read_listing(query, path, columns, default_sort="cost", own=own)


def _rows(
    site: Site,
    listing: Listing,
    name: str,
    now: datetime,
    choosing: Callable[[SessionFilter, str], SessionFilter],
) -> tuple[list[ValueRow], int]:
    """Give the rows of one page, and how many there are on all pages."""
    summaries = sorted(
        site.store.values(name, listing.form.wanted(now)),
        key=_KEYS[listing.sort],
        reverse=listing.descending,
    )
    cost = sum(summary.cost_usd for summary in summaries)
    rows = [
        ValueRow(
            summary=summary,
            address=_address(listing.form, choosing(listing.form.fixed, summary.value)),
            failed_share=_share(summary.failed_sessions, summary.sessions),
            error_share=_share(summary.errors, summary.requests),
            cost_share=_share(summary.cost_usd, cost),
            latency_ms=round(_share(summary.latency_ms, summary.requests)),
        )
        for summary in summaries[listing.offset : listing.offset + listing.size]
    ]
    return rows, len(summaries)


def _address(form: FilterForm, fixed: SessionFilter) -> str:
    return replace(form, fixed=fixed).address("/")


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
