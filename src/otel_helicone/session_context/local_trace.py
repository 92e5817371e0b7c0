"""Open spans, each linked to its parent, found by their ids; and what those of a trace share."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from sys import getrefcount
from typing import TYPE_CHECKING, Final
from uuid import UUID
from weakref import ref

from opentelemetry import trace as trace_api
from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.trace import SpanContext

from otel_helicone.primitives.span_attributes import Stamps
from otel_helicone.settings.processor import ProcessorSettings, SessionIdFormat

if TYPE_CHECKING:
    from otel_helicone.primitives.path import Path
    from otel_helicone.session_context.blocks import Block
    from otel_helicone.session_context.remote import RemoteSession

__all__ = [
    "NOT_WORKED_OUT",
    "REFERENCES_TO_A_LEAF",
    "STALE",
    "LocalTrace",
    "SpanNode",
    "SpanSession",
    "effective_block",
    "is_above",
    "next_revision",
    "node_around",
    "node_of",
    "open_spans",
    "session_id_of_trace",
]

NOT_WORKED_OUT: Final = 0
"""The revision of a node whose texts nobody has asked for yet."""

STALE: Final = -1
"""The revision of a node whose texts have to be worked out anew the next time."""


def _references_to_a_leaf() -> int:
    table = {0: object()}
    node = table[0]
    return getrefcount(node)


REFERENCES_TO_A_LEAF: Final = _references_to_a_leaf()
"""What ``sys.getrefcount`` returns for a node that no other one refers to as its parent.

There are the table of open spans, a variable, and up to Python 3.13 the argument of that function.
To count references costs a twentieth of what it costs to keep what each ended span says; where
there are more of them, what a span says is kept once too often.
"""

_FIRST_REVISION: Final = 1
# One count for all traces: two threads that notice a change at the same moment get two numbers.
next_revision: Final = count(_FIRST_REVISION + 1).__next__


class SpanSession:
    """The session that spans belong to; one object for all spans that say nothing of their own.

    Never changed once it is made: where an id or a name has changed, the spans get another one.
    """

    __slots__ = ("block", "id", "listed_id", "name", "own_id", "own_name")

    def __init__(
        self,
        session_id: str,
        name: str,
        own_id: str | None = None,
        listed_id: str | None = None,
        own_name: str | None = None,
        block: Block | None = None,
    ) -> None:
        self.id = session_id
        """The id that counts."""
        self.name = name
        """The name that counts."""
        self.own_id = own_id
        """What ``helicone.session.id`` says, on the nearest span that has it."""
        self.listed_id = listed_id
        """What an attribute that the user listed says, likewise."""
        self.own_name = own_name
        """What ``helicone.session.name`` says, likewise."""
        self.block = block
        """The block that goes before all of these."""


class LocalTrace:
    """What the spans below one local root share.

    A local root is a span without a parent, with a parent in another service, or with one that no
    processor of this library has seen.
    """

    block: Block | None = None
    """What :func:`otel_helicone.set_session` has set for the rest of the trace."""
    default_id: str
    """The trace id as a session id; set when the root's texts are worked out."""
    has_own_names: bool = False
    """Whether an attribute of any span names a session."""
    is_continued: bool = False
    """Whether the trace began elsewhere, so that another local trace may have the same id."""
    open_ids: set[int] | None = None
    """The span ids of stamped spans that the application still holds; None for no stamped ones."""
    remote: RemoteSession | None = None
    """What the calling service sent."""
    revision: int = _FIRST_REVISION
    """Changes whenever a name or an id was seen to have changed; then all texts are stale."""
    root_id: int
    """The span id of the local root."""
    root_name: str
    """The name of the local root, as a session's name; set with ``default_id``."""
    sent_names: dict[str, str] | None = None
    """The names that sessions of this trace were first sent with, by their ids."""
    settings: ProcessorSettings
    """The settings of the processor that saw the local root; they hold for the whole trace."""


class SpanNode(ref[Span]):
    """A weak reference to a span, with a strong one to its parent's node.

    So the node lives as long as the span object does in the application, or as a span below it;
    nothing here keeps the span itself alive. Being the weak reference itself, and having its slots
    filled by :func:`~otel_helicone.session_context.linking.link` instead of by a constructor, it
    costs half of what a plain object beside a weak reference does.

    A span goes through these states, one after the other:

    *linked*
        Found by its id, and linked to its parent's node. That is all for a span that is not
        stamped, until somebody asks.
    *worked out*
        Its texts (segment, path, session) are known, as they follow from names and attributes. They
        are stale when the trace's revision is another one.
    *frozen*
        A request has carried name, segment and path, which stay.
    *ended*
        The span has ended. What it says is kept here where a span below it is still there, or where
        its log is still to be made, and will not change.
    *released*
        The application has let go of the span: it is no longer found by its id.
    """

    # What is not set at the start of each span is set when it is first needed: each of the slots
    # costs every span of the application 20 ns.
    __slots__ = (
        "at_start",
        "attributes",
        "block",
        "context",
        "is_call",
        "is_frozen",
        "name",
        "parent",
        "path",
        "request_id",
        "revision",
        "said",
        "seen_id",
        "segment",
        "session",
        "snapshot",
        "stamps",
        "told",
        "trace",
    )

    context: SpanContext
    parent: SpanNode | None
    """The parent's node; None at a local root."""
    trace: LocalTrace
    name: str
    """The span's name as it was last read."""
    revision: int
    """The trace's revision when the texts were worked out, :data:`NOT_WORKED_OUT` before."""

    block: Block | None
    """The session block that the span started in."""
    told: Mapping[str, object] | None
    """What libraries knew of the session where the span started, where any was asked."""
    stamps: Stamps
    """What was written on the span, to tell it from what the application sets."""

    is_frozen: bool
    """Whether a request has carried the path, so that name, segment and path stay."""

    # Set when the texts are worked out.
    attributes: Mapping[str, object]
    """The span's attributes, live until it is released."""
    said: Mapping[str, object] | None
    """The span's attributes that say something of the session, this library's own aside."""
    seen_id: object
    """The attribute ``helicone.session.id``, whoever has set it, as it was last read."""
    segment: str | None
    path: Path
    session: SpanSession

    # Set at the start of a span that tells of a call, while an exporter is in use.
    at_start: Mapping[str, object]
    """What it told of the call then."""

    # Set when a span ends that one below it outlives.
    snapshot: ReadableSpan
    """What the SDK told of the span at its end, until somebody asks."""

    # Set when a library tells it.
    is_call: bool
    """True: the span is a call to a model itself, whatever it looks like."""

    # Set when Helicone has answered a request of the span.
    request_id: str
    """The ``helicone.request.id`` that this library wrote last."""


# Keyed by the span id alone: a pair with the trace id would cost another 0.25 µs for each span.
# Two live spans of one id are told apart where they are looked up.
open_spans: Final[dict[int, SpanNode]] = {}


def node_of(span: trace_api.Span) -> SpanNode | None:
    """Return the node of a span, whatever object wraps it, or of the span around it.

    A span of a provider without the processor tells its parent, where it is the SDK's own. One
    such span between two that are known leaves a gap of its segment, and nothing more.
    """
    context = span.get_span_context()
    node = open_spans.get(context[1])
    if node is not None and node.context[0] == context[0]:
        return node
    return node_around(span) if context.is_valid else None


def node_around(span: trace_api.Span) -> SpanNode | None:
    """Return the node of a span's parent, where the span tells it and it is known."""
    parent = getattr(span, "parent", None)
    if not isinstance(parent, SpanContext) or parent.is_remote:
        return None
    node = open_spans.get(parent.span_id)
    # A wrapper may tell anything.
    same_trace = span.get_span_context().trace_id == parent.trace_id
    return node if node is not None and same_trace and node.context[0] == parent.trace_id else None


def is_above(node: SpanNode, other: SpanNode) -> bool:
    """Return whether a span is an ancestor of another one."""
    link = other.parent
    while link is not None:
        if link is node:
            return True
        link = link.parent
    return False


def effective_block(block: Block | None, trace: LocalTrace) -> Block | None:
    """Return what goes before attributes: a block, or what was set for the trace since it began.

    Args:
        block: the block of the context or of a span, if any.
        trace: the local trace.
    """
    of_trace = trace.block
    if of_trace is None or (block is not None and block.order > of_trace.order):
        return block
    return of_trace


def session_id_of_trace(trace_id: int, id_format: SessionIdFormat) -> str:
    """Return the session id that a trace stands for where nothing else supplies one.

    Args:
        trace_id: the trace id.
        id_format: ``"hex"`` for 32 lowercase digits, as tracing backends show them, or ``"uuid"``.
    """
    return f"{trace_id:032x}" if id_format == "hex" else str(UUID(int=trace_id))
