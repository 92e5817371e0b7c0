"""Which session a finished span belongs to, and where in its tree.

In this order: what the span processor knows of it; its stamps on the span; what a dialect has a
place for; else the trace and the ancestors that were exported together with it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan

from otel_helicone import active_processors
from otel_helicone.attribute_names import (
    ENDUSER_ID,
    HELICONE_SESSION_ID,
    HELICONE_SESSION_NAME,
    HELICONE_SESSION_PATH,
    USER_ID,
)
from otel_helicone.dialects.description import Description, Kind
from otel_helicone.logs.observed import Observed, SpanKey, key_of, parent_key_of
from otel_helicone.session_context import finished
from otel_helicone.session_context.ancestry import session_id_of_trace
from otel_helicone.session_context.current import SessionContext, context_of_finished
from otel_helicone.session_context.escaping import (
    MAX_PROPERTY_VALUE_LENGTH,
    escape_property_name,
    escape_segment,
    escape_session_id,
    escape_value,
    split_path,
)
from otel_helicone.session_context.path import Path
from otel_helicone.session_context.segments import default_segment

__all__ = ["Placer"]

_MOST_TRACES: Final = 10_000
_UNKNOWN_SERVICE: Final = "unknown_service"


class Placer:
    """Gives finished spans their session context. Not thread-safe."""

    def __init__(self) -> None:
        # The names of sessions whose spans do not tell them: the first one that was used counts,
        # since Helicone would draw a second name as a second session.
        self._names: OrderedDict[str, str | None] = OrderedDict()

    def place(self, observed: Observed, batch: Mapping[SpanKey, Observed]) -> SessionContext:
        """Give the session context of a finished span.

        Args:
            observed: the span.
            batch: the spans that were exported with it.
        """
        span, description = observed.span, observed.description
        is_request = description.kind.is_call
        node = finished.take(*observed.key)
        if node is not None:
            context = context_of_finished(node, is_request=is_request)
        else:
            context = self._from_stamps(span, is_request, batch) or self._from_dialect(
                observed, batch
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
        stamped = attributes.get(HELICONE_SESSION_PATH)
        if stamped is None:
            path = self._path_among(span, is_request, batch)
        else:
            segments = split_path(stamped)
            if is_request and segments and segments[-1] == escape_segment(span.name):
                # What a span is, is often known at its end only: it was stamped as a step then.
                parent = batch.get(parent_key_of(span) or (0, 0))
                above = (
                    None
                    if parent is None
                    else (parent.span.attributes or {}).get(HELICONE_SESSION_PATH)
                )
                if above is None or split_path(above) != segments:
                    segments.pop()
            path = Path.of(segments).text
        name = escape_value(attributes.get(HELICONE_SESSION_NAME))
        return SessionContext(session_id, path, self._name(session_id, name, span, batch))

    def _from_dialect(
        self, observed: Observed, batch: Mapping[SpanKey, Observed]
    ) -> SessionContext:
        span, description = observed.span, observed.description
        session_id = escape_session_id(description.session_id)
        if session_id is None:
            settings = active_processors.settings_in_use()
            session_id = session_id_of_trace(observed.key[0], settings.session_id_format)
        path = (
            Path.of(split_path(description.session_path)).text
            if description.session_path is not None
            else self._path_among(span, description.kind.is_call, batch)
        )
        name = escape_value(description.session_name)
        return SessionContext(session_id, path, self._name(session_id, name, span, batch))

    def _name(
        self,
        session_id: str,
        told: str | None,
        span: ReadableSpan,
        batch: Mapping[SpanKey, Observed],
    ) -> str | None:
        if told is not None:
            return told
        if session_id in self._names:
            self._names.move_to_end(session_id)
            return self._names[session_id]
        root = _chain(span, batch)[-1]
        name: object = root.name if root.parent is None or root.parent.is_remote else None
        if name is None:
            service = span.resource.attributes.get("service.name")
            if isinstance(service, str) and not service.startswith(_UNKNOWN_SERVICE):
                name = service
        self._names[session_id] = escape_value(name)
        if len(self._names) > _MOST_TRACES:
            self._names.popitem(last=False)
        return self._names[session_id]

    @staticmethod
    def _path_among(span: ReadableSpan, is_request: bool, batch: Mapping[SpanKey, Observed]) -> str:
        """Make the path of a span from the ancestors that were exported with it."""
        segments = []
        for link in _chain(span, batch):
            if link is span and is_request:
                continue
            known = batch.get(key_of(link))
            if known is not None and known.description.kind.is_call and link is not span:
                continue
            segment = default_segment(link)
            if segment is not None or (link is span and _is_step(batch, span)):
                segments.append(escape_segment(link.name if segment is None else segment))
        return Path.of(reversed(segments)).text


def _is_step(batch: Mapping[SpanKey, Observed], span: ReadableSpan) -> bool:
    known = batch.get(key_of(span))
    return known is not None and known.description.kind in (Kind.TOOL, Kind.AGENT, Kind.WORKFLOW)


def _chain(span: ReadableSpan, batch: Mapping[SpanKey, Observed]) -> list[ReadableSpan]:
    """Give a span and its known ancestors, up to the local root."""
    chain = [span]
    seen = {key_of(span)}
    while (parent := chain[-1].parent) is not None and not parent.is_remote:
        above = batch.get((parent.trace_id, parent.span_id))
        if above is None or above.key in seen:
            break
        seen.add(above.key)
        chain.append(above.span)
    return chain


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
