"""Applications without a word of Helicone in their code, in a fresh environment.

The environment is made with ``python -m venv``, and the package is installed from this checkout as
a user would. The application is run by ``opentelemetry-instrument``; everything else is variables.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from otel_helicone.local.server import LocalHelicone
from tests.integration.conftest import missing

ROOT = Path(__file__).parents[2]
KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
PACKAGES = (
    "openai",
    "opentelemetry-configuration",
    "opentelemetry-distro",
    "opentelemetry-instrumentation-genai-openai",
)
BIN = "Scripts" if os.name == "nt" else "bin"

APPLICATION = """
import openai
from opentelemetry import trace

client = openai.OpenAI(max_retries=0)
tracer = trace.get_tracer("shop")


def ask(text):
    answer = client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": text}]
    )
    return answer.choices[0].message.content


with tracer.start_as_current_span("order"):
    with tracer.start_as_current_span("describe"):
        ask("Describe a chair.")
    with tracer.start_as_current_span("translate/French"):
        ask("Translate it.")
    ask("Sum it up.")
print("done")
"""
TREE = ["/order/describe", "/order/translate%2FFrench", "/order"]

ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "A chair."},
        }
    ],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment with the versions that the other integration tests have."""
    folder = tmp_path_factory.mktemp("environment")
    pins = (ROOT / "requirements" / "integration.txt").read_text("utf-8")
    constraints = folder / "constraints.txt"
    # Without the hashes, which would be asked of the checkout too.
    lines = re.findall(r"^\w\S*==\S+", pins, re.MULTILINE)
    constraints.write_text("\n".join(lines), "utf-8")
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    installed = subprocess.run(
        [
            *(str(venv / BIN / "python"), "-m", "pip", "install", "--quiet"),
            *("--disable-pip-version-check", "-c", str(constraints), str(ROOT), *PACKAGES),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode:
        missing(f"what a fresh environment needs ({installed.stderr[-2000:]})")
    return venv


@pytest.fixture
def helicone(tmp_path: Path) -> Iterator[LocalHelicone]:
    with LocalHelicone(tmp_path / "requests.db", latency=0, api_keys=[KEY]) as helicone:
        yield helicone


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(environment: Path, tmp_path: Path) -> Run:
    """Run the application with these variables, and none of this package's or OpenTelemetry's."""
    application = tmp_path / "shop.py"
    application.write_text(APPLICATION, "utf-8")
    assert "helicone" not in APPLICATION.lower()
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HELICONE_", "OTEL_", "OPENAI_", "PYTHON", "VIRTUAL_ENV"))
    }

    def run(**variables: str) -> subprocess.CompletedProcess[str]:
        command = environment / BIN / "opentelemetry-instrument"
        ended = subprocess.run(
            [str(command), str(environment / BIN / "python"), str(application)],
            env={
                **clean,
                "PATH": f"{environment / BIN}{os.pathsep}{clean.get('PATH', '')}",
                "OPENAI_API_KEY": "none",
                "OTEL_TRACES_EXPORTER": "none",
                "OTEL_METRICS_EXPORTER": "none",
                "OTEL_LOGS_EXPORTER": "none",
                **variables,
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout == "done\n"
        return ended

    return run


@pytest.fixture
def provider() -> Iterator[str]:
    """Serve a provider's API, which is no gateway; give its base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            helicones = [name for name in self.headers if name.lower().startswith("helicone")]
            self.send_response(500 if helicones else 200)
            body = json.dumps(ANSWER).encode()
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


def assert_one_session(helicone: LocalHelicone) -> None:
    helicone.settle()
    rows = list(helicone.store.requests())
    assert sorted(str(row.session_path) for row in rows) == sorted(TREE)
    assert {row.session_name for row in rows} == {"order"}
    assert len({row.session_id for row in rows}) == 1
    assert re.fullmatch("[0-9a-f]{32}", str(rows[0].session_id))


def test_calls_through_a_gateway_are_one_session(run: Run, helicone: LocalHelicone) -> None:
    ended = run(
        OPENAI_BASE_URL=helicone.base_url,
        HELICONE_GATEWAY_HOSTS=helicone.host,
        OTEL_PROPAGATORS="tracecontext,baggage,helicone",
    )
    assert_one_session(helicone)
    assert ended.stderr == ""


def test_calls_to_a_provider_are_logged_as_the_same_session(
    run: Run, helicone: LocalHelicone, provider: str
) -> None:
    ended = run(
        OPENAI_BASE_URL=provider,
        OTEL_TRACES_EXPORTER="helicone",
        HELICONE_API_KEY=KEY,
        HELICONE_ENDPOINT=helicone.url,
    )
    assert_one_session(helicone)
    assert ended.stderr == ""
    assert {row.model for row in helicone.store.requests()} == {"gpt-4o-mini-2024-07-18"}


def test_calls_of_an_unchanged_client_are_sent_through_the_gateway(
    run: Run, helicone: LocalHelicone
) -> None:
    ended = run(HELICONE_GATEWAY=helicone.url, HELICONE_API_KEY=KEY)
    assert_one_session(helicone)
    assert ended.stderr == ""


def test_without_a_distribution_the_provider_may_be_named_by_a_variable(
    run: Run, helicone: LocalHelicone
) -> None:
    run(
        OTEL_PYTHON_CONFIGURATOR="none",
        OTEL_PYTHON_TRACER_PROVIDER="sdk_tracer_provider",
        OPENAI_BASE_URL=helicone.base_url,
        HELICONE_GATEWAY_HOSTS=helicone.host,
    )
    assert_one_session(helicone)


CONFIGURATION = """
file_format: "1.0"
tracer_provider:
  processors:
    - batch:
        exporter:
          helicone:
            api_key: ${KEY}
            endpoint: ${ENDPOINT}
instrumentation/development:
  python:
    helicone:
      session_id_format: uuid
"""


def test_a_configuration_file_sets_everything_up(
    run: Run, helicone: LocalHelicone, provider: str, tmp_path: Path
) -> None:
    file = tmp_path / "otel.yaml"
    file.write_text(CONFIGURATION, "utf-8")
    ended = run(
        OPENAI_BASE_URL=provider, OTEL_CONFIG_FILE=str(file), KEY=KEY, ENDPOINT=helicone.url
    )
    helicone.settle()
    rows = list(helicone.store.requests())
    assert sorted(str(row.session_path) for row in rows) == sorted(TREE)
    assert {str(row.session_id).count("-") for row in rows} == {4}
    assert "helicone" not in ended.stderr


def test_it_can_be_turned_off(run: Run, helicone: LocalHelicone) -> None:
    run(
        OPENAI_BASE_URL=helicone.base_url,
        HELICONE_GATEWAY_HOSTS=helicone.host,
        OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="helicone",
    )
    helicone.settle()
    assert {row.session_id for row in helicone.store.requests()} == {None}


def test_a_wrong_setting_is_one_line_and_the_application_runs(
    run: Run, helicone: LocalHelicone
) -> None:
    ended = run(
        OPENAI_BASE_URL=helicone.base_url,
        HELICONE_GATEWAY_HOSTS=helicone.host,
        HELICONE_STAMP="perhaps",
    )
    assert ended.stderr == (
        "otel-helicone is off: HELICONE_STAMP='perhaps' can't be used: give true or false\n"
    )
    helicone.settle()
    assert {row.session_id for row in helicone.store.requests()} == {None}


def test_a_wrong_setting_of_the_exporter_is_told_and_the_application_runs(
    run: Run, provider: str
) -> None:
    ended = run(
        OPENAI_BASE_URL=provider,
        OTEL_TRACES_EXPORTER="helicone",
        HELICONE_API_KEY=KEY,
        HELICONE_TIMEOUT="soon",
    )
    assert "HELICONE_TIMEOUT='soon' can't be used: give seconds" in ended.stderr


def test_the_doctor_runs_without_the_extras(environment: Path, tmp_path: Path) -> None:
    ended = subprocess.run(
        [str(environment / BIN / "otel-helicone"), "doctor", "https://oai.helicone.ai/v1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "gets session headers" in ended.stdout
