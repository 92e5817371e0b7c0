"""Helicone keys as people paste them: what is wrong is said, and nothing of the key is shown."""

from __future__ import annotations

from typing import Any

import pytest

from otel_helicone import HeliconeSpanExporter, HeliconeSpanProcessor, SettingError
from otel_helicone.settings.bridge import make_bridge_settings

KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
WRONG = [
    (f"Bearer {KEY}", "starts with 'Bearer': leave that out, and give the key alone"),
    (f"bearer {KEY}", "starts with 'Bearer'"),
    (f'"{KEY}"', "has quotes around it: leave them out"),
    (f"'{KEY}", "has quotes around it"),
    (f"{KEY}\N{ZERO WIDTH SPACE}x", "has characters that no HTTP header can hold"),
]


@pytest.mark.parametrize("value", [5, KEY.encode(), True, [KEY]])
def test_what_is_no_text_is_no_key(value: Any) -> None:
    for make in (HeliconeSpanExporter, HeliconeSpanProcessor):
        with pytest.raises(SettingError, match="api_key='…' can't be used: give a str"):
            make(api_key=value)


@pytest.mark.parametrize(("key", "problem"), WRONG)
def test_an_exporter_says_it_once_and_sends_nothing(
    key: str, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    HeliconeSpanExporter(api_key=key).shutdown()
    (record,) = caplog.records
    assert f"the API key (api_key) {problem}" in record.getMessage()
    assert KEY not in record.getMessage()


@pytest.mark.parametrize(("key", "problem"), WRONG)
def test_a_gateway_is_refused_with_the_reason(
    key: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingError) as given:
        HeliconeSpanProcessor(gateway=True, api_key=key)
    assert str(given.value).startswith(f"api_key='…' can't be used: it {problem}")
    monkeypatch.setenv("HELICONE_API_KEY", key)
    with pytest.raises(SettingError) as from_variable:
        HeliconeSpanProcessor(gateway=True)
    assert str(from_variable.value).startswith("HELICONE_API_KEY='…' can't be used: it ")


@pytest.mark.parametrize(("key", "problem"), WRONG)
def test_a_bridge_does_not_start_and_complains_once(
    key: str, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SettingError) as wrong:
        make_bridge_settings(environ={"HELICONE_API_KEY": key})
    assert str(wrong.value).startswith(f"HELICONE_API_KEY='…' can't be used: it {problem}")
    assert not caplog.records


def test_a_bridge_without_a_key_says_that_there_is_none(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SettingError) as missing:
        make_bridge_settings(environ={})
    assert str(missing.value) == (
        "HELICONE_API_KEY is not set: set it to a key of your Helicone organization that may write"
    )
    assert not caplog.records
