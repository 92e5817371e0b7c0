"""The log of the bridge: one line for each trouble and one for its end, for people or programs."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from otel_helicone.bridge.log_format import JSONFormatter
from otel_helicone.bridge.troubles import Troubles
from otel_helicone.settings.bridge import make_bridge_settings
from otel_helicone.settings.reading import SettingError
from tests.bridge.conftest import KEY, RunningBridge
from tests.bridge.test_http_receiver import LOCAL, SPOOL, failure_of, started
from tests.bridge.test_keys import one_call, until
from tests.test_delivery_faults import OK, FaultServer

Log = pytest.LogCaptureFixture


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def troubles(clock: Clock, caplog: Log) -> Troubles:
    caplog.set_level(logging.INFO)
    return Troubles(clock)


def test_a_trouble_has_one_line_and_its_end_another(
    troubles: Troubles, clock: Clock, caplog: Log
) -> None:
    for second in range(5):
        clock.now = 100.0 + second
        troubles.begin("full", "Spans are taken again", "The %s is full.", "disk")
        troubles.over("full")  # some go through in between
        troubles.look()
    assert caplog.messages == ["The disk is full."]
    clock.now += 9
    troubles.look()
    assert len(caplog.messages) == 1
    clock.now += 1
    troubles.look()
    troubles.look()
    assert caplog.messages[1:] == ["Spans are taken again, after 4 s."]
    troubles.begin("full", "Spans are taken again", "The %s is full.", "disk")
    assert len(caplog.messages) == 3


def test_a_trouble_that_goes_on_does_not_end(troubles: Troubles, clock: Clock, caplog: Log) -> None:
    troubles.begin("away", "Helicone is back", "Helicone is away.")
    troubles.over("away")
    troubles.begin("away", "Helicone is back", "Helicone is away.")
    clock.now += 1000
    troubles.over("something else")
    troubles.look()
    assert caplog.messages == ["Helicone is away."]


def test_lines_of_json_have_the_trouble_as_a_field(
    troubles: Troubles, clock: Clock, caplog: Log
) -> None:
    troubles.begin("full", "Spans are taken again", "The spool is full: “%s”\n.", "a\x00b")
    clock.now += 60
    troubles.begin("full", "", "")
    troubles.over("full")
    clock.now += 60
    troubles.look()
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("otel_helicone").exception("It failed.")
    lines = [JSONFormatter().format(record) for record in caplog.records]
    assert not any("\n" in line for line in lines)
    began, ended, failed = (json.loads(line) for line in lines)
    assert (began["message"], began["level"]) == ("The spool is full: “a\x00b”\n.", "WARNING")
    assert (began["trouble"], began["state"], "seconds" in began) == ("full", "began", False)
    assert (ended["trouble"], ended["state"], ended["seconds"]) == ("full", "ended", 60.0)
    assert ended["level"] == "INFO"
    assert failed["exception"].endswith("ValueError: no")


def test_an_outage_of_helicone_has_two_lines(
    tmp_path: Path, caplog: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    from otel_helicone.bridge import bridge as bridge_module
    from otel_helicone.bridge import troubles as troubles_module

    caplog.set_level(logging.INFO, "otel_helicone")
    monkeypatch.setattr(bridge_module, "_SECONDS_BETWEEN_FILE_LOOKS", 0.02)
    monkeypatch.setattr(troubles_module, "_SECONDS_UNTIL_OVER", 0.05)
    is_away = True

    def plan(_request_id: str, _attempt: int) -> str:
        return f"status:500:{KEY} is not to be seen" if is_away else OK

    with FaultServer(plan) as helicone:
        with RunningBridge(helicone.url, tmp_path / "spool.db") as bridge:
            bridge.send(*(one_call(None) for _ in range(4)))
            until(lambda: sum(helicone.seen.values()) > 6)
            is_away = False
            until(lambda: len(caplog.messages) == 2)
    assert caplog.messages[0].startswith("Helicone fails (500")
    assert caplog.messages[1].startswith("Helicone takes logs again, after ")
    assert KEY not in caplog.text


def test_the_command_writes_json_where_it_is_asked_to(tmp_path: Path) -> None:
    arguments = ["--log-format", "json", "--port", "0", "--grpc-port", "0"]
    arguments += ["--spool", str(tmp_path / "spool.db"), "--endpoint", "http://127.0.0.1:9"]
    with started(*arguments) as running:
        assert running.stderr is not None
        line = json.loads(running.stderr.readline())
        running.terminate()
        out, rest = running.communicate(timeout=60)
    assert line["message"] == "The bridge is running"
    assert len(line["takes"]) == 2
    assert line["metrics"] == line["takes"][0].replace("/v1/traces", "/metrics")
    assert line["spool"] == str(tmp_path / "spool.db")
    assert [json.loads(one)["message"] for one in rest.splitlines()] == ["Stopped"]
    assert (out, running.returncode) == ("", 0)


def test_other_formats_are_refused() -> None:
    with pytest.raises(SettingError, match=r"^HELICONE_BRIDGE_LOG_FORMAT='xml' .* text or json"):
        make_bridge_settings(environ={**LOCAL, "HELICONE_BRIDGE_LOG_FORMAT": "xml"})
    code, error = failure_of("--log-format", "xml", **SPOOL)
    assert (code, error.startswith("otel-helicone: --log-format='xml'")) == (2, True)
