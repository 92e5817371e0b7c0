"""A sampler that lets paths be whole in traces that are not sampled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.environment_variables import OTEL_TRACES_SAMPLER_ARG
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    Decision,
    ParentBasedTraceIdRatio,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

from otel_helicone.settings.reading import SettingError

__all__ = ["AlwaysRecordSampler", "sampler_from_environment"]

_ENTRY_POINT: Final = "helicone"
_GROUP: Final = "opentelemetry_traces_sampler"
_DEFAULT: Final = "parentbased_always_on"
_STATIC: Final = {
    "always_on": ALWAYS_ON,
    "always_off": ALWAYS_OFF,
    "parentbased_always_on": DEFAULT_ON,
    "parentbased_always_off": DEFAULT_OFF,
}
_RATIOS: Final = {
    "traceidratio": TraceIdRatioBased,
    "parentbased_traceidratio": ParentBasedTraceIdRatio,
}


class AlwaysRecordSampler(Sampler):
    """Records the spans that another sampler drops, and samples none of them.

    Span processors never see a dropped span, so requests below it have no path and no session
    name. With this sampler around the one that decides, they do: what would be dropped is
    ``RECORD_ONLY``. Nothing more is exported than before, because the batch and the simple span
    processor leave out what is not sampled, and the trace flags that are sent to the next service
    still say "not sampled".

    It has to be the outermost sampler: inside of ``ParentBased(...)`` it would be asked for root
    spans alone.

    The specification has this sampler as ``AlwaysRecord``. OpenTelemetry's own one, in newer SDKs,
    gives a recorded span none of the attributes that it was started with where the sampler inside
    is one of the built-in ones; here it has them, since the session's id may be one.

    Example::

        TracerProvider(sampler=AlwaysRecordSampler(ParentBasedTraceIdRatio(0.1)))

    Without code, ``OTEL_TRACES_SAMPLER=helicone`` puts it around the default sampler, and
    ``OTEL_TRACES_SAMPLER_ARG=parentbased_traceidratio=0.1`` around another one.

    Args:
        root: the sampler that decides what is sampled.
    """

    def __init__(self, root: Sampler) -> None:
        self._root = root

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Ask the sampler inside, and record what it drops. Called by the SDK.

        Returns:
            What the sampler inside says, with its attributes and its trace state; ``RECORD_ONLY``
            where that is ``DROP``.
        """
        result = self._root.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )
        if result.decision is not Decision.DROP:
            return result
        # A sampler gives back the attributes that the span is to have, and one that drops the
        # span has no reason to give any.
        own = {**(attributes or {}), **(result.attributes or {})}
        return SamplingResult(Decision.RECORD_ONLY, own, result.trace_state)

    def get_description(self) -> str:
        """Say what this is, with the sampler inside, in the words of the specification."""
        return f"AlwaysRecordSampler{{{self._root.get_description()}}}"


def sampler_from_environment(argument: str | None = None) -> AlwaysRecordSampler:
    """Make the sampler that ``OTEL_TRACES_SAMPLER=helicone`` names. Called by the SDK.

    Args:
        argument: the text of ``OTEL_TRACES_SAMPLER_ARG``: the name of the sampler inside, then,
            where that one takes an argument, ``=`` and the argument. None and an empty text are
            ``parentbased_always_on``.

    Returns:
        The sampler, around the one that was named.

    Raises:
        SettingError: for a text that names no sampler; the SDK logs the message, and uses its
            default sampler.
    """
    # The SDK hands over an empty variable as it is; it counts as unset.
    text = (argument or "").strip() or _DEFAULT
    name, equals, own = (part.strip() for part in text.partition("="))
    name = name.lower() if name.lower() in (*_STATIC, *_RATIOS) else name
    if name in _STATIC:
        if equals:
            raise _wrong(text, f"{name!r} takes no argument")
        return AlwaysRecordSampler(_STATIC[name])
    if name in _RATIOS:
        return AlwaysRecordSampler(_ratio(text, name, own if equals else "1"))
    return AlwaysRecordSampler(_of_entry_point(text, name, own if equals else None))


def _ratio(text: str, name: str, ratio: str) -> Sampler:
    try:
        return _RATIOS[name](float(ratio))
    except ValueError:  # not a number, or out of range
        raise _wrong(text, f"give a ratio from 0 to 1, such as '{name}=0.1'") from None


def _of_entry_point(text: str, name: str, own: str | None) -> Sampler:
    from importlib.metadata import entry_points  # not needed without a variable

    known = ", ".join((*_STATIC, *_RATIOS))
    remedy = f"give the name of a sampler ({known}, or one that another package brings)"
    if name == _ENTRY_POINT:
        raise _wrong(text, f"it can't be put around itself; {remedy}")
    found = next(iter(entry_points(group=_GROUP, name=name)), None)
    if found is None:
        raise _wrong(text, remedy)
    try:
        sampler = found.load()(own)
    except Exception as error:  # whatever the other package does
        raise _wrong(text, f"the sampler {name!r} could not be made ({error})") from error
    if not isinstance(sampler, Sampler):
        raise _wrong(text, f"{name!r} gave {sampler!r}, which is no sampler")
    return sampler


def _wrong(text: str, remedy: str) -> SettingError:
    return SettingError(OTEL_TRACES_SAMPLER_ARG, text, remedy)
