"""The texts of a span: its segment, its path, its session's name; and when they are fixed.

A span's name may change until a request has carried it. So paths are made from the names of the
moment, until a request is about to carry one: then it is fixed, with everything above it.
"""

from __future__ import annotations

from collections.abc import Mapping

from otel_helicone.attribute_names import HELICONE_SESSION_NAME
from otel_helicone.session_context import ancestry
from otel_helicone.session_context.ancestry import (
    SpanNode,
    are_unchanged,
    chain_of,
    parent_of,
    said_attributes,
    settings_of,
    stamped_on,
    texts_of,
)
from otel_helicone.session_context.blocks import Block, PathBase
from otel_helicone.session_context.escaping import UNNAMED_SEGMENT, escape_segment, escape_value
from otel_helicone.session_context.path import Path
from otel_helicone.session_context.remote import remote_of
from otel_helicone.session_context.segments import segment_of
from otel_helicone.settings import Settings

__all__ = [
    "base_of",
    "block_of",
    "fix_texts",
    "name_and_segment",
    "name_of_root",
    "path_above",
    "path_of",
    "said_by",
    "session_name_of",
]


def block_of(node: SpanNode) -> Block | None:
    """Give the block that a span started in."""
    return getattr(node, "block", None)


def base_of(node: SpanNode) -> PathBase | None:
    """Give what the path of a span starts from, None for the trace's root."""
    block = block_of(node)
    return None if block is None else block.base


def path_above(node: SpanNode) -> Path | None:
    """Give where a span's path starts if it is the first one in it, else None."""
    parent = parent_of(node)
    base = base_of(node)
    if parent is not None and base_of(parent) is base:
        return None
    if base is not None:
        return base.path
    remote = remote_of(node) if parent is None else None
    return Path.root() if remote is None else remote.path


def name_and_segment(node: SpanNode, settings: Settings) -> tuple[object, str | None]:
    """Read a span's name and segment as they are now, or as they were when it was let go."""
    texts = node.texts
    if texts is not None and (texts.fixed or texts.ended):
        return texts.name, texts.segment
    span = node()
    if span is not None:
        return span.name, segment_of(span, settings.segment)
    if texts is not None:
        return texts.name, texts.segment
    return None, escape_segment(None)


def said_by(node: SpanNode, settings: Settings) -> Mapping[str, object] | None:
    """Give what the application says of the session on a span, also after the span's end."""
    span = node()
    texts = node.texts
    if span is None:
        return None if texts is None else texts.attributes
    stamped = stamped_on(node)
    if texts is None or stamped is None:
        return said_attributes(span, stamped, settings.wanted_attributes)
    attributes = texts.view or span.attributes
    count = len(attributes) if attributes else 0
    if (
        attributes
        and count == texts.quiet_count
        and span.dropped_attributes == 0
        and are_unchanged(attributes, stamped)
    ):
        # None was added since, and none can be taken away or have made room for another: a third
        # of the cost of looking at all of them.
        return None
    said = said_attributes(span, stamped, settings.wanted_attributes)
    texts.quiet_count = count if said is None else -1
    return said


def path_of(node: SpanNode) -> Path:
    """Give a span's path: as it was fixed, else from the names of this moment."""
    if node.texts is not None and node.texts.fixed and node.texts.path is not None:
        return node.texts.path
    open_ended: list[SpanNode] = []
    above: Path | None = None
    link: SpanNode | None = node
    while link is not None and above is None:
        texts = link.texts
        if texts is not None and texts.fixed and texts.path is not None:
            above = texts.path
            break
        open_ended.append(link)
        above = path_above(link)
        link = parent_of(link)
    path = above or Path.root()
    if open_ended:
        settings = settings_of(chain_of(node)[-1])
        for link in reversed(open_ended):
            _, segment = name_and_segment(link, settings)
            path = path if segment is None else path.child(segment)
    return path


def session_name_of(root: SpanNode, said_name: str | None) -> str | None:
    """Give the name of a local trace's session.

    Args:
        root: the local root.
        said_name: the name that an attribute sets, which counts until the name is fixed.
    """
    texts = root.texts
    if texts is not None and texts.fixed:
        return texts.session_name
    if said_name is not None:
        return said_name
    remote = remote_of(root)
    if remote is not None:
        return remote.name
    name, _ = name_and_segment(root, settings_of(root))
    return name_of_root(name)


def name_of_root(name: object) -> str:
    """Give the name of a session from that of its root span; a nameless one is called so too."""
    return escape_value(name) or UNNAMED_SEGMENT


def fix_texts(node: SpanNode) -> SpanNode | None:
    """Fix the texts of a span and of those above it, because a request is to carry them.

    Returns:
        The local root, if texts that had been stamped on spans have changed by it.
    """
    texts = node.texts
    if texts is not None and texts.fixed:
        return None
    chain = chain_of(node)
    root = chain[-1]
    settings = settings_of(root)
    # The segment rule is the application's code: it runs before the lock is taken.
    unfixed = [
        (link, *name_and_segment(link, settings))
        for link in chain
        if link.texts is None or not link.texts.fixed
    ]
    session_name = _session_name_to_fix(chain, settings)
    changed = False
    with ancestry.texts_lock:
        for link, name, segment in reversed(unfixed):
            changed = _fix(link, name, segment, session_name) or changed
    return root if changed else None


def _session_name_to_fix(chain: list[SpanNode], settings: Settings) -> str | None:
    root = chain[-1]
    if root.texts is not None and root.texts.fixed:
        return None
    for link in chain:
        said = said_by(link, settings)
        name = escape_value(said.get(HELICONE_SESSION_NAME)) if said else None
        if name is not None:
            return name
    return session_name_of(root, None)


def _fix(node: SpanNode, name: object, segment: str | None, session_name: str | None) -> bool:
    """Fix one span below those that are fixed; tell whether a stamped text has changed."""
    texts = texts_of(node)
    if texts.fixed:
        return False
    parent = parent_of(node)
    above = path_above(node)
    if above is None:
        # Its parent was fixed just before, or earlier.
        assert parent is not None
        assert parent.texts is not None
        assert parent.texts.path is not None
        above = parent.texts.path
    path = above if segment is None else above.child(segment)
    stamped = stamped_on(node)
    changed = stamped is not None and stamped[1] not in (None, path.text)
    if parent is None:
        changed = changed or (stamped is not None and stamped[2] not in (None, session_name))
        texts.session_name = session_name
    texts.name = name
    texts.segment = segment
    texts.path = path
    texts.fixed = True
    texts.outlived = True
    span = node()
    if stamped is not None and span is not None and not texts.ended:
        texts.view = span.attributes
    return changed
