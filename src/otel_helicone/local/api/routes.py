"""The routes of Helicone's API."""

from __future__ import annotations

from starlette.routing import Route

from otel_helicone.local.api.endpoint import endpoint
from otel_helicone.local.api.not_here import routes_of_what_is_not_here
from otel_helicone.local.api.reading import rows_of
from otel_helicone.local.api.request_changes import RequestChanges
from otel_helicone.local.api.requests import Requests
from otel_helicone.local.api.session_metrics import SessionMetrics
from otel_helicone.local.api.session_tags import SessionTags
from otel_helicone.local.api.sessions import Sessions
from otel_helicone.local.log_api.intake import LogIntake
from otel_helicone.local.storage.store import Store
from otel_helicone.local.storage.writer import StoreWriter

__all__ = ["api_routes"]


def api_routes(store: Store, intake: LogIntake, writer: StoreWriter) -> list[Route]:
    """Make the routes; they have to come before the gateway's, which takes all of ``/v1/``.

    Args:
        store: what is read.
        intake: knows the keys, and counts the requests that are being answered.
        writer: takes what is changed.
    """
    rows = rows_of(store)
    sessions, metrics, requests = Sessions(rows), SessionMetrics(rows), Requests(rows)
    tags, changes = SessionTags(store, writer), RequestChanges(writer)
    return [
        endpoint("/v1/session/query", intake, POST=sessions.query),
        endpoint("/v1/session/count", intake, POST=sessions.count),
        endpoint("/v1/session/name/query", intake, POST=sessions.names),
        endpoint("/v1/session/metrics/query", intake, POST=metrics.query),
        # An id may hold anything, slashes included.
        endpoint("/v1/session/{session_id:path}/tag", intake, GET=tags.read, POST=tags.write),
        endpoint("/v1/session/{session_id:path}/feedback", intake, POST=tags.feedback),
        endpoint("/v1/request/query-clickhouse", intake, POST=requests.query),
        endpoint("/v1/request/count/query", intake, POST=requests.count),
        endpoint("/v1/request/{request_id}/property", intake, PUT=changes.put_property),
        endpoint("/v1/request/{request_id}/score", intake, POST=changes.score),
        endpoint("/v1/request/{request_id}/feedback", intake, POST=changes.feedback),
        endpoint("/v1/request/{request_id}", intake, GET=requests.read),
        *routes_of_what_is_not_here(),
    ]
