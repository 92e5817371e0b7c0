"""What ``otel-helicone run`` does, once its arguments are read."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from otel_helicone.local.command_output import failed, reason_of, run
from otel_helicone.local.commands import store_path
from otel_helicone.local.gateway.of_a_run import base_url_of_run
from otel_helicone.local.log_api.api_keys import make_api_key
from otel_helicone.local.run.child_process import run_program
from otel_helicone.local.run.ending import print_ending, wait_until_stored
from otel_helicone.local.run.neighbour import Neighbour, find_neighbour
from otel_helicone.local.run.program import NoProgram, Program, find_program
from otel_helicone.local.run.variables import replaced_base_url, variables_for
from otel_helicone.local.serve_command import missing_requests, server_for, stop_signals
from otel_helicone.local.server import LocalHelicone, PortTaken
from otel_helicone.local.storage.errors import StoreError
from otel_helicone.local.storage.store import Store
from otel_helicone.local.terminal import make_console
from otel_helicone.settings.local import ServeSettings, make_serve_settings
from otel_helicone.settings.options import given_options
from otel_helicone.settings.reading import SettingError

__all__ = ["run_program_here"]

_CANNOT_START: Final = 126
_NOT_FOUND: Final = 127
_LOOPBACK: Final = "127.0.0.1"


class _NotPossible(Exception):
    """The program is not started; the text says why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class _Place:
    """The local Helicone that a run's calls come to.

    Attributes:
        url: where it is.
        store: what it has stored.
        own: the server, where this process has started it.
        api_key: a key that it knows.
    """

    url: str
    store: Store
    own: LocalHelicone | None
    api_key: str


def run_program_here(arguments: argparse.Namespace) -> int:
    """Run a program with a local Helicone beside it, and show its sessions.

    Args:
        arguments: what the command line said.

    Returns:
        The exit status of the program; 1 where there is no local Helicone to be had, 2 for a wrong
        argument, 126 and 127, as in shells, for a program that can't be started or is not there.
    """
    return run(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    command = list(arguments.program or ())
    if command[:1] == ["--"]:
        del command[0]
    try:
        given = given_options(ServeSettings, arguments)
        settings = make_serve_settings({**given, "host": _LOOPBACK})
        program = find_program(command, arguments.module or ())
    except SettingError as error:
        return failed(str(error), 2)
    except NoProgram as error:
        return failed(str(error), _NOT_FOUND if command else 2)
    try:
        with _place(arguments, settings, set(given) - {"port"}) as place:
            return _run_at(place, program, stay=arguments.stay)
    except _NotPossible as error:
        return failed(str(error))


@contextmanager
def _place(
    arguments: argparse.Namespace, settings: ServeSettings, of_server: set[str]
) -> Iterator[_Place]:
    """Find the local Helicone, or start one until the context is left."""
    url = f"http://{_LOOPBACK}:{settings.port}"
    neighbour = find_neighbour(url) if settings.port else None
    if neighbour is not None:
        yield _place_of(neighbour, arguments, of_server)
        return
    try:
        helicone = server_for(store_path(arguments.store), settings)
    except ValueError as error:
        raise _NotPossible(f"--upstream: {error}") from error
    try:
        with helicone:
            api_key = next(iter(settings.api_keys), None) or _own_key() or make_api_key()
            yield _Place(url=helicone.url, store=helicone.store, own=helicone, api_key=api_key)
    except PortTaken as error:
        raise _NotPossible(f"no local Helicone answers at {url}, and {error}") from error
    missing = missing_requests(helicone.unwritten)
    if missing:
        sys.stderr.write(f"otel-helicone: {missing}\n")


def _place_of(neighbour: Neighbour, arguments: argparse.Namespace, of_server: set[str]) -> _Place:
    where = f"the local Helicone at {neighbour.url}"
    remedy = "choose another --port, or --port 0 for a free one"
    if neighbour.store is None:
        raise _NotPossible(f"{where} asks for a key; {remedy}")
    if arguments.store is not None and store_path(arguments.store) != neighbour.store:
        raise _NotPossible(
            f"{where} has the store {neighbour.store}; leave --store out, or {remedy}"
        )
    if of_server:
        options = " and ".join(f"--{name}" for name in sorted(of_server))
        raise _NotPossible(f"{where} runs already, so {options} would do nothing; {remedy}")
    own = _own_key()
    if own is None and not neighbour.takes_any_key:
        raise _NotPossible(
            f"{where} takes logs with its own keys only: set HELICONE_API_KEY to one"
        )
    return _Place(
        url=neighbour.url, store=Store(neighbour.store), own=None, api_key=own or make_api_key()
    )


def _own_key() -> str | None:
    return os.environ.get("HELICONE_API_KEY", "").strip() or None


def _run_at(place: _Place, program: Program, *, stay: bool) -> int:
    _say(place, program)
    environ = variables_for(
        os.environ,
        url=place.url,
        base_url=base_url_of_run(place.url, uuid.uuid4().hex, program.name),
        api_key=place.api_key,
    )
    since = datetime.now(UTC)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        code = run_program(program.arguments, environ)
    except OSError as error:
        return failed(
            f"{program.arguments[0]} cannot be started: {reason_of(error)}", _CANNOT_START
        )
    console = make_console(sys.stderr)
    try:
        if place.own is not None:
            place.own.settle()
        else:
            wait_until_stored(place.store)
        print_ending(console, place.store, program.name, since)
    except StoreError as error:
        return failed(str(error), code or 1)
    sys.stderr.write(_where(place, code, stay=stay))
    sys.stderr.flush()
    if stay and place.own is not None:
        with stop_signals() as stop:
            stop.wait()
    return code


def _say(place: _Place, program: Program) -> None:
    lines = [f"Local Helicone: {place.url}/"]
    if place.own is None:
        lines[0] += " (was running already)"
    elif place.own.answers_by_itself:
        lines.append("Answers are made up here; --upstream https://api.openai.com asks the API.")
    replaced = replaced_base_url(os.environ, place.url)
    if replaced is not None:
        lines.append(f"OPENAI_BASE_URL={replaced} is not used; --upstream {replaced} asks it.")
    lines.append(f"Running {program.name}\n")
    sys.stderr.write("\n".join(lines))


def _where(place: _Place, code: int, *, stay: bool) -> str:
    ended = "" if code == 0 else f"The program's exit status is {code}.\n"
    if place.own is None:
        return f"\n{ended}Pages: {place.url}/\n"
    if stay:
        return f"\n{ended}Pages: {place.url}/ (until Ctrl-C)\n"
    return f"\n{ended}Pages: {place.url}/ with `{_serve_again(place)}`\n"


def _serve_again(place: _Place) -> str:
    port = place.url.rpartition(":")[2]
    options = [] if port == str(ServeSettings().port) else ["--port", port]
    if place.store.path != store_path(None):
        options += ["--store", str(place.store.path)]
    return shlex.join(["otel-helicone", "serve", *options])
