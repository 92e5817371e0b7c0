"""The settings of the exporters: of spans, and of scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypedDict, TypeVar
from urllib.parse import urlsplit

from otel_helicone.primitives.hosts import is_loopback
from otel_helicone.primitives.log_once import warn_once
from otel_helicone.settings.checks import (
    FLAG,
    SECRET,
    address,
    imported,
    key_problem,
    number,
    number_between,
    properties_row,
    whole,
    whole_between,
)
from otel_helicone.settings.reading import (
    Kind,
    MissingSetting,
    SettingError,
    WrongValue,
    read_settings,
    setting,
)

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

__all__ = [
    "API_ENDPOINT",
    "API_KEY_VARIABLE",
    "LOG_ENDPOINT",
    "ExporterOptions",
    "ExporterSettings",
    "Include",
    "Redact",
    "ScoreExporterOptions",
    "ScoreExporterSettings",
    "make_exporter_settings",
    "make_score_exporter_settings",
]

# Texts, because a command's help is shown without an import of the SDK.
Include: TypeAlias = "Literal['calls', 'all'] | Callable[[ReadableSpan], bool]"
"""Which spans are logged; see :class:`otel_helicone.HeliconeSpanExporter`."""

Redact: TypeAlias = "Callable[[dict[str, Any]], dict[str, Any] | None]"
"""Takes a body before it leaves, and returns the one that leaves; None leaves its content out."""

API_KEY_VARIABLE: Final = "HELICONE_API_KEY"

LOG_ENDPOINT: Final = "https://api.worker.helicone.ai"
"""Helicone's log API in its cloud."""

API_ENDPOINT: Final = "https://api.helicone.ai"
"""Helicone's API server in its cloud, which takes scores."""

# The worker answers 400 from 10 MiB on; it counts characters, and what it does between 5 and 10
# MiB differs with where it runs.
_DEFAULT_MAX_BODY_BYTES: Final = 5 * 1024 * 1024
_MIN_BODY_BYTES: Final = 4096
_MAX_BODY_BYTES: Final = 10 * 1024 * 1024 - 1
# Has the shape of a Helicone key; a local Helicone asks for no other.
_KEY_FOR_THIS_MACHINE: Final = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
_NO_PROPERTIES: Final[Mapping[str, str]] = MappingProxyType({})


class ScoreExporterOptions(TypedDict, total=False):
    """The arguments of the exporter of scores; see :class:`ScoreExporterSettings`."""

    api_key: str | None
    endpoint: str | None
    timeout: float | None
    max_in_flight: int | None


class ExporterOptions(ScoreExporterOptions, total=False):
    """The arguments of the span exporter; what each means stands in :class:`ExporterSettings`.

    None is as if the argument were not there: the environment variable is read.
    """

    include: Include | None
    capture_content: bool | None
    redact: Redact | None
    max_body_bytes: int | None
    properties: Mapping[str, str] | None


def _endpoint(variable: str, meaning: str, default: str) -> Any:
    return setting(
        variable, meaning, kind=Kind(str, address), default=default, default_text=default
    )


def _word_or_function(text: str) -> object:
    return text.lower() if ":" not in text else imported(text)


def _include(value: object) -> Include:
    if value == "calls":
        return "calls"
    if value == "all":
        return "all"
    if callable(value):
        return value
    raise WrongValue(
        "give 'calls' (LLM calls, embeddings, tools, retrievals), 'all', or a function of a span"
    )


def _redact(value: object) -> Redact:
    if callable(value):
        return value
    raise WrongValue("give a function that takes a body, a dict, and returns the one to send")


@dataclass(frozen=True, kw_only=True)
class ScoreExporterSettings:
    """What is in effect for one exporter of scores, checked and complete."""

    api_key: str | None = setting(
        API_KEY_VARIABLE,
        "the Helicone key; without one a line is logged, and nothing is sent, save to an endpoint"
        " on this machine",
        kind=SECRET,
        default=None,
        is_secret=True,
    )
    endpoint: str = _endpoint(
        "HELICONE_API_ENDPOINT",
        "scheme and host of Helicone's API server, which takes scores",
        API_ENDPOINT,
    )
    timeout: float = setting(
        "HELICONE_TIMEOUT",
        "how long one export may take, in seconds",
        kind=Kind(
            number, number_between(0, 3600, "give seconds, more than 0 and no more than 3600")
        ),
        default=30.0,
        default_text="30",
    )
    max_in_flight: int = setting(
        "HELICONE_MAX_IN_FLIGHT",
        "how many posts may be under way at once",
        kind=Kind(whole, whole_between(1, 1000, "give a number from 1 to 1000")),
        default=16,
    )


@dataclass(frozen=True, kw_only=True)
class ExporterSettings(ScoreExporterSettings):
    """What is in effect for one span exporter, checked and complete."""

    endpoint: str = _endpoint(
        "HELICONE_ENDPOINT", "scheme and host of Helicone's log API", LOG_ENDPOINT
    )
    include: Include = setting(
        "HELICONE_INCLUDE",
        "which spans are logged: `calls` (LLM calls, embeddings, tools, retrievals), `all`, or a"
        " function of a span; as a variable, `package.module:function`",
        kind=Kind(_word_or_function, _include),
        default="calls",
    )
    capture_content: bool = setting(
        "HELICONE_CAPTURE_CONTENT",
        "whether messages, arguments and results are logged",
        kind=FLAG,
        default=True,
    )
    redact: Redact | None = setting(
        "HELICONE_REDACT",
        "a function that takes each body before it leaves, and returns the one that does; as a"
        " variable, `package.module:function`",
        kind=Kind(imported, _redact),
        default=None,
    )
    max_body_bytes: int = setting(
        "HELICONE_MAX_BODY_BYTES",
        "how long one post may be, in bytes; in a longer one marks take the place of pictures and"
        " files, then of the middle of long texts",
        kind=Kind(
            whole,
            whole_between(
                _MIN_BODY_BYTES,
                _MAX_BODY_BYTES,
                f"give bytes, from {_MIN_BODY_BYTES} to {_MAX_BODY_BYTES}: Helicone takes no more",
            ),
        ),
        default=_DEFAULT_MAX_BODY_BYTES,
    )
    properties: Mapping[str, str] = properties_row()


_Settings = TypeVar("_Settings", bound=ScoreExporterSettings)


def make_exporter_settings(
    given: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    needs_key: bool = False,
) -> ExporterSettings:
    """Check the arguments of the span exporter, and read the environment for the others.

    Args:
        given: the arguments, see :class:`ExporterOptions`.
        environ: where to read environment variables; the process's own by default.
        needs_key: whether a key that can't be sent is an error; else it is logged.

    Returns:
        The settings; their key is None where there is none that can be sent.

    Raises:
        SettingError: for the first value that can't be used, a key aside that is not needed.
        TypeError: for an argument that is no setting.
    """
    return _made(ExporterSettings, given or {}, environ, needs_key=needs_key)


def make_score_exporter_settings(
    given: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> ScoreExporterSettings:
    """Do the same for the exporter of scores."""
    return _made(ScoreExporterSettings, given or {}, environ)


def _made(
    settings: type[_Settings],
    given: Mapping[str, Any],
    environ: Mapping[str, str] | None,
    *,
    needs_key: bool = False,
) -> _Settings:
    found = read_settings(settings, given, environ)
    source = API_KEY_VARIABLE if given.get("api_key") is None else "api_key"
    key = found["api_key"] or ""
    problem = key_problem(key)
    if problem and not key and is_loopback(urlsplit(found["endpoint"]).hostname or ""):
        key, problem = _KEY_FOR_THIS_MACHINE, ""
    if problem and needs_key and key:
        raise SettingError(source, "…", f"it {problem}")
    if problem and needs_key:
        remedy = "set it to a key of your Helicone organization that may write"
        raise MissingSetting(source, remedy)
    if problem:
        _warn_of_key(source, problem)
    found["api_key"] = None if problem else key
    return settings(**found)


def _warn_of_key(source: str, problem: str) -> None:
    """Say it once: a key that can't be sent is no reason to stop an application."""
    warn_once(
        f"api-key:{problem}",
        "Nothing is logged to Helicone: the API key (%s) %s. Set HELICONE_API_KEY, or the"
        " argument api_key, to a key of your Helicone organization.",
        source,
        problem,
    )
