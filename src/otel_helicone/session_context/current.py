"""The session context of this moment: everything known, resolved into one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Span

from otel_helicone.ambient_spans import adapter
from otel_helicone.primitives.escaping import (
    MAX_PROPERTY_VALUE_LENGTH,
    escape_session_id,
    escape_value,
)
from otel_helicone.primitives.header_names import HeaderPair, header_pairs, property_header
from otel_helicone.primitives.log_once import log_failure_once, warn_once
from otel_helicone.session_context import blocks, remote
from otel_helicone.session_context.blocks import Block, block_in, make_block, safe_properties
from otel_helicone.session_context.linking import current_place, deepest, told_here
from otel_helicone.session_context.local_trace import (
    SpanNode,
    SpanSession,
    effective_block,
    session_id_of_trace,
)
from otel_helicone.session_context.remote import remote_in
from otel_helicone.session_context.sent_names import first_name, sent_name
from otel_helicone.session_context.span_sessions import freeze_name, name_of, session_told
from otel_helicone.session_context.texts import (
    base_of,
    freeze,
    notice_changes,
    path_above,
    refresh,
)
from otel_helicone.settings.in_use import settings_in_use
from otel_helicone.settings.processor import ProcessorSettings

__all__ = [
    "SessionContext",
    "context_of_finished",
    "current_session",
    "resolve",
    "session_headers",
    "set_session",
]

_NO_PROPERTIES: Final[Mapping[str, str]] = MappingProxyType({})
# All properties together; the proxies on the way commonly hold 8 KiB of headers.
_MAX_PROPERTIES_LENGTH: Final = 4096


@dataclass(frozen=True, slots=True)
class SessionContext:
    """Which session a request belongs to, and where in its tree.

    The texts are as they are sent: ASCII, percent-encoded where they have to be, bounded.

    Attributes:
        id: the session's id.
        path: the place in the tree: ``/`` followed by segments.
        name: the session's name; None where no span is known to take it from.
        user_id: the user, or None.
        properties: custom properties, names in lower case.
    """

    id: str
    path: str
    name: str | None = None
    user_id: str | None = None
    properties: Mapping[str, str] = field(default_factory=lambda: _NO_PROPERTIES, hash=False)
    _span: SpanNode | None = field(default=None, repr=False, compare=False)
    _block: Block | None = field(default=None, repr=False, compare=False)
    _told: Mapping[str, object] | None = field(default=None, repr=False, compare=False)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle and copy the texts alone: what they came from belongs to this process."""
        texts = (self.id, self.path, self.name, self.user_id, dict(self.properties))
        return SessionContext, texts

    def headers(self) -> dict[str, str]:
        """Return the request headers that carry this session context to Helicone.

        They hold the names of this moment, which are frozen by it: a span that is renamed later
        keeps its text in this trace's paths.

        Returns:
            A new dict: ``Helicone-Session-Id``, ``-Path`` and ``-Name``, ``Helicone-User-Id`` and
            ``Helicone-Property-*``, those that there are.
        """
        try:
            if self._span is not None:
                context = _of_span(self._span, self._block, self._told, for_request=True)
                return dict(context.pairs())
        except Exception:
            log_failure_once("freezing the names in a session's path")
        return dict(self.pairs())

    def pairs(self) -> list[HeaderPair]:
        """Return the names and values of those headers, as they are known by now."""
        return header_pairs(self.id, self.path, self.name, self.user_id, self.properties)


def current_session() -> SessionContext | None:
    """Return the session context of this moment, from the current span and what was said around it.

    Returns:
        The session context, or None outside of every span and every ``session(...)`` block.
    """
    return _current(for_request=False)


def session_headers() -> dict[str, str]:
    """Return the Helicone headers of this moment, for clients that can't be instrumented.

    Example::

        client.chat.completions.create(..., extra_headers=session_headers())

    Returns:
        A new dict, empty outside of every span and every block.
    """
    context = _current(for_request=True)
    return {} if context is None else dict(context.pairs())


def set_session(
    id: str | None = None,  # noqa: A002 - Helicone's word for it
    *,
    name: str | None = None,
    user_id: str | None = None,
    properties: Mapping[str, str] | None = None,
) -> None:
    """Say which session the rest of the current trace belongs to, in this process.

    Unlike a ``with session(...)`` block it has no end: it holds for all spans and LLM calls of the
    trace from now on, whatever ends in between. So it is right for a response that is streamed
    after its handler has returned, and for the background tasks of a request::

        @app.post("/chat/{conversation}")
        async def chat(conversation: str) -> StreamingResponse:
            set_session(conversation)
            return StreamingResponse(answer())  # answer() asks the model later

    A block that is entered later goes before it, inside of that block. Without a current span it
    holds for the current context, as a context variable does.

    Args:
        id: the session's id. None leaves it as it is, or makes a random UUID where a new name, or
            nothing at all, is given.
        name: the session's name. None leaves it to the root span's name.
        user_id: the user, sent as ``Helicone-User-Id``.
        properties: custom properties, sent as ``Helicone-Property-*``; names are lower-cased.

    Values are made safe for a header by percent-encoding; nothing here raises.

    Added in 0.2.0.
    """
    try:
        node = current_place()
        around = block_in(None)
        if node is not None:
            around = effective_block(around or node.block, node.trace)
        safe = safe_properties(properties)
        session_id = escape_session_id(id)
        says_more = bool(user_id or safe) and name is None
        if session_id is None and around is None and says_more:
            # Stays in the session that the trace has without any block.
            now = _current(for_request=False)
            session_id = None if now is None else now.id
        block = make_block(
            around, session_id, escape_value(name), None, escape_value(user_id), safe
        )
        if node is None:
            blocks.stay_in(block)
        else:
            node.trace.block = block
            refresh(node.trace)
    except Exception:
        log_failure_once("setting the session of a trace")


def _current(*, for_request: bool) -> SessionContext | None:
    try:
        return resolve(trace.get_current_span(), settings_in_use(), for_request=for_request)
    except Exception:
        log_failure_once("looking for the current session")
        return None


def resolve(
    span: Span, defaults: ProcessorSettings, *, for_request: bool = False
) -> SessionContext | None:
    """Resolve the session context of a span, by the rules of the session context.

    Args:
        span: the span that is current; an invalid one where there is none.
        defaults: the settings for spans that no processor has seen, such as unsampled ones.
        for_request: whether a request is to carry the result, so that its texts are frozen.

    Returns:
        The session context; None where neither a span nor a block is there.
    """
    block = block_in(None) if blocks.in_use else None
    node, span_context = deepest(span)
    if node is not None:
        told = told_here(node.trace.settings) if adapter.in_use else None
        return _of_span(node, block, told, for_request=for_request)
    if block is not None:
        path = "/" if block.base is None else block.base.path.text
        name = block.name or sent_name(block.id)
        if for_request and name is not None:
            first_name(block.id, name)
        properties = _merged(defaults.properties, block.properties)
        return SessionContext(block.id, path, name, block.user_id, properties)
    sent = remote_in(None) if remote.in_use else None
    if sent is not None:
        properties = _merged(defaults.properties)
        return SessionContext(sent.id, sent.path.text, sent.name, properties=properties)
    if span_context.is_valid:
        # Unsampled, remote, or of a provider without the processor: neither its name nor its
        # parents are known, but the trace id is.
        session_id = session_id_of_trace(span_context.trace_id, defaults.session_id_format)
        return SessionContext(session_id, "/", properties=_merged(defaults.properties))
    return None


def context_of_finished(node: SpanNode, *, is_request: bool) -> SessionContext:
    """Return the session context of a span that has ended, with its names frozen.

    Args:
        node: the span's node.
        is_request: whether the span turned out to be the request itself, so that it adds no
            segment, whatever could be known of it while it was open.
    """
    context = _of_span(node, None, None, for_request=True)
    path = path_above(node).text if is_request else context.path
    return SessionContext(context.id, path, context.name, context.user_id, context.properties)


def _of_span(
    node: SpanNode,
    around: Block | None,
    told: Mapping[str, object] | None,
    *,
    for_request: bool,
) -> SessionContext:
    """Return the session context of a place.

    Args:
        node: the node of the span that is there.
        around: the block that is there, if any.
        told: what libraries know of the session there, if anything.
        for_request: whether a request is to carry the result, so that its texts are frozen.
    """
    local_trace = node.trace
    notice_changes(node)
    if for_request:
        freeze(node)
    # A block that the span itself started in counts where its context did not come along.
    block_here = around or node.block
    block = effective_block(block_here, local_trace)
    session = node.session
    if block is not session.block and block is not None:
        name = name_of(local_trace, block.id, block, session.own_name)
        session = SpanSession(block.id, name, own_name=session.own_name, block=block)
    elif told is not None:
        session = session_told(local_trace, session, told)
    name = session.name
    if for_request:
        name, is_stale = freeze_name(local_trace, session)
        if is_stale:
            refresh(local_trace)
    base = None if block_here is None else block_here.base
    if base is None or base is base_of(node):
        path = node.path
    else:
        path = base.path  # the block was entered inside the span: nothing of the span is in it
    user_id, properties = _user_and_properties(node, block, told, local_trace.settings)
    return SessionContext(session.id, path.text, name, user_id, properties, node, around, told)


def _user_and_properties(
    node: SpanNode,
    block: Block | None,
    told: Mapping[str, object] | None,
    settings: ProcessorSettings,
) -> tuple[str | None, Mapping[str, str]]:
    """Return what a block says, else what libraries know, else the attributes from here upwards."""
    user_id: str | None = None
    found: dict[str, str] = {}
    said = told
    link: SpanNode | None = node
    while link is not None or said is not None:
        if said is not None:
            for attribute in settings.user_id_attributes:
                user_id = user_id or escape_value(said.get(attribute))
            for attribute, name in settings.property_attributes.items():
                value = escape_value(said.get(attribute), MAX_PROPERTY_VALUE_LENGTH)
                if value is not None:
                    found.setdefault(name, value)
        said = None if link is None else link.said
        link = None if link is None else link.parent
    if block is not None:
        return block.user_id or user_id, _merged(settings.properties, found, block.properties)
    if found or settings.properties:
        return user_id, _merged(settings.properties, found)
    return user_id, _NO_PROPERTIES


def _merged(*layers: Mapping[str, str]) -> Mapping[str, str]:
    """Merge properties, later layers first in rank, within what a request can carry."""
    if not any(layers):
        return _NO_PROPERTIES
    merged: dict[str, str] = {}
    length = 0
    for layer in reversed(layers):
        for name, value in layer.items():
            if name in merged:
                continue
            length += len(": \r\n") + len(property_header(name)) + len(value)
            if length > _MAX_PROPERTIES_LENGTH:
                warn_once(
                    "properties-too-long",
                    "The custom properties of a session take more than %d characters of headers; "
                    "those past that are left out, the first of them here: %s",
                    _MAX_PROPERTIES_LENGTH,
                    name,
                )
                return MappingProxyType(merged)
            merged[name] = value
    return MappingProxyType(merged)
