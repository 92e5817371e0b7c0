"""The filter of the lists: what an address asks for, and what it is refused for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_helicone.local.pages.filter_form import (
    FILTER_FIELDS,
    PERIODS,
    FilterForm,
    read_filter,
)
from otel_helicone.local.pages.listing import Column, read_listing
from otel_helicone.local.pages.query_fields import QueryFields, WrongQuery, without_empty
from otel_helicone.local.storage.filters import SessionFilter

NOW = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
COLUMNS = (
    Column("name", "Name", numeric=False),
    Column("cost", "Cost"),
    Column("started", "Start"),
    Column("share", "Share", sortable=False),
)


def read(address: str) -> FilterForm:
    query = parse_qsl(urlsplit(address).query, keep_blank_values=True)
    return read_filter(QueryFields(query, FILTER_FIELDS))


def refusal(address: str) -> str:
    with pytest.raises(WrongQuery) as refused:
        read(address)
    return str(refused.value)


def test_no_query_wants_everything() -> None:
    assert read("/").wanted(NOW) == SessionFilter()


def test_every_field_has_its_place_in_the_filter() -> None:
    form = read(
        "/?search=trip&name=Trip&name=Chat&user=ada&model=gpt-4o&status=429"
        "&property=environment&value=prod&property=tenant&value="
        "&from=2026-01-31T18:30&to=2026-02-01T00:00:00.5%2B02:00"
        "&cost_from=0.05&cost_to=1e2&duration_from=1.5&duration_to=60"
    )
    assert form.wanted(NOW) == SessionFilter(
        search="trip",
        names=("Trip", "Chat"),
        user="ada",
        model="gpt-4o",
        status="429",
        properties=(("environment", "prod"), ("tenant", "")),
        started_from=datetime(2026, 1, 31, 18, 30, tzinfo=UTC),
        started_before=datetime(2026, 1, 31, 22, 0, 0, 500_000, tzinfo=UTC),
        cost_from=0.05,
        cost_to=100.0,
        duration_from=timedelta(seconds=1.5),
        duration_to=timedelta(minutes=1),
    )


def test_what_a_form_leaves_empty_filters_nothing() -> None:
    empty = "&".join(f"{name}=" for name in sorted(FILTER_FIELDS))
    assert read(f"/?{empty}") == FilterForm()


def test_sessions_without_a_name_user_or_model_can_be_asked_for() -> None:
    wanted = read("/?without=name&without=user&without=model&name=Trip").wanted(NOW)
    assert wanted == SessionFilter(names=("Trip", ""), user="", model="")


def test_a_period_counts_from_the_time_of_asking() -> None:
    assert read("/?last=hour").wanted(NOW).started_from == NOW - timedelta(hours=1)
    assert read("/?last=month").wanted(NOW).started_from == NOW - timedelta(days=30)


def test_a_period_and_a_start_hold_both() -> None:
    later = read("/?last=day&from=2026-05-04T12:00").wanted(NOW)
    assert later.started_from == datetime(2026, 5, 4, 12, tzinfo=UTC)
    earlier = read("/?last=day&from=2025-01-01").wanted(NOW)
    assert earlier.started_from == NOW - timedelta(days=1)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (
            "/?cost_from=abc",
            (
                "The field 'cost_from' cannot be 'abc': give a number of US dollars without a sign,"
                " such as 0.05."
            ),
        ),
        (
            "/?cost_to=-1",
            (
                "The field 'cost_to' cannot be '-1': give a number of US dollars without a sign,"
                " such as 0.05."
            ),
        ),
        (
            "/?cost_to=9e999",
            (
                "The field 'cost_to' cannot be '9e999': give a number of US dollars without a sign,"
                " such as 0.05."
            ),
        ),
        (
            "/?duration_from=1m",
            (
                "The field 'duration_from' cannot be '1m': give a number of seconds without a sign,"
                " such as 1.5."
            ),
        ),
        (
            "/?from=yesterday",
            "The field 'from' cannot be 'yesterday': give a time in UTC, such as 2026-01-31T18:30.",
        ),
        (
            "/?to=0001-01-01T00:00%2B12:00",
            (
                "The field 'to' cannot be '0001-01-01T00:00+12:00': give a time in UTC, such as"
                " 2026-01-31T18:30."
            ),
        ),
        (
            "/?last=year",
            (
                "The field 'last' cannot be 'year': give one of hour, day, week, month, or leave it"
                " out."
            ),
        ),
        (
            "/?status=bad",
            (
                "The field 'status' cannot be 'bad': give error, success, or an HTTP status such as"
                " 429."
            ),
        ),
        (
            "/?without=cost",
            "The field 'without' cannot be 'cost': give one of name, user, model.",
        ),
        (
            "/?without=user&user=ada",
            "The field 'without' is 'user', and the field 'user' is 'ada': take one of them off.",
        ),
        ("/?user=ada&user=bob", "The field 'user' is given 2 times. Give it once."),
        (
            "/?property=a&property=b&value=c",
            (
                "There are 2 fields 'property' and 1 fields 'value': give one value for each"
                " property, in the same order."
            ),
        ),
        (
            "/?property=&value=prod",
            (
                "The field 'property' is empty where 'value' is 'prod': give the property's"
                " name, or take the value off."
            ),
        ),
        (
            "/?cost_from=2&cost_to=1",
            "The field 'cost_from' is '2', which is more than 'cost_to' with '1': swap them.",
        ),
        (
            "/?duration_from=2&duration_to=1.5",
            (
                "The field 'duration_from' is '2', which is more than 'duration_to' with '1.5':"
                " swap them."
            ),
        ),
        (
            "/?from=2026-02-01&to=2026-01-01",
            (
                "The field 'from' is '2026-02-01', which is more than 'to' with '2026-01-01': swap"
                " them."
            ),
        ),
        ("/?" + "name=a&" * 51, "The field 'name' is given 51 times. Give it at most 50 times."),
    ],
)
def test_wrong_values_are_refused_with_field_value_and_remedy(address: str, text: str) -> None:
    assert refusal(address) == text


def test_an_unknown_field_is_refused_with_those_that_are_known() -> None:
    text = refusal("/?serach=trip")
    assert text.startswith("There is no field 'serach' on this page. Take it off; the fields are")
    assert "search" in text


TEXTS = st.text(min_size=1, max_size=20)
TIMES = st.datetimes(
    min_value=datetime(1971, 1, 1),
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5, minutes=-30))]),
)
COSTS = st.floats(min_value=0, allow_nan=False, allow_infinity=False).map(abs)
DURATIONS = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=11_000))


def is_in_order(wanted: SessionFilter) -> bool:
    pairs = (
        (wanted.cost_from, wanted.cost_to),
        (wanted.duration_from, wanted.duration_to),
        (wanted.started_from, wanted.started_before),
    )
    return all(low is None or high is None or low <= high for low, high in pairs)  # type: ignore[operator]


FILTERS = st.builds(
    SessionFilter,
    search=st.text(max_size=20).map(str.strip),
    names=st.lists(st.just("") | TEXTS, max_size=3, unique=True).map(
        # The address tells of sessions without a name apart from the names, and last.
        lambda names: tuple(sorted(names, key=lambda name: not name))
    ),
    user=st.none() | st.just("") | TEXTS,
    properties=st.lists(st.tuples(TEXTS, st.text(max_size=10)), max_size=3, unique=True).map(tuple),
    status=st.sampled_from([None, "error", "success", "200", "429", "-3"]),
    model=st.none() | st.just("") | TEXTS,
    started_from=st.none() | TIMES,
    started_before=st.none() | TIMES,
    cost_from=st.none() | COSTS,
    cost_to=st.none() | COSTS,
    duration_from=st.none() | DURATIONS,
    duration_to=st.none() | DURATIONS,
).filter(is_in_order)


@given(FILTERS, st.sampled_from(["", *PERIODS]))
def test_a_filter_is_the_same_after_a_way_through_the_address(
    wanted: SessionFilter, last: str
) -> None:
    form = FilterForm(wanted, last)
    again = read(form.address("/"))
    assert again == form
    assert again.wanted(NOW) == form.wanted(NOW)
    assert again.address("/") == form.address("/")


@given(FILTERS, st.sampled_from(["", *PERIODS]))
def test_taking_off_every_part_of_a_filter_leaves_none(wanted: SessionFilter, last: str) -> None:
    form = FilterForm(wanted, last)
    for _ in form.chips():
        chip = form.chips()[0]
        assert len(chip.without.chips()) == len(form.chips()) - 1
        form = chip.without
    assert form == FilterForm()


@given(FILTERS)
def test_an_address_without_its_empty_fields_asks_for_the_same(wanted: SessionFilter) -> None:
    fields = FilterForm(wanted).fields()
    filled_in = {name for name, _ in fields}
    left_empty = [(name, "") for name in sorted(FILTER_FIELDS - filled_in - {"value", "property"})]
    blank_row = [("property", ""), ("value", "")]
    kept = without_empty([*left_empty, *fields, *blank_row])
    assert sorted(kept) == sorted(fields)
    assert without_empty(kept) == kept


def test_chips_say_what_is_asked_for() -> None:
    form = read(
        "/?search=trip&without=name&user=ada&status=error&property=env&value=prod&last=week"
        "&from=2026-01-31T18:30&cost_to=0.05&duration_from=90"
    )
    assert [chip.words for chip in form.chips()] == [
        "Search: trip",
        "Without a name",
        "User: ada",
        "Status: with errors",
        "Property env: prod",
        "Started: last week",
        "Started from 2026-01-31 18:30 UTC",
        "Cost up to $0.0500",
        "Duration from 90.0 s",
    ]


def list_at(address: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(address).query, keep_blank_values=True)


def test_a_heading_sorts_and_then_turns_round() -> None:
    listing = read_listing(list_at("/?user=ada&page=3"), "/", COLUMNS, default_sort="started")
    name, cost, started, share = listing.headings
    assert (name.address, name.order) == ("/?user=ada&sort=name", "")
    assert (cost.address, cost.order) == ("/?user=ada&sort=cost", "")
    assert (started.address, started.order) == ("/?user=ada&order=asc", "descending")
    assert (share.address, share.order) == ("", "")

    turned = read_listing(list_at(name.address), "/", COLUMNS, default_sort="started")
    assert turned.headings[0].order == "ascending"
    assert turned.headings[0].address == "/?user=ada&sort=name&order=desc"


@pytest.mark.parametrize("sort", ["name", "cost", "started"])
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("size", [50, 100, 200])
@pytest.mark.parametrize("page", [1, 7])
def test_a_list_is_the_same_after_a_way_through_the_address(
    sort: str, order: str, size: int, page: int
) -> None:
    address = f"/?search=a&sort={sort}&order={order}&size={size}&page={page}"
    listing = read_listing(list_at(address), "/", COLUMNS, default_sort="started")
    assert (listing.sort, listing.size, listing.page) == (sort, size, page)
    assert listing.descending is (order == "desc")
    again = read_listing(list_at(listing.address), "/", COLUMNS, default_sort="started")
    assert again == listing


def test_pages_lead_to_each_other() -> None:
    listing = read_listing(list_at("/?page=2"), "/", COLUMNS, default_sort="started")
    paging = listing.paging(120)
    assert (paging.first, paging.last, paging.pages) == (51, 100, 3)
    assert (paging.before, paging.after) == ("/", "/?page=3")
    assert paging.sizes == ((50, "/"), (100, "/?size=100"), (200, "/?size=200"))
    assert listing.paging(100).after == ""


def test_beyond_the_last_page_the_way_back_leads_to_it() -> None:
    listing = read_listing(list_at("/?page=9"), "/", COLUMNS, default_sort="started")
    assert listing.paging(120).before == "/?page=3"


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("/?page=0", "The field 'page' cannot be '0': give a whole number from 1 on."),
        ("/?page=1.5", "The field 'page' cannot be '1.5': give a whole number from 1 on."),
        (
            "/?size=10",
            "The field 'size' cannot be '10': give one of 50, 100, 200, or leave it out.",
        ),
        (
            "/?sort=share",
            "The field 'sort' cannot be 'share': give one of name, cost, started, or leave it out.",
        ),
        ("/?order=up", "The field 'order' cannot be 'up': give one of asc, desc, or leave it out."),
    ],
)
def test_wrong_orders_and_pages_are_refused(address: str, text: str) -> None:
    with pytest.raises(WrongQuery) as refused:
        read_listing(list_at(address), "/", COLUMNS, default_sort="started")
    assert str(refused.value) == text
