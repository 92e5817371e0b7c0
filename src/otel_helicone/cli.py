"""The command ``otel-helicone``: reads the arguments and hands on to the command's own module.

Nothing of the extras is imported before a command needs it, so that ``--help`` works without them.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Sequence

from otel_helicone.bridge.arguments import add_bridge, add_replay
from otel_helicone.local.arguments import add_export, add_import, add_run, add_serve, add_sessions

__all__ = ["main"]


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


class _ShowVersion(argparse.Action):
    """Looks the version up only when it is asked for, which takes longer than all the rest."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:  # noqa: A002
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"otel-helicone {version('otel-helicone')}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="otel-helicone", description="OpenTelemetry traces as Helicone sessions."
    )
    parser.add_argument("--version", action=_ShowVersion, help="print the version, and exit")
    commands = parser.add_subparsers(
        title="commands", dest="command_name", metavar="COMMAND", required=True
    )
    add_run(commands)
    add_serve(commands)
    add_sessions(commands)
    add_export(commands)
    add_import(commands)
    add_bridge(commands)
    add_replay(commands)
    _add_doctor(commands)
    return parser


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
    parser.add_argument(
        "--explain",
        action="store_true",
        help="only print the symptoms of set-ups that can't work, what a program logs of each, and"
        " the line to type",
    )
    parser.set_defaults(command=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from otel_helicone.doctor.command import doctor, explain

    if arguments.explain:
        return explain()
    return doctor(arguments.url, check=arguments.check, as_json=arguments.json)
