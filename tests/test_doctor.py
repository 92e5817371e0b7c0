"""``otel-helicone doctor``: what is in effect, where it came from, and what is wrong."""

from __future__ import annotations

import inspect
import json
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from otel_helicone import HeliconeScoreExporter, HeliconeSpanExporter, HeliconeSpanProcessor
from otel_helicone.cli import main
from otel_helicone.doctor import packages_found
from otel_helicone.local.server import LocalHelicone
from otel_helicone.settings.exporter import make_exporter_settings, make_score_exporter_settings
from otel_helicone.settings.processor import make_processor_settings
from otel_helicone.settings.table import Owner, known_variables, settings_table, table_rows

ROOT = Path(__file__).parents[1]
KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
OTHER_KEY = "sk-helicone-eeeeeee-fffffff-ggggggg-hhhhhhh"


@dataclass
class Said:
    """What the doctor printed, and its exit code."""

    code: int
    text: str

    @property
    def json(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.text)
        return parsed

    def setting(self, variable: str) -> dict[str, Any]:
        """Give one setting of the JSON report."""
        (found,) = [one for one in self.json["settings"] if one["variable"] == variable]
        return dict(found)

    def line(self, start: str) -> str:
        """Give the line of the text that begins with these words."""
        (found,) = [one for one in self.text.splitlines() if one.split()[:1] == [start]]
        return " ".join(found.split())


Doctor = Callable[..., Said]


@pytest.fixture
def doctor(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Doctor:
    for name in os.environ:
        if name.startswith(("HELICONE_", "OTEL_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*arguments: str, **variables: str) -> Said:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        code = main(["doctor", *arguments])
        printed = capsys.readouterr()
        return Said(code, printed.out + printed.err)

    return run


# --- the list of settings -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "component", "more"),
    [
        ("processor", HeliconeSpanProcessor, set()),
        ("exporter", HeliconeSpanExporter, {"meter_provider"}),
        ("scores", HeliconeScoreExporter, {"meter_provider"}),
    ],
)
def test_the_list_has_every_argument(owner: Owner, component: type, more: set[str]) -> None:
    arguments = set(inspect.signature(component).parameters) - more
    rows = [row.setting for row in table_rows((owner,))]
    assert {row.name for row in rows} == arguments
    for row in rows:
        assert f"``{row.variable}``" in (inspect.getdoc(component) or ""), row


def test_the_list_has_the_defaults_that_hold() -> None:
    settings = make_processor_settings(environ={})
    exporting = make_exporter_settings(environ={})
    scores = make_score_exporter_settings(environ={})
    for one in table_rows():
        if one.setting.default_text:
            given = {one.setting.variable: one.setting.default_text}
            assert make_processor_settings(environ=given) == settings, one
            assert make_exporter_settings(environ=given) == exporting, one
    written = {one.setting.variable: one.setting.default_text for one in table_rows()}
    assert written["HELICONE_API_ENDPOINT"] == scores.endpoint
    assert written["HELICONE_ENDPOINT"] == exporting.endpoint
    assert float(written["HELICONE_TIMEOUT"]) == exporting.timeout == scores.timeout
    assert int(written["HELICONE_MAX_IN_FLIGHT"]) == exporting.max_in_flight
    assert int(written["HELICONE_MAX_BODY_BYTES"]) == exporting.max_body_bytes


def test_the_list_has_every_variable_that_is_read() -> None:
    names: set[str] = set()
    for module in (ROOT / "src" / "otel_helicone").rglob("*.py"):
        # A name in quotes that is none of Python's, such as those in __all__.
        text = module.read_text("utf-8")
        quoted = set(re.findall(r'"((?:OTEL_)?HELICONE_[A-Z_]+)"', text))
        names |= {
            name for name in quoted if f"{name}:" not in text and f"    {name},\n" not in text
        }
    assert names == known_variables()


def test_the_table_of_the_documents_is_that_list() -> None:
    assert settings_table() in (ROOT / "docs" / "settings.md").read_text("utf-8")


# --- settings -------------------------------------------------------------------------------------


def test_each_setting_is_shown_with_its_value_and_where_that_came_from(doctor: Doctor) -> None:
    said = doctor(HELICONE_STAMP="false", HELICONE_PROPERTIES="env=prod")
    assert said.code == 0
    assert said.line("stamp") == "stamp HELICONE_STAMP false variable"
    assert said.line("properties") == "properties HELICONE_PROPERTIES env=prod variable"
    assert said.line("inject") == "inject HELICONE_INJECT true default"
    assert said.line("gateway_hosts") == "gateway_hosts HELICONE_GATEWAY_HOSTS none default"
    assert "Nothing is wrong." in said.text


def test_a_key_is_never_shown(doctor: Doctor) -> None:
    for arguments in ([], ["--json"], ["https://oai.helicone.ai/v1"]):
        said = doctor(*arguments, HELICONE_API_KEY=KEY)
        assert said.code == 0
        assert "aaaaaaa" not in said.text
    said = doctor("--json", HELICONE_API_KEY=KEY)
    assert said.setting("HELICONE_API_KEY")["value"] == "set (sk-helicone-…)"


def test_a_malformed_key_is_wrong_and_not_shown(doctor: Doctor) -> None:
    said = doctor(HELICONE_API_KEY="my secret")
    assert said.code == 1
    assert "HELICONE_API_KEY has not the shape of a Helicone key" in said.text
    assert "secret" not in said.text


def test_a_password_in_an_address_is_not_shown(doctor: Doctor) -> None:
    said = doctor(HELICONE_ENDPOINT="https://me:pass@helicone.example")
    assert said.code == 1
    assert "leave user and password out" in said.text
    assert "pass@" not in said.text


def test_every_wrong_value_is_named_with_what_would_be_right(doctor: Doctor) -> None:
    said = doctor(
        HELICONE_STAMP="perhaps",
        HELICONE_TIMEOUT="soon",
        HELICONE_API_ENDPOINT="helicone",
        HELICONE_SEGMENT="nowhere:f",
    )
    assert said.code == 1
    wrong = said.text.partition("Wrong\n")[2]
    assert "HELICONE_STAMP='perhaps' can't be used: give true or false" in wrong
    assert "HELICONE_TIMEOUT='soon' can't be used: give seconds" in wrong
    assert "HELICONE_API_ENDPOINT='helicone' can't be used" in wrong
    assert "HELICONE_SEGMENT='nowhere:f' can't be used" in wrong
    assert said.line("stamp").endswith("perhaps (wrong) variable")
    assert said.line("httpx2").split()[2] == "yes"


def test_a_gateway_without_a_key_is_wrong(doctor: Doctor) -> None:
    said = doctor("https://api.openai.com/v1", HELICONE_GATEWAY="true")
    assert said.code == 1
    assert "HELICONE_GATEWAY='true' can't be used: without a key" in said.text
    assert doctor(HELICONE_GATEWAY="http://127.0.0.1:8787").code == 0


def test_functions_are_looked_for_in_the_folder_that_it_is_started_in(
    doctor: Doctor, tmp_path: Path
) -> None:
    (tmp_path / "rules_of_the_doctors_test.py").write_text("def segment(span): return None\n")
    assert doctor(HELICONE_SEGMENT="rules_of_the_doctors_test:segment").code == 0


def test_a_variable_that_nothing_reads_is_noted(doctor: Doctor) -> None:
    said = doctor(HELICONE_GATEWAY_HOST="localhost:8787", HELICONE_COLOUR="red")
    assert said.code == 0
    assert "HELICONE_GATEWAY_HOST is no setting; is HELICONE_GATEWAY_HOSTS meant?" in said.text
    assert "HELICONE_COLOUR is no setting" in said.text


# --- packages -------------------------------------------------------------------------------------


def test_installed_clients_are_listed_with_whether_they_get_headers(doctor: Doctor) -> None:
    clients = {one["name"]: one for one in doctor("--json").json["installed"]["clients"]}
    stacks = ("httpx2", "httpx", "requests", "urllib3", "aiohttp", "botocore", "websockets")
    for name in (*stacks, "openai", "anthropic"):
        assert clients[name]["gets_headers"], name
        assert clients[name]["version"]
    assert clients["openai"]["remark"].startswith("sends through httpx")
    assert clients["requests"]["remark"] == "sends through urllib3"


def test_a_client_of_an_unknown_version_is_shown_without_headers(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx2

    monkeypatch.delattr(httpx2.Client, "_send_single_request")
    line = doctor().line("httpx2")
    assert line.split()[2] == "no"
    assert "this version is not known" in line


def test_opentelemetrys_packages_are_listed(doctor: Doctor) -> None:
    versions = doctor("--json").json["installed"]["opentelemetry"]
    assert {"opentelemetry-api", "opentelemetry-sdk", "opentelemetry-instrumentation"} <= {
        *versions
    }
    assert "opentelemetry-instrumentation-fastapi" in versions


def test_an_instrumentor_that_is_turned_off_is_noted(doctor: Doctor) -> None:
    said = doctor(OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="flask, helicone")
    assert said.code == 0
    assert "turns otel-helicone off under opentelemetry-instrument" in said.text


def test_an_sdk_that_is_too_old_is_wrong(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(packages_found._LEAST, "opentelemetry-sdk", (99, 0))
    said = doctor()
    assert said.code == 1
    assert "99.0 or newer is needed: pip install -U opentelemetry-sdk" in said.text


def test_missing_metadata_is_wrong(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages_found, "entry_points", lambda **_: ())
    said = doctor()
    assert said.code == 1
    assert "does not find otel-helicone" in said.text
    assert "pip install opentelemetry-distro" in said.text


# --- a URL ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "hosts", "why"),
    [
        ("https://oai.helicone.ai/v1", "", "oai.helicone.ai matches *.helicone.ai, Helicone's own"),
        ("http://localhost:8787/v1", "localhost:8787", "matches localhost:8787, a gateway"),
        ("https://a.corp.example/v1", "*.corp.example", "matches *.corp.example, a gateway"),
        ("http://[::1]:8787", "[::1]:8787", "matches [::1]:8787, a gateway"),
    ],
)
def test_a_gateways_url_gets_headers_by_the_rule_that_is_named(
    doctor: Doctor, url: str, hosts: str, why: str
) -> None:
    said = doctor(url, HELICONE_GATEWAY_HOSTS=hosts)
    assert said.code == 0
    assert f"gets session headers: {why}" in said.text or why in said.text


@pytest.mark.parametrize(
    ("url", "hosts", "remedy"),
    [
        ("https://helicone.corp.example/v1", "", "HELICONE_GATEWAY_HOSTS=helicone.corp.example"),
        ("http://localhost:8787/v1", "a.example", "=a.example,localhost:8787"),
        ("http://localhost:8788/v1", "localhost:8787", "=localhost:8787,localhost:8788"),
        ("https://helicone.ai.evil.example", "", "neither Helicone's nor a gateway"),
    ],
)
def test_another_url_gets_none_and_the_remedy_is_named(
    doctor: Doctor, url: str, hosts: str, remedy: str
) -> None:
    said = doctor(url, HELICONE_GATEWAY_HOSTS=hosts)
    assert said.code == 1
    assert "gets NO session headers" in said.text
    assert remedy in said.text


def test_without_injection_no_url_gets_headers(doctor: Doctor) -> None:
    said = doctor("https://oai.helicone.ai/v1", "--json", HELICONE_INJECT="false")
    assert said.code == 1
    assert said.json["url"]["why"].startswith("HELICONE_INJECT is false")


def test_a_url_is_not_judged_by_settings_that_are_wrong(doctor: Doctor) -> None:
    said = doctor("https://oai.helicone.ai/v1", HELICONE_STAMP="perhaps")
    assert said.code == 1
    assert "gets NO session headers: a setting can't be used" in said.text


def test_a_providers_url_is_sent_through_the_gateway_where_that_is_on(doctor: Doctor) -> None:
    said = doctor("https://api.openai.com/v1", HELICONE_GATEWAY="true", HELICONE_API_KEY=KEY)
    assert said.code == 0
    assert "HELICONE_GATEWAY=true sends it through oai.helicone.ai" in said.text


@pytest.mark.parametrize("url", ["oai.helicone.ai", "ftp://helicone.ai", "https://", "http://a:b"])
def test_what_is_no_url_is_wrong_usage(doctor: Doctor, url: str) -> None:
    said = doctor(url)
    assert said.code == 2
    assert "is not a URL" in said.text


# --- the key --------------------------------------------------------------------------------------


@pytest.fixture
def helicone(tmp_path: Path) -> Iterator[LocalHelicone]:
    with LocalHelicone(tmp_path / "requests.db", latency=0, api_keys=[KEY]) as helicone:
        yield helicone
        helicone.settle()
        assert list(helicone.store.requests()) == []


def test_a_good_key_is_told_and_nothing_is_stored(doctor: Doctor, helicone: LocalHelicone) -> None:
    said = doctor("--check", HELICONE_API_KEY=KEY, HELICONE_ENDPOINT=helicone.url)
    assert said.code == 0
    assert "the key is good; nothing was stored" in said.text


def test_an_unknown_key_is_told(doctor: Doctor, helicone: LocalHelicone) -> None:
    said = doctor("--check", HELICONE_API_KEY=OTHER_KEY, HELICONE_ENDPOINT=helicone.url)
    assert said.code == 1
    assert "the key is not known there, or was revoked" in said.text


def test_a_malformed_key_is_told(doctor: Doctor, helicone: LocalHelicone) -> None:
    said = doctor("--check", HELICONE_API_KEY="sk-mine", HELICONE_ENDPOINT=helicone.url)
    assert said.code == 1
    assert "the key was refused" in said.text
    assert "sk-mine" not in said.text


def test_without_a_key_there_is_nothing_to_check(doctor: Doctor) -> None:
    said = doctor("--check")
    assert said.code == 1
    assert "there is no key to ask about; set HELICONE_API_KEY" in said.text


def test_an_endpoint_that_is_not_there_is_told(doctor: Doctor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    said = doctor("--check", HELICONE_API_KEY=KEY, HELICONE_ENDPOINT=f"http://127.0.0.1:{port}")
    assert said.code == 1
    assert "it can't be reached" in said.text


def test_without_the_check_nothing_is_sent(doctor: Doctor, helicone: LocalHelicone) -> None:
    said = doctor("--json", HELICONE_API_KEY=OTHER_KEY, HELICONE_ENDPOINT=helicone.url)
    assert said.code == 0
    assert said.json["key"] is None


# --- the text -------------------------------------------------------------------------------------


def test_the_text_needs_no_extra(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("rich", "starlette", "uvicorn", "platformdirs"):
        monkeypatch.setitem(sys.modules, name, None)
    assert doctor().code == 0


# --- frameworks -----------------------------------------------------------------------------------


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let packages be there, by the metadata that an installation leaves."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(site)

    def install(name: str, version: str, *requires: str) -> None:
        folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir(parents=True)
        lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {one}" for one in requires]
        (folder / "METADATA").write_text("\n".join(lines), "utf-8")

    return install


def frameworks(doctor: Doctor, **environ: str) -> dict[str, dict[str, Any]]:
    found: list[dict[str, Any]] = doctor("--json", **environ).json["installed"]["frameworks"]
    return {one["name"]: one for one in found}


def test_a_framework_with_its_instrumentation_has_a_tree(
    doctor: Doctor, install: Callable[..., None]
) -> None:
    install("smolagents", "1.26.0")
    install(
        "openinference-instrumentation-smolagents",
        "0.1.43",
        "smolagents>=1.24.0; extra == 'instruments'",
    )
    found = frameworks(doctor)["smolagents"]
    assert found["instrumentation"] == "openinference-instrumentation-smolagents 0.1.43"
    assert found["remark"] == "the tree of its runs"


def test_a_framework_without_one_is_told_what_to_install(
    doctor: Doctor, install: Callable[..., None]
) -> None:
    install("langgraph", "1.2.24")
    found = frameworks(doctor)["LangGraph"]
    assert found["instrumentation"] is None
    assert found["remark"] == (
        "its calls are placed at the span around the run; for the tree of its runs:"
        " pip install openinference-instrumentation-langchain"
    )


def test_a_framework_that_makes_spans_itself_needs_nothing(
    doctor: Doctor, install: Callable[..., None]
) -> None:
    install("google-adk", "2.13.0")
    assert frameworks(doctor)["Google ADK"]["instrumentation"] == "its own spans"


def test_spans_of_its_own_may_have_to_be_switched_on(
    doctor: Doctor, install: Callable[..., None]
) -> None:
    install("semantic-kernel", "1.45.0")
    variable = "SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS_SENSITIVE"
    found = frameworks(doctor)["Semantic Kernel"]
    assert found["instrumentation"] is None
    assert found["remark"] == f"for the tree of its runs, {variable}=true"
    found = frameworks(doctor, **{variable: "true"})["Semantic Kernel"]
    assert found["instrumentation"] == "its own spans"


@pytest.mark.parametrize(
    ("needs", "found", "said"),
    [
        ("llama-index-core>=0.14.19", "0.14.2", "llama-index-core 0.14.2 is installed"),
        ("llama-index-multi-modal-llms-openai>=0.1.7", "0.14.25", "that is missing"),
    ],
)
def test_an_instrumentation_that_is_left_out_is_told_of(
    doctor: Doctor, install: Callable[..., None], needs: str, found: str, said: str
) -> None:
    install("llama-index-core", found)
    install(
        "openinference-instrumentation-llama-index", "4.6.1", f"{needs}; extra == 'instruments'"
    )
    remark = frameworks(doctor)["LlamaIndex"]["remark"]
    assert remark == (
        "openinference-instrumentation-llama-index 4.6.1 is left out by opentelemetry-instrument:"
        f" it needs {needs}, and {said}"
    )


def test_frameworks_that_are_not_installed_are_not_mentioned(doctor: Doctor) -> None:
    assert frameworks(doctor) == {}


# --- limits ---------------------------------------------------------------------------------------


def notes(doctor: Doctor, **environ: str) -> str:
    found: list[str] = doctor("--json", **environ).json["notes"]
    return "\n".join(found)


def test_a_limit_that_drops_messages_is_told_with_the_remedy(
    doctor: Doctor, install: Callable[..., None]
) -> None:
    install("openinference-instrumentation-smolagents", "0.1.43")
    install("strands-agents", "1.62.0")
    said = notes(doctor)
    assert "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT is 128 by default" in said
    assert "of more than about 60 messages the oldest are missing" in said
    assert "export OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=4096" in said
    assert "export OTEL_SPAN_EVENT_COUNT_LIMIT=4096" in said


def test_a_limit_that_is_high_enough_is_not_mentioned(
    doctor: Doctor, install: Callable[..., None]
) -> None:
    install("openinference-instrumentation-smolagents", "0.1.43")
    assert "COUNT_LIMIT" not in notes(doctor, OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="4096")
    assert "COUNT_LIMIT" not in notes(doctor, OTEL_ATTRIBUTE_COUNT_LIMIT="4096")


def test_limits_are_of_no_interest_to_instrumentations_that_write_json(doctor: Doctor) -> None:
    assert "COUNT_LIMIT" not in notes(doctor)


def test_a_limit_on_the_length_of_values_is_told(doctor: Doctor) -> None:
    said = notes(doctor, OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT="300")
    assert "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT is 300" in said
    assert "unset OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT" in said
