"""What ``otel-helicone bridge`` does, once its arguments are read."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from typing import Final

from otel_helicone.bridge.bridge import Bridge, PortTaken
from otel_helicone.bridge.log_format import log_to_stderr
from otel_helicone.bridge.spool_file import SpoolError
from otel_helicone.settings.bridge import BridgeSettings, make_bridge_settings
from otel_helicone.settings.options import given_options
from otel_helicone.settings.reading import SettingError

__all__ = ["run_bridge"]

_logger: Final = logging.getLogger("otel_helicone")


def run_bridge(options: argparse.Namespace) -> int:
    """Run the bridge until Ctrl-C or SIGTERM; see :func:`.make_bridge_settings`.

    Args:
        options: what the command line said.

    Returns:
        The exit code: 0 after a stop, 1 where it could not run, 2 for a wrong setting.
    """
    # What senders do wrong is counted, and answered; gRPC would print some of it besides.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        given = given_options(BridgeSettings, options)
        settings = make_bridge_settings(endpoint=options.endpoint, **given)
    except SettingError as error:
        return _failed(str(error), 2)
    log_to_stderr(settings.log_format)
    try:
        asyncio.run(_run(settings))
    except SettingError as error:
        return _failed(str(error), 2)
    except (SpoolError, PortTaken) as error:
        return _failed(str(error), 1)
    _tell(settings, "Stopped; what was not sent yet is in the spool.")
    return 0


async def _run(settings: BridgeSettings) -> None:
    bridge = Bridge(settings)
    await bridge.start()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    takes = {f"{bridge.url}/v1/traces": "OTLP over HTTP"}
    if bridge.grpc_address:
        takes[bridge.grpc_address] = "OTLP over gRPC"
    lines = [f"  takes     {address} ({what})\n" for address, what in takes.items()]
    _tell(
        settings,
        "The bridge is running; Ctrl-C stops it.\n"
        f"{''.join(lines)}"
        f"  metrics   {bridge.url}/metrics\n"
        f"  logs to   {settings.exporter.endpoint}\n"
        f"  spool     {settings.spool}",
        takes=list(takes),
        metrics=f"{bridge.url}/metrics",
        logs_to=settings.exporter.endpoint,
        spool=str(settings.spool),
    )
    stopping = asyncio.create_task(stop.wait())
    failing = asyncio.create_task(bridge.wait())
    try:
        await asyncio.wait([stopping, failing], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        await bridge.stop()
    if failing.done() and not failing.cancelled() and (error := failing.exception()) is not None:
        raise error


def _tell(settings: BridgeSettings, text: str, **fields: object) -> None:
    if settings.log_format == "json":
        _logger.info("%s", text.partition(";")[0], extra=fields)
        return
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _failed(message: str, code: int) -> int:
    sys.stderr.write(f"otel-helicone: {message}\n")
    return code
