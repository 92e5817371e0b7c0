"""A request as a command: what the shell makes of it is what was sent."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_helicone.local.pages.curl import LONGEST_COMMAND, curl_command
from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.records import RequestRecord
from tests.local.session_records import call

HERE = "http://127.0.0.1:8787"
BODY = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "It's $HOME"}]})


def words(record: RequestRecord) -> list[str]:
    command = curl_command(record, HERE)
    assert command is not None
    return shlex.split(command.replace("\\\n", " "))


def test_the_command_holds_the_session_and_no_key() -> None:
    asked = replace(
        call("/plan", request_body=BODY, user_id="ada", properties={"env": "it's prod"}),
        helicone_headers=(("Helicone-Session-Id", "trip-1"),),
    )
    command = curl_command(asked, HERE)
    assert command is not None
    assert '"Authorization: Bearer $OPENAI_API_KEY"' in command
    assert words(asked)[1] == f"{HERE}/v1/chat/completions"
    for header in (
        *("Helicone-Session-Id: trip-1", "Helicone-Session-Path: /plan"),
        *("Helicone-Session-Name: Trip", "Helicone-User-Id: ada"),
        "Helicone-Property-env: it's prod",
    ):
        assert header in words(asked)
    assert words(asked)[-1] == BODY


@given(st.text(min_size=1).filter(lambda text: "\x00" not in text and text.isprintable()))
def test_any_body_reaches_the_server_as_it_was(text: str) -> None:
    body = json.dumps({"messages": [text]}, ensure_ascii=False)
    assert words(call(request_body=body))[-2:] == ["--data-raw", body]


@given(st.text(max_size=30))
def test_no_session_breaks_out_of_its_header(text: str) -> None:
    asked = call(text, session_id=text, session_name=text, user_id=text, request_body=BODY)
    found = words(asked)
    assert found[0] == "curl"
    assert found[-2:] == ["--data-raw", BODY]
    assert found[2::2][:-1] == ["-H"] * (len(found[2::2]) - 1)


@pytest.mark.parametrize(
    ("path", "body", "target"),
    [
        ("/oai/v1/log", {"messages": []}, "/v1/chat/completions"),
        ("/v1/trace/custom/log", {"input": "x"}, "/v1/responses"),
        ("/custom/v1/log", {"prompt": "x"}, "/v1/completions"),
        ("/v1/embeddings", {"input": "x"}, "/v1/embeddings"),
    ],
)
def test_logs_are_sent_to_the_api_that_their_body_is_of(
    path: str, body: dict[str, object], target: str
) -> None:
    assert words(replace(call(request_body=json.dumps(body)), target_path=path))[1] == HERE + target


@pytest.mark.parametrize(
    "record",
    [
        call(kind="tool", request_body=BODY),
        call(request_body=""),
        call(request_body="x" * LONGEST_COMMAND),
        replace(call(request_body="[]"), target_path="/oai/v1/log"),
        replace(call(request_body="{"), target_path="/oai/v1/log"),
        replace(call(request_body="{}"), target_path="/oai/v1/log"),
    ],
)
def test_what_cannot_be_sent_again_has_no_command(record: RequestRecord) -> None:
    assert curl_command(record, HERE) is None


def test_a_shell_sends_the_same_request_again(tmp_path: Path) -> None:
    with LocalHelicone(tmp_path / "requests.db", latency=0) as helicone:
        command = curl_command(call("/plan", request_body=BODY), helicone.url)
        assert command is not None
        environment = {**os.environ, "OPENAI_API_KEY": "none", "HELICONE_API_KEY": "none"}
        subprocess.run(
            ["bash", "-c", f"{command} --silent --fail --noproxy '*'"],
            check=True,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        assert helicone.settle()
        (sent,) = helicone.store.requests("trip-1")
    assert (sent.session_path, sent.session_name) == ("/plan", "Trip")
    assert json.loads(sent.request_body) == json.loads(BODY)
