"""The arguments of ``otel-helicone bridge``. Imports nothing of the extra before it is run."""

from __future__ import annotations

import argparse
import sys

from otel_helicone.settings.bridge import BridgeSettings
from otel_helicone.settings.options import add_options

__all__ = ["add_bridge", "add_replay"]


def add_bridge(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command ``bridge`` and those below it."""
    parser = commands.add_parser(
        "bridge",
        help="take OTLP from an OpenTelemetry Collector, and log to Helicone",
        description="Take spans from an OpenTelemetry Collector over OTLP (HTTP and gRPC), keep"
        " them on disk, and log those of LLM calls, tools and retrievals to Helicone."
        " docs/bridge.md has all settings; some are environment variables alone.",
    )
    add_options(parser, BridgeSettings)
    parser.add_argument(
        "--endpoint",
        metavar="URL",
        help="scheme and host of Helicone's log API (HELICONE_ENDPOINT, else Helicone's cloud)",
    )
    parser.set_defaults(command=_bridge, extra="bridge")
    below = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_status(below)
    _add_dead(below)


def add_replay(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command ``replay``."""
    parser = commands.add_parser(
        "replay",
        help="log what is in files that the Collector wrote",
        description="Log to Helicone what is in files that the Collector's file exporter wrote:"
        " JSON or protobuf, compressed or not. Run again, it goes on where it was stopped, and what"
        " was sent before changes nothing.",
    )
    parser.add_argument("file", metavar="FILE", nargs="+", help="a file, in the order of time")
    parser.add_argument(
        "--spool",
        metavar="PATH",
        help="the file that holds what was not sent yet (default: one in the user's state folder)",
    )
    parser.add_argument(
        "--endpoint",
        metavar="URL",
        help="scheme and host of Helicone's log API (HELICONE_ENDPOINT, else Helicone's cloud)",
    )
    parser.set_defaults(command=_replay, extra="bridge")


def _add_status(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "status",
        help="say what a running bridge has received, keeps and has sent",
        description="Say what a running bridge has received, keeps and has sent. Exits with 0"
        " while it takes spans, with 1 where it doesn't or can't be reached.",
    )
    parser.add_argument(
        "--url",
        metavar="URL",
        help="scheme, host and port of the bridge (default: those that HELICONE_BRIDGE_HOST and"
        " HELICONE_BRIDGE_PORT name)",
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.set_defaults(command=_status, extra="bridge")


def _add_dead(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "dead",
        help="look after logs that Helicone refused for good",
        description="Look after logs that Helicone refused for good, also while the bridge runs.",
    )
    below = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, about in (
        ("list", "list them, each with the reason"),
        ("retry", "have the bridge send them again"),
        ("drop", "delete them"),
    ):
        one = below.add_parser(name, help=about, description=f"{about.capitalize()}.")
        # It may stand before the command too; a default here would win over that.
        add_options(one, BridgeSettings, only="spool", default=argparse.SUPPRESS)
        if name == "list":
            one.add_argument("--json", action="store_true", help="print them as JSON, with bodies")
        else:
            which = one.add_mutually_exclusive_group(required=True)
            which.add_argument("--all", action="store_true", help="all of them")
            which.add_argument("number", metavar="NUMBER", type=int, nargs="*", default=[])
        one.set_defaults(command=_dead, dead_command=name, extra="bridge")


def _bridge(arguments: argparse.Namespace) -> int:
    from otel_helicone.bridge.command import run_bridge

    return run_bridge(arguments)


def _replay(arguments: argparse.Namespace) -> int:
    from otel_helicone.bridge.replay import run_replay

    return run_replay(arguments.file, spool=arguments.spool, endpoint=arguments.endpoint)


def _status(arguments: argparse.Namespace) -> int:
    from otel_helicone.bridge.status import run_status

    return run_status(arguments.url, as_json=arguments.json)


def _dead(arguments: argparse.Namespace) -> int:
    from otel_helicone.bridge.dead_letters import drop, list_all, retry
    from otel_helicone.settings.reading import SettingError

    try:
        if arguments.dead_command == "list":
            return list_all(arguments.spool, as_json=arguments.json)
        numbers = None if arguments.all else arguments.number
        return (retry if arguments.dead_command == "retry" else drop)(arguments.spool, numbers)
    except SettingError as error:
        sys.stderr.write(f"otel-helicone: {error}\n")
        return 2
