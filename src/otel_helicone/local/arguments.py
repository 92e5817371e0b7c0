"""The arguments of the local Helicone's commands. Imports nothing of the extra but to run one."""

from __future__ import annotations

import argparse

from otel_helicone.settings.local import ServeSettings
from otel_helicone.settings.options import add_options

__all__ = ["add_export", "add_import", "add_serve", "add_sessions"]


def add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command ``serve``."""
    parser = commands.add_parser(
        "serve",
        help="run a local Helicone",
        description="Run a local Helicone: an OpenAI-compatible gateway and log API that stores"
        " each request with its session, on this machine, and pages that show them.",
    )
    _add_store(parser)
    add_options(parser, ServeSettings)
    parser.set_defaults(command=_serve, extra="local")


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
        help="the file to write, compressed where its name ends with .gz; an earlier export is"
        " replaced, anything else is not (default, or -: standard output)",
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
        help="a session's id as it is shown, or as much of its start as tells it from the others",
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

    return serve(store_path(arguments.store), arguments)


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
