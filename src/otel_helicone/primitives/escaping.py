"""Any text made safe for a Helicone header: ASCII, bounded, nothing that ends a header early.

Percent-encoding (RFC 3986, UTF-8) is the one form that an HTTP client sends, Helicone's gateway
stores and its log API stores, each without a change: raw non-ASCII text raises
``UnicodeEncodeError`` in the openai client, and CR, LF or an outer space makes h11 refuse the
request.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from otel_helicone.primitives.log_once import log_failure_once

__all__ = [
    "MAX_PROPERTY_VALUE_LENGTH",
    "MAX_SEGMENT_LENGTH",
    "MAX_VALUE_LENGTH",
    "UNNAMED_SEGMENT",
    "escape_property_name",
    "escape_root_name",
    "escape_segment",
    "escape_session_id",
    "escape_value",
    "known_segments",
    "split_path",
]

# Helicone stores values of 60 KiB, but proxies on the way commonly stop at 8 KiB for all headers.
MAX_SEGMENT_LENGTH: Final = 256
MAX_VALUE_LENGTH: Final = 256
MAX_PROPERTY_VALUE_LENGTH: Final = 1024
MAX_PROPERTY_NAME_LENGTH: Final = 128

# An application has few names of spans, and they are asked for again and again. A dict costs half
# of what functools.lru_cache does here; this many short names take less than 100 KB.
_MAX_KNOWN_LENGTH: Final = 64
_MAX_KNOWN: Final = 512
known_segments: Final[dict[str, str]] = {}
"""Segments by the short names that they were made of, lately."""
_known_root_names: Final[dict[str, str]] = {}

UNNAMED_SEGMENT: Final = "[unnamed]"

_VISIBLE: Final = string.digits + string.ascii_letters + string.punctuation + " "
_SAFE_IN_VALUE: Final = _VISIBLE
_SAFE_IN_SEGMENT: Final = _VISIBLE.replace("/", "").replace("%", "")
# Patterns are compiled when they are first used: at import they would be a tenth of its time.
_SURROGATE: Final = "[\ud800-\udfff]"
# RFC 9110's token characters, upper case aside: Helicone lower-cases property names.
_NOT_IN_PROPERTY_NAME: Final = r"[^a-z0-9!#$%&'*+.^_`|~-]+"
_BARE_PERCENT: Final = "%(?![0-9A-Fa-f]{2})"


def _text(value: object) -> str:
    """Return the value as text that UTF-8 can hold, without outer white space."""
    try:
        text = value if type(value) is str else str(value)
    except Exception:
        log_failure_once("making text of a value")
        return ""
    # Helicone shows a lone surrogate as U+FFFD in the end, whatever is sent.
    return re.sub(_SURROGATE, "\ufffd", text).strip()


def _quote(text: str, safe: str) -> str:
    # Helicone takes the six characters \u0000 out of stored values.
    return quote(text, safe=safe).replace("\\u0000", "%5Cu0000")


def _fitting(characters: str, room: int, safe: str) -> list[str]:
    """Quote characters, in order, as long as they fit into the room."""
    quoted: list[str] = []
    for character in characters:
        piece = _quote(character, safe)
        room -= len(piece)
        if room < 0:
            break
        quoted.append(piece)
    return quoted


def _bounded(text: str, safe: str, most: int, mark: Callable[[int], str]) -> str:
    """Quote the text; past ``most`` characters its middle gives way to a visible mark."""
    if len(text) <= most:
        quoted = _quote(text, safe)
        if len(quoted) <= most:
            return quoted
    room = most - len(mark(len(text)))
    head = _fitting(text[:most], room - room // 2, safe)
    tail = _fitting(text[: -most - 1 : -1], room // 2, safe)
    shortened = "".join(head) + mark(len(text) - len(head) - len(tail)) + "".join(reversed(tail))
    return shortened.strip()


def _mark(left_out: int) -> str:
    return f"[... {left_out} more ...]"


def escape_segment(name: object) -> str:
    """Make one segment of a session path out of a span's name.

    Percent-encodes ``/``, ``%``, control and non-ASCII characters; everything else stays, spaces
    inside included. A name of more than :data:`MAX_SEGMENT_LENGTH` characters is shortened in the
    middle, with a mark that says how many characters are missing there.

    Args:
        name: the span's name; SDKs take values there that are not strings.

    Returns:
        A text that is never empty: nameless spans are ``[unnamed]``, since an empty segment would
        be a nameless level in Helicone's tree.
    """
    if type(name) is not str:
        return _escape_name(name)
    segment = known_segments.get(name)
    if segment is None:
        segment = _escape_name(name)
        _remember(known_segments, name, segment)
    return segment


def _escape_name(name: object) -> str:
    text = _text(name)
    if not text or name is None:
        return UNNAMED_SEGMENT
    return _bounded(text, _SAFE_IN_SEGMENT, MAX_SEGMENT_LENGTH, _mark)


def escape_root_name(name: object) -> str:
    """Make a session's name out of that of its root span; a nameless one is ``[unnamed]`` too."""
    if type(name) is not str:
        return escape_value(name) or UNNAMED_SEGMENT
    escaped = _known_root_names.get(name)
    if escaped is None:
        escaped = escape_value(name) or UNNAMED_SEGMENT
        _remember(_known_root_names, name, escaped)
    return escaped


def _remember(known: dict[str, str], name: str, text: str) -> None:
    if len(name) <= _MAX_KNOWN_LENGTH:
        if len(known) >= _MAX_KNOWN:
            known.clear()
        known[name] = text


def escape_value(value: object, most: int = MAX_VALUE_LENGTH) -> str | None:
    """Make a header value out of a session name, a user id or a property value.

    Args:
        value: any value; what is not a string is sent as its ``str``.
        most: the length, in characters, past which the middle is left out with a mark.

    Returns:
        Printable ASCII without outer spaces, or None where nothing is left: Helicone takes an
        empty value as if the header were absent.
    """
    if value is None:
        return None
    text = _text(value)
    if not text:
        return None
    return _bounded(text, _SAFE_IN_VALUE, most, _mark)


def escape_session_id(value: object) -> str | None:
    """Make a session id safe, keeping different ids different.

    Like :func:`escape_value`, but the mark in a shortened id is a digest of the whole of it: two
    long ids with the same ends must not become one session.
    """
    if value is None:
        return None
    text = _text(value)
    if not text:
        return None

    def digest_mark(_left_out: int) -> str:
        import hashlib  # seldom needed, and a tenth of the time that the package takes to import

        digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
        return f"[... sha256:{digest[:32]} ...]"

    return _bounded(text, _SAFE_IN_VALUE, MAX_VALUE_LENGTH, digest_mark)


def escape_property_name(name: object) -> str | None:
    """Make the part after ``Helicone-Property-`` out of a property's name.

    Helicone lower-cases these names, joins those that differ only in case, and answers 400 to the
    whole call for a blank, a colon or a slash in one. So: lower case, and ``_`` for each run of
    characters that a header name can't hold.

    Returns:
        The name, or None where it is empty.
    """
    text = re.sub(_NOT_IN_PROPERTY_NAME, "_", _text(name).lower())
    return text[:MAX_PROPERTY_NAME_LENGTH] or None


def split_path(path: object) -> list[str]:
    """Take a path that the application wrote apart into safe segments.

    The application writes paths as Helicone's documentation shows them, ``/parent/child``; it may
    also hand back a path of ours. So an escape such as ``%2F`` stays as it is, a bare ``%`` is
    escaped, and empty segments (``//``, a slash at the end) are left out: Helicone would draw them
    as nameless levels.
    """
    segments = []
    for part in _text(path).split("/"):
        text = re.sub(_BARE_PERCENT, "%25", _text(part))
        if text:
            segments.append(_bounded(text, _SAFE_IN_SEGMENT + "%", MAX_SEGMENT_LENGTH, _mark))
    return segments
