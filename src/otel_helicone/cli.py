"""The command ``otel-helicone``: reads the arguments and hands on to the command's own module.

Nothing of the extras is imported before a command needs it, so that ``--help`` works without them.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from typing import Final

from otel_helicone.bridge.arguments import add_bridge, add_replay

__all__ = ["main"]

_DEFAULT_PORT: Final = 8787
_DEFAULT_LATENCY_MS: Final = 120.0
_DEFAULT_MAX_BODY_MIB: Final = 32


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the arguments without the program's name; None for those of the process.

    Returns:
        The exit code: 0 for success, 1 for a failure that a message tells, 2 for wrong arguments
        or an extra that is not installed.
    """
    arguments = _parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names in any script, in a terminal that knows ASCII only: shown as escapes.
            stream.reconfigure(errors="backslashreplace")
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except ModuleNotFoundError as error:
        extra: str | None = getattr(arguments, "extra", None)
        if extra is None or error.name is None or error.name.startswith("otel_helicone"):
            raise
        print(
            f"otel-helicone {arguments.command_name} needs the extra {extra!r}:"
            f" pip install 'otel-helicone[{extra}]'",
            file=sys.stderr,
        )
        return 2
    except BrokenPipeError:
        # `| head` has read enough. Python would complain once more when it flushes at the end.
        sys.stdout = io.StringIO()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="otel-helicone", description="OpenTelemetry traces as Helicone sessions."
    )
    commands = parser.add_subparsers(
        title="commands", dest="command_name", metavar="COMMAND", required=True
    )
    _add_serve(commands)
    _add_sessions(commands)
    add_bridge(commands)
    add_replay(commands)
    _add_doctor(commands)
    return parser


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store",
        metavar="PATH",
        help="the SQLite file with the requests (default: the variable OTEL_HELICONE_STORE, else"
        " a file in the user's data folder)",
    )


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "serve",
        help="run a local Helicone",
        description="Run a local Helicone: an OpenAI-compatible gateway that stores each request"
        " with its session, on this machine.",
    )
    _add_store(parser)
    parser.add_argument(
        "--port",
        type=_port,
        default=_DEFAULT_PORT,
        help="the port to listen on, 0 for a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--upstream",
        metavar="URL",
        help="the API that answers, such as https://api.openai.com (default: a built-in one that"
        " makes answers up)",
    )
    parser.add_argument(
        "--latency",
        metavar="MS",
        type=_not_negative,
        default=_DEFAULT_LATENCY_MS,
        help="the longest that the built-in upstream takes, in milliseconds, 0 for at once"
        " (default: %(default)g)",
    )
    parser.add_argument(
        "--max-body",
        metavar="MIB",
        type=_not_negative,
        default=_DEFAULT_MAX_BODY_MIB,
        help="how long a request's body may be, in MiB (default: %(default)g)",
    )
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        action="append",
        help="a Helicone key that logs are taken with, may be given more than once (default: those"
        " in the variable HELICONE_LOCAL_API_KEYS, else every well-formed key)",
    )
    parser.set_defaults(command=_serve, extra="local")


def _add_sessions(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "sessions",
        help="list the sessions of a local Helicone, or draw one as a tree",
        description="List the sessions of a local Helicone, newest first; with an id, draw that"
        " session as a tree.",
    )
    parser.add_argument(
        "session_id",
        metavar="ID",
        nargs="?",
        help="a session's id, or as much of its start as tells it from the others",
    )
    _add_store(parser)
    parser.add_argument(
        "--bodies", action="store_true", help="with an ID: also print requests and answers"
    )
    parser.add_argument("--json", action="store_true", help="print the records as JSON")
    parser.set_defaults(command=_sessions, extra="local")


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "doctor",
        help="say what is in effect, and what is wrong",
        description="Say which settings, HTTP clients and instrumentations are in effect in this"
        " environment, and what is wrong. Exits with 0 where nothing is, with 1 where something"
        " is.",
    )
    parser.add_argument(
        "url",
        metavar="URL",
        nargs="?",
        help="also say whether a call to this URL gets session headers, and why",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="also ask Helicone's log API whether it knows the key; nothing is stored",
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(command=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from otel_helicone.doctor.command import doctor

    return doctor(arguments.url, check=arguments.check, as_json=arguments.json)


def _serve(arguments: argparse.Namespace) -> int:
    from otel_helicone.local.commands import serve, store_path

    return serve(
        store_path(arguments.store),
        listen_on=arguments.host,
        port=arguments.port,
        upstream=arguments.upstream,
        latency_ms=arguments.latency,
        max_body_bytes=round(arguments.max_body * 1024 * 1024),
        api_keys=arguments.api_key,
    )


def _sessions(arguments: argparse.Namespace) -> int:
    from otel_helicone.local.commands import show_session, show_sessions, store_path

    store = store_path(arguments.store)
    if arguments.session_id is None:
        return show_sessions(store, as_text=not arguments.json)
    return show_session(
        store, arguments.session_id, as_text=not arguments.json, bodies=arguments.bodies
    )


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 6 and int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 0 to 65535")


def _not_negative(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 up")
    return number
