"""The arguments of the local Helicone's commands. Imports nothing of the extra but to run one."""

from __future__ import annotations

import argparse
from typing import Final

__all__ = ["DEFAULT_LATENCY_MS", "add_export", "add_import", "add_serve", "add_sessions"]

DEFAULT_LATENCY_MS: Final = 120.0
"""The longest that the built-in upstream takes, in milliseconds."""

_DEFAULT_PORT: Final = 8787
_DEFAULT_MAX_BODY_MIB: Final = 32


def add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command ``serve``."""
    parser = commands.add_parser(
        "serve",
        help="run a local Helicone",
        description="Run a local Helicone: an OpenAI-compatible gateway and log API that stores"
        " each request with its session, on this machine, and pages that show them.",
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
        default=DEFAULT_LATENCY_MS,
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
    _add_kept(parser)
    _add_access(parser)
    parser.set_defaults(command=_serve, extra="local")


def _add_kept(parser: argparse.ArgumentParser) -> None:
    kept = parser.add_argument_group("what is kept, and shown")
    kept.add_argument(
        "--no-bodies",
        action="store_true",
        help="keep the bodies of requests and answers out (HELICONE_LOCAL_BODIES=false)",
    )
    kept.add_argument(
        "--keep-days",
        metavar="DAYS",
        help="delete sessions that ended so long ago (HELICONE_LOCAL_KEEP_DAYS, else all are kept)",
    )
    kept.add_argument(
        "--keep-mib",
        metavar="MIB",
        help="delete the oldest sessions where the store is larger (HELICONE_LOCAL_KEEP_MIB, else"
        " all are kept)",
    )
    kept.add_argument(
        "--trace-url",
        metavar="URL",
        help="where a trace is shown, such as http://localhost:16686/trace/{trace_id}, for links"
        " from sessions (HELICONE_LOCAL_TRACE_URL)",
    )


def _add_access(parser: argparse.ArgumentParser) -> None:
    access = parser.add_argument_group("who may use it")
    access.add_argument(
        "--api-key",
        metavar="KEY",
        action="append",
        help="a Helicone key that is known here, may be given more than once"
        " (HELICONE_LOCAL_API_KEYS, else every well-formed key is, or beyond this machine one that"
        " is made up and printed)",
    )
    access.add_argument(
        "--no-login",
        action="store_true",
        help="ask for no key beyond this machine either: everyone who reaches it can use it",
    )
    access.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        help="a name that this server goes by, besides localhost, may be given more than once"
        " (HELICONE_LOCAL_ALLOWED_HOSTS)",
    )
    access.add_argument(
        "--allow-origin",
        metavar="ORIGIN",
        action="append",
        help="a site whose pages may send requests, such as http://localhost:3000, may be given"
        " more than once (HELICONE_LOCAL_ALLOWED_ORIGINS)",
    )


def add_sessions(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command ``sessions``."""
    parser = commands.add_parser(
        "sessions",
        help="list the sessions of a local Helicone, or draw one as a tree",
        description="List the sessions of a local Helicone, newest first; with an id, draw that"
        " session as a tree, and tell what it waited for.",
    )
    _add_session_id(parser)
    _add_store(parser)
    parser.add_argument(
        "--bodies", action="store_true", help="with an ID: also print requests and answers"
    )
    parser.add_argument("--json", action="store_true", help="print the records as JSON")
    parser.set_defaults(command=_sessions, extra="local")


def add_export(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command ``export``."""
    parser = commands.add_parser(
        "export",
        help="write the requests of a local Helicone to a file",
        description="Write requests, with their bodies, as lines of JSON, for"
        " `otel-helicone import`.",
    )
    _add_session_id(parser)
    _add_store(parser)
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="the file to write, compressed where its name ends with .gz (default: standard"
        " output)",
    )
    parser.set_defaults(command=_export, extra="local")


def add_import(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command ``import``."""
    parser = commands.add_parser(
        "import",
        help="read requests into a local Helicone",
        description="Read what `otel-helicone export` wrote. What is there already stays one.",
    )
    parser.add_argument(
        "file", metavar="FILE", nargs="+", help="a file, .gz too, or - for standard input"
    )
    _add_store(parser)
    parser.set_defaults(command=_import, extra="local")


def _add_session_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "session_id",
        metavar="ID",
        nargs="?",
        help="a session's id, or as much of its start as tells it from the others",
    )


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store",
        metavar="PATH",
        help="the SQLite file with the requests (default: the variable OTEL_HELICONE_STORE, else"
        " a file in the user's data folder)",
    )


def _serve(arguments: argparse.Namespace) -> int:
    from otel_helicone.local.commands import store_path
    from otel_helicone.local.serve_command import serve
    from otel_helicone.local.serve_settings import ServeArguments

    return serve(
        store_path(arguments.store),
        ServeArguments(
            listen_on=arguments.host,
            port=arguments.port,
            upstream=arguments.upstream,
            latency_ms=arguments.latency,
            max_body_bytes=round(arguments.max_body * 1024 * 1024),
            api_keys=arguments.api_key,
            bodies=False if arguments.no_bodies else None,
            keep_days=arguments.keep_days,
            keep_mib=arguments.keep_mib,
            trace_url=arguments.trace_url,
            login=False if arguments.no_login else None,
            allowed_hosts=arguments.allow_host,
            allowed_origins=arguments.allow_origin,
        ),
    )


def _sessions(arguments: argparse.Namespace) -> int:
    from otel_helicone.local.commands import show_session, show_sessions, store_path

    store = store_path(arguments.store)
    if arguments.session_id is None:
        return show_sessions(store, as_text=not arguments.json)
    return show_session(
        store, arguments.session_id, as_text=not arguments.json, bodies=arguments.bodies
    )


def _export(arguments: argparse.Namespace) -> int:
    from otel_helicone.local.commands import store_path
    from otel_helicone.local.transfer_commands import export

    return export(store_path(arguments.store), arguments.session_id, arguments.output)


def _import(arguments: argparse.Namespace) -> int:
    from otel_helicone.local.commands import store_path
    from otel_helicone.local.transfer_commands import import_files

    return import_files(store_path(arguments.store), arguments.file)


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
