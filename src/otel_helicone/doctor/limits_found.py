"""The SDK's limits on spans, and what they mean for the instrumentations that are installed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

__all__ = ["notes_on_limits"]

_COUNT: Final = ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT")
_LENGTH: Final = ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT")
_EVENTS: Final = ("OTEL_SPAN_EVENT_COUNT_LIMIT",)
_DEFAULT_COUNT: Final = 128
# A conversation of 250 messages, two attributes each.
_ENOUGH: Final = 512
# They write each message, and each tool, in attributes of its own.
_FLAT: Final = re.compile("openinference-instrumentation-.+|traceloop-sdk")
# They write each message in an event of its own.
_IN_EVENTS: Final = frozenset({"azure-ai-inference", "semantic-kernel", "strands-agents"})


def notes_on_limits(packages: Iterable[str], environ: Mapping[str, str]) -> Iterator[str]:
    """Yield what limits mean for the logs of calls.

    Args:
        packages: the normalized names of the packages that are installed.
        environ: the environment variables.
    """
    packages = set(packages)
    flat = sorted(name for name in packages if _FLAT.fullmatch(name))
    variable, count = _limit(_COUNT, environ, _DEFAULT_COUNT)
    if flat and count is not None and count < _ENOUGH:
        yield (
            f"{variable} is {count}{_by_default(variable, environ)}: {_listed(flat)} write messages"
            f" in attributes of their own, so of more than about {count // 2 - 4} messages the"
            f" oldest are missing in logs: export {_COUNT[0]}=4096"
        )
    writers = sorted(packages & _IN_EVENTS)
    variable, count = _limit(_EVENTS, environ, _DEFAULT_COUNT)
    if writers and count is not None and count < _ENOUGH:
        yield (
            f"{variable} is {count}{_by_default(variable, environ)}: {_listed(writers)} write"
            f" messages in events of their own, so of more than {count} messages the oldest are"
            f" missing in logs: export {_EVENTS[0]}=4096"
        )
    variable, length = _limit(_LENGTH, environ, None)
    if length is not None:
        yield (
            f"{variable} is {length}: messages, arguments and answers that are longer are cut off"
            f" in logs: unset {variable}"
        )


def _limit(
    variables: tuple[str, ...], environ: Mapping[str, str], default: int | None
) -> tuple[str, int | None]:
    """Return the variable that counts, and its limit; None for no limit."""
    for variable in variables:
        given = environ.get(variable, "").strip()
        if given.isdecimal():
            return variable, int(given)
    return variables[0], default


def _by_default(variable: str, environ: Mapping[str, str]) -> str:
    return "" if environ.get(variable, "").strip() else " by default"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return ", ".join(names[:2]) + more
