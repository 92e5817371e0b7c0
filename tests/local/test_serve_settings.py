"""The settings of the local Helicone: options go before variables, wrong ones name the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from otel_helicone.cli import main
from otel_helicone.local.serve_settings import (
    ServeArguments,
    ServeSettings,
    WrongServeSetting,
    read_serve_settings,
)
from otel_helicone.local.storage.retention import Retention


def read(environ: Mapping[str, str] | None = None, **given: Any) -> ServeSettings:
    arguments = ServeArguments("127.0.0.1", 0, None, 0, 1024, **given)
    return read_serve_settings(arguments, environ or {})


def test_everything_is_kept_and_let_in_by_default() -> None:
    assert read() == ServeSettings(None, True, None, "", (), ())


def test_variables_set_what_options_do_not() -> None:
    environ = {
        "HELICONE_LOCAL_API_KEYS": "one, two",
        "HELICONE_LOCAL_BODIES": "false",
        "HELICONE_LOCAL_KEEP_DAYS": "7",
        "HELICONE_LOCAL_KEEP_MIB": "100",
        "HELICONE_LOCAL_TRACE_URL": "http://localhost:16686/trace/{trace_id}",
        "HELICONE_LOCAL_ALLOWED_HOSTS": "helicone.test",
        "HELICONE_LOCAL_ALLOWED_ORIGINS": "http://localhost:3000",
    }
    settings = read(environ, keep_days="1.5", api_keys=["mine"])
    assert settings == ServeSettings(
        ("mine",),
        False,
        Retention(timedelta(days=1.5), 100 * 1024 * 1024),
        "http://localhost:16686/trace/{trace_id}",
        ("helicone.test",),
        ("http://localhost:3000",),
    )


@pytest.mark.parametrize(
    ("environ", "given", "named"),
    [
        ({"HELICONE_LOCAL_BODIES": "perhaps"}, {}, "HELICONE_LOCAL_BODIES is 'perhaps'"),
        ({"HELICONE_LOCAL_KEEP_DAYS": "soon"}, {}, "HELICONE_LOCAL_KEEP_DAYS is 'soon'"),
        ({}, {"keep_mib": "0"}, "--keep-mib is '0': give a number above 0, such as 500"),
        ({}, {"keep_days": "-1"}, "--keep-days is '-1'"),
        ({}, {"trace_url": "ftp://x/{trace_id}"}, "--trace-url: 'ftp://x/{trace_id}' is no http"),
        ({}, {"trace_url": "http://x/"}, "has to hold {trace_id} or {session_id}"),
        ({}, {"trace_url": "http://x/{span}"}, "has to hold"),
        ({}, {"trace_url": "http://x/{"}, "is no URL of a trace"),
    ],
)
def test_a_wrong_setting_names_itself_its_value_and_the_remedy(
    environ: dict[str, str], given: dict[str, Any], named: str
) -> None:
    with pytest.raises(WrongServeSetting) as refused:
        read(environ, **given)
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--allow-host", "a.test:80"], "'a.test:80' is no host name"),
        (["--allow-origin", "localhost"], "'localhost' is no origin"),
        (["--upstream", "ftp://x"], "--upstream: "),
        (["--keep-days", "never"], "--keep-days is 'never'"),
    ],
)
def test_serve_does_not_start_with_a_wrong_setting(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--store", str(tmp_path / "s.db"), "--port", "0", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "s.db").exists()
