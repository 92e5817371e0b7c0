"""The routes of Helicone's API, as far as the local one has it."""

from __future__ import annotations

from starlette.routing import Route

from otel_helicone.local.api.endpoint import endpoint
from otel_helicone.local.api.request_changes import RequestChanges
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
    changes = RequestChanges(writer)
    return [
        endpoint("/v1/request/{request_id}/score", intake, POST=changes.score),
        endpoint("/v1/request/{request_id}/feedback", intake, POST=changes.feedback),
        endpoint("/v1/request/{request_id}/property", intake, PUT=changes.put_property),
    ]
