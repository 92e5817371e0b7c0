"""The numbers behind the charts, each time with the address of its sessions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from otel_helicone.local.analysis.over_time import TimeBucket
from otel_helicone.local.pages.filter_form import FilterForm
from otel_helicone.local.pages.listing import Listing

__all__ = ["TimeRow", "time_rows"]


@dataclass(frozen=True, slots=True)
class TimeRow:
    """One row of the table.

    Attributes:
        bucket: a time, and what started then.
        address: the list of exactly the sessions that started then.
    """

    bucket: TimeBucket
    address: str


def time_rows(buckets: Sequence[TimeBucket], listing: Listing) -> tuple[TimeRow, ...]:
    """Give the rows of the times in which sessions started.

    Args:
        buckets: the times, in order.
        listing: the list whose filter they are of.
    """
    return tuple(
        TimeRow(bucket, listing.filtered(_within(listing.form, bucket)))
        for bucket in buckets
        if bucket.sessions
    )


def _within(form: FilterForm, bucket: TimeBucket) -> FilterForm:
    """Give the form for the sessions of a time alone.

    The first and the last time can reach beyond what the filter wants; what is fixed in it stays.
    """
    start, end = bucket.start, bucket.start + bucket.width
    fixed = form.fixed
    if fixed.started_from is not None:
        start = max(start, fixed.started_from)
    if fixed.started_before is not None:
        end = min(end, fixed.started_before)
    return replace(form, fixed=replace(fixed, started_from=start, started_before=end))
