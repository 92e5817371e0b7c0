"""The environment that a program needs, so that its calls come to the local Helicone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import otel_helicone
from otel_helicone.settings.checks import truth, words

__all__ = ["STARTED_BY_RUN", "replaced_base_url", "variables_for"]

STARTED_BY_RUN: Final = Path(otel_helicone.__file__).parent / "registration" / "under_run"
"""The folder with the ``sitecustomize`` that sets OpenTelemetry up in the program."""

_BASE_URL: Final = "OPENAI_BASE_URL"
_HOSTS: Final = "HELICONE_GATEWAY_HOSTS"
_TRACES: Final = "OTEL_TRACES_EXPORTER"
_EXPORTER: Final = "helicone"


def variables_for(
    environ: Mapping[str, str], *, url: str, base_url: str, api_key: str
) -> dict[str, str]:
    """Return the environment for a program.

    Args:
        environ: this process's own, which is kept otherwise.
        url: the local Helicone, such as ``http://127.0.0.1:8787``.
        base_url: what clients of OpenAI's API send their calls to.
        api_key: a Helicone key that the local one knows.
    """
    host = url.partition("://")[2]
    made = dict(environ)
    made[_BASE_URL] = base_url
    made.setdefault("OPENAI_API_KEY", "none")
    made[_HOSTS] = ",".join([*(one for one in words(made.get(_HOSTS, "")) if one != host), host])
    # What does not come through the gateway is logged from its spans.
    made["HELICONE_ENDPOINT"] = made["HELICONE_API_ENDPOINT"] = url
    made["HELICONE_API_KEY"] = api_key
    made[_TRACES] = _with_ours(made.get(_TRACES, ""))
    for name in ("OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"):
        made.setdefault(name, "none")  # else a distribution exports to a Collector
    if truth(made.get("HELICONE_GATEWAY", "").strip() or "false") is not False:
        made["HELICONE_GATEWAY"] = url
    made["PYTHONPATH"] = _python_path(made.get("PYTHONPATH", ""))
    _go_around_proxies(made, host.rpartition(":")[0])
    return made


def replaced_base_url(environ: Mapping[str, str], url: str) -> str | None:
    """Return the base URL of the user's own that a program will not see, if there is one.

    Args:
        environ: this process's environment.
        url: the local Helicone.
    """
    own = environ.get(_BASE_URL, "").strip()
    return own if own and not own.startswith(f"{url}/") else None


def _with_ours(exporters: str) -> str:
    named = [name for name in words(exporters) if name != "none"]
    return ",".join(named if _EXPORTER in named else [*named, _EXPORTER])


def _python_path(before: str) -> str:
    ours = str(STARTED_BY_RUN)
    paths = [path for path in before.split(os.pathsep) if path and path != ours]
    # As opentelemetry-instrument does: programs with a file of their own, such as uvicorn's, find
    # what lies in the current folder.
    here = str(Path.cwd())
    return os.pathsep.join([ours, *([] if here in paths else [here]), *paths])


def _go_around_proxies(made: dict[str, str], host: str) -> None:
    """Have clients send to this machine directly, where a variable names a proxy."""
    if not any(name.lower().endswith("_proxy") and made[name] for name in made):
        return
    for name in ("no_proxy", "NO_PROXY"):
        hosts = words(made.get(name, ""))
        if host not in hosts and "*" not in hosts:
            made[name] = ",".join([*hosts, host])
