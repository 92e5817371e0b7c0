"""Reports of the sessions that were looked at last, so that paging through a long one is quick."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from otel_helicone.local.analysis.report import SessionReport, report
from otel_helicone.local.storage.records import RequestRecord, SessionRecord
from otel_helicone.local.storage.store import Store

__all__ = ["SessionReports"]

# Each holds its session's records, about a kilobyte for a request.
_MOST_KEPT: Final = 3
# Beyond this, what is compared would take longer to read than the session itself.
_MOST_TO_COMPARE: Final = 4000


@dataclass(frozen=True, slots=True)
class _Kept:
    version: int
    requests: list[RequestRecord]
    report: SessionReport


class SessionReports:
    """Makes reports, and makes them again only when something was stored meanwhile."""

    def __init__(self, store: Store) -> None:
        """Begin with none.

        Args:
            store: where the sessions are.
        """
        self._store = store
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, session: SessionRecord) -> tuple[list[RequestRecord], SessionReport]:
        """Give a session's requests, without bodies, and what they tell.

        Args:
            session: which one.
        """
        key = (session.session_id, session.session_name)
        # Asked for first: what is stored while the requests are read counts as new.
        version = self._store.version()
        with self._lock:
            kept = self._kept.get(key)
        if kept is None or kept.version != version:
            kept = self._made(session, version)
            with self._lock:
                self._kept[key] = kept
                self._kept.move_to_end(key)
                while len(self._kept) > _MOST_KEPT:
                    self._kept.popitem(last=False)
        return kept.requests, kept.report

    def _made(self, session: SessionRecord, version: int) -> _Kept:
        name = session.session_name
        requests = self._store.requests(session.session_id, name, bodies=False)
        others: list[list[RequestRecord]] = []
        if len(requests) <= _MOST_TO_COMPARE:
            others = self._store.recent_requests_of_name(
                name, besides=session.session_id, most=_MOST_TO_COMPARE - len(requests)
            )
        return _Kept(version, requests, report(requests, others))
