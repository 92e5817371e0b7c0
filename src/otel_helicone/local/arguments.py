"""The arguments of the local Helicone's commands. Imports nothing of the extra but to run one."""

from __future__ import annotations

import argparse
from typing import Final

from otel_helicone.settings.local import ServeSettings
from otel_helicone.settings.options import add_options

__all__ = ["add_export", "add_import", "add_run", "add_serve", "add_sessions"]

_RUN: Final = """\
Run a program, and show the sessions of its LLM calls. Step by step:

 1. looks for a local Helicone at 127.0.0.1 and --port, and starts one if there is none
 2. gives the program the variables that bring its calls there:
      OPENAI_BASE_URL            the gateway; OPENAI_API_KEY=none where there is no key
      HELICONE_GATEWAY_HOSTS     the gateway's host, so that calls get session headers
      OTEL_TRACES_EXPORTER       `helicone` besides what is named there, so that calls that
                                 don't go through the gateway are logged from their spans
      HELICONE_ENDPOINT, HELICONE_API_ENDPOINT, HELICONE_API_KEY
                                 the local Helicone, for these logs
      OTEL_METRICS_EXPORTER, OTEL_LOGS_EXPORTER
                                 `none`, where nothing is said
      PYTHONPATH                 what sets OpenTelemetry up in Python, before the program starts
 3. runs it as opentelemetry-instrument would, with all instrumentations that are installed; a
    tracer provider that the program sets itself goes before the one of step 2
 4. passes signals on to it, and waits for its end
 5. draws the sessions that got requests meanwhile, and says where their pages are
 6. exits with the program's exit status

A trace is a session. Calls outside of every span are in one session for the whole run, named
after the program. What is said here goes to standard error; standard output is the program's.
"""
_RUN_EXAMPLES: Final = """\
examples:
  otel-helicone run app.py
  otel-helicone run -m shop.orders --all
  otel-helicone run uvicorn app:app
  otel-helicone run gunicorn -w 2 app:app
  otel-helicone run pytest tests
  otel-helicone run --upstream https://api.openai.com app.py
"""


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


def add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command ``run``."""
    parser = commands.add_parser(
        "run",
        help="run a program, and show the sessions of its LLM calls",
        usage="otel-helicone run [options] PROGRAM ARGS...\n"
        "       otel-helicone run [options] -m MODULE ARGS...",
        description=_RUN,
        epilog=_RUN_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "program",
        metavar="PROGRAM",
        nargs=argparse.REMAINDER,
        help="a script of Python (its name ends with .py), or a program: beside this Python, or on"
        " the PATH; everything after it is for the program",
    )
    parser.add_argument(
        "-m", dest="module", metavar="MODULE", nargs=argparse.REMAINDER, help="a module of Python"
    )
    parser.add_argument(
        "--stay",
        action="store_true",
        help="go on showing the pages when the program has ended, until Ctrl-C",
    )
    _add_store(parser)
    for name in ("port", "upstream", "latency"):
        add_options(parser, ServeSettings, only=name)
    parser.set_defaults(command=_run, extra="local")


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


def _run(arguments: argparse.Namespace) -> int:
    from otel_helicone.local.run_command import run_program_here

    return run_program_here(arguments)


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
