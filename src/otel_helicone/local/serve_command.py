"""What ``otel-helicone serve`` does, once its arguments are read."""

from __future__ import annotations

import argparse
import gc
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType

from otel_helicone.local.access.rules import WrongAccess
from otel_helicone.local.command_output import failed, requests, run, say
from otel_helicone.local.commands import store_path
from otel_helicone.local.server import LocalHelicone, PortTaken
from otel_helicone.local.storage.retention import Retention
from otel_helicone.local.storage.unwritten import UnwrittenRequests
from otel_helicone.settings.local import ServeSettings, make_serve_settings
from otel_helicone.settings.options import given_options
from otel_helicone.settings.reading import SettingError

__all__ = ["missing_requests", "serve", "server_for", "stop_signals"]


def serve(store: Path, options: argparse.Namespace) -> int:
    """Run the server until Ctrl-C or SIGTERM; see :class:`~.server.LocalHelicone`.

    Args:
        store: the store's file.
        options: what the command line said.

    Returns:
        The exit code: 0 after a stop with everything stored, 1 where the server could not run, or
        something is not in the store, 2 for a wrong argument.
    """
    return run(lambda: _serve(store, options))


def _serve(store: Path, options: argparse.Namespace) -> int:
    try:
        settings = make_serve_settings(given_options(ServeSettings, options))
        helicone = server_for(store, settings)
    except SettingError as error:
        return failed(str(error), 2)
    except WrongAccess as error:
        return failed(f"--allow-host or --allow-origin: {error}", 2)
    except ValueError as error:
        return failed(f"--upstream: {error}", 2)
    try:
        with stop_signals() as stop, helicone:
            # What is there by now stays: the collector need not walk over it for each page.
            gc.freeze()
            say(_greeting(helicone, settings.upstream))
            # Looked at now and then, so that a server that fell over is noticed.
            while helicone.is_running and not stop.wait(1.0):
                pass
    except PortTaken as error:
        return failed(str(error))
    stopped = "Stopped" if stop.is_set() else "The server stopped by itself"
    missing = missing_requests(helicone.unwritten)
    if missing:
        return failed(f"{stopped}; {missing}")
    if not stop.is_set():
        return failed("the server stopped by itself")
    say("Stopped; everything that came in is stored.")
    return 0


def missing_requests(unwritten: UnwrittenRequests) -> str:
    """Return a sentence about what is not in the store; nothing where all is.

    Args:
        unwritten: what a server has not written.
    """
    said = []
    if unwritten.path is not None:
        said.append(
            f"{requests(unwritten.kept)} could not be written to the store and"
            f" {'is' if unwritten.kept == 1 else 'are'} in {unwritten.path}, for"
            f" `otel-helicone import`"
        )
    if unwritten.lost:
        said.append(f"{requests(unwritten.lost)} {'is' if unwritten.lost == 1 else 'are'} lost")
    return f"{'; '.join(said)}." if said else ""


def server_for(store: Path, settings: ServeSettings) -> LocalHelicone:
    """Make a server, to be started.

    Args:
        store: the store's file.
        settings: everything else.

    Raises:
        ValueError: for an upstream that is no URL.
        WrongAccess: for a host or an origin that is none.
    """
    retention = None
    if settings.keep_days is not None or settings.keep_bytes is not None:
        days = settings.keep_days
        retention = Retention(
            max_age=None if days is None else timedelta(days=days), max_bytes=settings.keep_bytes
        )
    return LocalHelicone(
        store,
        settings.port,
        settings.upstream,
        settings.latency,
        listen_on=settings.host,
        max_body_bytes=settings.max_body_bytes,
        api_keys=settings.api_keys or None,
        allowed_hosts=settings.allowed_hosts,
        allowed_origins=settings.allowed_origins,
        login=settings.login,
        bodies=settings.bodies,
        retention=retention,
        trace_url=settings.trace_url,
    )


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
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
    lines = [
        "Local Helicone is running; Ctrl-C stops it.",
        f"  pages     {helicone.url}/",
        f"  base_url  {helicone.base_url}",
        f"  logs to   {helicone.url}",
        f"  answers   {answers}",
        f"  store     {store}",
        f"  look      {look}",
        "In another terminal, for programs whose calls are to come here:",
        f"  export OPENAI_BASE_URL={helicone.base_url}",
        f"  export HELICONE_GATEWAY_HOSTS={helicone.host}",
    ]
    if helicone.made_up_key is not None:
        lines.append(
            f"  key       {helicone.made_up_key} (for pages, as Helicone-Auth, and for logs)"
        )
    return "\n".join(lines)


def _quoted(path: Path) -> str:
    text = str(path)
    return f'"{text}"' if " " in text else text
