"""What the service that called this one sent of its session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from opentelemetry.context import Context, create_key, get_current, set_value

from otel_helicone.primitives.path import Path

__all__ = ["RemoteSession", "in_use", "remote_in", "with_remote"]

_KEY: Final = create_key("otel-helicone-remote-session")

# Until the first session has come from another service, no span has to look for one.
in_use = False
"""Whether any session has come from another service yet."""


@dataclass(frozen=True, slots=True)
class RemoteSession:
    """A session as the calling service sent it; the texts are escaped and bounded.

    Attributes:
        id: the session's id.
        path: where in its tree the call was made; the paths here continue from it.
        name: the session's name.
    """

    id: str
    path: Path
    name: str


def with_remote(remote: RemoteSession, context: Context) -> Context:
    """Return a context in which local root spans continue a session of another service."""
    global in_use
    in_use = True
    return set_value(_KEY, remote, context)


def remote_in(context: Context | None) -> RemoteSession | None:
    """Return what the calling service sent, from a context, the current one where it is None."""
    found = (get_current() if context is None else context).get(_KEY)
    return found if isinstance(found, RemoteSession) else None
