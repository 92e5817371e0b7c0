"""The commands ``otel-helicone serve`` and ``otel-helicone sessions``."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import openai
import pytest

from otel_helicone.cli import main
from otel_helicone.local.server import LocalHelicone

COMMAND = [sys.executable, "-m", "otel_helicone"]


@pytest.fixture
def filled(helicone: LocalHelicone, client: openai.OpenAI) -> str:
    calls = [
        ("trip-1", "/outline", "Trip"),
        ("trip-1", "/outline/caf%C3%A9%1B[31m", "Trip"),
        ("trip-2", "/a", "Other \x1b[2J"),
    ]
    for session_id, path, name in calls:
        client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "hello\x1b[0m"}],
            extra_headers={
                "Helicone-Session-Id": session_id,
                "Helicone-Session-Path": path,
                "Helicone-Session-Name": name,
            },
        )
    helicone.settle()
    return str(helicone.store.path)


def test_sessions_are_listed_newest_first(filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sessions", "--store", filled]) == 0
    head, newest, oldest = capsys.readouterr().out.splitlines()
    columns = ["SESSION", "NAME", "REQUESTS", "ERRORS", "TOKENS", "COST", "STARTED", "TOOK"]
    assert head.split() == columns
    assert newest.startswith("trip-2   Other \\x1b[2J")
    assert oldest.split()[:4] == ["trip-1", "Trip", "2", "0"]


def test_one_session_is_drawn_as_a_tree(filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sessions", "trip-1", "--store", filled]) == 0
    out = capsys.readouterr().out
    assert "Trip  trip-1" in out
    assert "└─ outline" in out
    assert "   └─ café\\x1b[31m" in out
    assert "gpt-4o-mini" in out
    # No colours where there is no terminal, and nothing of what was sent steers one.
    assert "\x1b" not in out


def test_a_narrow_terminal_cuts_ids_that_still_find_their_session(
    helicone: LocalHelicone,
    client: openai.OpenAI,
    filled: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_HELICONE_STORE", filled)
    session_id = "0af7651916cd43dd8448eb211c80319c"
    client.models.list(extra_headers={"Helicone-Session-Id": session_id})
    helicone.settle()
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["sessions"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("0af76519…")
    assert max(map(len, lines)) <= 80
    assert main(["sessions", "0af76519…"]) == 0
    assert session_id in capsys.readouterr().out


def test_bodies_are_shown_when_asked_for(filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sessions", "trip-2", "--bodies", "--store", filled]) == 0
    out = capsys.readouterr().out
    assert '"content": "hello\\u001b[0m"' in out
    assert '"object": "chat.completion"' in out


def test_json_holds_the_records(
    filled: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_HELICONE_STORE", filled)
    assert main(["sessions", "--json"]) == 0
    sessions = json.loads(capsys.readouterr().out)
    assert [session["requests"] for session in sessions] == [1, 2]
    assert main(["sessions", "trip-1", "--json"]) == 0
    requests = json.loads(capsys.readouterr().out)
    assert [request["session_path"] for request in requests] == [
        "/outline",
        "/outline/caf%C3%A9%1B[31m",
    ]


def test_an_id_that_is_not_clear_is_said(filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sessions", "trip", "--store", filled]) == 1
    assert "the start of 2 session ids: 'trip-1', 'trip-2'" in capsys.readouterr().err
    assert main(["sessions", "x", "--store", filled]) == 1
    assert "no session's id" in capsys.readouterr().err


def test_a_store_that_is_missing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sessions", "--store", str(tmp_path / "none.db")]) == 1
    assert "`otel-helicone serve` makes one" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_says_where_it_is_and_stops_clean(tmp_path: Path, number: signal.Signals) -> None:
    store = tmp_path / "my requests.db"
    arguments = ["serve", "--port", "0", "--latency", "0", "--store", str(store)]
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [process.stdout.readline() for _ in range(7)]
        base_url = lines[2].split()[1]
        httpx2.get(f"{base_url}/models", trust_env=False)
        process.send_signal(number)
        rest, errors = process.communicate(timeout=120)
    assert process.returncode == 0
    assert errors == ""
    assert f'otel-helicone sessions --store "{store}"' in lines[6]
    assert "Stopped" in rest
    with LocalHelicone(store) as helicone:
        assert len(helicone.store.requests()) == 1


def test_a_port_that_is_taken_is_an_error_with_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        assert main(["serve", "--port", port, "--store", str(tmp_path / "x.db")]) == 1
    error = capsys.readouterr().err
    assert f"port {port}" in error
    assert "--port" in error


def test_an_upstream_that_is_no_url_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(tmp_path / "x.db")
    assert main(["serve", "--upstream", "api.openai.com", "--store", store]) == 2
    assert "https://api.openai.com" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "sessions"])
def test_without_the_extra_its_name_is_said(command: str, tmp_path: Path) -> None:
    # A module that cannot be imported stands before the real one.
    (tmp_path / "platformdirs.py").write_text(
        "raise ModuleNotFoundError('gone', name='platformdirs')"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*COMMAND, command],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"otel-helicone {command} needs the extra 'local': pip install 'otel-helicone[local]'\n"
    )


def test_the_command_line_imports_nothing_of_the_extra() -> None:
    script = (
        "import sys, otel_helicone.cli\n"
        "extras = {'starlette', 'uvicorn', 'rich', 'httpx2', 'platformdirs', 'opentelemetry'}\n"
        "print(*extras & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_are_said_without_an_import_of_the_sdk(option: str) -> None:
    script = (
        "import sys; from otel_helicone.cli import main\n"
        "try: main([sys.argv[1]])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "assert 'opentelemetry' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, option], capture_output=True, text=True, check=True
    )
    assert "otel-helicone" in done.stdout
