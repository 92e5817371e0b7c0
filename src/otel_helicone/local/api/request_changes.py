"""What callers add to a request: properties, scores and feedback."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from otel_helicone.local.api.answer import Answer, BrokenCall, failed, given, invalid
from otel_helicone.local.api.endpoint import Call
from otel_helicone.local.api.fields import Fields
from otel_helicone.local.api.scores import FEEDBACK_SCORE, NotAScore, read_scores
from otel_helicone.local.storage.changes import PropertySet, Scores
from otel_helicone.local.storage.writer import StoreWriter

__all__ = ["RequestChanges"]

_CREATED: Final = 201
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class RequestChanges:
    """Answers the calls that change a request; what they changed can be read at once."""

    def __init__(self, writer: StoreWriter) -> None:
        """Take what writes to the store."""
        self._writer = writer

    def score(self, call: Call) -> Answer:
        """Answer ``POST /v1/request/{id}/score``; an unknown id is as good as any."""
        sent = call.body.get("scores")
        if not isinstance(sent, Mapping):
            problem: dict[str, object] = {"message": "'scores' is required"}
            if "scores" in call.body:
                problem = {"message": "invalid object", "value": sent}
            return invalid({"requestBody.scores": problem})
        try:
            scores = read_scores(sent)
        except NotAScore as error:
            raise BrokenCall(str(error)) from None
        self._writer.apply(Scores(_request_id(call), scores))
        return given(None, _CREATED)

    def feedback(self, call: Call) -> Answer:
        """Answer ``POST /v1/request/{id}/feedback``, which is kept as a score."""
        fields = Fields(call.body)
        rating = fields.truth("rating")
        fields.check()
        request_id = _request_id(call)
        if not _UUID.fullmatch(request_id):
            return failed("Invalid requestId: must be a valid UUID")
        self._writer.apply(Scores(request_id, {FEEDBACK_SCORE: int(rating)}))
        return given(None, _CREATED)

    def put_property(self, call: Call) -> Answer:
        """Answer ``PUT /v1/request/{id}/property``."""
        fields = Fields(call.body)
        key, value = fields.text("key"), fields.text("value")
        fields.check()
        if not self._writer.apply(PropertySet(_request_id(call), key, value)):
            return failed("Request not found")
        return given(None, _CREATED)


def _request_id(call: Call) -> str:
    return str(call.path["request_id"]).lower()
