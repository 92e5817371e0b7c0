"""The settings of the local Helicone: options go before variables, wrong ones name the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from otel_helicone.cli import main
from otel_helicone.settings.local import ServeSettings, make_serve_settings
from otel_helicone.settings.reading import SettingError


def test_everything_is_kept_and_let_in_by_default() -> None:
    settings = make_serve_settings(environ={})
    assert settings == ServeSettings()
    assert settings.bodies
    assert (settings.api_keys, settings.keep_days, settings.keep_mib) == ((), None, None)
    assert (settings.host, settings.port, settings.trace_url) == ("127.0.0.1", 8787, "")


KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
OTHER_KEY = "sk-helicone-eeeeeee-fffffff-ggggggg-hhhhhhh"


def test_variables_set_what_options_do_not() -> None:
    environ = {
        "HELICONE_LOCAL_API_KEYS": f"{KEY}, {OTHER_KEY}",
        "HELICONE_LOCAL_BODIES": "false",
        "HELICONE_LOCAL_KEEP_DAYS": "7",
        "HELICONE_LOCAL_KEEP_MIB": "100",
        "HELICONE_LOCAL_TRACE_URL": "http://localhost:16686/trace/{trace_id}",
        "HELICONE_LOCAL_ALLOWED_HOSTS": "helicone.test",
        "HELICONE_LOCAL_ALLOWED_ORIGINS": "http://localhost:3000",
    }
    settings = make_serve_settings({"keep_days": 1.5, "api_keys": [OTHER_KEY]}, environ)
    assert settings == ServeSettings(
        api_keys=(OTHER_KEY,),
        bodies=False,
        keep_days=1.5,
        keep_mib=100.0,
        trace_url="http://localhost:16686/trace/{trace_id}",
        allowed_hosts=("helicone.test",),
        allowed_origins=("http://localhost:3000",),
    )
    assert settings.keep_bytes == 100 * 1024 * 1024


@pytest.mark.parametrize(
    ("environ", "given", "named"),
    [
        ({"HELICONE_LOCAL_BODIES": "perhaps"}, {}, "HELICONE_LOCAL_BODIES='perhaps' can't be used"),
        ({"HELICONE_LOCAL_KEEP_DAYS": "soon"}, {}, "HELICONE_LOCAL_KEEP_DAYS='soon' can't be used"),
        ({}, {"keep_mib": 0}, "--keep-mib=0 can't be used: give a number above 0, such as 500"),
        ({}, {"keep_days": -1}, "--keep-days=-1 can't be used"),
        ({}, {"trace_url": "ftp://x/{trace_id}"}, "'ftp://x/{trace_id}' is no http"),
        ({}, {"trace_url": "http://x/"}, "has to hold {trace_id} or {session_id}"),
        ({}, {"trace_url": "http://x/{span}"}, "has to hold"),
        ({}, {"trace_url": "http://x/{"}, "is no URL of a trace"),
        ({}, {"api_keys": ["bad"]}, "--api-key='…' can't be used: give keys of the form sk-heli"),
        ({}, {"max_body": 0}, "--max-body=0 can't be used: give MiB, more than 0"),
    ],
)
def test_a_wrong_setting_names_itself_its_value_and_the_remedy(
    environ: dict[str, str], given: dict[str, Any], named: str
) -> None:
    with pytest.raises(SettingError) as refused:
        make_serve_settings(given, environ)
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--allow-host", "a.test:80"], "'a.test:80' is no host name"),
        (["--allow-origin", "localhost"], "'localhost' is no origin"),
        (["--upstream", "ftp://x"], "--upstream: "),
        (["--keep-days", "never"], "--keep-days='never' can't be used"),
        (["--api-key", "bad"], "--api-key='…' can't be used"),
        (["--max-body", "0"], "--max-body=0.0 can't be used"),
    ],
)
def test_serve_does_not_start_with_a_wrong_setting(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--store", str(tmp_path / "s.db"), "--port", "0", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "s.db").exists()


def test_an_address_that_is_none_of_this_machine_is_answered_with_advice_on_the_address(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Of a block that is kept for documentation: no machine has it.
    store = str(tmp_path / "s.db")
    assert main(["serve", "--store", store, "--port", "0", "--host", "192.0.2.1"]) == 1
    error = capsys.readouterr().err
    assert "192.0.2.1 cannot be listened on" in error
    assert "Give an address of this machine with --host" in error
    assert "--port" not in error
