"""Several Helicone organizations behind one bridge: each log goes with its own key."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_helicone.bridge import bridge as bridge_module
from otel_helicone.bridge import senders as senders_module
from otel_helicone.bridge.keys import Keys
from otel_helicone.cli import main
from otel_helicone.logs.request_id import request_id_of
from otel_helicone.settings.bridge import make_bridge_settings
from otel_helicone.settings.reading import SettingError
from tests.bridge.conftest import KEY, RunningBridge, call
from tests.bridge.test_http_receiver import LOCAL
from tests.bridge.test_replay import as_json
from tests.test_delivery_faults import OK, FaultServer

SHOP, STOCK, NEWER = (f"sk-helicone-{name}" for name in ("shop", "stock", "newer"))


class Helicone(FaultServer):
    """Knows with which key each log came, and refuses some keys."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.key_of: dict[str, str] = {}
        self.refused_keys: set[str] = set()

    def _answer(self, request_id: str, _attempt: int) -> str:
        key = self.heads[-1]["authorization"].removeprefix("Bearer ")
        if key in self.refused_keys:
            return f"status:401:no such key as {key}"
        assert request_id not in self.key_of
        self.key_of[request_id] = key
        return OK

    def wait_for(self, *spans: ReadableSpan) -> list[str]:
        """Wait for the logs of spans, and give the keys that they came with."""
        ids = [request_id_of((span.context.trace_id, span.context.span_id)) for span in spans]
        until(lambda: all(one in self.key_of for one in ids))
        return [self.key_of[one] for one in ids]


def until(holds: Callable[[], Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def one_call(key_name: str | None, **attributes: Any) -> ReadableSpan:
    """Make the span of a call in a service of an organization."""
    named = {} if key_name is None else {"helicone.api_key_name": key_name}
    provider = TracerProvider(resource=Resource(named), shutdown_on_exit=False)
    memory = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    call(provider.get_tracer("service"), **attributes)
    (span,) = memory.get_finished_spans()
    return span


@pytest.fixture
def helicone() -> Iterator[Helicone]:
    helicone = Helicone()
    with helicone:
        yield helicone


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"# of two organizations\nshop={SHOP}\n stock = {STOCK} \n\n")
    return path


@contextmanager
def running(
    helicone: Helicone, tmp_path: Path, environ: dict[str, str] | None = None, **settings: Any
) -> Iterator[RunningBridge]:
    with RunningBridge(helicone.url, tmp_path / "spool.db", settings, environ or {}) as bridge:
        yield bridge


def test_each_log_goes_with_the_key_that_its_resource_names(
    helicone: Helicone, keys_file: Path, tmp_path: Path
) -> None:
    spans = [one_call(name) for name in ("shop", "stock", None, "shop", "default")]
    with running(helicone, tmp_path, keys_file=str(keys_file)) as bridge:
        bridge.send(*spans)
        assert helicone.wait_for(*spans) == [SHOP, STOCK, KEY, SHOP, KEY]
    for file in tmp_path.iterdir():
        if file != keys_file:
            content = file.read_bytes()
            assert not any(key.encode() in content for key in (SHOP, STOCK, KEY)), file


def test_keys_may_be_in_the_environment_or_in_a_folder(helicone: Helicone, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    (secret / "..data").mkdir(parents=True)
    for name, key in (("default", NEWER), ("stock", f"{STOCK}\n")):
        (secret / "..data" / name).write_text(key)
        (secret / name).symlink_to(Path("..data") / name)
    environ = {"HELICONE_BRIDGE_KEYS": f"shop={SHOP}, stock=sk-older"}
    spans = [one_call(name) for name in ("shop", "stock", None)]
    with running(helicone, tmp_path, environ, keys_file=str(secret), api_key=None) as bridge:
        bridge.send(*spans)
        assert helicone.wait_for(*spans) == [SHOP, STOCK, NEWER]


def test_a_log_for_an_unknown_key_waits_until_it_is_known(
    helicone: Helicone,
    keys_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(bridge_module, "_SECONDS_BETWEEN_FILE_LOOKS", 0.05)
    waits, goes = one_call("newcomer"), one_call("shop")
    with running(helicone, tmp_path, keys_file=str(keys_file)) as bridge:
        bridge.send(waits, goes)
        assert helicone.wait_for(goes) == [SHOP]
        until(lambda: bridge.metrics()["logs_without_key"] == 1)
        assert bridge.metrics()["logs_waiting"] == 1
    expected = f"Logs wait for the key 'newcomer', which {keys_file} has not. They are kept, and"
    assert [one.getMessage()[: len(expected)] for one in caplog.records] == [expected]
    # Also through a restart.
    with running(helicone, tmp_path, keys_file=str(keys_file)) as bridge:
        until(lambda: bridge.metrics()["logs_without_key"] == 1)
        keys_file.write_text(f"{keys_file.read_text()}newcomer={NEWER}\n")
        assert helicone.wait_for(waits) == [NEWER]
        until(lambda: bridge.metrics()["logs_waiting"] == 0)
        assert bridge.metrics()["logs_without_key"] == 0


def test_a_log_that_has_waited_long_for_a_key_is_kept_apart(
    helicone: Helicone,
    keys_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(senders_module, "_MAX_SECONDS_WITHOUT_KEY", 0.1)
    monkeypatch.setattr(senders_module, "_SECONDS_BETWEEN_GIVING_UP", 0.0)
    monkeypatch.setattr(bridge_module, "_SECONDS_BETWEEN_FILE_LOOKS", 0.05)
    span = one_call("newcomer")
    spool = ["--spool", str(tmp_path / "spool.db")]
    with running(helicone, tmp_path, keys_file=str(keys_file)) as bridge:
        bridge.send(span)
        until(lambda: bridge.metrics()["logs_dead"] == 1)
        assert bridge.metrics()["logs_waiting"] == bridge.metrics()["logs_without_key"] == 0
        assert main(["bridge", "dead", "list", *spool]) == 0
        assert "no key has the name 'newcomer'" in capsys.readouterr().out
        keys_file.write_text(f"{keys_file.read_text()}newcomer={NEWER}\n")
        assert main(["bridge", "dead", "retry", "--all", *spool]) == 0
        assert helicone.wait_for(span) == [NEWER]


def test_any_number_of_unknown_keys_keeps_nobody_from_sending(
    helicone: Helicone,
    keys_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(senders_module, "_MAX_NAMES", 5)
    monkeypatch.setattr(senders_module, "_MAX_NAMES_TOLD", 3)
    with running(helicone, tmp_path, keys_file=str(keys_file)) as bridge:
        bridge.send(*(one_call(f"a{number}") for number in range(20)))
        until(lambda: bridge.metrics()["logs_without_key"] == 5)
        goes = one_call("shop")
        bridge.send(goes)
        assert helicone.wait_for(goes) == [SHOP]
        until(lambda: bridge.metrics()["logs_waiting"] == 20)
    assert len(caplog.records) == 3


def test_a_key_that_is_refused_holds_up_nobody_else_and_is_replaced_without_a_restart(
    helicone: Helicone,
    keys_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(bridge_module, "_SECONDS_BETWEEN_FILE_LOOKS", 0.05)
    helicone.refused_keys.add(SHOP)
    refused = [one_call("shop") for _ in range(6)]
    other = [one_call("stock") for _ in range(6)]
    with running(helicone, tmp_path, keys_file=str(keys_file)) as bridge:
        bridge.send(*refused)
        until(lambda: any("refuses the API key" in one.getMessage() for one in caplog.records))
        bridge.send(*other)
        assert helicone.wait_for(*other) == [STOCK] * 6
        keys_file.write_text(keys_file.read_text().replace(SHOP, NEWER))
        # Well before the minute after which a refused key is tried again.
        assert helicone.wait_for(*refused) == [NEWER] * 6
        assert bridge.metrics()["logs_dead"] == 0
    said = " ".join(one.getMessage() for one in caplog.records)
    assert "Helicone refuses the API key 'shop'" in said
    assert "[key]" in said
    assert not any(key in said for key in (SHOP, STOCK, NEWER, KEY))


def test_a_file_that_cant_be_read_any_more_changes_nothing(
    helicone: Helicone,
    keys_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(bridge_module, "_SECONDS_BETWEEN_FILE_LOOKS", 0.05)
    with running(helicone, tmp_path, keys_file=str(keys_file)) as bridge:
        keys_file.write_text(f"shop {SHOP}\n")
        until(lambda: caplog.records)
        span = one_call("shop")
        bridge.send(span)
        assert helicone.wait_for(span) == [SHOP]
    (said,) = (one.getMessage() for one in caplog.records)
    assert "can't be used: line 1 is not `name=key`. The keys that were read before stay." in said
    assert SHOP not in said


def test_sessions_of_two_organizations_with_one_id_have_their_own_names(
    helicone: Helicone, keys_file: Path, tmp_path: Path
) -> None:
    spans = []
    for name in ("shop", "stock"):
        own = {"session.id": "7", "helicone.session.id": "7", "helicone.session.path": "/a"}
        spans.append(one_call(name, **own, **{"helicone.session.name": f"of {name}"}))
        spans.append(one_call(name, **own))
    with running(helicone, tmp_path, keys_file=str(keys_file)) as bridge:
        bridge.send(*spans)
        helicone.wait_for(*spans)
    found = {
        helicone.key_of[one]: json.loads(body)["providerRequest"]["meta"]["Helicone-Session-Name"]
        for one, bodies in helicone.bodies.items()
        for body in bodies
    }
    assert found == {SHOP: "of shop", STOCK: "of stock"}


def test_refused_logs_keep_the_name_of_their_key(
    helicone: Helicone, keys_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    span = one_call("stock")
    spool = str(tmp_path / "spool.db")
    with running(helicone, tmp_path, keys_file=str(keys_file)) as bridge:
        bridge.send(span)
        helicone.wait_for(span)
        until(lambda: bridge.metrics()["logs_waiting"] == 0)
        database = bridge.bridge._spool
        post = bridge.bridge._spool._database
        with post.transaction() as connection:
            connection.execute(
                "INSERT INTO dead (request_id, path, received, died, reason, body, key_name)"
                " VALUES ('an-id', '/custom/v1/log', 1, 2, 'no', '{}', 'stock')"
            )
        assert main(["bridge", "dead", "list", "--json", "--spool", spool]) == 0
        assert json.loads(capsys.readouterr().out)["api_key_name"] == "stock"
        assert main(["bridge", "dead", "retry", "--all", "--spool", spool]) == 0
        assert database.key_names(10) in (["stock"], [])
        until(lambda: bridge.metrics()["logs_waiting"] == 0)
    assert helicone.heads[-1]["authorization"] == f"Bearer {STOCK}"


def test_a_replay_ends_where_a_key_is_missing(
    helicone: Helicone,
    keys_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spans = [one_call("shop"), one_call("newcomer")]
    file = tmp_path / "traces.jsonl"
    file.write_bytes(as_json(spans) + b"\n")
    monkeypatch.setenv("HELICONE_API_KEY", KEY)
    monkeypatch.setenv("HELICONE_BRIDGE_KEYS_FILE", str(keys_file))
    where = ["--spool", str(tmp_path / "replay.db"), "--endpoint", helicone.url]
    assert main(["replay", str(file), *where]) == 1
    assert "1 logs wait for keys that are not known ('newcomer')" in capsys.readouterr().err
    keys_file.write_text(f"{keys_file.read_text()}newcomer={NEWER}\n")
    assert main(["replay", str(file), *where]) == 0
    assert helicone.wait_for(*spans) == [SHOP, NEWER]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("shop\n", "line 1 is not `name=key`"),
        (
            "# one\n\nshop=two words\n",
            "the key in line 3 has characters that no HTTP header can hold",
        ),
        ("=sk-secret\n", "line 1 is not `name=key`"),
        ("shop=\n", "line 1 is not `name=key`"),
    ],
)
def test_a_file_of_keys_that_is_wrong_fails_at_the_start(
    tmp_path: Path, content: str, reason: str
) -> None:
    path = tmp_path / "keys"
    path.write_text(content)
    with pytest.raises(SettingError) as caught:
        Keys(make_bridge_settings(keys_file=str(path), environ=LOCAL))
    assert str(caught.value) == f"keys_file={str(path)!r} can't be used: {reason}"


def test_other_wrong_keys(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="it can't be read: No such file or directory"):
        Keys(make_bridge_settings(keys_file=str(tmp_path / "missing"), environ=LOCAL))
    for wrong in ("sk-secret", "shop=sk-secret,stock", "shop=sk secret", "=sk-secret"):
        with pytest.raises(SettingError, match=r"^HELICONE_BRIDGE_KEYS=") as caught:
            make_bridge_settings(environ={**LOCAL, "HELICONE_BRIDGE_KEYS": wrong})
        assert "secret" not in str(caught.value)
    environ = {**LOCAL, "HELICONE_BRIDGE_KEYS": f"shop={SHOP}"}
    assert SHOP not in repr(make_bridge_settings(environ=environ))
