"""Finding sessions, changing and deleting what is stored, and how long it is kept."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_helicone.local.storage import schema
from otel_helicone.local.storage.changes import Deletion, PropertySet, Scores, SessionTag
from otel_helicone.local.storage.changing import Change, Changing
from otel_helicone.local.storage.filters import SessionFilter, SessionSort, SortKey
from otel_helicone.local.storage.records import RequestRecord
from otel_helicone.local.storage.retention import Retention
from otel_helicone.local.storage.schema import connect
from otel_helicone.local.storage.store import Store
from otel_helicone.local.storage.summaries import rebuild
from otel_helicone.local.storage.writer import NotWritten, StoreWriter
from tests.local.session_records import STARTED, call

Write = Callable[..., Store]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    path = tmp_path / "requests.db"
    with closing(StoreWriter(path)) as writer:

        def apply(*changes: Change) -> Store:
            for change in changes:
                writer.put(change)
            assert writer.flush()
            return Store(path)

        yield apply


TRIP = [
    call("/plan", 0, 100, user_id="ada", properties={"env": "prod"}, cost_usd=0.25),
    call("/book", 200, 300, user_id="Åsa", status=429, model="gpt-4o", cost_usd=0.5),
]
OTHER = call(
    "/plan", 60_000, 50, session_id="other", session_name="50% off_", properties={"env": "dev"}
)
ALONE = call("/", 0, 10, session_id=None, session_name=None, user_id="ada", cost_usd=1.0)


def found(store: Store, **wanted: Any) -> set[str]:
    page = store.session_page(SessionFilter(**wanted))
    assert page.total == len(page.sessions)
    figures = store.session_figures(SessionFilter(**wanted))
    assert {one.session_id for one in figures} == {one.session_id for one in page.sessions}
    return {session.session_id for session in page.sessions}


def test_a_session_is_the_sum_of_its_requests(write: Write) -> None:
    (session,) = write(*TRIP, ALONE).sessions()
    assert session.requests == 2
    assert session.errors == 1
    assert session.user_ids == ("ada", "Åsa")
    assert session.cost_usd == 0.75
    assert session.latency_ms == 400
    assert session.duration == timedelta(milliseconds=500)
    assert session.unpriced == 0


@pytest.mark.parametrize(
    ("wanted", "sessions"),
    [
        ({}, {"trip-1", "other"}),
        ({"search": "TRIP"}, {"trip-1"}),
        ({"search": "åSA"}, {"trip-1"}),
        ({"search": "de"}, {"other"}),
        ({"search": "%"}, {"other"}),
        ({"search": "_"}, {"other"}),
        ({"search": "nothing like it"}, set()),
        ({"names": ("Trip", "x")}, {"trip-1"}),
        ({"user": "ada"}, {"trip-1"}),
        ({"user": ""}, {"other"}),
        ({"user": "Ada"}, set()),
        ({"properties": (("env", "prod"),)}, {"trip-1"}),
        ({"properties": (("env", "prod"), ("env", "dev"))}, set()),
        ({"status": "error"}, {"trip-1"}),
        ({"status": "success"}, {"other"}),
        ({"status": "429"}, {"trip-1"}),
        ({"model": "gpt-4o"}, {"trip-1"}),
        ({"started_from": STARTED + timedelta(minutes=1)}, {"other"}),
        ({"started_before": STARTED + timedelta(minutes=1)}, {"trip-1"}),
        ({"cost_from": 0.75}, {"trip-1"}),
        ({"cost_to": 0.7}, {"other"}),
        ({"duration_from": timedelta(milliseconds=500)}, {"trip-1"}),
        ({"duration_to": timedelta(milliseconds=499)}, {"other"}),
        ({"user": "ada", "status": "error", "search": "book"}, set()),
    ],
)
def test_sessions_are_found_by_what_is_known_of_them(
    write: Write, wanted: dict[str, Any], sessions: set[str]
) -> None:
    assert found(write(*TRIP, OTHER, ALONE), **wanted) == sessions


@pytest.mark.parametrize(
    ("by", "first"),
    [
        ("started", "other"),
        ("duration", "trip-1"),
        ("requests", "trip-1"),
        ("errors", "trip-1"),
        ("tokens", "trip-1"),
        ("cost", "trip-1"),
        ("name", "trip-1"),
    ],
)
def test_sessions_are_sorted_and_given_page_by_page(write: Write, by: SortKey, first: str) -> None:
    store = write(*TRIP, OTHER)
    for descending in (True, False):
        sort = SessionSort(by, descending)
        pages = [store.session_page(sort=sort, offset=n, limit=1) for n in (0, 1, 2)]
        ids = [session.session_id for page in pages for session in page.sessions]
        assert (ids[0] == first) == descending
        assert len(ids) == 2
        assert {page.total for page in pages} == {2}


def test_values_are_summed_also_for_requests_in_no_session(write: Write) -> None:
    store = write(*TRIP, OTHER, ALONE)
    ada, asa, nobody = store.values("user")
    assert (ada.value, ada.sessions, ada.requests, ada.cost_usd) == ("ada", 1, 2, 1.25)
    assert (asa.value, asa.failed_sessions, asa.errors) == ("Åsa", 1, 1)
    assert (nobody.value, nobody.sessions, nobody.requests) == ("", 1, 1)
    assert [one.value for one in store.values("property:env")] == ["prod", "dev"]
    assert [one.value for one in store.values("user", SessionFilter(status="error"))] == [
        "Åsa",
        "ada",
    ]
    assert store.property_names() == ["env"]


def test_other_sessions_of_a_name_come_newest_first(write: Write) -> None:
    requests = [call("/plan", n * 1000, session_id=f"trip-{n}") for n in range(5) for _ in range(2)]
    store = write(*requests)
    others = store.recent_requests_of_name("Trip", besides="trip-2", sessions=3, most=100)
    assert [other[0].session_id for other in others] == ["trip-4", "trip-3", "trip-1"]
    assert len(store.recent_requests_of_name("Trip", besides="x", most=3)) == 1
    assert store.recent_requests_of_name("Unknown", besides="x") == []


def test_without_bodies_nothing_of_them_is_read_or_kept(tmp_path: Path, write: Write) -> None:
    said = call(request_body='{"a": 1}', response_body='{"b": 2}')
    (read,) = write(said).requests("trip-1", bodies=False)
    assert (read.request_body, read.response_body) == ("", "")
    with closing(StoreWriter(tmp_path / "bare.db", bodies=False)) as writer:
        writer.apply(said)
    (kept,) = Store(tmp_path / "bare.db").requests()
    assert kept == replace(said, request_body="", response_body="")


def test_the_version_changes_with_everything_that_is_stored(write: Write) -> None:
    versions = [
        write(*changes).version()
        for changes in (
            (),
            (TRIP[0],),
            (Scores(TRIP[0].request_id, {"good": 1}),),
            (SessionTag("trip-1", "mine"),),
            (Deletion("trip-1"),),
        )
    ]
    assert len(set(versions)) == 5


def test_a_property_can_move_a_request_to_another_session(write: Write) -> None:
    store = write(*TRIP, PropertySet(TRIP[1].request_id, "Helicone-Session-Name", "Booking"))
    assert {(one.session_name, one.requests) for one in store.sessions("trip-1")} == {
        ("Trip", 1),
        ("Booking", 1),
    }
    write(PropertySet(TRIP[1].request_id, "Helicone-Session-Id", "trip-2"))
    write(PropertySet(TRIP[1].request_id, "Grade", "A"))
    (moved,) = store.requests("trip-2", "Booking")
    assert moved.properties == {"Grade": "A"}
    assert found(store, properties=(("Grade", "A"),)) == {"trip-2"}


def test_what_is_deleted_is_gone_from_the_file(tmp_path: Path, write: Write) -> None:
    secret = "a very particular sentence"
    deleted = call(request_body=secret * 500, user_id=secret, properties={"p": secret})
    store = write(deleted, OTHER, SessionTag("trip-1", secret))
    written = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert secret.encode() in written
    write(Deletion("trip-1"))
    left = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert secret.encode() not in left
    assert [one.session_id for one in store.sessions()] == ["other"]
    assert store.tag("trip-1") is None


def test_a_deletion_can_be_of_one_name_or_of_everything(write: Write) -> None:
    store = write(*TRIP, call(session_name="Second"), OTHER, ALONE)
    write(Deletion("trip-1", "Second"))
    assert len(store.requests("trip-1")) == 2
    write(Deletion(None))
    assert store.requests() == []
    assert store.values("user") == []


def test_changes_tell_how_many_requests_they_were_about(tmp_path: Path) -> None:
    with closing(StoreWriter(tmp_path / "requests.db")) as writer:
        assert writer.apply(TRIP[0]) == 1
        assert writer.apply(Scores("unknown", {"good": 1})) == 0
        assert writer.apply(Scores(TRIP[0].request_id, {"good": 1})) == 1
        assert writer.apply(Deletion("trip-1")) == 1


def test_one_change_that_fails_loses_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = replace(TRIP[0], latency_ms=2**70)  # more than a column holds
    with closing(StoreWriter(tmp_path / "requests.db")) as writer:
        for change in (TRIP[0], wrong, OTHER):
            writer.put(change)
        with pytest.raises(NotWritten, match="OverflowError"):
            writer.apply(wrong)
    assert len(Store(tmp_path / "requests.db").requests()) == 2
    assert "could not be written" in caplog.text


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_sessions_that_ended_too_long_ago_are_deleted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "requests.db"
    now = datetime.now(UTC)
    with closing(StoreWriter(path)) as writer:
        for hours, name in ((30, "old"), (23, "new")):
            writer.put(call(session_id=name, started_at=now - timedelta(hours=hours)))
    caplog.set_level(logging.INFO)
    with closing(StoreWriter(path, retention=Retention(max_age=timedelta(days=1)))):
        until(lambda: [one.session_id for one in Store(path).sessions()] == ["new"])
    assert "1 sessions were deleted" in caplog.text


def test_requests_in_no_session_go_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "requests.db"
    now = datetime.now(UTC)
    with closing(StoreWriter(path)) as writer:
        for hours in (100, 50, 1):
            begun = now - timedelta(hours=hours)
            writer.put(call(session_id=None, session_name=None, started_at=begun))
    with closing(StoreWriter(path, retention=Retention(max_age=timedelta(days=1)))):
        until(lambda: len(Store(path).requests()) == 1)
    ((left,),) = [Store(path).values("user")]
    assert left.requests == 1
    with closing(StoreWriter(path)) as writer:
        for number in range(200):
            begun = now + timedelta(seconds=number)
            writer.put(call(session_id=None, request_body="x" * 10_000, started_at=begun))
    with closing(StoreWriter(path, retention=Retention(max_bytes=1_500_000))):
        until(lambda: len(Store(path).requests()) == 1)


def test_what_is_deleted_goes_also_while_somebody_reads(tmp_path: Path, write: Write) -> None:
    secret = "a very particular sentence"
    store = write(*(call(request_body=secret * 500) for _ in range(50)))
    reading = store.each_request()
    next(reading)
    started = time.monotonic()
    write(Deletion("trip-1"))
    assert time.monotonic() - started < 2
    assert store.sessions() == []
    reading.close()  # type: ignore[attr-defined]
    until(lambda: secret.encode() not in b"".join(f.read_bytes() for f in tmp_path.iterdir()))


def test_a_session_is_summed_once_however_much_of_it_is_written_again(tmp_path: Path) -> None:
    records = [call("/plan", n) for n in range(20)]
    statements: list[str] = []
    with closing(connect(tmp_path / "requests.db", create=True)) as connection:
        changing = Changing(connection)
        for record in records:
            changing.apply(record)
        connection.set_trace_callback(statements.append)
        for record in records:
            changing.apply(record)
        changing.finish()
    sums = [statement for statement in statements if statement.startswith("SELECT count(*), sum(")]
    assert len(sums) == 1
    assert len(Store(tmp_path / "requests.db").requests()) == 20


def steps_of(path: Path, *rounds: list[Change]) -> int:
    """Return how many thousand steps SQLite takes for the last changes, 20 in a transaction."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    with closing(connect(path, create=True)) as connection:
        changing = Changing(connection, summed_anew=50)
        for changes in rounds:
            steps = 0
            connection.set_progress_handler(count, 1000)
            for begin in range(0, len(changes), 20):
                with changing.transaction():
                    for change in changes[begin : begin + 20]:
                        changing.apply(change)
            connection.set_progress_handler(None, 0)
    return steps


def of_one_session(number: int, together: bool, **values: Any) -> list[RequestRecord]:
    return [
        call(f"/{place % 9}", 0 if together else place, request_id=f"r{place}", **values)
        for place in range(number)
    ]


def with_properties(number: int) -> list[Change]:
    return [PropertySet(f"r{place}", "Place", str(place)) for place in range(number)]


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "all at once"])
@pytest.mark.parametrize("second", ["none", "the same", "others", "properties"])
def test_the_work_grows_with_the_requests_of_a_session_and_no_faster(
    tmp_path: Path, together: bool, second: str
) -> None:
    taken = []
    for number in (300, 1200):
        first = of_one_session(number, together)
        rounds: dict[str, list[list[Any]]] = {
            "none": [first],
            "the same": [first, first],
            "others": [first, of_one_session(number, together, tokens=7, latency_ms=150)],
            "properties": [first, with_properties(number)],
        }
        taken.append(steps_of(tmp_path / f"{number}.db", *rounds[second]))
    assert taken[1] < 6 * taken[0]


def test_the_oldest_sessions_go_where_there_is_too_much(tmp_path: Path) -> None:
    path = tmp_path / "requests.db"
    with closing(StoreWriter(path)) as writer:
        for number in range(200):
            long = call("/", number * 1000, session_id=f"s{number:03}", request_body="x" * 10_000)
            writer.put(long)
    assert path.stat().st_size > 2_000_000
    with closing(StoreWriter(path, retention=Retention(max_bytes=1_000_000))):
        until(lambda: path.stat().st_size < 1_300_000)
    left = sorted(one.session_id for one in Store(path).sessions())
    assert left[-1] == "s199"
    assert 50 <= len(left) < 100


def test_a_store_of_an_earlier_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "requests.db"
    with closing(sqlite3.connect(path)) as old:
        for statements in schema._MIGRATIONS[:2]:
            for statement in statements:
                old.execute(statement)
        old.execute("PRAGMA user_version = 2")
        old.execute(
            "INSERT INTO request VALUES (1, 'r1', 's1', '/a', 'Name', 'ada', '{\"env\": \"x\"}',"
            " 'OPENAI', 'gpt-4o', 'POST', '/v1/x', 500, 1, 2, 3, 1000000, 20, NULL,"
            ' \'{"q": 1}\', \'{"a": 2}\', \'[["Helicone-Session-Id", "s1"]]\','
            " 4, 0, 5, 'url', 'llm', '{\"good\": 1}')"
        )
        old.execute(
            "INSERT INTO request SELECT 2, 'r2', NULL, NULL, NULL, NULL, '{}', provider, model,"
            " method, target_path, 200, 1, 2, 3, started_at, 5, NULL, '', '', '[]', 0, 0, 0, '',"
            " kind, '{}' FROM request"
        )
        old.commit()
    store = Store(path)
    (session,) = store.sessions()
    assert (session.requests, session.errors, session.user_ids) == (1, 1, ("ada",))
    request = store.request("r1")
    assert request is not None
    assert request.helicone_headers == (("Helicone-Session-Id", "s1"),)
    assert (request.request_body, request.scores) == ('{"q": 1}', {"good": 1})
    assert (request.prompt_cache_read_tokens, request.reasoning_tokens) == (4, 5)
    assert len(store.requests()) == 2
    assert found(store, properties=(("env", "x"),)) == {"s1"}


few = st.sampled_from(["a", "b", "ä%"])
values = few | st.sampled_from(["a\x00b"])
records = st.builds(
    call,
    st.just("/"),
    st.integers(0, 3),
    st.integers(0, 5),
    request_id=few,
    session_id=few | st.none(),
    session_name=few | st.none(),
    user_id=few | st.none(),
    properties=st.dictionaries(few, values, max_size=2),
    status=st.sampled_from([200, 500]),
    cost_usd=st.none() | st.sampled_from([0.5, 0.25]),
)
changes = (
    records
    | st.builds(PropertySet, few, few | st.sampled_from(["Helicone-Session-Id"]), few)
    | st.builds(PropertySet, few, st.sampled_from(["Helicone-Session-Name"]), few)
    | st.builds(Scores, few, st.dictionaries(few, st.integers(0, 3), max_size=1))
    | st.builds(Deletion, few, few | st.none())
)


def summaries(connection: sqlite3.Connection) -> tuple[Any, ...]:
    sessions = connection.execute(
        "SELECT session_id, session_name, requests, errors, prompt_tokens, completion_tokens,"
        " total_tokens, cost_usd, unpriced, started_at, ended_at, latency_ms FROM session"
    ).fetchall()
    values = connection.execute(
        "SELECT value.name, value.value, session.session_id, session.session_name,"
        " session_value.requests, session_value.errors, session_value.total_tokens,"
        " session_value.cost_usd, session_value.latency_ms FROM session_value"
        " JOIN value ON value.number = session_value.value"
        " JOIN session ON session.number = session_value.session"
    ).fetchall()
    return sorted(sessions), sorted(values)


@pytest.mark.parametrize("summed_anew", [0, 2, 500])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(todo=st.lists(changes, max_size=12))
def test_sums_are_those_of_the_requests_whatever_happened(
    tmp_path_factory: pytest.TempPathFactory, summed_anew: int, todo: list[Change]
) -> None:
    path = tmp_path_factory.mktemp("sums") / "requests.db"
    with closing(connect(path, create=True)) as connection:
        changing = Changing(connection, summed_anew=summed_anew)
        for number, change in enumerate(todo):
            changing.apply(change)
            if number % 3 == 2:  # several in a transaction
                changing.finish()
        changing.finish()
        kept = summaries(connection)
        rebuild(connection)
        assert kept == summaries(connection)


@settings(max_examples=40, deadline=None)
@given(st.lists(records, max_size=6, unique_by=lambda one: (one.request_id, one.started_at)))
def test_records_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, written: list[RequestRecord]
) -> None:
    path = tmp_path_factory.mktemp("records") / "requests.db"
    with closing(connect(path, create=True)) as connection:
        for record in written:
            Changing(connection).apply(record)
    read = Store(path).requests()
    # A NUL in a property is the one thing that is not kept.
    expected = [repr(record).replace("a\\x00b", "a\ufffdb") for record in written]
    assert sorted(map(repr, read)) == sorted(expected)
