"""``otel-helicone replay``: files that the Collector wrote become sessions."""

from __future__ import annotations

import base64
import gzip
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from google.protobuf import json_format
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan

from otel_helicone.bridge import pace, sender
from otel_helicone.cli import main
from otel_helicone.local.server import LocalHelicone
from tests.bridge.conftest import KEY, Service, rows_of
from tests.bridge.test_bridge import TRIP, paths_of, trip
from tests.test_delivery_faults import OK, FaultServer

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def as_json(spans: Sequence[ReadableSpan]) -> bytes:
    """Write a request as the Collector does: ids in hexadecimal, enums as numbers."""
    document = json_format.MessageToDict(encode_spans(spans), use_integers_for_enums=True)
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for name in ("traceId", "spanId", "parentSpanId"):
                    if name in span:
                        span[name] = base64.b64decode(span[name]).hex()
    return json.dumps(document).encode()


def as_protobuf(spans: Sequence[ReadableSpan]) -> bytes:
    return encode_spans(spans).SerializeToString()


def lines(requests: Sequence[Sequence[ReadableSpan]]) -> bytes:
    return b"".join(as_json(spans) + b"\n" for spans in requests)


def prefixed(requests: Sequence[bytes]) -> bytes:
    return b"".join(len(body).to_bytes(4, "big") + body for body in requests)


Requests = Sequence[Sequence[ReadableSpan]]
FORMS: dict[str, Callable[[Requests], bytes]] = {
    "json": lines,
    "json, zstd": lambda requests: prefixed([zstd.compress(as_json(s)) for s in requests]),
    "proto": lambda requests: prefixed([as_protobuf(s) for s in requests]),
    "proto, zstd": lambda requests: prefixed([zstd.compress(as_protobuf(s)) for s in requests]),
    "json, then gzip": lambda requests: gzip.compress(lines(requests)),
    "json, then zstd": lambda requests: zstd.compress(lines(requests)),
}


@pytest.fixture
def requests(service: Service) -> Requests:
    trip(service)
    return [[span] for span in service.take()]


@pytest.fixture
def replay(
    helicone: LocalHelicone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    monkeypatch.setenv("HELICONE_API_KEY", KEY)

    def replay(*files: Path, spool: str = "replay.db") -> int:
        names = [str(file) for file in files]
        where = ["--spool", str(tmp_path / spool), "--endpoint", helicone.url]
        return main(["replay", *names, *where])

    return replay


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_file_is_read(
    form: str,
    requests: Requests,
    replay: Callable[..., int],
    helicone: LocalHelicone,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "traces"
    file.write_bytes(FORMS[form](requests))
    assert replay(file) == 0
    assert paths_of(rows_of(helicone, 4)) == TRIP
    assert capsys.readouterr().out == "7 spans read (0 more were known), 4 logs sent.\n"


def test_to_run_it_twice_changes_nothing(
    requests: Requests, replay: Callable[..., int], helicone: LocalHelicone, tmp_path: Path
) -> None:
    file = tmp_path / "traces.json"
    file.write_bytes(lines(requests))
    assert [replay(file), replay(file), replay(file, spool="another.db")] == [0, 0, 0]
    assert len(rows_of(helicone, 5, seconds=0.3)) == 4


def test_it_goes_on_where_a_file_had_ended(
    requests: Requests,
    replay: Callable[..., int],
    helicone: LocalHelicone,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "traces.json"
    file.write_bytes(lines(requests))
    assert replay(file) == 0
    with file.open("ab") as more:
        more.write(b'{"resourceSpans":[]}\n')
    capsys.readouterr()
    assert replay(file) == 0
    assert capsys.readouterr().out == "0 spans read (0 more were known), 0 logs sent.\n"


def test_traces_may_be_spread_over_files(
    requests: Requests, replay: Callable[..., int], helicone: LocalHelicone, tmp_path: Path
) -> None:
    files = [tmp_path / f"traces-{number}.json" for number in (1, 2)]
    files[0].write_bytes(lines(requests[:3]))
    files[1].write_bytes(lines(requests[3:]))
    assert replay(*files) == 0
    assert paths_of(rows_of(helicone, 4)) == TRIP


@pytest.mark.parametrize(
    ("content", "trouble"),
    [
        (b"\x00\x00\x00\x09abc", "ends within a request, at byte 0"),
        (b"# Not telemetry at all\n", "is no file of the Collector's file exporter, at byte 0"),
        (b'{"resourceSpans":[]}\n{"resourceSp', "has no request before byte 33"),
        (b"\x28\xb5\x2f\xfd" + b"\x00" * 20, "can't be read"),
    ],
)
def test_a_damaged_file_is_an_error_that_names_the_place(
    content: bytes,
    trouble: str,
    replay: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "traces"
    file.write_bytes(content)
    assert replay(file) == 1
    assert f"{file} {trouble}" in capsys.readouterr().err


def test_a_file_that_is_missing_is_an_error(
    replay: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(tmp_path / "missing.json") == 1
    assert "missing.json can't be read: No such file" in capsys.readouterr().err


def test_a_wrong_key_ends_it_with_a_message_and_a_right_one_goes_on(
    requests: Requests,
    replay: Callable[..., int],
    helicone: LocalHelicone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "traces.json"
    file.write_bytes(lines(requests))
    wrong = "sk-helicone-zzzzzzz-zzzzzzz-zzzzzzz-zzzzzzz"
    monkeypatch.setenv("HELICONE_API_KEY", wrong)
    assert replay(file) == 1
    said = capsys.readouterr()
    assert "Helicone refuses the API key" in said.err
    assert wrong not in said.err + said.out
    monkeypatch.setenv("HELICONE_API_KEY", KEY)
    assert replay(file) == 0
    assert paths_of(rows_of(helicone, 4)) == TRIP


@pytest.fixture
def replay_to(
    tmp_path: Path, requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> Callable[[FaultServer], int]:
    """Replay a file with four calls to a server with faults."""
    monkeypatch.setenv("HELICONE_API_KEY", KEY)
    for module in (sender, pace):
        monkeypatch.setattr(module, "backoff", lambda _failures: 0.05)
    monkeypatch.setattr(sender, "_WAITS_AFTER_REFUSAL", 1)
    file, spool = tmp_path / "traces.json", tmp_path / "replay.db"
    file.write_bytes(lines(requests))
    return lambda helicone: main(
        ["replay", str(file), "--spool", str(spool), "--endpoint", helicone.url]
    )


@pytest.mark.parametrize("answer", ["status:404:none", "status:302:moved|location: /login"])
def test_what_every_log_is_answered_ends_it_and_nothing_is_lost(
    answer: str, replay_to: Callable[[FaultServer], int], capsys: pytest.CaptureFixture[str]
) -> None:
    with FaultServer(lambda *_: answer) as helicone:
        assert replay_to(helicone) == 1
    error = capsys.readouterr().err
    assert f"refuses what is left ({answer.split('|')[0].split(':')[1]}" in error
    assert "4 logs wait" in error
    with FaultServer(lambda *_: OK) as helicone:
        assert replay_to(helicone) == 0
        assert len(helicone.bodies) == 4


def test_what_is_refused_while_others_are_taken_ends_it_as_a_dead_letter(
    tmp_path: Path,
    replay_to: Callable[[FaultServer], int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad: list[str] = []

    def plan(request_id: str, _attempt: int) -> str:
        if not bad:
            bad.append(request_id)
        return "status:400:no" if request_id in bad else OK

    with FaultServer(plan) as helicone:
        assert replay_to(helicone) == 1
        assert len(helicone.bodies) == 3
    assert "Helicone refuses 1 logs for good" in capsys.readouterr().err
    assert main(["bridge", "dead", "list", "--spool", str(tmp_path / "replay.db")]) == 0
    assert bad[0] in capsys.readouterr().out
