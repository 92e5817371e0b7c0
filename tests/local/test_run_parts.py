"""What ``otel-helicone run`` is made of: the program, its environment, its signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from otel_helicone.cli import main
from otel_helicone.local.run.child_process import run_program
from otel_helicone.local.run.neighbour import find_neighbour
from otel_helicone.local.run.program import NoProgram, find_program
from otel_helicone.local.run.variables import STARTED_BY_RUN, replaced_base_url, variables_for
from otel_helicone.local.server import LocalHelicone

URL = "http://127.0.0.1:8787"
KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"


def made_from(**environ: str) -> dict[str, str]:
    return variables_for(environ, url=URL, base_url=f"{URL}/run/1/x/v1", api_key=KEY)


def test_a_script_is_run_by_this_python(tmp_path: Path) -> None:
    script = tmp_path / "shop.py"
    script.write_text("")
    program = find_program([str(script), "-v", "--port", "1"])
    assert program.arguments == (sys.executable, str(script), "-v", "--port", "1")
    assert program.name == "shop.py"


def test_a_module_is_run_by_this_python() -> None:
    program = find_program([], ["shop.orders", "-m", "x"])
    assert program.arguments == (sys.executable, "-m", "shop.orders", "-m", "x")
    assert program.name == "shop.orders"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["app.py"], "app.py"),
        (["-u", "src/app.py", "x.py"], "app.py"),
        (["-W", "error", "-m", "shop"], "shop"),
        (["-c", "print()"], "python"),
        ([], "python"),
    ],
)
def test_what_python_runs_gives_the_name(arguments: list[str], name: str) -> None:
    # Beside this Python, whatever the PATH has.
    program = find_program(["python", *arguments])
    assert Path(program.arguments[0]).parent == Path(sys.executable).parent
    assert program.name == name


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ([], "name a program, such as `otel-helicone run app.py`"),
        (["no-such-script.py"], "no-such-script.py is not there"),
        (["no-such-program"], "no-such-program is no program on the PATH"),
    ],
)
def test_what_is_not_there_is_said(command: list[str], said: str) -> None:
    with pytest.raises(NoProgram) as missing:
        find_program(command)
    assert said in str(missing.value)


def test_a_program_gets_what_it_needs() -> None:
    made = made_from(HOME="/home/me")
    path = made.pop("PYTHONPATH").split(os.pathsep)
    assert path == [str(STARTED_BY_RUN), str(Path.cwd())]
    assert (STARTED_BY_RUN / "sitecustomize.py").is_file()
    assert made == {
        "HOME": "/home/me",
        "OPENAI_BASE_URL": f"{URL}/run/1/x/v1",
        "OPENAI_API_KEY": "none",
        "HELICONE_GATEWAY_HOSTS": "127.0.0.1:8787",
        "HELICONE_ENDPOINT": URL,
        "HELICONE_API_ENDPOINT": URL,
        "HELICONE_API_KEY": KEY,
        "OTEL_TRACES_EXPORTER": "helicone",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
    }


def test_what_the_user_has_said_is_kept() -> None:
    made = made_from(
        OPENAI_API_KEY="sk-mine",
        HELICONE_GATEWAY_HOSTS="helicone.corp.example",
        OTEL_TRACES_EXPORTER="otlp",
        OTEL_METRICS_EXPORTER="otlp",
        PYTHONPATH="/mine",
    )
    assert made["OPENAI_API_KEY"] == "sk-mine"
    assert made["HELICONE_GATEWAY_HOSTS"] == "helicone.corp.example,127.0.0.1:8787"
    assert made["OTEL_TRACES_EXPORTER"] == "otlp,helicone"
    assert made["OTEL_METRICS_EXPORTER"] == "otlp"
    assert made["PYTHONPATH"].endswith(f"{os.pathsep}/mine")


def test_a_run_within_a_run_adds_nothing_twice() -> None:
    once = made_from(OTEL_TRACES_EXPORTER="none")
    assert once["OTEL_TRACES_EXPORTER"] == "helicone"
    assert made_from(**once) == once


def test_calls_that_the_user_sends_through_a_gateway_go_through_the_local_one() -> None:
    assert made_from(HELICONE_GATEWAY="true")["HELICONE_GATEWAY"] == URL
    assert made_from(HELICONE_GATEWAY="false")["HELICONE_GATEWAY"] == "false"


def test_calls_go_around_a_proxy() -> None:
    made = made_from(HTTPS_PROXY="http://proxy:3128", no_proxy="corp.example")
    assert made["no_proxy"] == "corp.example,127.0.0.1"
    assert made["NO_PROXY"] == "127.0.0.1"
    assert "NO_PROXY" not in made_from()


def test_a_base_url_of_the_users_own_is_told_of() -> None:
    own = "http://localhost:11434/v1"
    assert replaced_base_url({"OPENAI_BASE_URL": own}, URL) == own
    assert replaced_base_url({"OPENAI_BASE_URL": f"{URL}/v1"}, URL) is None
    assert replaced_base_url({}, URL) is None


def test_a_local_helicone_is_found_with_its_store(helicone: LocalHelicone) -> None:
    found = find_neighbour(helicone.url)
    assert found is not None
    assert found.store == helicone.store.path
    assert found.takes_any_key


def test_one_that_asks_for_a_key_does_not_tell_its_store(tmp_path: Path) -> None:
    with LocalHelicone(tmp_path / "s.db", api_keys=[KEY], login=True) as helicone:
        found = find_neighbour(helicone.url)
    assert found is not None
    assert found.store is None


def test_what_is_no_local_helicone_is_not_taken_for_one(
    scripted_upstream: object,
) -> None:
    assert callable(scripted_upstream)
    body = b'{"status": "ok"}'
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
    other = scripted_upstream(lambda connection: connection.sendall(head + body))
    assert find_neighbour(other) is None
    nobody = scripted_upstream(lambda connection: connection.close())
    assert find_neighbour(nobody) is None


def python(code: str) -> Sequence[str]:
    return (sys.executable, "-c", code)


def test_the_exit_status_is_the_programs() -> None:
    assert run_program(python("raise SystemExit(7)"), os.environ) == 7


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_a_signal_that_ended_the_program_is_told_as_shells_do() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert run_program(python(code), os.environ) == 128 + signal.SIGKILL


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_are_passed_on(number: signal.Signals) -> None:
    # The program has this process's parent send it the signal; then it waits for its own.
    code = f"""
import os, signal
def end(number, frame):
    os._exit(40 + (number == {int(number)}))
signal.signal({int(number)}, end)
os.kill(os.getppid(), {int(number)})
while True:
    signal.pause()
"""
    runner = (
        "import os, sys; from otel_helicone.local.run.child_process import run_program;"
        f"sys.exit(run_program([sys.executable, '-c', {code!r}], os.environ))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", runner], start_new_session=True, timeout=60, check=False
    )
    assert ended.returncode == 41


def test_a_wrong_option_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--port", "x", "app.py"]) == 2
    assert "--port='x' can't be used" in capsys.readouterr().err
    assert main(["run"]) == 2
    assert "name a program" in capsys.readouterr().err
    assert main(["run", "no-such-program"]) == 127
    assert "is no program on the PATH" in capsys.readouterr().err


def test_the_help_says_what_is_done_step_by_step(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    said = capsys.readouterr().out
    for number in range(1, 7):
        assert f"\n {number}. " in said
    for name in set(made_from()) - {"PATH"}:
        assert name in said, f"{name} is given to a program, and the help does not say so"
