"""Calls that go somewhere else than to Helicone, where that can't be meant."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from opentelemetry import trace

from otel_helicone.injection.headers import has_sent_a_key
from otel_helicone.injection.routing import gateway_of
from otel_helicone.primitives.hosts import is_loopback
from otel_helicone.primitives.log_once import log_failure_once
from otel_helicone.session_context import finished
from otel_helicone.set_up_faults import key_use
from otel_helicone.set_up_faults.sentences import UNNAMED_GATEWAY, UNUSED_KEY
from otel_helicone.settings.in_use import injecting

if TYPE_CHECKING:
    from otel_helicone.injection.http_types import Request, Response

__all__ = ["notice_call_elsewhere"]


def notice_call_elsewhere(request: Request, response: Response) -> None:
    """Say so where a call in a span passes by a Helicone that is there for it.

    Args:
        request: a request that did not go to a gateway.
        response: the answer.
    """
    try:
        if not trace.get_current_span().get_span_context().is_valid or not injecting():
            return
        url = request.url
        if is_loopback(url.host):
            # With an exporter, a call that stays out of the session is logged into it all the same.
            if "helicone-id" in response.headers and not finished.wanted:
                place = url.host if url.port is None else f"{url.host}:{url.port}"
                UNNAMED_GATEWAY.say(place)
        elif _key_is_unused() and gateway_of(url) is not None:
            UNUSED_KEY.say()
    except Exception:
        log_failure_once("looking at a call that did not go to Helicone")


def _key_is_unused() -> bool:
    if finished.wanted or not os.environ.get("HELICONE_API_KEY", "").strip():
        return False
    # An application may put it on its own calls.
    return not key_use.is_noted() and not has_sent_a_key()
