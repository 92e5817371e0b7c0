"""The texts of a span: its segment, its path, its session; and when they are frozen.

They follow from the names and the attributes of the span and of those above it. Both may change
until a request has carried a text: then it is frozen, with everything above it.

Nothing here waits for a lock that its own thread may hold, and no code of the application's runs
under the one lock that there is: each function may be interrupted by itself, in a signal handler,
in a finalizer or in another thread.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping

from opentelemetry.sdk.trace import ReadableSpan, Span

from otel_helicone.primitives.attribute_names import HELICONE_SESSION_ID, HELICONE_SESSION_NAME
from otel_helicone.primitives.escaping import (
    escape_segment,
    known_segments,
)
from otel_helicone.primitives.path import ROOT_PATH, Path
from otel_helicone.primitives.segments import (
    TELLING_ATTRIBUTES,
    default_segment,
    is_asking,
    name_of_segment,
    segment_of,
)
from otel_helicone.primitives.span_attributes import (
    NO_STAMPS,
    STAMPED,
    attributes_of,
    replace_attribute,
)
from otel_helicone.session_context import remote
from otel_helicone.session_context.blocks import PathBase
from otel_helicone.session_context.local_trace import (
    NOT_WORKED_OUT,
    STALE,
    LocalTrace,
    SpanNode,
    SpanSession,
    next_revision,
    open_spans,
)
from otel_helicone.session_context.span_sessions import describe_root, said_on, session_of

__all__ = [
    "base_of",
    "bring_up_to_date",
    "freeze",
    "keep",
    "know_as_call",
    "notice_changes",
    "path_above",
    "refresh",
    "work_out_plainly",
]

# Held for the few stores that freeze texts, and for those that must not follow them.
_freezing = threading.RLock()


def _renew_lock_after_fork() -> None:
    # Another thread of the parent process may have held it at the moment of the fork.
    global _freezing
    _freezing = threading.RLock()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_renew_lock_after_fork)


def notice_changes(node: SpanNode) -> None:
    """Look at the names and attributes of a span and of those above it, and bring texts up to date.

    What is stamped on open spans of the trace follows.
    """
    trace = node.trace
    settings = trace.settings
    beside_stamps = settings.statements_beside_stamps
    is_default = settings.segment is default_segment
    # A rule that is asked just now would give other answers than it does to its caller.
    link = None if is_asking() else node
    while link is not None:
        span = link() or getattr(link, "snapshot", None)
        if span is not None and link.revision != NOT_WORKED_OUT:
            attributes = attributes_of(span)
            stamps = link.stamps
            says_nothing = (
                link.said is None
                and attributes.get(HELICONE_SESSION_ID) is stamps[0]
                and attributes.get(HELICONE_SESSION_NAME) is stamps[2]
                and attributes.keys().isdisjoint(beside_stamps)
            )  # as said_on() would find out, for a third of the time
            if (not says_nothing and said_on(link, attributes, settings) != link.said) or (
                not link.is_frozen
                and (
                    span.name != link.name
                    or (
                        # What tells nothing now has told nothing before.
                        not (is_default and attributes.keys().isdisjoint(TELLING_ATTRIBUTES))
                        and _segment_of(link, span) != link.segment
                    )
                )
            ):
                refresh(trace)
                break
        link = link.parent
    bring_up_to_date(node)


def know_as_call(node: SpanNode) -> None:
    """Take a span for a call to a model itself from now on, as it will turn out to be at its end.

    It adds no segment then, nor has it added one to spans that are still open.
    """
    if getattr(node, "is_call", False):
        return
    node.is_call = True
    if node.revision != NOT_WORKED_OUT:
        refresh(node.trace)


def refresh(trace: LocalTrace) -> None:
    """Work out all texts of a local trace anew, and write them on its open spans.

    To be called when a name or an id was seen to have changed; what is frozen stays. Its cost is
    linear in the open spans of this trace, and independent of all others.
    """
    trace.revision = next_revision()
    for span_id in list(trace.open_ids or ()):
        node = open_spans.get(span_id)
        if node is not None and node.trace is trace:
            bring_up_to_date(node)


def bring_up_to_date(node: SpanNode) -> None:
    """Work out the texts of a span, and first those above it, where they are stale."""
    revision = node.trace.revision
    stale = []
    link: SpanNode | None = node
    while link is not None and link.revision != revision:
        stale.append(link)
        link = link.parent
    for link in reversed(stale):
        _work_out(link, revision)


def work_out_plainly(
    node: SpanNode, span: ReadableSpan, name: str, attributes: Mapping[str, object]
) -> bool:
    """Work out the texts of a span for the first time, if it says nothing of the session itself.

    By far the most spans are of this kind; the texts above it are up to date.

    Args:
        node: the span's node.
        span: the span.
        name: its name.
        attributes: its attributes.

    Returns:
        Whether it is of this kind; otherwise nothing was done.
    """
    # Written flat, as it runs for every span of the application that is stamped.
    trace, above = node.trace, node.parent
    settings = trace.settings
    if (
        settings.segment is not default_segment
        or type(name) is not str
        or getattr(node, "told", None) is not None
        or (attributes and not attributes.keys().isdisjoint(settings.statements_and_stamps))
    ):
        return False
    if above is None:
        if trace.is_continued or node.block is not None or remote.in_use:
            return False
    elif node.block is not above.block:
        return False
    scope = span.instrumentation_scope
    text = name_of_segment(name, span.kind, attributes, "" if scope is None else scope.name)
    segment = None if text is None else known_segments.get(text) or escape_segment(text)
    node.attributes = attributes
    node.said = node.seen_id = None
    node.name = name
    node.segment = segment
    if above is not None:
        node.session = above.session
        node.path = above.path if segment is None else Path(above.path, segment)
    else:
        describe_root(node)
        node.session = SpanSession(trace.default_id, trace.root_name)
        node.path = ROOT_PATH if segment is None else Path(ROOT_PATH, segment)
    return True


def _work_out(node: SpanNode, revision: int) -> None:
    trace = node.trace
    live = node()
    span: ReadableSpan | None = getattr(node, "snapshot", None) if live is None else live
    if node.revision == NOT_WORKED_OUT:
        if live is None:
            node.said = None
        elif node.stamps is NO_STAMPS and not getattr(node, "is_call", False):
            with _freezing:  # another thread may do the same
                if not node.is_frozen and work_out_plainly(
                    node, live, live.name, attributes_of(live)
                ):
                    node.revision = revision
                    return
    if span is not None:
        node.attributes = attributes = attributes_of(span)
        node.said = said_on(node, attributes, trace.settings)
        node.seen_id = attributes.get(HELICONE_SESSION_ID)
        _store_path(node, span.name, _segment_of(node, span))
    elif node.revision == NOT_WORKED_OUT and not getattr(node, "is_call", False):
        # Let go of before its end: its name at its start is all there is.
        _store_path(node, node.name, escape_segment(node.name))
    else:
        _store_path(node, node.name, getattr(node, "segment", None))
    if node.parent is None:
        describe_root(node)
    node.session = session_of(node)
    node.revision = STALE if is_asking() else revision
    if live is None and span is not None:
        del node.snapshot  # all of it is known now
    if live is not None and node.stamps is not NO_STAMPS:
        _write_stamps(node, live)


def _segment_of(node: SpanNode, span: ReadableSpan) -> str | None:
    if getattr(node, "is_call", False):
        return None
    return segment_of(span, node.trace.settings.segment)


def _store_path(node: SpanNode, name: str, segment: str | None) -> None:
    with _freezing:
        if not node.is_frozen:
            node.name = name
            node.segment = segment
            above = path_above(node)
            node.path = above if segment is None else Path(above, segment)


def base_of(node: SpanNode) -> PathBase | None:
    """Return what the path of a span starts from, None for the trace's root."""
    block = node.block
    return None if block is None else block.base


def path_above(node: SpanNode) -> Path:
    """Return where a span's own segment, if it adds one, is appended."""
    above = node.parent
    if above is not None and above.block is node.block:
        return above.path  # by far the most spans
    base = base_of(node)
    if above is not None and base is base_of(above):
        return above.path
    if base is not None:
        return base.path
    if above is None and node.trace.remote is not None:
        return node.trace.remote.path
    return ROOT_PATH


def freeze(node: SpanNode) -> None:
    """Freeze the texts of a span and of those above it, because a request is to carry them.

    They are up to date, by :func:`notice_changes`.
    """
    if node.is_frozen or is_asking():  # what a rule is asked with is not what it will answer
        return
    unfrozen = []
    link: SpanNode | None = node
    while link is not None and not link.is_frozen:
        unfrozen.append(link)
        link = link.parent
    has_changed = False
    with _freezing:
        for link in reversed(unfrozen):
            if link.is_frozen:
                continue
            # Another thread may have worked out a text above this one meanwhile.
            above, path = path_above(link), link.path
            if path is not above and path.parent is not above:
                link.path = above if link.segment is None else Path(above, link.segment)
                has_changed = True
            link.is_frozen = True
    if has_changed:
        refresh(node.trace)


def keep(node: SpanNode, span: ReadableSpan, *, for_log: bool) -> None:
    """Keep what an ended span says, for the spans below it or for its log.

    Args:
        node: the span's node.
        span: what the SDK tells of the span.
        for_log: whether the node is kept for long, so that it must not hold all that was said.
    """
    # The span itself goes first, where it is still there: a wrapper around processors, as Logfire's
    # scrubbing one, hands on a copy in which even the stamps may say something else.
    live = node()
    attributes = attributes_of(span if live is None else live)
    if not for_log and attributes_of(span) is attributes:
        node.snapshot = span
        if node.revision == NOT_WORKED_OUT or (
            span.name == node.name and attributes.get(HELICONE_SESSION_ID) is node.seen_id
        ):
            return  # maybe nobody ever asks
    said = said_on(node, attributes, node.trace.settings)
    name, segment = span.name, segment_of(live or span, node.trace.settings.segment)
    if node.revision == NOT_WORKED_OUT:
        node.attributes, node.said, node.name, node.segment = attributes, said, name, segment
        node.revision = STALE
    elif said != node.said or (not node.is_frozen and (name, segment) != (node.name, node.segment)):
        node.said = said
        with _freezing:
            if not node.is_frozen:
                node.name, node.segment = name, segment
        refresh(node.trace)


def _write_stamps(node: SpanNode, span: Span) -> None:
    """Write a span's texts on it, where others were written before."""
    session = node.session
    before_all = node.stamps
    written = list(before_all)
    texts = (session.id, node.path.text, session.name)
    for index, text in enumerate(texts):
        before = written[index]
        if before is not None and before != text:
            # None for what the application has set since, or what was evicted.
            written[index] = replace_attribute(span, STAMPED[index], before, text)
    if node.said is not None and HELICONE_SESSION_ID in node.said:
        written[0] = None  # the application's from now on, even if it sets the text that was ours
    elif written[0] is not before_all[0]:
        node.seen_id = written[0]
    node.stamps = (written[0], written[1], written[2])
