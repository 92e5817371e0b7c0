"""``session(...)``: what the application says holds inside, and nowhere else."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import pytest
from opentelemetry import context, trace
from opentelemetry.trace import Tracer, set_span_in_context

from otel_helicone import current_session, session, session_headers
from tests.conftest import Tracing


def current_id() -> str | None:
    now = current_session()
    return None if now is None else now.id


def current_path() -> str | None:
    now = current_session()
    return None if now is None else now.path


# --- what it sets --------------------------------------------------------------------------------


def test_it_sets_what_it_is_given(tracer: Tracer) -> None:
    with tracer.start_as_current_span("root"):
        with session("s1", name="Chat", user_id="u1", properties={"Tier": "gold"}):
            with tracer.start_as_current_span("step"):
                assert session_headers() == {
                    "Helicone-Session-Id": "s1",
                    "Helicone-Session-Path": "/root/step",
                    "Helicone-Session-Name": "Chat",
                    "Helicone-User-Id": "u1",
                    "Helicone-Property-tier": "gold",
                }


def test_without_a_span_it_is_enough_by_itself() -> None:
    with session("s1", name="Script", path="/load/parse"):
        assert session_headers() == {
            "Helicone-Session-Id": "s1",
            "Helicone-Session-Path": "/load/parse",
            "Helicone-Session-Name": "Script",
        }
    with session("s2"):
        assert session_headers() == {"Helicone-Session-Id": "s2", "Helicone-Session-Path": "/"}


def test_without_an_id_it_makes_a_uuid_each_time() -> None:
    block = session(name="Batch")
    ids = []
    for _ in range(2):
        with block:
            ids.append(current_id())
    assert ids[0] != ids[1]
    assert all(UUID(i or "").version == 4 for i in ids)


def test_with_a_path_paths_inside_start_there(tracer: Tracer) -> None:
    with tracer.start_as_current_span("root"), tracer.start_as_current_span("above"):
        with session("s1", path="plan//trip/"):
            assert current_path() == "/plan/trip"
            with tracer.start_as_current_span("step"):
                assert current_path() == "/plan/trip/step"
                with tracer.start_as_current_span("deeper"):
                    assert current_path() == "/plan/trip/step/deeper"
        assert current_path() == "/root/above"


def test_the_path_slash_leaves_out_what_is_above(tracer: Tracer) -> None:
    with tracer.start_as_current_span("root"), session(name="Space Course", path="/"):
        assert current_path() == "/"
        with tracer.start_as_current_span("outline"):
            assert current_path() == "/outline"


def test_without_a_name_it_stays_that_of_the_root_span(tracer: Tracer) -> None:
    with tracer.start_as_current_span("root"), session("s1"):
        with tracer.start_as_current_span("step"):
            assert session_headers()["Helicone-Session-Name"] == "root"


def test_spans_inside_are_stamped_with_it(tracing: Tracing) -> None:
    with session("s1", name="Chat", path="/a"):
        with tracing.tracer.start_as_current_span("root"):
            with tracing.tracer.start_as_current_span("leaf"):
                pass
    assert tracing.exported()["leaf"] == {
        "helicone.session.id": "s1",
        "helicone.session.path": "/a/root/leaf",
        "helicone.session.name": "Chat",
    }


def test_it_goes_before_an_attribute(tracer: Tracer) -> None:
    with session("block"):
        with tracer.start_as_current_span("root", attributes={"helicone.session.id": "attribute"}):
            assert current_id() == "block"


def test_unsafe_values_are_made_safe_or_left_out() -> None:
    properties: Any = {"My Key": "a\r\nX-Evil: 1", "": "nameless", "empty": " "}
    with session("a\0b", name="\ud800", user_id="", properties=properties):
        assert session_headers() == {
            "Helicone-Session-Id": "a%00b",
            "Helicone-Session-Path": "/",
            "Helicone-Session-Name": "%EF%BF%BD",
            "Helicone-Property-my_key": "a%0D%0AX-Evil: 1",
        }


@pytest.mark.parametrize("bad", ["", "   ", None])
def test_an_empty_id_is_as_none(bad: Any) -> None:
    with session(bad):
        assert UUID(current_id() or "").version == 4


def test_properties_that_are_no_mapping_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    caplog.failures_are_expected = True  # type: ignore[attr-defined]
    properties: Any = ["not", "a", "mapping"]
    with session("s1", properties=properties):
        assert current_id() == "s1"


def test_all_properties_together_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    with session("s1", properties={f"p{number}": "x" * 1000 for number in range(100)}):
        headers = session_headers()
        session_headers()
    assert sum(len(name) + len(value) for name, value in headers.items()) < 5000
    assert "Helicone-Property-p0" in headers
    assert len([r for r in caplog.records if "left out" in r.getMessage()]) == 1


# --- nesting -------------------------------------------------------------------------------------


def test_blocks_nest_and_the_outer_one_comes_back() -> None:
    with session("outer", name="Outer", user_id="u1", properties={"a": "1", "b": "1"}):
        with session("inner", properties={"b": "2"}):
            inner = current_session()
        outer = current_session()
    assert inner is not None
    assert outer is not None
    assert (inner.id, inner.user_id, dict(inner.properties)) == (
        "inner",
        "u1",
        {"a": "1", "b": "2"},
    )
    assert (outer.id, outer.name, dict(outer.properties)) == (
        "outer",
        "Outer",
        {"a": "1", "b": "1"},
    )


def test_an_inner_block_that_only_adds_stays_in_the_session() -> None:
    with session("outer", name="Outer"):
        with session(path="/deeper"):
            assert current_id() == "outer"
        with session(user_id="u2"):
            assert current_id() == "outer"


def test_an_inner_block_with_a_new_name_or_nothing_is_a_new_session() -> None:
    # Helicone groups by id and name: the old id under a new name would be a second session.
    with session("outer", name="Outer"):
        with session(name="Other"):
            assert current_id() != "outer"
        with session():
            assert current_id() != "outer"


def test_nothing_leaks_out_of_a_block_that_raises() -> None:
    before = context.get_current()
    with pytest.raises(RuntimeError), session("s1"):
        raise RuntimeError
    assert context.get_current() == before


# --- tasks and threads ---------------------------------------------------------------------------


async def test_it_holds_across_tasks_and_not_between_them() -> None:
    async def request(number: int) -> list[str | None]:
        seen = []
        with session(f"s{number}"):
            for _ in range(5):
                await asyncio.sleep(0)
                seen.append(current_id())
            seen += await asyncio.gather(*(inner() for _ in range(3)))
        seen.append(current_id())
        return seen

    async def inner() -> str | None:
        await asyncio.sleep(0)
        return current_id()

    for number, seen in enumerate(await asyncio.gather(*(request(n) for n in range(50)))):
        assert seen == [f"s{number}"] * 8 + [None]


async def test_one_object_entered_by_many_tasks_at_once() -> None:
    block = session(name="shared")

    async def request() -> tuple[str | None, str | None, str | None]:
        with block:
            first = current_id()
            await asyncio.sleep(0.001)
            second = current_id()
        return first, second, current_id()

    results = await asyncio.gather(*(request() for _ in range(20)))
    assert len({first for first, _, _ in results}) == 20
    assert all(first == second and after is None for first, second, after in results)


def test_a_span_handed_to_a_thread_keeps_its_block(tracer: Tracer) -> None:
    seen: list[str | None] = []
    with session("s1", path="/a"), tracer.start_as_current_span("root") as root:

        def work() -> None:
            with trace.use_span(root):
                seen.append(current_id())
                seen.append(current_path())

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert seen == ["s1", "/a/root"]


def test_a_span_started_inside_belongs_to_it_whatever_its_parent(tracing: Tracing) -> None:
    tracer = tracing.tracer
    outside = set_span_in_context(tracer.start_span("outside"))
    with tracer.start_as_current_span("root"), session("s1", path="/jobs"):
        for name, parent in (("detached", context.Context()), ("explicit", outside)):
            with tracer.start_as_current_span(name, context=parent):
                headers = session_headers()
            stamps = tracing.exported()[name]
            assert headers["Helicone-Session-Id"] == stamps["helicone.session.id"] == "s1"
            assert headers["Helicone-Session-Path"] == f"/jobs/{name}"
            assert stamps["helicone.session.path"] == f"/jobs/{name}"


def test_left_in_another_context_it_raises_and_logs_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    import contextvars

    block = session("s1")
    contextvars.copy_context().run(block.__enter__)
    contextvars.copy_context().run(block.__exit__, None, None, None)
    assert current_id() is None
    assert not caplog.records


# --- decorated functions -------------------------------------------------------------------------


def test_a_function() -> None:
    @session("s1", name="Function")
    def work(factor: int) -> tuple[int, str | None]:
        """Say what it does."""
        return factor * 2, current_id()

    assert work(2) == (4, "s1")
    assert current_id() is None
    assert (work.__name__, work.__doc__) == ("work", "Say what it does.")


def test_each_call_is_a_session_of_its_own() -> None:
    @session(name="Job")
    def work() -> str | None:
        return current_id()

    assert work() != work()


async def test_a_coroutine() -> None:
    @session("s1")
    async def work() -> str | None:
        await asyncio.sleep(0)
        return current_id()

    assert inspect.iscoroutinefunction(work)
    assert await work() == "s1"
    assert current_id() is None


def test_a_generator_is_inside_and_its_consumer_is_not(tracer: Tracer) -> None:
    @session("s1")
    def work() -> Iterator[tuple[str | None, str | None]]:
        with tracer.start_as_current_span("step"):
            yield current_id(), current_path()
            yield current_id(), current_path()

    with tracer.start_as_current_span("consumer"):
        for seen in work():
            assert seen == ("s1", "/consumer/step")
            assert current_path() == "/consumer"
            assert current_id() != "s1"


def test_two_consumers_of_generators_in_turn() -> None:
    @session(name="Stream")
    def work() -> Iterator[str | None]:
        while True:
            yield current_id()

    one, two = work(), work()
    ids = [(next(one), next(two), current_id()) for _ in range(3)]
    assert len({first for first, _, _ in ids}) == 1
    assert ids[0][0] != ids[0][1]
    assert all(outside is None for _, _, outside in ids)


def test_a_generators_protocol_is_untouched() -> None:
    events: list[object] = []

    @session("s1")
    def work() -> Any:
        try:
            events.append((yield "first"))
            try:
                yield "second"
            except KeyError as error:
                events.append(repr(error))
                yield "third"
            return "returned"
        finally:
            events.append(("closed", current_id()))

    generator = work()
    assert next(generator) == "first"
    assert generator.send("sent") == "second"
    assert generator.throw(KeyError("thrown")) == "third"
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == "returned"
    other = work()
    next(other)
    other.close()
    assert events == ["sent", "KeyError('thrown')", ("closed", "s1"), ("closed", "s1")]


async def test_an_async_generator_is_inside_and_its_consumer_is_not(tracer: Tracer) -> None:
    @session("s1")
    async def work() -> AsyncIterator[tuple[str | None, str | None]]:
        with tracer.start_as_current_span("step"):
            for _ in range(2):
                await asyncio.sleep(0)
                yield current_id(), current_path()

    assert inspect.isasyncgenfunction(work)
    with tracer.start_as_current_span("consumer"):
        async for seen in work():
            assert seen == ("s1", "/consumer/step")
            assert current_path() == "/consumer"


async def test_an_async_generators_protocol_is_untouched() -> None:
    events: list[object] = []

    @session("s1")
    async def work() -> Any:
        try:
            events.append((yield "first"))
            try:
                yield "second"
            except KeyError as error:
                events.append(repr(error))
                yield "third"
        finally:
            await asyncio.sleep(0)
            events.append(("closed", current_id()))

    generator = work()
    assert await generator.__anext__() == "first"
    assert await generator.asend("sent") == "second"
    assert await generator.athrow(KeyError("thrown")) == "third"
    with pytest.raises(StopAsyncIteration):
        await generator.__anext__()
    other = work()
    await other.__anext__()
    await other.aclose()
    assert events == ["sent", "KeyError('thrown')", ("closed", "s1"), ("closed", "s1")]


async def test_a_method_is_decorated_like_a_function() -> None:
    class Service:
        @session("s1")
        async def answer(self, text: str) -> tuple[str, str | None]:
            return text, current_id()

    assert await Service().answer("hi") == ("hi", "s1")


def test_a_block_entered_inside_a_span_and_a_child_with_an_explicit_parent(tracer: Tracer) -> None:
    with tracer.start_as_current_span("root") as root, session("s1", path="/in"):
        child = tracer.start_span("child", context=set_span_in_context(root))
        with trace.use_span(child, end_on_exit=True):
            assert current_path() == "/in/child"


def test_a_decorated_function_called_from_many_threads() -> None:
    import sys

    @session(name="shared")
    def work() -> str | None:
        return current_id()

    wrong: list[object] = []

    def call() -> None:
        try:
            ids = [work() for _ in range(500)]
            if len(set(ids)) != 500 or current_id() is not None:
                wrong.append(ids)
        except Exception as error:
            wrong.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong


def test_blocks_left_in_another_order_than_they_were_entered() -> None:
    def work(name: str) -> Iterator[None]:
        with session(name):
            yield

    one, two = work("one"), work("two")
    next(one)
    next(two)
    assert current_id() == "two"
    for left in (one, two):
        assert list(left) == []
    assert current_id() is None


def test_a_session_context_can_be_pickled_and_copied(tracer: Tracer) -> None:
    import copy
    import pickle

    with tracer.start_as_current_span("root"), session("s1", properties={"a": "b"}):
        now = current_session()
    assert pickle.loads(pickle.dumps(now)) == copy.deepcopy(now) == now


def test_when_properties_are_too_many_the_nearest_blocks_stay() -> None:
    with session("s1", properties={f"outer{number}": "x" * 100 for number in range(200)}):
        with session(properties={"inner": "kept"}):
            assert session_headers()["Helicone-Property-inner"] == "kept"
