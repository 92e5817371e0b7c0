"""What a program has left behind: its sessions as trees, and where to see them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.text import Text

from otel_helicone.local.command_output import requests
from otel_helicone.local.display import shown
from otel_helicone.local.storage.records import SessionRecord
from otel_helicone.local.storage.store import Store
from otel_helicone.local.terminal import print_session

__all__ = ["print_ending", "wait_until_stored"]

_MAX_TREES: Final = 5
_SECONDS_TO_STORE: Final = 5.0
_SECONDS_OF_REST: Final = 0.2


def wait_until_stored(store: Store) -> None:
    """Wait until nothing more comes into a store that another process writes to.

    Args:
        store: the store; a request is in it some milliseconds after its answer.
    """
    deadline = time.monotonic() + _SECONDS_TO_STORE
    before = None
    while (now := store.version()) != before and time.monotonic() < deadline:
        before = now
        time.sleep(_SECONDS_OF_REST)


def print_ending(console: Console, store: Store, name: str, since: datetime) -> None:
    """Draw the sessions that have got requests while a program ran.

    Args:
        console: where to.
        store: where the sessions are.
        name: the program.
        since: when the program was started.
    """
    sessions = [one for one in reversed(store.sessions()) if one.ended_at >= since]
    outside = store.requests_in_no_session(since)
    console.print()
    if not sessions and not outside:
        console.print(Text(f"{shown(name)} has made no request that came here.", style="bold"))
        text = (
            "A call comes here where its client takes OPENAI_BASE_URL from the environment, as"
            " OpenAI's does, or where an instrumentation writes spans of it: for OpenAI's client"
            " `pip install opentelemetry-instrumentation-genai-openai`."
        )
        console.print(Text(text))
        return
    for number, session in enumerate(sessions[:_MAX_TREES]):
        if number:
            console.print()
        own = store.requests(session.session_id, session.session_name, bodies=False)
        print_session(console, session, own, told=False)
    _print_others(console, sessions[_MAX_TREES:], outside)


def _print_others(console: Console, others: Sequence[SessionRecord], outside: int) -> None:
    if others:
        noun = "session" if len(others) == 1 else "sessions"
        console.print()
        console.print(Text(f"and {len(others)} more {noun}: `otel-helicone sessions`"))
    if outside:
        be = "is" if outside == 1 else "are"
        console.print()
        console.print(Text(f"{requests(outside)} {be} in no session."))
