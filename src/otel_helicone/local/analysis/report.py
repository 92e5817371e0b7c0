"""Everything that is told of one session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from otel_helicone.local.analysis.comparison import Comparison, compare
from otel_helicone.local.analysis.critical_path import CriticalPath, critical_path
from otel_helicone.local.analysis.extremes import dearest, slowest
from otel_helicone.local.analysis.retries import Retry, retries
from otel_helicone.local.analysis.segment_times import SegmentTime, segment_times_of_tree
from otel_helicone.local.analysis.timeline import Timeline, timeline
from otel_helicone.local.analysis.tree import Folder, build_tree
from otel_helicone.local.storage.records import RequestRecord

__all__ = ["SessionReport", "report"]


@dataclass(frozen=True, slots=True)
class SessionReport:
    """What a session's records tell.

    Attributes:
        tree: its requests by their paths.
        timeline: when it was busy.
        critical_path: what it waited for.
        segment_times: where its time went.
        retries: calls that were made again.
        errors: requests that failed, in the order of their start.
        slowest: the requests with the highest latency.
        dearest: the requests with the highest cost.
        comparison: how it differs from the usual; None where there is nothing to compare with.
    """

    tree: Folder
    timeline: Timeline
    critical_path: CriticalPath
    segment_times: tuple[SegmentTime, ...]
    retries: tuple[Retry, ...]
    errors: tuple[RequestRecord, ...]
    slowest: tuple[RequestRecord, ...]
    dearest: tuple[RequestRecord, ...]
    comparison: Comparison | None


def report(
    requests: Sequence[RequestRecord], others: Sequence[Sequence[RequestRecord]] = ()
) -> SessionReport:
    """Find out all that is told of a session.

    Args:
        requests: its requests, in any order.
        others: the requests of other sessions of its name, to compare with.
    """
    tree = build_tree(requests)
    failed = (request for request in requests if request.is_error)
    return SessionReport(
        tree=tree,
        timeline=timeline(requests),
        critical_path=critical_path(requests),
        segment_times=segment_times_of_tree(tree),
        retries=retries(requests),
        errors=tuple(sorted(failed, key=lambda request: request.started_at)),
        slowest=slowest(requests),
        dearest=dearest(requests),
        comparison=compare(requests, others),
    )
