"""The names of Helicone's request headers, and the pairs that carry a session context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = [
    "API_KEY_PATTERN",
    "HELICONE_AUTH",
    "HELICONE_PREFIX",
    "PROPERTY_PREFIX",
    "REQUEST_ID",
    "SESSION_ID",
    "SESSION_NAME",
    "SESSION_PATH",
    "USER_ID",
    "HeaderPair",
    "header_pairs",
    "property_header",
]

HELICONE_PREFIX: Final = "helicone-"
"""What the names of all of Helicone's headers start with, in lower case."""

HELICONE_AUTH: Final = "Helicone-Auth"
API_KEY_PATTERN: Final = (
    r"[sp]k-(helicone-)?([a-z]{2,6}-)?[a-z0-9]{7}(-[a-z0-9]{7}){3}(-[0-9a-f-]{36})?"
)
"""The shapes of Helicone's API keys; a key of another shape is refused, by the gateway silently."""

SESSION_ID: Final = "Helicone-Session-Id"
SESSION_PATH: Final = "Helicone-Session-Path"
SESSION_NAME: Final = "Helicone-Session-Name"
USER_ID: Final = "Helicone-User-Id"
REQUEST_ID: Final = "Helicone-Request-Id"
PROPERTY_PREFIX: Final = "Helicone-Property-"

HeaderPair = tuple[str, str]
"""The name and the value of a header."""


def property_header(name: str) -> str:
    """Return the header of a custom property, by its escaped name."""
    return PROPERTY_PREFIX + name


def header_pairs(
    session_id: str,
    path: str,
    name: str | None,
    user_id: str | None,
    properties: Mapping[str, str],
) -> list[HeaderPair]:
    """Return the headers that carry a session, for a request and for a log alike.

    Args:
        session_id: the session's id.
        path: the place in its tree.
        name: its name; None for no such header.
        user_id: the user; None for no such header.
        properties: custom properties, by their escaped names.
    """
    pairs = [(SESSION_ID, session_id), (SESSION_PATH, path)]
    if name is not None:
        pairs.append((SESSION_NAME, name))
    if user_id is not None:
        pairs.append((USER_ID, user_id))
    if properties:
        pairs += [(PROPERTY_PREFIX + name, value) for name, value in properties.items()]
    return pairs
