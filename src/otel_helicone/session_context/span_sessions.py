"""Which session a span belongs to: its id and its name, as they follow from what is said.

An application says it in blocks and in attributes, the calling service in a header; else the trace
is the session, and the root span names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from otel_helicone.primitives.attribute_names import HELICONE_SESSION_ID, HELICONE_SESSION_NAME
from otel_helicone.primitives.escaping import escape_root_name, escape_session_id, escape_value
from otel_helicone.primitives.span_attributes import STAMPED, is_written
from otel_helicone.session_context.blocks import Block
from otel_helicone.session_context.local_trace import (
    LocalTrace,
    SpanNode,
    SpanSession,
    effective_block,
    session_id_of_trace,
)
from otel_helicone.session_context.sent_names import first_name, sent_name
from otel_helicone.settings.processor import ProcessorSettings

__all__ = ["describe_root", "freeze_name", "name_of", "said_on", "session_of", "session_told"]


def said_on(
    node: SpanNode, attributes: Mapping[str, object], settings: ProcessorSettings
) -> Mapping[str, object] | None:
    """Return what is said of the session on a span, this library's stamps aside.

    It is what the application says in attributes, then what libraries knew where the span started.
    """
    stamps = node.stamps
    told: Mapping[str, object] | None = getattr(node, "told", None)
    if (
        told is None
        and attributes.get(HELICONE_SESSION_ID) is stamps[0]
        and attributes.get(HELICONE_SESSION_NAME) is stamps[2]
        and attributes.keys().isdisjoint(settings.statements_beside_stamps)
    ):
        return None  # by far the most spans
    said = {} if told is None else dict(told)
    for name in settings.statements:
        value = attributes.get(name)
        if value is not None and not (name in STAMPED and is_written(value, _stamp(stamps, name))):
            said[name] = value
    return said or None


def _stamp(stamps: tuple[str | None, str | None, str | None], name: str) -> str | None:
    return stamps[STAMPED.index(name)]


def describe_root(node: SpanNode) -> None:
    """Note on a local trace what its root makes the session's default id and name."""
    trace = node.trace
    trace.default_id = session_id_of_trace(node.context[0], trace.settings.session_id_format)
    trace.root_name = escape_root_name(node.name)


def session_of(node: SpanNode) -> SpanSession:
    """Return the session that a span belongs to; those of the spans above are up to date."""
    trace, above, said = node.trace, node.parent, node.said
    block = effective_block(node.block, trace)
    if above is None:
        own_id = listed_id = own_name = None
    elif said is None and above.session.block is block:
        return above.session
    else:
        session = above.session
        own_id, listed_id, own_name = session.own_id, session.listed_id, session.own_name
    if said is not None:
        own_id = escape_session_id(said.get(HELICONE_SESSION_ID)) or own_id
        own_name = escape_value(said.get(HELICONE_SESSION_NAME)) or own_name
        listed = (said.get(name) for name in trace.settings.session_id_attributes)
        listed_id = _first(escape_session_id(value) for value in listed) or listed_id
    if block is not None:
        session_id = block.id
    elif own_id is not None:
        session_id = own_id
    elif trace.remote is not None:
        session_id = trace.remote.id
    else:
        session_id = listed_id or trace.default_id
    if own_name is not None:
        trace.has_own_names = True
    name = name_of(trace, session_id, block, own_name)
    return SpanSession(session_id, name, own_id, listed_id, own_name, block)


def session_told(
    trace: LocalTrace, session: SpanSession, told: Mapping[str, object]
) -> SpanSession:
    """Return the session of a request, of whose session libraries know more than its span does.

    Args:
        trace: the local trace that the request belongs to.
        session: the session of the span.
        told: what the libraries know where the request is sent.
    """
    is_said = session.block or session.own_id or session.listed_id or trace.remote
    listed = (escape_session_id(told.get(name)) for name in trace.settings.session_id_attributes)
    session_id = None if is_said else _first(listed)
    if session_id is None:
        return session
    name = name_of(trace, session_id, None, session.own_name)
    return SpanSession(session_id, name, listed_id=session_id, own_name=session.own_name)


def _first(texts: Iterable[str | None]) -> str | None:
    return next((text for text in texts if text is not None), None)


def name_of(trace: LocalTrace, session_id: str, block: Block | None, own_name: str | None) -> str:
    """Return the name of a session, as a request of this moment would carry it.

    Args:
        trace: the local trace that the request belongs to.
        session_id: the session's id.
        block: the block that counts, if any.
        own_name: what an attribute says, if any.
    """
    if block is not None and block.name is not None:
        return block.name
    if trace.sent_names is not None and session_id in trace.sent_names:
        return trace.sent_names[session_id]
    if own_name is not None:
        return own_name
    if trace.is_continued or session_id != trace.default_id:
        sent = sent_name(session_id)
        if sent is not None:
            return sent
    return trace.root_name if trace.remote is None else trace.remote.name


def freeze_name(trace: LocalTrace, session: SpanSession) -> tuple[str, bool]:
    """Return the name that a request is to carry, which stays that of the session from now on.

    Args:
        trace: the local trace that the request belongs to.
        session: the session that it belongs to.

    Returns:
        The name, and whether spans of the trace may be stamped with another one.
    """
    block, session_id = session.block, session.id
    name = name_of(trace, session_id, block, session.own_name)
    is_given = block is not None and block.name is not None
    if trace.is_continued or session_id != trace.default_id:
        # Only such an id can come again, in another trace of this process.
        first = first_name(session_id, name)
        if not is_given and session.own_name is None:
            name = first
    if is_given:
        return name, False
    names = trace.sent_names
    if names is None:
        names = trace.sent_names = {}
    is_first = session_id not in names
    name = names.setdefault(session_id, name)
    return name, name != session.name or (is_first and trace.has_own_names)
