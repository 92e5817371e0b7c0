"""`otel-helicone bridge status`: what a running bridge tells, for people and for scripts."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from otel_helicone.cli import main
from otel_helicone.local.server import LocalHelicone
from tests.bridge.conftest import MakeBridge, Service, rows_of
from tests.bridge.test_bridge import trip
from tests.bridge.test_http_receiver import large_call
from tests.bridge.test_keys import one_call, until
from tests.bridge.test_tls import certificate, needs_openssl

Output = pytest.CaptureFixture[str]


def test_people_are_told_in_sentences(
    make_bridge: MakeBridge, helicone: LocalHelicone, service: Service, capsys: Output
) -> None:
    trip(service)
    with make_bridge() as bridge:
        bridge.send(*service.take(), one_call("newcomer"))
        bridge.post(b"\xff")
        rows_of(helicone, 4)
        until(lambda: bridge.metrics()["logs_waiting"] == bridge.metrics()["logs_without_key"] == 1)
        assert main(["bridge", "status", "--url", bridge.url]) == 0
        lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"The bridge at {bridge.url} takes spans."
    assert lines[1] == "  received  8 spans in 2 requests; refused unreadable 1"
    assert lines[2].startswith(
        "  waiting   0 spans for the rest of their traces; 1 logs, 0 of them"
    )
    assert lines[3].startswith("  spool     0.")
    assert lines[4].startswith(
        "  sent      4 logs, 0.0 MiB; 0 attempts had to be made again; 95% w"
    )
    assert lines[5:] == [
        "  skipped   filtered 3",
        "  no key    1 logs wait for a key that is not known",
    ]


def test_scripts_get_all_metrics_by_name(
    make_bridge: MakeBridge, helicone: LocalHelicone, service: Service, capsys: Output
) -> None:
    trip(service)
    with make_bridge() as bridge:
        bridge.send(*service.take())
        rows_of(helicone, 4)
        until(lambda: bridge.metrics()["logs_waiting"] == 0)
        assert main(["bridge", "status", "--json", "--url", f"{bridge.url}/"]) == 0
        told = json.loads(capsys.readouterr().out)
    assert (told["url"], told["ready"], told["trouble"]) == (bridge.url, True, "")
    metrics = told["metrics"]
    assert metrics["requests_total"] == {"200": 1}
    assert metrics["spans_skipped_total"]["filtered"] == 3
    assert metrics["logs_sent_total"] == metrics["delivery_seconds_bucket"]["+Inf"] == 4
    assert metrics["attempt_seconds_bucket"]["200"]["+Inf"] == 4


def test_a_bridge_that_takes_no_spans(make_bridge: MakeBridge, capsys: Output) -> None:
    with make_bridge(max_spool_mib=0.2) as bridge:
        bridge.post(large_call())
        while bridge.post(large_call()).status_code == 200:
            pass
        code = main(["bridge", "status", "--json", "--url", bridge.url])
        told = json.loads(capsys.readouterr().out)
        assert (code, told["ready"]) in ((1, False), (0, True))  # logs may have gone meanwhile
    with make_bridge(max_spool_mib=0.05) as bridge:
        assert main(["bridge", "status", "--url", bridge.url]) == 1
        assert f"{bridge.url} takes no spans: the spool is full." in capsys.readouterr().out


@needs_openssl
def test_it_is_found_as_the_environment_names_it(
    make_bridge: MakeBridge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Output
) -> None:
    cert, key = certificate(tmp_path, "bridge")
    with make_bridge(token="a-secret", tls_cert=str(cert), tls_key=str(key)) as bridge:
        monkeypatch.setenv("HELICONE_BRIDGE_PORT", bridge.url.rpartition(":")[2])
        monkeypatch.setenv("HELICONE_BRIDGE_TLS_CERT", str(cert))
        assert main(["bridge", "status"]) == 1
        assert "wants a token: set HELICONE_BRIDGE_TOKEN" in capsys.readouterr().err
        monkeypatch.setenv("HELICONE_BRIDGE_TOKEN", "a-secret")
        assert main(["bridge", "status"]) == 0
        assert f"The bridge at {bridge.url} takes spans." in capsys.readouterr().out


def test_nobody_answers(
    helicone: LocalHelicone, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert main(["bridge", "status", "--url", f"http://127.0.0.1:{port}"]) == 1
    assert f"no bridge answers at http://127.0.0.1:{port} (" in capsys.readouterr().err
    assert main(["bridge", "status", "--url", helicone.url]) == 1
    assert f"what answers at {helicone.url} is no bridge" in capsys.readouterr().err
    monkeypatch.setenv("HELICONE_BRIDGE_PORT", "http")
    assert main(["bridge", "status"]) == 2
    assert "HELICONE_BRIDGE_PORT='http' can't be used" in capsys.readouterr().err
