"""Calls without content wait for what is around them, and never for long."""

from __future__ import annotations

import gc
import os
import warnings
import weakref
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from otel_helicone import HeliconeSpanExporter
from otel_helicone.exporter import _Alarm
from otel_helicone.local.server import LocalHelicone
from otel_helicone.logs.holding import MAX_SECONDS_HELD, HeldCalls
from otel_helicone.logs.record import LogRecord
from otel_helicone.logs.translating import Translator
from tests.timed_spans import ROOT, call, span


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Exporting:
    """Exports in which calls without content wait."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.held = HeldCalls(self.clock)
        self.translator = Translator(held=self.held)

    def export(self, *spans: ReadableSpan) -> list[LogRecord]:
        return list(self.translator.records(list(spans)))

    def due(self, *, release_all: bool = False) -> list[LogRecord]:
        return list(self.translator.due_records(release_all=release_all))


SAID: dict[str, Any] = {"scope": "two", "gen_ai__output__messages": '["Rain."]'}


def answer(record: LogRecord) -> Any:
    return record.response["choices"][0]["message"]["content"]


def test_a_call_without_content_waits_for_what_is_around_it() -> None:
    app = Exporting()
    outer = call(10, 100, below=ROOT, **SAID)
    inner = call(20, 90, below=outer)
    assert app.export(inner) == []
    (record,) = app.export(outer)
    assert (answer(record), record.start) == ("Rain.", 20_000_000)
    assert (app.export(ROOT), app.due(release_all=True)) == ([], [])


def test_also_through_another_one_without_content() -> None:
    for batches in ([[0], [1], [2]], [[0, 1], [2]], [[0], [1, 2]]):
        app = Exporting()
        outer = call(10, 100, below=ROOT, **SAID)
        middle = call(15, 95, below=outer, scope="three")
        spans = [call(20, 90, below=middle), middle, outer]
        records = [r for batch in batches for r in app.export(*(spans[n] for n in batch))]
        assert [answer(record) for record in records] == ["Rain."]


def test_and_for_what_is_beside_it() -> None:
    """As the spans of Anthropic's SDK beside those of OpenLLMetry, which are never current."""
    app = Exporting()
    assert app.export(call(20, 90, below=ROOT)) == []
    (record,) = app.export(call(10, 100, below=ROOT, **SAID))
    assert answer(record) == "Rain."


def test_tools_wait_too() -> None:
    app = Exporting()
    tool: dict[str, Any] = {"gen_ai__operation__name": "execute_tool", "gen_ai__tool__name": "sky"}
    outer = span("sky", 0, 100, below=ROOT, gen_ai__tool__call__result="rain", **tool)
    assert app.export(span("tools/call sky", 10, 90, below=outer, **tool)) == []
    (record,) = app.export(outer)
    assert record.response["output"] == "rain"


def test_what_is_around_a_call_lets_it_go_whatever_it_is() -> None:
    app = Exporting()
    step = span("step", 10, 100, below=ROOT)
    assert app.export(call(20, 90, below=step)) == []
    assert len(app.export(step)) == 1


@pytest.mark.parametrize(
    "spans",
    [
        [call(20, 90)],
        [call(20, 90, below=ROOT), ROOT],
        [call(20, 90, below=ROOT, **SAID)],
        [call(20, 90, below=ROOT), call(10, 100, below=ROOT, **SAID)],
    ],
    ids=["no parent", "its parent is there", "it has content", "one beside it has"],
)
def test_nothing_else_waits(spans: list[ReadableSpan]) -> None:
    assert len(Exporting().export(*spans)) == 1


def test_a_call_whose_parent_came_before_it_does_not_wait() -> None:
    app = Exporting()
    step = span("step", 10, 80, below=ROOT)
    app.export(step)
    assert len(app.export(call(20, 90, below=step))) == 1


def test_no_call_waits_for_long() -> None:
    app = Exporting()
    assert app.translator.seconds_until_due() is None
    assert app.export(call(20, 90, below=ROOT)) == []
    app.clock.now += MAX_SECONDS_HELD - 1
    assert app.due() == []
    assert app.translator.seconds_until_due() == 1
    app.clock.now += 1
    assert app.translator.seconds_until_due() == 0
    assert len(app.due()) == 1
    assert app.translator.seconds_until_due() is None


def test_nor_past_a_later_export() -> None:
    app = Exporting()
    assert app.export(call(20, 90, below=ROOT)) == []
    app.clock.now += MAX_SECONDS_HELD
    assert len(app.export(span("other", 0, 1, trace=9))) == 1


def test_only_so_many_wait_at_once() -> None:
    app = Exporting()
    calls = [call(1, 2, below=span("open", 0, 9)) for _ in range(1200)]
    assert len(app.export(*calls)) == 200
    assert len(app.held) == 1000
    assert len(app.due(release_all=True)) == 1000


def test_an_instrumentation_whose_calls_wait_in_vain_is_waited_for_no_longer() -> None:
    app = Exporting()
    for _ in range(20):
        step = span("step", 10, 100, below=ROOT)
        assert app.export(call(20, 90, below=step)) == []
        assert len(app.export(step)) == 1
    assert len(app.export(call(20, 90, below=span("step", 10, 100, below=ROOT)))) == 1


def test_until_content_comes_too_late_for_one_of_them() -> None:
    app = Exporting()
    for _ in range(20):
        app.export(call(20, 90, below=span("open", 10, 100, below=ROOT)))
    app.clock.now += MAX_SECONDS_HELD
    assert len(app.due()) == 20
    outer = call(10, 100, below=ROOT, **SAID)
    assert len(app.export(call(20, 90, below=outer))) == 1
    assert app.export(outer) == []
    again = call(10, 100, below=ROOT, **SAID)
    assert app.export(call(20, 90, below=again)) == []
    (record,) = app.export(again)
    assert answer(record) == "Rain."


def test_a_call_that_waits_keeps_the_status_that_only_its_request_has() -> None:
    app = Exporting()
    outer = span("step", 10, 100, below=ROOT)
    inner = call(20, 90, below=outer, error__type="Failed")
    told: dict[str, Any] = {"http__response__status_code": 503}
    request = span("POST", 30, 80, below=inner, kind=SpanKind.CLIENT, **told)
    assert app.export(request, inner) == []
    (record,) = app.export(outer)
    assert record.status == 503


@given(
    st.lists(
        st.tuples(
            st.integers(0, 7),  # the parent, by its number, if it has one
            st.sampled_from(["one", "two"]),
            st.booleans(),
            st.booleans(),
            st.integers(0, 3),  # the export
        ),
        max_size=8,
    )
)
@settings(deadline=None)
def test_whatever_waits_is_logged_once_in_the_end(
    described: list[tuple[int, str, bool, bool, int]],
) -> None:
    made: list[ReadableSpan] = [ROOT]
    exports: dict[int, list[ReadableSpan]] = {}
    for parent, scope, is_call, has_content, export in described:
        given_: dict[str, Any] = {"below": made[parent % len(made)], "scope": scope}
        if has_content and is_call:
            given_["gen_ai__output__messages"] = f'["{len(made)}"]'
        one = call(10, 90, **given_) if is_call else span("step", 10, 90, **given_)
        made.append(one)
        exports.setdefault(export, []).append(one)
    app = Exporting()
    ids = [r.request_id for batch in sorted(exports) for r in app.export(*exports[batch])]
    ids += [record.request_id for record in app.due(release_all=True)]
    assert len(app.held) == 0
    assert len(ids) == len(set(ids))
    if any(is_call for _, _, is_call, _, _ in described):
        assert ids


def test_an_alarm_rings_once_for_those_that_wait() -> None:
    rung = Event()

    class Owner:
        def ring(self) -> None:
            rung.set()

    owner = Owner()
    alarm = _Alarm(owner.ring)
    alarm.set(0)
    alarm.set(0)
    assert rung.wait(30)
    rung.clear()
    alarm.set(3600)
    alarm.cancel()
    alarm.set(0)
    assert rung.wait(30)


def test_an_alarm_keeps_nothing_alive() -> None:
    class Owner:
        def __init__(self) -> None:
            self.alarm = _Alarm(self.ring)

        def ring(self) -> None:
            raise AssertionError

    owner = Owner()
    owner.alarm.set(3600)
    alarm, gone = owner.alarm, weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None
    alarm._ring()
    alarm.cancel()


def test_calls_that_were_held_too_long_are_logged_without_another_export(tmp_path: Path) -> None:
    with LocalHelicone(tmp_path / "requests.db", latency=0) as helicone:
        key = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
        exporter = HeliconeSpanExporter(endpoint=helicone.url, api_key=key)
        clock = Clock()
        assert exporter._translator is not None
        exporter._translator._held = HeldCalls(clock)
        exporter.export([call(20, 90, below=ROOT)])
        assert exporter._alarm._timer is not None
        exporter._release_due()
        helicone.settle()
        assert list(helicone.store.requests()) == []
        clock.now += MAX_SECONDS_HELD
        exporter._release_due()
        helicone.settle()
        assert len(list(helicone.store.requests())) == 1
        exporter.shutdown()
        assert exporter._alarm._timer is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_the_child_of_a_fork_leaves_those_that_wait_to_its_parent() -> None:
    app = Exporting()
    inner, other = call(20, 90, below=ROOT), call(20, 90, below=ROOT, **SAID)
    assert app.export(inner) == []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        child = os.fork()
    if child == 0:
        alone = app.due(release_all=True) == [] and len(app.export(other)) == 1
        os._exit(0 if alone and len(app.held) == 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(app.due(release_all=True)) == 1
