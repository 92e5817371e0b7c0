"""What the commands of the local Helicone do, once their arguments are read."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import platformdirs

from otel_helicone.local.json_output import as_json
from otel_helicone.local.server import LocalHelicone, PortTaken
from otel_helicone.local.storage.records import SessionRecord
from otel_helicone.local.storage.schema import StoreError
from otel_helicone.local.storage.store import Store
from otel_helicone.local.terminal import (
    make_console,
    print_bodies,
    print_session,
    print_sessions,
)

__all__ = ["serve", "show_session", "show_sessions", "store_path"]


def store_path(given: str | None) -> Path:
    """Find the store's file: as given, else by ``OTEL_HELICONE_STORE``, else the user's own.

    Args:
        given: what ``--store`` said, or None.
    """
    path = given or os.environ.get("OTEL_HELICONE_STORE", "").strip()
    if path:
        return Path(path).expanduser().absolute()
    return Path(platformdirs.user_data_dir("otel-helicone", appauthor=False)) / "requests.db"


def serve(
    store: Path,
    *,
    listen_on: str,
    port: int,
    upstream: str | None,
    latency_ms: float,
    max_body_bytes: int,
    api_keys: Sequence[str] | None = None,
) -> int:
    """Run the server until Ctrl-C or SIGTERM; see :class:`~.server.LocalHelicone`.

    Returns:
        The exit code: 0 after a stop, 1 where the server could not run, 2 for a wrong argument.
    """
    try:
        helicone = LocalHelicone(
            store,
            port,
            upstream,
            latency_ms,
            listen_on=listen_on,
            max_body_bytes=max_body_bytes,
            api_keys=api_keys or _api_keys_of_environment(),
        )
    except ValueError as error:
        _failed(f"--upstream: {error}")
        return 2
    try:
        with _stop_signals() as stop, helicone:
            _say(_greeting(helicone, upstream))
            # Looked at now and then, so that a server that fell over is noticed.
            while helicone.is_running and not stop.wait(1.0):
                pass
    except PortTaken as error:
        return _failed(f"{error}. Choose another one with --port, or --port 0 for a free one.")
    except StoreError as error:
        return _failed(str(error))
    if not stop.is_set():
        return _failed("the server stopped by itself")
    _say("Stopped; everything that came in is stored.")
    return 0


def _api_keys_of_environment() -> list[str] | None:
    keys = os.environ.get("HELICONE_LOCAL_API_KEYS", "").replace(",", " ").split()
    return keys or None


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Have Ctrl-C and SIGTERM set an event, instead of ending the process, for a while."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _greeting(helicone: LocalHelicone, upstream: str | None) -> str:
    answers = "the built-in upstream (no key needed)" if upstream is None else upstream
    store = helicone.store.path
    is_default = store == store_path(None)
    look = "otel-helicone sessions" + ("" if is_default else f" --store {_quoted(store)}")
    return (
        "Local Helicone is running; Ctrl-C stops it.\n"
        f"  base_url  {helicone.base_url}\n"
        f"  logs to   {helicone.url}\n"
        f"  answers   {answers}\n"
        f"  store     {store}\n"
        f"  look      {look}"
    )


def _quoted(path: Path) -> str:
    text = str(path)
    return f'"{text}"' if " " in text else text


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
        print_session(console, session, own)
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
