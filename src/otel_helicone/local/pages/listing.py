"""A list's order and pages, and the addresses that change them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlencode

from otel_helicone.local.pages.filter_form import FILTER_FIELDS, FilterForm, Pairs, read_filter
from otel_helicone.local.pages.query_fields import QueryFields

__all__ = ["SIZES", "Column", "Heading", "Listing", "Paging", "read_listing"]

SIZES: Final = (50, 100, 200)
"""How many rows a page may have."""

_ORDERS: Final = ("asc", "desc")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a list.

    Attributes:
        key: what ``sort`` is for it in the address.
        label: its heading.
        numeric: whether it holds numbers: they stand to the right, and the highest come first.
        sortable: whether the list can be sorted by it.
    """

    key: str
    label: str
    numeric: bool = True
    sortable: bool = True


@dataclass(frozen=True, slots=True)
class Heading:
    """A column's heading as it is shown.

    Attributes:
        label: its text.
        numeric: whether it stands to the right.
        address: where the list is sorted by it, or the other way round; empty for nowhere.
        order: ``ascending`` or ``descending`` for the column the list is sorted by, else empty.
    """

    label: str
    numeric: bool
    address: str
    order: str


@dataclass(frozen=True, slots=True)
class Paging:
    """Which rows of a list are shown, and where the others are.

    Attributes:
        total: how many rows there are.
        first: the number of the first row of this page, from 1; more than the total beyond the
            last page.
        last: the number of the last row of this page.
        page: the number of this page, from 1.
        size: how many rows a page has.
        pages: how many pages there are, at least 1.
        before: the address of the page before it, empty for none; the last page, from beyond it.
        after: the address of the page after it, empty for none.
        sizes: how many rows a page may have, each with its address.
    """

    total: int
    first: int
    last: int
    page: int
    size: int
    pages: int
    before: str
    after: str
    sizes: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """A list as it was asked for.

    Attributes:
        path: its address without a query.
        columns: what it shows.
        form: which sessions it is about.
        sort: the column it is sorted by.
        descending: whether the highest, or the last, comes first.
        page: which page of it, from 1.
        size: how many rows a page has.
        own: fields of the address that are this list's alone.
        default_sort: the column it is sorted by where the address says nothing.
    """

    path: str
    columns: tuple[Column, ...]
    form: FilterForm
    sort: str
    descending: bool
    page: int
    size: int
    own: Pairs
    default_sort: str

    @property
    def offset(self) -> int:
        """How many rows come before this page."""
        return (self.page - 1) * self.size

    @property
    def order_fields(self) -> Pairs:
        """The fields of the address that a filter form keeps: order, size and the list's own."""
        fields = list(self.own)
        numeric = _column(self.columns, self.sort).numeric
        if self.sort != self.default_sort:
            fields.append(("sort", self.sort))
        if self.descending is not numeric:
            fields.append(("order", _ORDERS[self.descending]))
        if self.size != SIZES[0]:
            fields.append(("size", str(self.size)))
        return tuple(fields)

    @property
    def address(self) -> str:
        """The address of exactly this; what is as usual is left out of it."""
        page = (("page", str(self.page)),) if self.page > 1 else ()
        return self._address((*self.form.fields(), *self.order_fields, *page))

    @property
    def unfiltered(self) -> str:
        """The address of the same list without any filter."""
        return self._address(self.order_fields)

    def filtered(self, form: FilterForm) -> str:
        """Give the address of the first page of the same list with another filter."""
        return replace(self, form=form, page=1).address

    @property
    def headings(self) -> tuple[Heading, ...]:
        """The headings of the columns, in order."""
        return tuple(self._heading(column) for column in self.columns)

    def paging(self, total: int) -> Paging:
        """Tell which rows of a list this page has.

        Args:
            total: how many rows the list has.
        """
        pages = max(-(-total // self.size), 1)
        before = min(self.page - 1, pages)
        return Paging(
            total=total,
            first=self.offset + 1,
            last=min(self.offset + self.size, total),
            page=self.page,
            size=self.size,
            pages=pages,
            before=replace(self, page=before).address if before else "",
            after=replace(self, page=self.page + 1).address if self.page < pages else "",
            sizes=tuple((size, replace(self, size=size, page=1).address) for size in SIZES),
        )

    def _heading(self, column: Column) -> Heading:
        if not column.sortable:
            return Heading(column.label, column.numeric, "", "")
        here = column.key == self.sort
        descending = not self.descending if here else column.numeric
        other = replace(self, sort=column.key, descending=descending, page=1)
        order = ("ascending", "descending")[self.descending] if here else ""
        return Heading(column.label, column.numeric, other.address, order)

    def _address(self, fields: Sequence[tuple[str, str]]) -> str:
        return f"{self.path}?{urlencode(fields)}" if fields else self.path


def read_listing(
    query: Iterable[tuple[str, str]],
    path: str,
    columns: tuple[Column, ...],
    *,
    default_sort: str,
    own: Pairs = (),
) -> Listing:
    """Read which part of a list is asked for.

    Args:
        query: the address's fields, decoded.
        path: the address without the query.
        columns: what the list shows.
        default_sort: the column it is sorted by where the query says nothing.
        own: fields that are this list's alone and that were read already.

    Raises:
        WrongQuery: where a value is wrong; the text names the field, the value and the remedy.
    """
    fields = QueryFields(query, FILTER_FIELDS | {"sort", "order", "page", "size"})
    form = read_filter(fields)
    sort = fields.choice(
        "sort", (column.key for column in columns if column.sortable), default_sort
    )
    usual = _ORDERS[_column(columns, sort).numeric]
    return Listing(
        path=path,
        columns=columns,
        form=form,
        sort=sort,
        descending=fields.choice("order", _ORDERS, usual) == "desc",
        page=fields.whole("page", 1),
        size=int(fields.choice("size", map(str, SIZES), str(SIZES[0]))),
        own=own,
        default_sort=default_sort,
    )


def _column(columns: Iterable[Column], key: str) -> Column:
    return next(column for column in columns if column.key == key)
