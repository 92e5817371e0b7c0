"""The packages that matter: HTTP stacks and clients, frameworks, OpenTelemetry."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions, entry_points
from typing import Final

from otel_helicone.doctor.frameworks_found import FrameworkFound, find_frameworks
from otel_helicone.doctor.limits_found import notes_on_limits
from otel_helicone.doctor.requests_tried import adds_headers, is_instrumented

__all__ = ["ClientFound", "Installed", "look_around"]

_TRIED: Final = ("httpx2", "httpx")
# SDKs of providers, which send through one of the stacks above.
_SDKS: Final = ("openai", "anthropic")
# Known by what a processor does to the classes of a module, their own or what they send through.
_SENDING_MODULES: Final = {
    "websockets": "websockets.asyncio.client",
    "requests": "urllib3.connectionpool",
    "aiohttp": "aiohttp.client",
    "urllib3": "urllib3.connectionpool",
    "botocore": "urllib3.connectionpool",
}
_REMARKS: Final = {
    "websockets": "for handshakes",
    "requests": "sends through urllib3",
    "botocore": "sends through urllib3",
}
_UNKNOWN_VERSION: Final = (
    "this version is not known: put session_headers() on its requests, or log its calls with"
    " HeliconeSpanExporter"
)
_OPENTELEMETRY: Final = re.compile(
    r"opentelemetry-(api|sdk|instrumentation|distro|configuration|exporter-.+|instrumentation-.+)"
    r"|openinference-instrumentation-.+|logfire|traceloop-sdk|langfuse"
)
_LEAST: Final = {"opentelemetry-api": (1, 30), "opentelemetry-sdk": (1, 30)}


@dataclass(frozen=True, kw_only=True)
class ClientFound:
    """An HTTP stack, or an SDK on one, that is installed.

    Attributes:
        name: the package.
        version: its version.
        gets_headers: whether its requests to Helicone get session headers.
        remark: what it sends through, or what to do about it.
    """

    name: str
    version: str
    gets_headers: bool
    remark: str


@dataclass(frozen=True, kw_only=True)
class Installed:
    """What was found.

    Attributes:
        clients: HTTP stacks and SDKs.
        frameworks: the agent frameworks.
        opentelemetry: OpenTelemetry's packages and instrumentations with their versions.
        problems: what can't work.
        notes: what may not be meant.
    """

    clients: tuple[ClientFound, ...]
    frameworks: tuple[FrameworkFound, ...]
    opentelemetry: Mapping[str, str]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def look_around(environ: Mapping[str, str]) -> Installed:
    """Look at the packages of this Python.

    Args:
        environ: the environment variables.
    """
    found: dict[str, Distribution] = {}
    for distribution in distributions():
        name = re.sub(r"[-_.]+", "-", distribution.name or "").lower()
        found.setdefault(name, distribution)  # the first on the path is what is imported
    versions = {name: found[name].version for name in sorted(found)}
    return Installed(
        clients=tuple(_clients(found)),
        frameworks=tuple(find_frameworks(found, environ)),
        opentelemetry={
            name: version for name, version in versions.items() if _OPENTELEMETRY.fullmatch(name)
        },
        problems=tuple(_problems(versions)),
        notes=(*_notes(versions, environ), *notes_on_limits(versions, environ)),
    )


def _clients(found: Mapping[str, Distribution]) -> Iterator[ClientFound]:
    covered = {name: adds_headers(name) for name in _TRIED if name in found}
    for name, gets_headers in covered.items():
        remark = "" if gets_headers else _UNKNOWN_VERSION
        yield _client(found[name], name, gets_headers, remark)
    for name in _SDKS:
        if name in found:
            needs = [
                re.split(r"[^\w-]", text)[0].lower()
                for text in found[name].requires or ()
                if "extra ==" not in text
            ]
            stack = "httpx2" if "httpx2" in needs else "httpx"
            yield _client(found[name], name, covered.get(stack, False), f"sends through {stack}")
    for name, module in _SENDING_MODULES.items():
        if name in found:
            gets_headers = is_instrumented(module)
            remark = _REMARKS.get(name, "") if gets_headers else _UNKNOWN_VERSION
            yield _client(found[name], name, gets_headers, remark)


def _client(found: Distribution, name: str, gets_headers: bool, remark: str) -> ClientFound:
    return ClientFound(name=name, version=found.version, gets_headers=gets_headers, remark=remark)


def _problems(versions: Mapping[str, str]) -> Iterator[str]:
    for name, least in _LEAST.items():
        numbers = re.match(r"(\d+)\.(\d+)", versions.get(name, "0.0"))
        if numbers is not None and (int(numbers[1]), int(numbers[2])) < least:
            needed = ".".join(map(str, least))
            have = versions.get(name, "missing")
            yield f"{name} is {have}; {needed} or newer is needed: pip install -U {name}"
    if not entry_points(group="opentelemetry_instrumentor", name="helicone"):
        yield (
            "opentelemetry-instrument does not find otel-helicone, because its metadata is missing:"
            " pip install --force-reinstall otel-helicone"
        )


def _notes(versions: Mapping[str, str], environ: Mapping[str, str]) -> Iterator[str]:
    disabled = environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "")
    if {word.strip() for word in disabled.split(",")} & {"helicone", "*"}:
        yield (
            f"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS={disabled} turns otel-helicone off under"
            " opentelemetry-instrument"
        )
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        yield "OTEL_SDK_DISABLED=true: there are no spans, so there are no sessions"
    if not entry_points(group="opentelemetry_configurator"):
        yield (
            "opentelemetry-instrument sets no tracer provider up by itself:"
            " pip install opentelemetry-distro"
        )
    elif not environ.get("OTEL_TRACES_EXPORTER") and not any(
        name.startswith("opentelemetry-exporter-otlp") for name in versions
    ):
        yield (
            "opentelemetry-instrument asks for an OTLP exporter, which is not installed: set"
            " OTEL_TRACES_EXPORTER, OTEL_METRICS_EXPORTER and OTEL_LOGS_EXPORTER to none"
        )
