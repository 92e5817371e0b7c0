"""The session context of this moment: everything known, resolved into one value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Span

from otel_helicone import active_processors
from otel_helicone.attribute_names import (
    HELICONE_SESSION_ID,
    HELICONE_SESSION_NAME,
)
from otel_helicone.log_once import log_failure_once, warn_once
from otel_helicone.session_context import blocks, remote
from otel_helicone.session_context.ancestry import (
    SpanNode,
    chain_of,
    node_around,
    node_of,
    parent_of,
    session_id_of_trace,
    settings_of,
    stamped_on,
)
from otel_helicone.session_context.blocks import Block, block_in
from otel_helicone.session_context.escaping import (
    MAX_PROPERTY_VALUE_LENGTH,
    escape_session_id,
    escape_value,
)
from otel_helicone.session_context.remote import remote_in, remote_of
from otel_helicone.session_context.stamping import fix_and_restamp, restamp
from otel_helicone.session_context.texts import (
    base_of,
    block_of,
    path_above,
    path_of,
    said_by,
    session_name_of,
)
from otel_helicone.settings import Settings

__all__ = [
    "SessionContext",
    "context_of_finished",
    "current_session",
    "resolve",
    "session_headers",
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

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle and copy the texts alone: what they came from belongs to this process."""
        texts = (self.id, self.path, self.name, self.user_id, dict(self.properties))
        return SessionContext, texts

    def headers(self) -> dict[str, str]:
        """Give the request headers that carry this session context to Helicone.

        They hold the names of this moment, which are fixed by it: a span that is renamed later
        keeps its text in this trace's paths.

        Returns:
            A new dict: ``Helicone-Session-Id``, ``-Path`` and ``-Name``, ``Helicone-User-Id`` and
            ``Helicone-Property-*``, those that there are.
        """
        try:
            if self._span is not None:
                fix_and_restamp(self._span)
                return dict(_header_pairs(_of_span(self._span, self._block, fix=True)))
        except Exception:
            log_failure_once("fixing the names in a session's path")
        return dict(_header_pairs(self))


def _header_pairs(context: SessionContext) -> Iterator[tuple[str, str]]:
    yield "Helicone-Session-Id", context.id
    yield "Helicone-Session-Path", context.path
    if context.name is not None:
        yield "Helicone-Session-Name", context.name
    if context.user_id is not None:
        yield "Helicone-User-Id", context.user_id
    for name, value in context.properties.items():
        yield f"Helicone-Property-{name}", value


def current_session() -> SessionContext | None:
    """Give the session context of this moment, from the current span and ``session(...)`` blocks.

    Returns:
        The session context, or None outside of every span and every block.
    """
    return _current(fix=False)


def session_headers() -> dict[str, str]:
    """Give the Helicone headers of this moment, for clients that can't be instrumented.

    Example::

        client.chat.completions.create(..., extra_headers=session_headers())

    Returns:
        A new dict, empty outside of every span and every block.
    """
    context = _current(fix=True)
    return {} if context is None else context.headers()


def _current(*, fix: bool) -> SessionContext | None:
    try:
        span = trace.get_current_span()
        return resolve(span, active_processors.settings_in_use(), fix=fix)
    except Exception:
        log_failure_once("looking for the current session")
        return None


def resolve(span: Span, defaults: Settings, *, fix: bool = False) -> SessionContext | None:
    """Resolve the session context of a span, by the rules of the session context.

    Args:
        span: the span that is current; an invalid one where there is none.
        defaults: the settings for spans that no processor has seen, such as unsampled ones.
        fix: whether a request is to carry the result, so that its texts have to stay.

    Returns:
        The session context; None where neither a span nor a block is there.
    """
    block = block_in(None) if blocks.in_use else None
    span_context = span.get_span_context()
    node = None
    if span_context.is_valid:
        node = node_of(span_context) or node_around(span)
    if node is not None:
        if fix and (node.texts is None or not node.texts.fixed):
            fix_and_restamp(node)
        return _of_span(node, block, fix=fix)
    if block is not None:
        path = "/" if block.base is None else block.base.path.text
        properties = _merged(defaults.properties, block.properties)
        return SessionContext(block.id, path, block.session_name, block.user_id, properties)
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
    """Give the session context of a span that has ended, with its names fixed.

    Args:
        node: the span's node.
        is_request: whether the span turned out to be the request itself, so that it adds no
            segment, whatever could be known of it while it was open.
    """
    if node.texts is None or not node.texts.fixed:
        fix_and_restamp(node)
    context = _of_span(node, None, fix=True)
    if is_request and node.texts is not None and node.texts.segment is not None:
        parent = parent_of(node)
        above = path_above(node)
        if above is None and parent is not None:
            above = path_of(parent)
        path = "/" if above is None else above.text
        return replace(context, path=path, _span=None, _block=None)
    return replace(context, _span=None, _block=None)


def _of_span(node: SpanNode, around: Block | None, *, fix: bool) -> SessionContext:
    chain = chain_of(node)
    root = chain[-1]
    settings = settings_of(root)
    said = _said_along(chain, settings)
    # A block that the span itself started in counts where its context did not come along.
    block = around or block_of(node)
    if block is None:
        session_id = said.session_id or _id_without_own(root, said.listed_id, settings)
        if _is_stamped_otherwise(node, session_id) or (
            said.session_id is not None and _is_any_stamped_otherwise(chain, settings)
        ):
            restamp(root)  # an id was set, since, on a span between this one and the root
        return SessionContext(
            session_id,
            path_of(node).text,
            session_name_of(root, said.session_name),
            said.user_id,
            _merged(settings.properties, said.properties)
            if settings.properties or said.properties
            else _NO_PROPERTIES,
            node,
        )
    if block.base is None or block.base is base_of(node):
        path = path_of(node).text
    else:
        # The block was entered inside the span: nothing of the span is in it.
        path = block.base.path.text
    name = block.session_name or session_name_of(root, said.session_name)
    if fix:
        block.fix_session_name(name)
    return SessionContext(
        block.id,
        path,
        name,
        block.user_id or said.user_id,
        _merged(settings.properties, said.properties, block.properties),
        node,
        around,
    )


def _id_without_own(root: SpanNode, listed_id: str | None, settings: Settings) -> str:
    """Give the session id of a trace in which no span sets one: sent, listed, or the trace id."""
    sent = remote_of(root)
    if sent is not None:
        return sent.id
    return listed_id or session_id_of_trace(root.context[0], settings.session_id_format)


def _is_stamped_otherwise(node: SpanNode, session_id: str) -> bool:
    stamped = stamped_on(node)
    if stamped is None or stamped[0] is None or stamped[0] == session_id:
        return False
    # Where the application set the id on this very span, its stamp was replaced for good.
    return node.texts is None or escape_session_id(node.texts.own_id) != session_id


def _is_any_stamped_otherwise(chain: list[SpanNode], settings: Settings) -> bool:
    """Tell whether the stamp of any ancestor is not what it says, or those above it say."""
    own: str | None = None
    listed: str | None = None
    for node in reversed(chain):
        said = _Said()
        said.hear(said_by(node, settings) or {}, settings)
        own, listed = said.session_id or own, said.listed_id or listed
        if said.session_id is None and _is_stamped_otherwise(
            node, own or _id_without_own(chain[-1], listed, settings)
        ):
            return True
    return False


class _Said:
    """What the attributes of a span and its ancestors say, the nearest of each kind."""

    session_id: str | None = None
    listed_id: str | None = None
    session_name: str | None = None
    user_id: str | None = None
    properties: dict[str, str] | None = None

    def hear(self, attributes: Mapping[str, object], settings: Settings) -> None:
        """Take in what a span says, after those below it."""
        if self.session_id is None:
            self.session_id = escape_session_id(attributes.get(HELICONE_SESSION_ID))
        if self.session_name is None:
            self.session_name = escape_value(attributes.get(HELICONE_SESSION_NAME))
        for attribute in settings.session_id_attributes:
            self.listed_id = self.listed_id or escape_session_id(attributes.get(attribute))
        for attribute in settings.user_id_attributes:
            self.user_id = self.user_id or escape_value(attributes.get(attribute))
        for attribute, name in settings.property_attributes.items():
            value = escape_value(attributes.get(attribute), MAX_PROPERTY_VALUE_LENGTH)
            if value is not None:
                self.properties = self.properties or {}
                self.properties.setdefault(name, value)


_NOTHING_SAID: Final = _Said()


def _said_along(chain: list[SpanNode], settings: Settings) -> _Said:
    said: _Said | None = None
    for node in chain:
        attributes = said_by(node, settings)
        if attributes:
            said = said or _Said()
            said.hear(attributes, settings)
    return said or _NOTHING_SAID


def _merged(*layers: Mapping[str, str] | None) -> Mapping[str, str]:
    """Merge properties, later layers first in rank, within what a request can carry."""
    filled = [layer for layer in layers if layer]
    if not filled:
        return _NO_PROPERTIES
    merged: dict[str, str] = {}
    length = 0
    for layer in reversed(filled):
        for name, value in layer.items():
            if name in merged:
                continue
            length += len("Helicone-Property-: \r\n") + len(name) + len(value)
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
