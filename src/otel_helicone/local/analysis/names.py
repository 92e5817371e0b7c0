"""Sessions grouped by their names, as Helicone's page of session names shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from otel_helicone.local.analysis.percentiles import Percentiles, percentiles_of
from otel_helicone.local.storage.columns import time_of
from otel_helicone.local.storage.filters import SessionFigures

__all__ = ["NameSummary", "by_name"]


@dataclass(frozen=True, slots=True)
class NameSummary:
    """The sessions of one name.

    Attributes:
        name: the name; empty for sessions without one.
        sessions: how many there are.
        failed_sessions: in how many of them a request failed.
        requests: of all of them.
        errors: how many of the requests failed.
        total_tokens: of all of them.
        cost_usd: of all of them, in US dollars.
        duration_ms: of a session, from its first start to its last end.
        session_cost_usd: of a session, in US dollars.
        first_started_at: when the first of them started, in UTC.
        last_started_at: when the last of them started, in UTC.
    """

    name: str
    sessions: int
    failed_sessions: int
    requests: int
    errors: int
    total_tokens: int
    cost_usd: float
    duration_ms: Percentiles
    session_cost_usd: Percentiles
    first_started_at: datetime
    last_started_at: datetime


def by_name(figures: Iterable[SessionFigures]) -> tuple[NameSummary, ...]:
    """Group sessions by their names, the name with most sessions first.

    Args:
        figures: the sessions.
    """
    groups: dict[str, list[SessionFigures]] = {}
    for session in figures:
        groups.setdefault(session.session_name, []).append(session)
    summaries = [_summary(name, group) for name, group in groups.items()]
    return tuple(sorted(summaries, key=lambda one: (-one.sessions, one.name)))


def _summary(name: str, group: list[SessionFigures]) -> NameSummary:
    durations = percentiles_of([session.duration_ms for session in group])
    costs = percentiles_of([session.cost_usd for session in group])
    assert durations is not None
    assert costs is not None
    starts = [session.started_at for session in group]
    return NameSummary(
        name=name,
        sessions=len(group),
        failed_sessions=sum(session.errors > 0 for session in group),
        requests=sum(session.requests for session in group),
        errors=sum(session.errors for session in group),
        total_tokens=sum(session.total_tokens for session in group),
        cost_usd=sum(session.cost_usd for session in group),
        duration_ms=durations,
        session_cost_usd=costs,
        first_started_at=time_of(min(starts)),
        last_started_at=time_of(max(starts)),
    )
