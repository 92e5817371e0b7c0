"""Everything that a session's page, and its copy in a file, shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from otel_helicone.local.analysis.report import SessionReport
from otel_helicone.local.analysis.tree import segments_of
from otel_helicone.local.figures import shown_milliseconds
from otel_helicone.local.pages.conversation import conversation_of
from otel_helicone.local.pages.session_rows import SessionRow, find_folder, session_rows
from otel_helicone.local.pages.site import Site
from otel_helicone.local.storage.records import RequestRecord, SessionRecord
from otel_helicone.local.storage.store import Store

__all__ = ["FailedRequest", "SessionView", "UnknownPlace", "session_view"]

_MOST_FAILURES: Final = 50
_MOST_PATHS: Final = 12
_MOST_SEGMENTS: Final = 60
_MOST_STEPS: Final = 40
_TICKS: Final = 4


class UnknownPlace(Exception):
    """A session has no folder with this path."""


@dataclass(frozen=True, slots=True)
class FailedRequest:
    """A request that failed.

    Attributes:
        request: the request.
        message: what the answer says of it, as far as that is stored; else empty.
    """

    request: RequestRecord
    message: str


@dataclass(frozen=True, slots=True)
class SessionView:
    """One session as it is shown.

    Attributes:
        session: its sums.
        report: what its records tell.
        rows: the tree's rows, or those of one folder.
        place: the segments of that folder; empty for the whole.
        first: the number of its first entry that is shown, from 0.
        ticks: texts for the time axis, at even distances from the start to the end.
        failures: the requests that failed, with their messages.
        cached_tokens: tokens that were read from a provider's cache.
        reasoning_tokens: tokens of reasoning.
        properties: names and values of the requests' properties, each with how many have it.
        most_segments: how many places the table of times shows.
        most_paths: how many paths the comparison shows.
        most_steps: how many steps of the critical path are shown.
    """

    session: SessionRecord
    report: SessionReport
    rows: Sequence[SessionRow]
    place: tuple[str, ...]
    first: int
    ticks: Sequence[str]
    failures: Sequence[FailedRequest]
    cached_tokens: int
    reasoning_tokens: int
    properties: Sequence[tuple[str, str, int]]
    most_segments: int = _MOST_SEGMENTS
    most_paths: int = _MOST_PATHS
    most_steps: int = _MOST_STEPS


def session_view(
    site: Site,
    session: SessionRecord,
    *,
    path: str | None = None,
    first: int = 0,
) -> SessionView:
    """Read a session, and find out what is told of it.

    Args:
        site: whose store it is in.
        session: which one.
        path: only the folder with this path in the tree; None for the whole.
        first: how many of its entries to leave out at the start.

    Raises:
        UnknownPlace: where the session has no such folder.
    """
    requests, told = site.reports.of(session)
    place = segments_of(path)
    folder = find_folder(told.tree, place)
    if folder is None:
        raise UnknownPlace(path)
    return SessionView(
        session=session,
        report=told,
        rows=session_rows(told, folder, place, first),
        place=place,
        first=first,
        ticks=[
            shown_milliseconds(told.timeline.duration_ms * n / _TICKS) for n in range(_TICKS + 1)
        ],
        failures=_failures(site.store, told.errors[:_MOST_FAILURES]),
        cached_tokens=sum(request.prompt_cache_read_tokens for request in requests),
        reasoning_tokens=sum(request.reasoning_tokens for request in requests),
        properties=_properties(requests),
    )


def _failures(store: Store, requests: Sequence[RequestRecord]) -> list[FailedRequest]:
    bodies = store.response_bodies([request.request_id for request in requests])
    return [
        FailedRequest(request, conversation_of("", bodies.get(request.request_id, "")).error or "")
        for request in requests
    ]


def _properties(requests: Sequence[RequestRecord]) -> list[tuple[str, str, int]]:
    counted: dict[tuple[str, str], int] = {}
    for request in requests:
        for pair in request.properties.items():
            counted[pair] = counted.get(pair, 0) + 1
    return [(name, value, counted[name, value]) for name, value in sorted(counted)][:_MOST_SEGMENTS]
