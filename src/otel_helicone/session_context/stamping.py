"""The session context as span attributes, so that every tracing backend can link to Helicone.

Attributes can be set while a span is open only. So they are written at its start, from what its
parent's say and in constant time, and written anew on the spans still open when a name or an id
above them has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace import Span
from opentelemetry.trace import SpanKind

from otel_helicone.attribute_names import (
    HELICONE_SESSION_ID,
    HELICONE_SESSION_NAME,
    HELICONE_SESSION_PATH,
)
from otel_helicone.session_context import ancestry, blocks
from otel_helicone.session_context.ancestry import (
    STAMPED,
    SaidIds,
    SpanNode,
    SpanTexts,
    Stamps,
    chain_of,
    is_ours,
    note_child,
    open_spans,
    parent_of,
    session_id_of_trace,
    settings_of,
    stamped_on,
    texts_of,
)
from otel_helicone.session_context.escaping import (
    escape_segment,
    escape_session_id,
    escape_value,
    known_segments,
)
from otel_helicone.session_context.path import Path
from otel_helicone.session_context.remote import remote_of
from otel_helicone.session_context.segments import default_segment, is_asking, segment_of
from otel_helicone.session_context.texts import (
    block_of,
    fix_texts,
    name_and_segment,
    name_of_root,
    path_above,
    said_by,
)
from otel_helicone.settings import Settings

_INTERNAL: Final = SpanKind.INTERNAL

__all__ = ["fix_and_restamp", "restamp", "stamp_at_start"]


def stamp_at_start(node: SpanNode, span: Span, settings: Settings, attribute_limit: int) -> None:
    """Write the session context of a span that has just started as its attributes.

    Args:
        node: the span's node, linked to its parent.
        span: the span itself.
        settings: the settings of the processor.
        attribute_limit: how many attributes a span can hold. Past it the SDK drops the oldest, so
            a span that is nearly full is left alone.
    """
    # Written flat, as it runs for every span; each call that is saved is a fiftieth of its cost.
    parent = node.parent
    above = None
    if parent is not None and parent.context[0] == node.context[0]:
        above = parent.texts
        if above is None or above.said is None or above.path is None or not above.outlived:
            above = _texts_to_inherit(parent, settings)
        root = above.root
        settings = above.settings or settings
        # The parent and the root are where frameworks rename and applications set ids; a change in
        # between shows when a request is sent. To look at every ancestor would make the cost of a
        # span depend on its depth.
        if _is_stale(parent, above) or (root is not None and _is_stale(root, root.texts)):
            restamp(root or parent)
    attributes = span.attributes
    if (
        above is not None
        and not attributes
        and span.kind is _INTERNAL
        and settings.segment is default_segment
        and not blocks.in_use
    ):
        # By far the most spans: a step inside another one that says nothing of its own. Nothing
        # but the stamps is made, until something below it asks.
        name = span.name
        segment = (known_segments.get(name) if type(name) is str else None) or escape_segment(name)
        path, said = above.path, above.said
        if TYPE_CHECKING:
            assert path is not None
            assert said is not None
        stamps = (
            said.session_id,
            path.prefix + segment if len(segment) <= path.room else path.text_of_child(segment),
            above.effective_name,
        )
    else:
        node.texts = texts = SpanTexts()
        texts.name = span.name
        texts.segment = segment_of(span, settings.segment)
        node.stamped = None
        own = said_by(node, settings) if attributes else None
        _derive(node, texts, parent if above is not None else None, above, own, settings)
        stamps = _stamps(node, texts)
        if own is not None:
            texts.own_id = own.get(HELICONE_SESSION_ID)
    if not attributes:
        set_attribute = span.set_attribute
        set_attribute(HELICONE_SESSION_ID, stamps[0])
        set_attribute(HELICONE_SESSION_PATH, stamps[1])
        if stamps[2] is not None:
            set_attribute(HELICONE_SESSION_NAME, stamps[2])
        node.stamped = stamps
    elif len(attributes) + 3 <= attribute_limit:
        node.stamped = _stamp_beside(span, attributes, stamps)


def _stamp_beside(
    span: Span, attributes: Mapping[str, object], stamps: tuple[str, str, str | None]
) -> Stamps:
    """Write the stamps on a span that has attributes; those that the application set stay."""
    written: list[str | None] = []
    for name, text in zip(STAMPED, stamps, strict=True):
        if text is not None and name not in attributes:
            span.set_attribute(name, text)
            written.append(text)
        else:
            written.append(None)
    return written[0], written[1], written[2]


def restamp(root: SpanNode) -> None:
    """Derive all texts of a local trace anew, and write them on its open spans.

    To be called when a name or an id was seen to have changed; what is fixed stays.

    Args:
        root: the local root.
    """
    settings = settings_of(root)
    refreshed: set[int] = set()
    for node in list(open_spans.values()):
        if stamped_on(node) is None or _root_of(node) is not root:
            continue
        for link in reversed(chain_of(node)):
            if id(link) not in refreshed:
                refreshed.add(id(link))
                _refresh(link, settings)


def _root_of(node: SpanNode) -> SpanNode:
    """Give the local root of a stamped span, going up no further than to one that knows it."""
    link = node
    while link.texts is None or link.texts.said is None:
        parent = parent_of(link)
        if parent is None:
            return link
        link = parent
    return link.texts.root or link


def fix_and_restamp(node: SpanNode) -> None:
    """Fix the texts that lead to a span, because a request is to carry them."""
    if is_asking():
        return  # what the rule is asked with is not what it will answer
    root = fix_texts(node)
    if root is not None:
        restamp(root)


def _refresh(node: SpanNode, settings: Settings) -> None:
    texts = texts_of(node)
    parent = parent_of(node)
    _read(node, texts, settings)
    above = None if parent is None else _derived_texts(parent, settings)
    _derive(node, texts, parent, above, said_by(node, settings), settings)
    span = node()
    stamped = stamped_on(node)
    if span is None or stamped is None or not span.is_recording():
        return
    attributes = span.attributes or {}
    written = list(stamped)
    for index, text in enumerate(_stamps(node, texts)):
        name, before = STAMPED[index], written[index]
        # Neither what the application set since, nor what was evicted, is written again.
        if text is None or before is None or before == text:
            continue
        if is_ours(attributes.get(name), before):
            span.set_attribute(name, text)
            written[index] = text
    found = attributes.get(HELICONE_SESSION_ID)
    texts.own_id = None if is_ours(found, written[0]) else found
    if texts.own_id is not None:
        written[0] = None  # the application's from now on, even if it sets the text that was ours
    node.stamped = (written[0], written[1], written[2])


def _texts_to_inherit(parent: SpanNode, settings: Settings) -> SpanTexts:
    """Make the texts of a span that gets its first child, as they are at this moment."""
    texts = _derived_texts(parent, settings)
    if not texts.outlived:
        note_child(parent, settings)
    stamped = stamped_on(parent)
    if stamped is not None and texts.path is not None and stamped[1] != texts.path.text:
        _refresh(parent, settings)  # renamed since its start
    return texts


def _is_stale(node: SpanNode, texts: SpanTexts | None) -> bool:
    """Tell whether a span's name, or the session id on it, is another than its texts say."""
    span = node()
    if span is None or texts is None or texts.ended:
        return False
    if span.name != texts.name and not texts.fixed:
        return True
    try:
        # No test for what may be missing: each would cost as much as the look-up.
        found = texts.view[HELICONE_SESSION_ID]  # type: ignore[index]
        if found == node.stamped[0] or found == texts.own_id:  # type: ignore[index]
            return False
        return not is_ours(found, node.stamped[0])  # type: ignore[index]
    except (AttributeError, KeyError, TypeError):
        return False  # evicted, or never written


def _derived_texts(node: SpanNode, settings: Settings) -> SpanTexts:
    """Give a node's texts; derive them first, and those above it, where nobody has asked yet."""
    missing: list[SpanNode] = []
    link: SpanNode | None = node
    above: SpanTexts | None = None
    while link is not None:
        texts = link.texts
        if texts is not None and texts.path is not None and texts.said is not None:
            above = texts
            break
        missing.append(link)
        link = parent_of(link)
    parent = link
    for link in reversed(missing):
        texts = texts_of(link)
        _read(link, texts, settings)
        _derive(link, texts, parent, above, said_by(link, settings), settings)
        above, parent = texts, link
    assert above is not None
    return above


def _read(node: SpanNode, texts: SpanTexts, settings: Settings) -> None:
    name, segment = name_and_segment(node, settings)
    with ancestry.texts_lock:
        if not texts.fixed:
            texts.name, texts.segment = name, segment


def _derive(
    node: SpanNode,
    texts: SpanTexts,
    parent: SpanNode | None,
    above: SpanTexts | None,
    attributes: Mapping[str, object] | None,
    settings: Settings,
) -> None:
    """Work out a span's texts from its parent's and from what it says itself."""
    if above is None:
        remote = remote_of(node)
        if remote is None:
            said = SaidIds(session_id_of_trace(node.context[0], settings.session_id_format))
        else:
            said = SaidIds(remote.id, is_remote=True)
        if not texts.fixed:
            texts.session_name = name_of_root(texts.name) if remote is None else remote.name
    else:
        assert above.said is not None
        said = above.said
        texts.root = above.root or parent
        settings = above.settings or settings
    texts.settings = settings
    texts.said = said if attributes is None else _heard(said, attributes, settings)
    texts.effective_name = _name(texts.said, texts if texts.root is None else texts.root.texts)
    if not texts.fixed:
        start = None if above is None or blocks.in_use else above.path
        if start is None:
            start = path_above(node) or (above.path if above is not None else None) or Path.root()
        path = start if texts.segment is None else start.child(texts.segment)
        with ancestry.texts_lock:
            if not texts.fixed:
                texts.path = path


def _heard(above: SaidIds, attributes: Mapping[str, object], settings: Settings) -> SaidIds:
    listed = None
    for attribute in () if above.is_remote else settings.session_id_attributes:
        listed = listed or escape_session_id(attributes.get(attribute))
    return SaidIds(
        above.default_id,
        escape_session_id(attributes.get(HELICONE_SESSION_ID)) or above.own_id,
        listed or above.listed_id,
        escape_value(attributes.get(HELICONE_SESSION_NAME)) or above.session_name,
        is_remote=above.is_remote,
    )


def _stamps(node: SpanNode, texts: SpanTexts) -> tuple[str, str, str | None]:
    """Give the texts that say where a span is."""
    said, path = texts.said, texts.path
    assert said is not None
    assert path is not None
    session_id = said.session_id
    name = texts.effective_name
    block = block_of(node) if blocks.in_use else None
    if block is not None:
        session_id = block.id
        name = block.session_name or name
    return session_id, path.text, name


def _name(said: SaidIds, at_root: SpanTexts | None) -> str | None:
    """Give the name of a trace's session: fixed, else said by an attribute, else the root's."""
    if at_root is None:
        return said.session_name
    if at_root.fixed or said.session_name is None:
        return at_root.session_name
    return said.session_name
