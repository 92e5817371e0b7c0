"""Which session a finished span belongs to, and where in its tree.

In this order: what the span processor knows of it; its stamps on the span; what a dialect has a
place for; else the trace and the ancestors that are known.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan

from otel_helicone.dialects.description import Description, Kind
from otel_helicone.logs.observed import Observed, SpanKey, key_of, parent_key_of
from otel_helicone.primitives.attribute_names import (
    ENDUSER_ID,
    HELICONE_SESSION_ID,
    HELICONE_SESSION_NAME,
    HELICONE_SESSION_PATH,
    USER_ID,
)
from otel_helicone.primitives.escaping import (
    MAX_PROPERTY_VALUE_LENGTH,
    escape_property_name,
    escape_segment,
    escape_session_id,
    escape_value,
    split_path,
)
from otel_helicone.primitives.log_once import warn_once
from otel_helicone.primitives.path import Path
from otel_helicone.primitives.segments import default_segment
from otel_helicone.session_context import finished
from otel_helicone.session_context.current import SessionContext, context_of_finished
from otel_helicone.session_context.local_trace import session_id_of_trace
from otel_helicone.settings.in_use import any_in_use, settings_in_use

__all__ = ["MISSING_SEGMENT", "Placer", "SessionNames"]

MISSING_SEGMENT: Final = "[missing]"
"""Stands in a path for the ancestors of a span whose parent never came."""

# A path shows a few dozen segments of a deep one.
_MAX_DEPTH: Final = 200
_MAX_SESSIONS: Final = 10_000
_UNKNOWN_SERVICE: Final = "unknown_service"


class SessionNames:
    """The names of sessions whose spans do not tell them. The first one that was used counts.

    Helicone would draw a second name as a second session. The oldest are forgotten.
    """

    def __init__(self) -> None:
        self._names: OrderedDict[str, str | None] = OrderedDict()

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._names

    def __getitem__(self, session_id: str) -> str | None:
        self._names.move_to_end(session_id)
        return self._names[session_id]

    def __setitem__(self, session_id: str, name: str | None) -> None:
        self._names[session_id] = name
        if len(self._names) > _MAX_SESSIONS:
            self._names.popitem(last=False)


class Placer:
    """Gives finished spans their session context. Not thread-safe."""

    def __init__(self, *, names: SessionNames | None = None, whole_traces: bool = False) -> None:
        """Begin with no session known.

        Args:
            names: the names of sessions that are known already.
            whole_traces: whether spans are placed when all of their trace that will come has come,
                from all of its services. Then paths go on across services, and a parent that is
                missing shows in the path.
        """
        self._names = SessionNames() if names is None else names
        self._whole_traces = whole_traces

    def place(self, observed: Observed, batch: Mapping[SpanKey, Observed]) -> SessionContext:
        """Return the session context of a finished span.

        Args:
            observed: the span.
            batch: the spans that were exported with it, and those known from before.
        """
        span, description = observed.span, observed.description
        is_request = observed.is_request
        node = finished.take(*observed.key)
        if node is not None:
            context = context_of_finished(node, is_request=is_request)
        else:
            context = (
                self._from_stamps(span, is_request, batch)
                or self._from_ancestor(span, is_request, batch)
                or self._from_dialect(observed, batch)
            )
        user_id = context.user_id or _user_of(span, description)
        properties = {**_properties_of(description), **context.properties}
        return replace(context, user_id=user_id, properties=properties)

    def _from_stamps(
        self, span: ReadableSpan, is_request: bool, batch: Mapping[SpanKey, Observed]
    ) -> SessionContext | None:
        attributes = span.attributes or {}
        session_id = escape_session_id(attributes.get(HELICONE_SESSION_ID))
        if session_id is None:
            return None
        segments = _stamped_segments(span, is_request, batch)
        path = self._path_among(span, is_request, batch) if segments is None else Path.of(segments)
        name = escape_value(attributes.get(HELICONE_SESSION_NAME))
        return SessionContext(session_id, path.text, self._name(session_id, name, span, batch))

    def _from_ancestor(
        self, span: ReadableSpan, is_request: bool, batch: Mapping[SpanKey, Observed]
    ) -> SessionContext | None:
        """Continue from the nearest ancestor that has its stamps, maybe in another service."""
        chain = self._chain(span, batch)
        for index, link in enumerate(chain):
            attributes = link.attributes or {}
            session_id = escape_session_id(attributes.get(HELICONE_SESSION_ID))
            if link is span or session_id is None:
                continue
            segments = _stamped_segments(link, batch[key_of(link)].is_request, batch)
            if segments is None:
                continue
            below = _segments_of(chain[:index], is_request, batch)
            name = escape_value(attributes.get(HELICONE_SESSION_NAME))
            name = self._name(session_id, name, span, batch)
            return SessionContext(session_id, Path.of([*segments, *below]).text, name)
        return None

    def _from_dialect(
        self, observed: Observed, batch: Mapping[SpanKey, Observed]
    ) -> SessionContext:
        span, description = observed.span, observed.description
        session_id = escape_session_id(description.session_id)
        if session_id is None:
            settings = settings_in_use()
            session_id = session_id_of_trace(observed.key[0], settings.session_id_format)
        path = (
            Path.of(split_path(description.session_path))
            if description.session_path is not None
            else self._path_among(span, observed.is_request, batch)
        )
        name = escape_value(description.session_name)
        return SessionContext(session_id, path.text, self._name(session_id, name, span, batch))

    def _name(
        self,
        session_id: str,
        told: str | None,
        span: ReadableSpan,
        batch: Mapping[SpanKey, Observed],
    ) -> str | None:
        if told is not None:
            if self._whole_traces and session_id not in self._names:
                self._names[session_id] = told
            return told
        if session_id in self._names:
            return self._names[session_id]
        root = self._chain(span, batch)[-1]
        name: object = root.name if root.parent is None or root.parent.is_remote else None
        if name is None:
            service = root.resource.attributes.get("service.name")
            if isinstance(service, str) and not service.startswith(_UNKNOWN_SERVICE):
                name = service
        self._names[session_id] = escape_value(name)
        return self._names[session_id]

    def _path_among(
        self, span: ReadableSpan, is_request: bool, batch: Mapping[SpanKey, Observed]
    ) -> Path:
        """Make the path of a span from the ancestors that are known."""
        chain = self._chain(span, batch)
        segments = _segments_of(chain, is_request, batch)
        above = chain[-1].parent
        if above is not None and not above.is_remote:
            if self._whole_traces:
                segments.insert(0, MISSING_SEGMENT)
            elif not any_in_use():
                warn_once(
                    "no-processor",
                    "Spans come to HeliconeSpanExporter before their parents, so that their paths"
                    " lack what is above them, and sessions lack their names. Add"
                    " HeliconeSpanProcessor() to the tracer provider, before the exporter.",
                )
        return Path.of(segments)

    def _chain(self, span: ReadableSpan, batch: Mapping[SpanKey, Observed]) -> list[ReadableSpan]:
        """Return a span and its known ancestors, up to the root."""
        chain = [span]
        seen = {key_of(span)}
        while (parent := chain[-1].parent) is not None and len(chain) < _MAX_DEPTH:
            if parent.is_remote and not self._whole_traces:
                break
            above = batch.get((parent.trace_id, parent.span_id))
            if above is None or above.key in seen:
                break
            seen.add(above.key)
            chain.append(above.span)
        return chain


def _stamped_segments(
    span: ReadableSpan, is_request: bool, batch: Mapping[SpanKey, Observed]
) -> list[str] | None:
    """Return the segments of the path that the span processor has written on a span."""
    stamped = (span.attributes or {}).get(HELICONE_SESSION_PATH)
    if stamped is None:
        return None
    segments = split_path(stamped)
    if is_request and segments and segments[-1] == escape_segment(span.name):
        # What a span is, is often known at its end only: it was stamped as a step then.
        parent = batch.get(parent_key_of(span) or (0, 0))
        above = (
            None if parent is None else (parent.span.attributes or {}).get(HELICONE_SESSION_PATH)
        )
        if above is None or split_path(above) != segments:
            segments.pop()
    return segments


def _segments_of(
    chain: Sequence[ReadableSpan], is_request: bool, batch: Mapping[SpanKey, Observed]
) -> list[str]:
    """Return the segments of a span and of those above it, the topmost first."""
    segments = []
    for index, link in enumerate(chain):
        is_first = index == 0
        if is_first and is_request:
            continue
        known = batch.get(key_of(link))
        if known is not None and known.is_request and not is_first:
            continue
        segment = default_segment(link)
        if segment is not None or (is_first and _is_step(batch, link)):
            segments.append(escape_segment(link.name if segment is None else segment))
    return segments[::-1]


def _is_step(batch: Mapping[SpanKey, Observed], span: ReadableSpan) -> bool:
    known = batch.get(key_of(span))
    return known is not None and known.description.kind in (Kind.TOOL, Kind.AGENT, Kind.WORKFLOW)


def _user_of(span: ReadableSpan, description: Description) -> str | None:
    attributes = span.attributes or {}
    for found in (attributes.get(USER_ID), attributes.get(ENDUSER_ID), description.user_id):
        user = escape_value(found)
        if user is not None:
            return user
    asked = description.parameters.get("user")
    return escape_value(asked) if isinstance(asked, str) else None


def _properties_of(description: Description) -> dict[str, str]:
    properties = {}
    for name, value in (description.properties or {}).items():
        safe, text = escape_property_name(name), escape_value(value, MAX_PROPERTY_VALUE_LENGTH)
        if safe is not None and text is not None:
            properties[safe] = text
    return properties
