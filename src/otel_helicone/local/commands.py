"""What the commands of the local Helicone do, once their arguments are read."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import platformdirs

from otel_helicone.local.command_output import failed, run, say
from otel_helicone.local.json_output import as_json
from otel_helicone.local.session_ids import NotOneSession, find_session_id
from otel_helicone.local.storage.errors import NoStore, StoreError
from otel_helicone.local.storage.records import SessionRecord
from otel_helicone.local.storage.store import Store
from otel_helicone.local.terminal import (
    make_console,
    print_bodies,
    print_session,
    print_sessions,
)

__all__ = ["show_session", "show_sessions", "store_path"]

_Read = TypeVar("_Read")


def store_path(given: str | None) -> Path:
    """Return the store's file: as given, else by ``OTEL_HELICONE_STORE``, else the user's own.

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
    return run(lambda: _show_sessions(store, as_text=as_text))


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
    return run(lambda: _show_session(store, start_of_id, as_text=as_text, bodies=bodies))


def _show_sessions(store: Path, *, as_text: bool) -> int:
    sessions = _with_hint(store, Store(store).sessions)
    if not as_text:
        say(as_json(sessions))
    elif sessions:
        print_sessions(make_console(sys.stdout), sessions)
    else:
        say(f"No sessions in {store} yet: requests need the header Helicone-Session-Id.")
    return 0


def _show_session(store: Path, start_of_id: str, *, as_text: bool, bodies: bool) -> int:
    reader = Store(store)
    try:
        session_id = _with_hint(store, lambda: find_session_id(reader, start_of_id))
    except NotOneSession as error:
        return failed(str(error))
    sessions = reader.sessions(session_id)
    requests = reader.requests(session_id)
    if not as_text:
        say(as_json(requests))
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


def _with_hint(store: Path, read: Callable[[], _Read]) -> _Read:
    """Read, and say where a store comes from where there is none."""
    try:
        return read()
    except NoStore as error:
        raise StoreError(f"{error} `otel-helicone serve` makes one.") from error
