"""Open spans, each linked to its parent, found by their ids.

The cost of a span at its start is one small object and one dict entry, whatever the depth of its
trace; see ``SpanNode`` for why nothing more is stored then. Paths come out of the links when they
are needed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import UUID
from weakref import ref

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.trace import SpanContext

from otel_helicone.attribute_names import (
    HELICONE_SESSION_ID,
    HELICONE_SESSION_NAME,
    HELICONE_SESSION_PATH,
)
from otel_helicone.session_context.segments import segment_of
from otel_helicone.settings import DEFAULT_SETTINGS, SessionIdFormat, Settings

if TYPE_CHECKING:
    from otel_helicone.session_context.blocks import Block
    from otel_helicone.session_context.path import Path
    from otel_helicone.session_context.remote import RemoteSession

__all__ = [
    "STAMPED",
    "SaidIds",
    "SpanNode",
    "SpanTexts",
    "Stamps",
    "are_unchanged",
    "chain_of",
    "forget",
    "is_ours",
    "keep_texts",
    "node_around",
    "node_of",
    "note_child",
    "open_spans",
    "parent_of",
    "said_attributes",
    "session_id_of_trace",
    "settings_of",
    "stamped_on",
    "texts_lock",
    "texts_of",
]


class SpanNode(ref[Span]):
    """A weak reference to an open span, with a strong one to its parent's node.

    So the node lives as long as the span object does in the application, or as a span below it;
    nothing here keeps the span itself alive. Being the weak reference itself, and having its slots
    filled by the processor instead of by a constructor, it costs half of what a plain object
    beside a weak reference does (0.35 against 0.75 µs).
    """

    __slots__ = ("block", "context", "parent", "remote", "settings", "stamped", "texts")

    context: SpanContext
    parent: SpanNode | None
    """The parent's node; None at a local root and where nothing is known of the parent."""
    texts: SpanTexts | None
    """What was said about the span so far; None while nobody has asked."""
    settings: Settings
    """Set only on nodes without a parent; it holds for the whole local trace."""
    stamped: Stamps | None
    """What was written on the span, to tell it from what the application sets; set only where
    the processor stamps."""
    block: Block | None
    """The session block that the span started in; set only once blocks are in use."""
    remote: RemoteSession | None
    """What the calling service sent; set only on local roots, once any session came from one."""


Stamps: TypeAlias = tuple[str | None, str | None, str | None]
"""The texts of :data:`STAMPED`, in this order; None for one that was not written."""

STAMPED: Final = (HELICONE_SESSION_ID, HELICONE_SESSION_PATH, HELICONE_SESSION_NAME)
"""The attributes that this library writes on spans."""


class SpanTexts:
    """What a span says about the session, kept apart so that most spans do without.

    Its attributes have their defaults on the class, so that making one costs nothing for those
    that are never set (a third of what a constructor costs).
    """

    name: object = None
    """The span's name as it was last read."""
    segment: str | None = None
    path: Path | None = None
    fixed: bool = False
    """Whether a request has carried the segment and the path, which then stay."""
    ended: bool = False
    outlived: bool = False
    """Whether something may ask after the span's end: it has children, or sent a request."""
    attributes: Mapping[str, object] | None = None
    """What the attributes said at the span's end."""
    quiet_count: int = -1
    """How many attributes there were when none but the stamps was of interest."""
    view: Mapping[str, object] | None = None
    """The attributes of a stamped span that has children, live, until it ends or is let go of.

    The SDK makes a new view at each look, which costs as much as the rest of a look together."""
    session_name: str | None = None
    """At a local root: the name of the trace's session."""
    request_id: str | None = None
    """The ``helicone.request.id`` that this library wrote last."""

    # The rest is there for stamped spans that have children only.
    root: SpanNode | None = None
    """The local root; None at the root itself, which must not hold itself alive."""
    said: SaidIds | None = None
    settings: Settings | None = None
    """Those of the local root, which hold for the whole trace."""
    effective_name: str | None = None
    """The name of the session that spans below this one belong to."""
    own_id: object = None
    """The attribute ``helicone.session.id`` as the application was last seen to have set it."""


class SaidIds:
    """What a span and those above it say of the session; shared where a span adds nothing."""

    __slots__ = (
        "default_id",
        "is_remote",
        "listed_id",
        "own_id",
        "session_id",
        "session_name",
    )

    def __init__(
        self,
        default_id: str,
        own_id: str | None = None,
        listed_id: str | None = None,
        session_name: str | None = None,
        *,
        is_remote: bool = False,
    ) -> None:
        self.default_id = default_id
        """The trace id as a session id, or the one that the calling service sent."""
        self.is_remote = is_remote
        """Whether the calling service sent it: then no listed attribute counts."""
        self.own_id = own_id
        self.listed_id = listed_id
        self.session_name = session_name
        self.session_id = own_id or listed_id or default_id
        """The one of the three ids that counts."""


# A limit on the length of attributes cuts the stamps as well. One below this would make every
# attribute of the application unreadable; what is shorter than this is the application's own.
_SHORTEST_CUT: Final = 16

# Keyed by the span id alone: a pair with the trace id would cost another 0.25 µs for each span.
# Two live spans of one id are told apart where they are looked up.
open_spans: Final[dict[int, SpanNode]] = {}

# Held for the few stores that fix texts. Re-entrant, because code of the application may run in the
# middle of them all the same: a signal handler, or a finalizer that the garbage collector calls.
texts_lock = threading.RLock()


def _renew_lock_after_fork() -> None:
    # Another thread of the parent process may have held it at the moment of the fork.
    global texts_lock
    texts_lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_renew_lock_after_fork)


def forget(node: SpanNode) -> None:
    """Drop a span from the open ones; called when the application has let go of it."""
    span_id = node.context[1]
    # A generator of ids that repeats itself may have given the id to another span since.
    if open_spans.get(span_id) is node:
        del open_spans[span_id]
    if node.texts is not None:
        node.texts.view = None


def node_of(context: SpanContext) -> SpanNode | None:
    """Find the node of a span by its span context, whatever object wraps the span."""
    node = open_spans.get(context[1])
    if node is None or node.context[0] != context[0]:
        return None
    return node


def node_around(span: trace.Span) -> SpanNode | None:
    """Find the node of the parent of a span that no processor has seen.

    Spans of a provider without the processor tell their parent, where they are the SDK's own. One
    such span between two that are known leaves a gap of its segment, and nothing more.
    """
    parent = getattr(span, "parent", None)
    if not isinstance(parent, SpanContext) or parent.is_remote:
        return None
    node = node_of(parent)
    # A wrapper may tell anything.
    return node if parent.trace_id == span.get_span_context().trace_id else None


def parent_of(node: SpanNode) -> SpanNode | None:
    """Give the node of a span's parent in this process, or None."""
    parent = node.parent
    # A different trace id means that two live spans share an id: the link is to the other one.
    if parent is None or parent.context[0] != node.context[0]:
        return None
    return parent


def chain_of(node: SpanNode) -> list[SpanNode]:
    """Give the span and its ancestors in this process, the local root last."""
    chain = [node]
    trace_id = node.context[0]
    parent = node.parent
    while parent is not None and parent.context[0] == trace_id:
        chain.append(parent)
        parent = parent.parent
    return chain


def session_id_of_trace(trace_id: int, id_format: SessionIdFormat) -> str:
    """Give the session id that a trace stands for where nothing else supplies one.

    Args:
        trace_id: the trace id.
        id_format: ``"hex"`` for 32 lowercase digits, as tracing backends show them, or ``"uuid"``.
    """
    return f"{trace_id:032x}" if id_format == "hex" else str(UUID(int=trace_id))


def settings_of(root: SpanNode) -> Settings:
    """Give the settings that hold in a local trace, by its root."""
    return getattr(root, "settings", DEFAULT_SETTINGS)


def stamped_on(node: SpanNode) -> Stamps | None:
    """Give what was written on a span, None where its processor does not stamp."""
    return getattr(node, "stamped", None)


def said_attributes(
    span: ReadableSpan, stamped: Stamps | None, wanted: frozenset[str]
) -> Mapping[str, object] | None:
    """Give what the application says of the session on a span, without this library's stamps."""
    attributes = span.attributes
    if not attributes:
        return None
    names = wanted.intersection(attributes)
    if not names:
        return None
    said = {name: attributes.get(name) for name in names}
    if stamped is not None:
        for name, text in zip(STAMPED, stamped, strict=True):
            if text is not None and name in said and is_ours(said[name], text):
                del said[name]
    return said or None


def is_ours(found: object, text: str | None) -> bool:
    """Tell whether an attribute is the text that was written, maybe cut by the SDK's limit."""
    if found == text:
        return True
    if type(found) is not str or text is None:
        return False
    return len(found) >= _SHORTEST_CUT and text.startswith(found)


def are_unchanged(attributes: Mapping[str, object], stamped: Stamps) -> bool:
    """Tell whether the stamps that others could have replaced to say more are as written."""
    try:
        return is_ours(attributes[HELICONE_SESSION_ID], stamped[0]) and is_ours(
            attributes[HELICONE_SESSION_NAME], stamped[2]
        )
    except KeyError:
        return False


def texts_of(node: SpanNode) -> SpanTexts:
    """Give a node's texts, made where there are none yet; never in place of those of a rival."""
    if node.texts is None:
        with texts_lock:
            if node.texts is None:
                node.texts = SpanTexts()
    return node.texts


def note_child(parent: SpanNode, settings: Settings) -> None:
    """Remember that a span has children: what it says must outlive it."""
    texts = texts_of(parent)
    texts.outlived = True
    span = parent()
    if span is None:
        return
    if span.end_time is not None:
        keep_texts(parent, span, settings)
        return
    if stamped_on(parent) is not None:
        texts.view = span.attributes
    if texts.path is None:
        name, segment = span.name, segment_of(span, settings.segment)
        with texts_lock:
            if not texts.fixed:
                texts.name, texts.segment = name, segment


def keep_texts(node: SpanNode, span: ReadableSpan, settings: Settings) -> bool:
    """Keep what an ended span says, for the spans below it that outlive it.

    Returns:
        Whether its name is not the one that was stamped on the spans below it.
    """
    texts = node.texts
    if texts is None or texts.ended:
        return False
    settings = texts.settings or settings
    texts.attributes = said_attributes(span, stamped_on(node), settings.wanted_attributes)
    texts.view = None
    segment = segment_of(span, settings.segment)
    renamed = False
    with texts_lock:
        if not texts.fixed:
            renamed = texts.said is not None and texts.name != span.name
            texts.name = span.name
            texts.segment = segment
        texts.ended = True
    return renamed
