"""What the local Helicone keeps: one record for each request, and sessions summed from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

__all__ = [
    "STATUS_CALLER_LEFT",
    "STATUS_UPSTREAM_BROKE",
    "RequestRecord",
    "SessionRecord",
]

STATUS_CALLER_LEFT: Final = -3
"""Stored, as Helicone does, for a caller that left before it had the whole answer."""

STATUS_UPSTREAM_BROKE: Final = -2
"""Stored for an upstream that broke off in the middle of an answer.

Helicone's worker stores nothing then, or this status half an hour later. The local one stores it
at once: a request that vanishes is the last thing a developer wants to look for.
"""


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request that went through the gateway, or that was logged.

    Attributes:
        request_id: the UUID that the answer's ``helicone-id`` header gave, in lower case.
        session_id: ``Helicone-Session-Id`` as sent, or None: then the request is in no session.
        session_path: ``Helicone-Session-Path`` as sent, or None.
        session_name: ``Helicone-Session-Name`` as sent, or None.
        user_id: ``Helicone-User-Id``, else the request body's ``user``, or None.
        properties: ``Helicone-Property-*`` by the lower-case rest of their names.
        provider: whose API was called, by the upstream's host, or what the log's endpoint or body
            says.
        model: from ``Helicone-Model-Override``, the response or the request, or None.
        method: the HTTP method.
        target_path: the path that was asked for, without its query, which may hold keys.
        status: the HTTP status, or one of the negative ones of this module.
        prompt_tokens: tokens in, 0 where the answer does not tell.
        completion_tokens: tokens out, 0 where the answer does not tell.
        total_tokens: the answer's own total, else the sum.
        started_at: when the request came in, in UTC.
        latency_ms: milliseconds until the last byte of the answer.
        time_to_first_token_ms: milliseconds until the first bytes of a streamed answer; None for
            answers that were not streamed.
        request_body: the text of the request's body, shortened where it is long.
        response_body: the text of the answer's body, shortened where it is long; for a streamed
            answer a JSON object with the assembled text.
        helicone_headers: the ``Helicone-*`` headers as sent, without those that hold secrets.
        prompt_cache_read_tokens: tokens in from the provider's cache; taken off ``prompt_tokens``
            where they are counted in there.
        prompt_cache_write_tokens: tokens in that the provider put into its cache; 0 for logs, as
            Helicone stores it.
        reasoning_tokens: tokens of reasoning; taken off ``completion_tokens``.
        target_url: ``providerRequest.url`` of a log to the worker's log API, else empty.
        kind: ``llm``, or for a log ``tool``, ``data`` or ``vector_db``.
        scores: what was given by the score endpoint, by name; a bool is 0 or 1, and its name has
            the ending ``-hcone-bool``.
        cost_usd: what the answer says that it cost, else the price of its tokens, in US dollars;
            None where no price is known.
        from_cache: whether the gateway answered it from its cache; it has no tokens then, and the
            cost of the first time, as in Helicone.
    """

    request_id: str
    session_id: str | None
    session_path: str | None
    session_name: str | None
    user_id: str | None
    properties: Mapping[str, str]
    provider: str
    model: str | None
    method: str
    target_path: str
    status: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    started_at: datetime
    latency_ms: int
    time_to_first_token_ms: int | None
    request_body: str
    response_body: str
    helicone_headers: tuple[tuple[str, str], ...] = field(default=())
    prompt_cache_read_tokens: int = 0
    prompt_cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    target_url: str = ""
    kind: str = "llm"
    scores: Mapping[str, int] = field(default_factory=dict)
    cost_usd: float | None = None
    from_cache: bool = False

    @property
    def ended_at(self) -> datetime:
        """When the last byte of the answer was passed on, in UTC."""
        return self.started_at + timedelta(milliseconds=self.latency_ms)

    @property
    def is_error(self) -> bool:
        """Whether the status is anything but a success or a redirect."""
        return not 200 <= self.status < 400


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """The sum of the requests that share a session id *and* a session name, as Helicone groups.

    Attributes:
        session_id: the id that the requests share.
        session_name: the name that they share; empty where they have none.
        requests: how many there are.
        errors: how many of them failed.
        prompt_tokens: tokens in, of all of them.
        completion_tokens: tokens out, of all of them.
        total_tokens: tokens of all of them.
        started_at: when the first one came in, in UTC.
        ended_at: when the last one was answered, in UTC.
        latency_ms: the sum of the requests' own latencies, in milliseconds.
        cost_usd: what the priced requests cost together, in US dollars.
        unpriced: how many requests have tokens and no known price.
        user_ids: the users of the requests, sorted.
        changed_at: when something of it was last stored, in UTC.
    """

    session_id: str
    session_name: str
    requests: int
    errors: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    started_at: datetime
    ended_at: datetime
    latency_ms: int
    cost_usd: float
    unpriced: int
    user_ids: tuple[str, ...]
    changed_at: datetime

    @property
    def duration(self) -> timedelta:
        """From the start of the first request to the end of the last."""
        return self.ended_at - self.started_at
