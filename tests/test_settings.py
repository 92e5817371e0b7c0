"""Settings: an argument or an environment variable, checked when the processor is made."""

from __future__ import annotations

from typing import Any

import pytest

from otel_helicone import HeliconeSpanProcessor, SettingError, default_segment
from otel_helicone.primitives.hosts import GatewayHost, parse_gateway_host
from otel_helicone.settings.processor import CONVERSATION_ATTRIBUTES, make_processor_settings


def rule(_span: object) -> str | None:
    return "from the environment"


def test_without_arguments_and_variables_the_defaults_hold() -> None:
    settings = make_processor_settings(environ={})
    assert [host.host for host in settings.gateway_hosts] == ["helicone.ai", "hconeai.com"]
    assert settings.inject
    assert settings.stamp
    assert settings.session_id_format == "hex"
    assert settings.session_id_attributes == ()
    assert settings.user_id_attributes == ("user.id", "enduser.id")
    assert settings.segment is default_segment


def test_every_setting_has_an_environment_variable() -> None:
    settings = make_processor_settings(
        environ={
            "HELICONE_GATEWAY_HOSTS": "localhost:8787, *.corp.example",
            "HELICONE_INJECT": "false",
            "HELICONE_SESSION_ID_FORMAT": "uuid",
            "HELICONE_SESSION_ID_ATTRIBUTES": "session.id,gen_ai.conversation.id",
            "HELICONE_USER_ID_ATTRIBUTES": "app.user",
            "HELICONE_PROPERTIES": "Env=prod,team=search%20and%20ads",
            "HELICONE_PROPERTY_ATTRIBUTES": "tenant.id=tenant,region",
            "HELICONE_SEGMENT": "tests.test_settings:rule",
            "HELICONE_STAMP": "False",
        }
    )
    assert settings.gateway_hosts[2:] == (
        GatewayHost("localhost", 8787),
        GatewayHost("corp.example", None, subdomains=True),
    )
    assert settings.inject is False
    assert settings.stamp is False
    assert settings.session_id_format == "uuid"
    assert settings.session_id_attributes == ("session.id", "gen_ai.conversation.id")
    assert settings.user_id_attributes == ("app.user",)
    assert settings.properties == {"env": "prod", "team": "search and ads"}
    assert settings.property_attributes == {"tenant.id": "tenant", "region": "region"}
    assert settings.segment(None) == "from the environment"  # type: ignore[arg-type]


def test_an_argument_wins_over_its_variable() -> None:
    settings = make_processor_settings(
        {"session_id_format": "hex"}, {"HELICONE_SESSION_ID_FORMAT": "no"}
    )
    assert settings.session_id_format == "hex"


def test_an_empty_variable_is_as_if_unset() -> None:
    assert make_processor_settings(environ={"HELICONE_STAMP": " "}).stamp is True


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"session_id_format": "base64"}, "'hex'"),
    ({"inject": "yes"}, "true or false"),
    ({"stamp": 1}, "true or false"),
    ({"gateway_hosts": "localhost:8787"}, "a list of hosts"),
    ({"gateway_hosts": ["https://localhost:8787/v1"]}, "'localhost:8787'"),
    ({"gateway_hosts": ["localhost:port"]}, "host:port"),
    ({"gateway_hosts": ["a b"]}, "host name"),
    ({"gateway_hosts": ["::1"]}, "host"),
    ({"gateway_hosts": ["user@host"]}, "host"),
    ({"gateway_hosts": [""]}, "a list of hosts"),
    ({"session_id_attributes": "session.id"}, "a list of attribute names"),
    ({"user_id_attributes": [7]}, "a list of attribute names"),
    ({"properties": ["a"]}, "a mapping"),
    ({"properties": {"my key": "x"}}, "'my_key'"),
    ({"properties": {"key": ""}}, "not empty"),
    ({"properties": {"key": 7}}, "str"),
    ({"property_attributes": {"tenant": "a b"}}, "letters"),
    ({"property_attributes": "tenant"}, "a list of attribute names"),
    ({"segment": "name"}, "a function"),
]


@pytest.mark.parametrize(("setting", "remedy"), WRONG)
def test_a_wrong_argument_names_itself_its_value_and_what_would_be_right(
    setting: dict[str, Any], remedy: str
) -> None:
    ((name, value),) = setting.items()
    with pytest.raises(SettingError) as raised:
        HeliconeSpanProcessor(**setting)
    message = str(raised.value)
    assert message.startswith(f"{name}={value!r} can't be used: ")
    assert remedy in message


@pytest.mark.parametrize(
    ("variable", "text", "remedy"),
    [
        ("HELICONE_INJECT", "yes", "true or false"),
        ("HELICONE_STAMP", "0", "true or false"),
        ("HELICONE_SESSION_ID_FORMAT", "HEX", "'hex'"),
        ("HELICONE_GATEWAY_HOSTS", "http://localhost", "'localhost'"),
        ("HELICONE_PROPERTIES", "env", "name=value"),
        ("HELICONE_SEGMENT", "os.path", "package.module:function"),
        ("HELICONE_SEGMENT", "no_such_module:rule", "can be imported"),
        ("HELICONE_SEGMENT", "os:nothing", "can be imported"),
    ],
)
def test_a_wrong_variable_does_so_too(variable: str, text: str, remedy: str) -> None:
    with pytest.raises(SettingError) as raised:
        make_processor_settings(environ={variable: text})
    assert str(raised.value).startswith(f"{variable}={text!r} can't be used: ")
    assert remedy in str(raised.value)


def test_a_setting_error_is_a_value_error() -> None:
    assert issubclass(SettingError, ValueError)


def test_a_processor_that_could_not_be_made_turns_nothing_on() -> None:
    import httpx2

    before = dict(vars(httpx2.Client))
    with pytest.raises(SettingError):
        HeliconeSpanProcessor(stamp="maybe")  # type: ignore[arg-type]
    assert dict(vars(httpx2.Client)) == before


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Helicone.Example.COM", GatewayHost("helicone.example.com")),
        ("helicone.example.com.", GatewayHost("helicone.example.com")),
        ("10.0.0.7:80", GatewayHost("10.0.0.7", 80)),
        ("[::1]:8787", GatewayHost("::1", 8787)),
        ("*.example.com", GatewayHost("example.com", None, subdomains=True)),
    ],
)
def test_gateway_hosts(text: str, host: GatewayHost) -> None:
    assert parse_gateway_host(text) == host


def test_a_module_that_fails_when_it_is_imported_is_a_setting_error() -> None:
    with pytest.raises(SettingError, match="HELICONE_SEGMENT"):
        make_processor_settings(environ={"HELICONE_SEGMENT": ".rules:f"})


def test_the_settings_of_a_processor_that_does_not_inject_count_too() -> None:
    from uuid import UUID

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    from otel_helicone import current_session

    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(HeliconeSpanProcessor(inject=False, session_id_format="uuid"))
    with provider.get_tracer("app").start_as_current_span("unseen") as span:
        session = current_session()
    provider.shutdown()
    assert session is not None
    assert session.id == str(UUID(int=span.get_span_context().trace_id))


def test_conversation_stands_for_what_frameworks_call_one() -> None:
    settings = make_processor_settings({"session_id_attributes": ["app.chat", "conversation"]})
    assert settings.session_id_attributes == ("app.chat", *CONVERSATION_ATTRIBUTES)
    environ = {"HELICONE_SESSION_ID_ATTRIBUTES": "conversation,session.id"}
    settings = make_processor_settings({}, environ)
    assert settings.session_id_attributes == CONVERSATION_ATTRIBUTES  # each once
