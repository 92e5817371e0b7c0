"""Everything that a request's page shows besides what was said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from otel_helicone.local.pages.conversation import readable_json
from otel_helicone.local.pages.curl import curl_command
from otel_helicone.local.storage.records import RequestRecord
from otel_helicone.local.storage.store import Store

__all__ = ["RequestView", "request_view"]

# A browser takes seconds for more text than this; the whole is in the session's JSON.
_MOST_SHOWN: Final = 400_000


@dataclass(frozen=True, slots=True)
class RequestView:
    """One request as it is shown.

    Attributes:
        record: the request.
        request_json: its body, readable.
        response_json: the answer's body, readable.
        curl: the command that sends it again, or None.
        tokens_per_second: tokens out, from the first one on; None where that can't be told.
        before: the id of the request before it in the session, or None.
        after: the id of the one after it, or None.
    """

    record: RequestRecord
    request_json: str
    response_json: str
    curl: str | None
    tokens_per_second: float | None
    before: str | None
    after: str | None


def request_view(store: Store, record: RequestRecord, base_url: str) -> RequestView:
    """Find out what is shown of a request.

    Args:
        store: where its neighbours are.
        record: the request, with its bodies.
        base_url: this server's address, without a slash at its end.
    """
    before = after = None
    if record.session_id:
        ids = store.request_ids(record.session_id, record.session_name or "")
        place = ids.index(record.request_id) if record.request_id in ids else -1
        before = ids[place - 1] if place > 0 else None
        after = ids[place + 1] if 0 <= place < len(ids) - 1 else None
    return RequestView(
        record=record,
        request_json=_cut(readable_json(record.request_body)),
        response_json=_cut(readable_json(record.response_body)),
        curl=curl_command(record, base_url),
        tokens_per_second=_tokens_per_second(record),
        before=before,
        after=after,
    )


def _cut(text: str) -> str:
    if len(text) <= _MOST_SHOWN:
        return text
    return f"{text[:_MOST_SHOWN]}\n… {len(text) - _MOST_SHOWN:,} more characters"


def _tokens_per_second(record: RequestRecord) -> float | None:
    seconds = (record.latency_ms - (record.time_to_first_token_ms or 0)) / 1000
    if seconds <= 0 or record.completion_tokens <= 0:
        return None
    return record.completion_tokens / seconds
