"""What the commands of the local Helicone do, once their arguments are read."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import platformdirs

from otel_helicone.local.json_output import as_json
from otel_helicone.local.storage.records import SessionRecord
from otel_helicone.local.storage.schema import StoreError
from otel_helicone.local.storage.store import Store
from otel_helicone.local.terminal import (
    make_console,
    print_bodies,
    print_session,
    print_sessions,
)

__all__ = ["show_session", "show_sessions", "store_path"]


def store_path(given: str | None) -> Path:
    """Find the store's file: as given, else by ``OTEL_HELICONE_STORE``, else the user's own.

    Args:
        given: what ``--store`` said, or None.
    """
    path = given or os.environ.get("OTEL_HELICONE_STORE", "").strip()
    if path:
        return Path(path).expanduser().absolute()
    return Path(platformdirs.user_data_dir("otel-helicone", appauthor=False)) / "requests.db"


def show_sessions(store: Path, *, as_text: bool) -> int:
    """Print the sessions of a store.

    Args:
        store: the store's file.
        as_text: whether to print a table; else JSON.

    Returns:
        The exit code.
    """
    try:
        sessions = Store(store).sessions()
    except StoreError as error:
        return _failed(_with_hint(error, store))
    if not as_text:
        _say(as_json(sessions))
    elif sessions:
        print_sessions(make_console(sys.stdout), sessions)
    else:
        _say(f"No sessions in {store} yet: requests need the header Helicone-Session-Id.")
    return 0


def show_session(store: Path, start_of_id: str, *, as_text: bool, bodies: bool) -> int:
    """Print one session.

    Args:
        store: the store's file.
        start_of_id: the session's id, or as much of its start as tells it from the others.
        as_text: whether to print a tree, one for each name that the id has; else JSON.
        bodies: whether to print the bodies of requests and answers below the tree.

    Returns:
        The exit code: 1 where no session, or more than one, starts like that.
    """
    try:
        reader = Store(store)
        # Copied from the list, it may end with the mark of a cut.
        found = reader.session_ids(start_of_id) or reader.session_ids(start_of_id.rstrip("…"))
        if len(found) != 1:
            return _failed(_not_one(start_of_id, found))
        sessions = reader.sessions(found[0])
        requests = reader.requests(found[0])
    except StoreError as error:
        return _failed(_with_hint(error, store))
    if not as_text:
        _say(as_json(requests))
        return 0
    console = make_console(sys.stdout)
    for number, session in enumerate(reversed(sessions)):
        if number:
            console.print()
        own = [request for request in requests if _belongs(session, request.session_name)]
        others = reader.recent_requests_of_name(session.session_name, besides=session.session_id)
        print_session(console, session, own, others)
        if bodies:
            print_bodies(console, own)
    return 0


def _belongs(session: SessionRecord, name: str | None) -> bool:
    return (name or "") == session.session_name


def _not_one(start_of_id: str, found: list[str]) -> str:
    if not found:
        return f"no session's id is or starts with {start_of_id!r}"
    some = ", ".join(repr(session_id[:60]) for session_id in found[:5])
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return f"{start_of_id!r} is the start of {len(found)} session ids: {some}{more}"


def _with_hint(error: StoreError, store: Path) -> str:
    return str(error) if store.exists() else f"{error} `otel-helicone serve` makes one."


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    # At once, also into a pipe: a script waits for the base_url.
    sys.stdout.flush()


def _failed(message: str) -> int:
    sys.stderr.write(f"otel-helicone: {message}\n")
    return 1
