"""What a store takes besides records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from otel_helicone.local.storage.records import RequestRecord

__all__ = ["Change", "Deletion", "PropertySet", "Scores", "SessionTag"]


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores for a request that is stored, or will be before them.

    Attributes:
        request_id: the request's id, in lower case.
        scores: numbers by name; a name that the request has already gets the new number.
    """

    request_id: str
    scores: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PropertySet:
    """A property for a stored request, as ``PUT /v1/request/{id}/property`` sets it.

    Attributes:
        request_id: the request's id, in lower case.
        key: the property's name, its case kept. ``Helicone-Session-Id``, ``-Path`` and ``-Name``
            move the request to another session or place.
        value: what it is set to.
    """

    request_id: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class SessionTag:
    """A tag for a session, of whatever name.

    Attributes:
        session_id: the session's id; it need not be stored.
        tag: the tag, which takes the place of an earlier one.
    """

    session_id: str
    tag: str


@dataclass(frozen=True, slots=True)
class Deletion:
    """Stored requests that are to be gone, from the file's free pages too.

    Attributes:
        session_id: the session's id; None for everything that is stored.
        session_name: only the session with this name too; None for all names of the id.
    """

    session_id: str | None
    session_name: str | None = None


Change: TypeAlias = RequestRecord | Scores | PropertySet | SessionTag | Deletion
"""What a store takes."""
