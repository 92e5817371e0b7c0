"""Servers in processes of their own, started and stopped by a benchmark."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import aiohttp

__all__ = ["server"]

SECONDS_TO_START: Final = 120.0


@contextmanager
def server(
    command: list[str], ready: str, environment: Mapping[str, str], log: Path
) -> Iterator[str]:
    """Run a server for a while.

    Args:
        command: what starts it; ``{port}`` in it is the port that it is to listen on.
        ready: a path that it answers once it is there.
        environment: variables for it, besides our own.
        log: the file for what it prints.

    Returns:
        Its address, without a slash at its end.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [part.replace("{port}", str(port)) for part in command],
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
        ) as process,
    ):
        try:
            address = f"http://127.0.0.1:{port}"
            try:
                asyncio.run(_wait(f"{address}{ready}", process))
            except RuntimeError:
                print(log.read_text()[-2000:])
                raise
            yield address
        finally:
            process.terminate()


async def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(address) as answer:
                    if answer.status < 500:
                        return
            except aiohttp.ClientError:
                pass
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{process.args!r} did not start; see what it printed above")
            await asyncio.sleep(0.1)
