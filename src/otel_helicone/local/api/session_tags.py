"""The tag of a session, and the feedback on it."""

from __future__ import annotations

from otel_helicone.local.api.answer import Answer, failed, given
from otel_helicone.local.api.endpoint import Call
from otel_helicone.local.api.fields import Fields
from otel_helicone.local.storage.changes import SessionTag
from otel_helicone.local.storage.store import Store
from otel_helicone.local.storage.writer import StoreWriter

__all__ = ["SessionTags"]


class SessionTags:
    """Answers the calls that are about one session; its id need not be stored."""

    def __init__(self, store: Store, writer: StoreWriter) -> None:
        """Take what is read and what writes."""
        self._store = store
        self._writer = writer

    def read(self, call: Call) -> Answer:
        """Answer ``GET /v1/session/{id}/tag``."""
        return given(self._store.tag(call.path["session_id"]))

    def write(self, call: Call) -> Answer:
        """Answer ``POST /v1/session/{id}/tag``."""
        fields = Fields(call.body)
        tag = fields.text("tag")
        fields.check()
        self._writer.apply(SessionTag(call.path["session_id"], tag))
        return given(None)

    def feedback(self, call: Call) -> Answer:
        """Answer ``POST /v1/session/{id}/feedback``, which is broken in the real one."""
        fields = Fields(call.body)
        fields.truth("rating")
        fields.check()
        return failed('relation "request" does not exist')
