"""Runs one of the programs beside this file: ``run_program.py NAME BASE_URL…``.

Every function of the program whose name begins with ``run_`` is run for each base URL, for two
cities at once: coroutine functions in one event loop, others in threads. The programs know nothing
of Helicone, and set nothing of OpenTelemetry up.
"""

import asyncio
import importlib
import inspect
import sys
from collections.abc import Callable
from typing import Any

CITIES = ("Paris", "Rome")


async def run(function: Callable[[str, str], Any], base_url: str, city: str) -> None:
    if inspect.iscoroutinefunction(function):
        said = await function(base_url, city)
    else:
        said = await asyncio.to_thread(function, base_url, city)
    assert f"sunny in {city}" in str(said), f"{function.__name__} said {said!r}"


async def main(name: str, *base_urls: str) -> None:
    program = importlib.import_module(name)
    for name, function in list(vars(program).items()):  # modules may import lazily
        if name.startswith("run_"):
            for base_url in base_urls:
                await asyncio.gather(*(run(function, base_url, city) for city in CITIES))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
