"""The command ``otel-helicone run``, as a user sees it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.store import Store
from tests.local.conftest import read_request
from tests.local.stores import corrupt_middle, fill

CALL = 'client.chat.completions.create(model="gpt-4o-mini", messages=[])\n'
UNTRACED = f"import openai\nclient = openai.OpenAI()\n{CALL}{CALL}print('done')\n"
TRACED = f"""
import openai
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

client = openai.OpenAI()
provider = TracerProvider()
trace.set_tracer_provider(provider)
assert trace.get_tracer_provider() is provider
with trace.get_tracer("shop").start_as_current_span("order"):
    with trace.get_tracer("shop").start_as_current_span("describe"):
        {CALL}"""


def run(folder: Path, code: str, *options: str, **environ: str) -> subprocess.CompletedProcess[str]:
    (folder / "shop.py").write_text(code)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HELICONE_", "OTEL_", "OPENAI_"))
    }
    # The tests' own environment has an instrumentation of openai's client, whose spans make each
    # call a session; a user's first environment has none.
    kept["OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"] = "openai,openai-v2"
    command = [sys.executable, "-m", "otel_helicone", "run", "--latency", "0", *options, "shop.py"]
    return subprocess.run(
        command, env={**kept, **environ}, cwd=folder, capture_output=True, text=True, check=False
    )


def own_server(folder: Path) -> tuple[str, ...]:
    return ("--port", "0", "--store", str(folder / "requests.db"))


def paths(store: Store) -> list[tuple[str | None, str | None]]:
    return [(row.session_name, row.session_path) for row in store.requests()]


def test_an_untraced_script_is_one_session(tmp_path: Path) -> None:
    ended = run(tmp_path, UNTRACED, *own_server(tmp_path))
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr
    store = Store(tmp_path / "requests.db")
    assert paths(store) == [("shop.py", "/"), ("shop.py", "/")]
    (session,) = store.sessions()
    assert f"shop.py  {session.session_id}" in ended.stderr
    assert "2 requests, 0 errors" in ended.stderr
    assert "Pages: http://127.0.0.1:" in ended.stderr
    assert "\x1b" not in ended.stderr


def test_a_traced_script_keeps_its_own_provider_and_shows_its_tree(tmp_path: Path) -> None:
    ended = run(tmp_path, TRACED, *own_server(tmp_path))
    assert ended.returncode == 0, ended.stderr
    assert paths(Store(tmp_path / "requests.db")) == [("order", "/order/describe")]
    assert "└─ order" in ended.stderr
    assert "   └─ describe" in ended.stderr
    assert "Overriding" not in ended.stderr


ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Yes."}}
    ],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
}


def answer_a_call(connection: socket.socket) -> None:
    head = read_request(connection).partition(b"\r\n\r\n")[0].lower()
    status = b"500 leaked" if b"\r\nhelicone-" in head else b"200 OK"
    body = json.dumps(ANSWER).encode()
    lines = (b"HTTP/1.1 " + status, b"Content-Type: application/json", b"Connection: close")
    length = b"Content-Length: %d" % len(body)
    connection.sendall(b"\r\n".join((*lines, length, b"", body)))


def test_calls_to_elsewhere_are_logged_and_those_through_the_gateway_not_again(
    tmp_path: Path, scripted_upstream: Callable[[Callable[[socket.socket], None]], str]
) -> None:
    pytest.importorskip("opentelemetry.instrumentation.genai.openai")
    elsewhere = f"{scripted_upstream(answer_a_call)}/v1"
    code = TRACED.replace(
        "client = openai.OpenAI()",
        f"client = openai.OpenAI()\nother = openai.OpenAI(base_url={elsewhere!r}, max_retries=0)",
    )
    code += (
        f"    with trace.get_tracer('shop').start_as_current_span('ask'):\n        other.{CALL[7:]}"
    )
    ended = run(tmp_path, code, *own_server(tmp_path), OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="none")
    assert ended.returncode == 0, ended.stderr
    rows = Store(tmp_path / "requests.db").requests()
    assert sorted((row.session_path, row.model) for row in rows) == [
        ("/order/ask", "gpt-4o-mini-2024-07-18"),
        ("/order/describe", "gpt-4o-mini"),
    ]
    assert len({row.session_id for row in rows}) == 1


def test_a_crash_shows_what_came_before_it_and_keeps_the_status(tmp_path: Path) -> None:
    ended = run(tmp_path, UNTRACED + "raise SystemExit(7)\n", *own_server(tmp_path))
    assert ended.returncode == 7
    assert "2 requests, 0 errors" in ended.stderr
    assert "The program's exit status is 7." in ended.stderr


def test_a_program_without_calls_is_told_how_calls_come(tmp_path: Path) -> None:
    ended = run(tmp_path, "print('nothing')\n", *own_server(tmp_path))
    assert ended.returncode == 0
    assert "shop.py has made no request that came here." in ended.stderr
    assert "OPENAI_BASE_URL" in ended.stderr


def test_on_a_narrow_terminal_every_line_of_the_tree_fits(tmp_path: Path) -> None:
    ended = run(tmp_path, TRACED, *own_server(tmp_path), COLUMNS="40")
    drawn = [line for line in ended.stderr.splitlines() if "─" in line or "LATENCY" in line]
    assert len(drawn) == 3
    assert max(map(len, drawn)) <= 40


def test_a_local_helicone_that_runs_already_is_used(
    tmp_path: Path, helicone: LocalHelicone
) -> None:
    port = helicone.host.partition(":")[2]
    ended = run(tmp_path, TRACED, "--port", port, "--store", str(helicone.store.path))
    assert ended.returncode == 1
    assert "runs already, so --latency would do nothing" in ended.stderr
    command = [sys.executable, "-m", "otel_helicone", "run", "--port", port, "shop.py"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert f"{helicone.url}/ (was running already)" in ended.stderr
    assert f"Pages: {helicone.url}/\n" in ended.stderr
    assert ("order", "/order/describe") in paths(helicone.store)


def test_a_port_of_something_else_is_said(tmp_path: Path, scripted_upstream: object) -> None:
    assert callable(scripted_upstream)
    port = str(scripted_upstream(lambda connection: connection.close())).rpartition(":")[2]
    ended = run(tmp_path, UNTRACED, "--port", port, "--store", str(tmp_path / "s.db"))
    assert ended.returncode == 1
    assert f"no local Helicone answers at http://127.0.0.1:{port}" in ended.stderr
    assert "--port 0 for a free one" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("name", ["caf%C3%A9", "a%2Fb"])
def test_an_address_of_a_run_gives_calls_without_a_session_its_own(
    helicone: LocalHelicone, name: str
) -> None:
    run_id = "0af7651916cd43dd8448eb211c80319c"
    url = f"{helicone.url}/run/{run_id}/{name}/v1/models"
    httpx2.get(url)
    httpx2.get(url, headers={"Helicone-Session-Id": "mine", "Helicone-Session-Name": "Mine"})
    helicone.settle()
    rows = helicone.store.requests()
    assert [row.target_path for row in rows] == ["/v1/models", "/v1/models"]
    assert [row.session_id for row in rows] == [run_id, "mine"]
    assert rows[0].session_path == "/"
    assert rows[1].session_name == "Mine"


def test_an_address_of_no_run_is_not_found(helicone: LocalHelicone) -> None:
    for path in ("/run/1/x/v1/models", "/run/", "/run/0af7651916cd43dd8448eb211c80319c/x/models"):
        assert httpx2.get(f"{helicone.url}{path}").status_code == 404
    assert helicone.store.requests() == []


def test_a_store_that_is_damaged_within_does_not_hide_how_the_program_ended(tmp_path: Path) -> None:
    store = fill(tmp_path / "requests.db")
    corrupt_middle(store)
    ended = run(tmp_path, "raise SystemExit(7)\n", *own_server(tmp_path))
    assert ended.returncode == 7 or (ended.returncode == 1 and "Running" not in ended.stderr)
    assert "Traceback" not in ended.stderr
