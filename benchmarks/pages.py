"""How long the pages of the local Helicone take, with stores of three sizes.

``BENCH_PAGES_MOST`` is the number of requests of the largest store that is made, a million where
it is not set; that one takes a gigabyte of disk for a minute or two.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import httpx2

from benchmarks.measuring import Goal
from benchmarks.servers import server
from otel_helicone.local.storage.columns import REQUEST_COLUMNS
from otel_helicone.local.storage.schema import connect
from otel_helicone.local.storage.summaries import rebuild

__all__ = ["fill", "run"]

SIZES: Final = ((1_000, 50), (100_000, 5_000), (1_000_000, 50_000))
MOST: Final = int(os.environ.get("BENCH_PAGES_MOST", "1000000"))
LARGE_SESSION: Final = 10_000
GOAL_MS: Final = 300.0
# The first answer finds nothing in any cache: a report of a session is kept for the next ones.
ANSWERS: Final = 5
BEGAN: Final = 1_790_000_000_000_000
MINUTE: Final = 60_000_000


def run(_rounds: int) -> list[Goal]:
    """Fill stores, ask for the pages, print what they took."""
    print(f"Pages of the local Helicone, ms: first, median and best of {ANSWERS} answers")
    goals = []
    for requests, sessions in SIZES:
        if requests > MOST:
            continue
        with tempfile.TemporaryDirectory() as folder:
            store = Path(folder) / "requests.db"
            large = LARGE_SESSION if requests >= 10 * LARGE_SESSION else requests // 10
            fill(store, requests, sessions, large)
            size = store.stat().st_size / 1024**2
            print(f"\n  {requests:,} requests in {sessions:,} sessions, {size:,.0f} MiB")
            slowest = 0.0
            command = [
                *(sys.executable, "-m", "otel_helicone", "serve", "--port", "{port}"),
                *("--store", str(store)),
            ]
            with server(command, "/", {}, Path(folder) / "serve.log") as url:
                for name, page in pages(sessions, large):
                    took = answers(url + page)
                    median = statistics.median(took)
                    slowest = max(slowest, median, took[0])
                    print(f"    {name:34}{took[0]:8.1f}{median:8.1f}{min(took):8.1f}")
        what = f"slowest page at {requests:,} requests"
        goals.append(Goal.at_most(what, slowest, GOAL_MS, " ms"))
    return goals


def answers(address: str) -> list[float]:
    """Ask for a page, and give the milliseconds of each answer."""
    took = []
    with httpx2.Client(trust_env=False, timeout=60) as http:
        for _ in range(ANSWERS):
            started = time.perf_counter()
            answer = http.get(address)
            took.append((time.perf_counter() - started) * 1000)
            if answer.status_code != 200:
                raise RuntimeError(f"{address} answered {answer.status_code}")
    return took


def pages(sessions: int, large: int) -> Iterator[tuple[str, str]]:
    """Give the pages that are asked for, each with what it is."""
    yield "sessions", "/"
    for by in ("duration", "requests", "errors", "tokens", "cost", "name"):
        yield f"sessions by {by}", f"/?{urlencode({'sort': by})}"
    # Half of the sessions began after it, whatever the size of the store.
    middle = datetime.fromtimestamp((BEGAN + sessions // 2 * MINUTE) / 1e6, UTC)
    for name, query in {
        "search of an id": {"search": "0001a"},
        "search of a user": {"search": "USER-42"},
        "search of nothing": {"search": "zzzz"},
        "name": {"name": "flow 3"},
        "user": {"user": "user-7"},
        "property": {"property": "environment", "value": "prod"},
        "errors": {"status": "error"},
        "status": {"status": "429"},
        "model": {"model": "gpt-4o"},
        "time": {"from": middle.strftime("%Y-%m-%dT%H:%M")},
        "cost": {"cost_from": "0.01"},
        "duration": {"duration_from": "4"},
    }.items():
        yield f"sessions, filter: {name}", f"/?{urlencode(query)}"
    yield "names", "/sessions/names"
    yield "users", "/users"
    yield "models", "/models"
    yield "properties", "/properties?name=tenant"
    yield "a usual session", "/session?id=session-00000001"
    yield f"a session of {large:,} requests", f"/session?id=session-{sessions // 2:08x}"


def fill(path: Path, requests: int, sessions: int, large: int) -> None:
    """Make a store.

    Args:
        path: the file, which is not there yet.
        requests: how many there are to be.
        sessions: how many sessions they are in.
        large: how many requests the session in the middle has besides.
    """
    body = json.dumps({"messages": [{"role": "user", "content": "What is the weather? " * 12}]})
    columns = ("row", "session", *REQUEST_COLUMNS)
    insert = f"INSERT INTO request ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    with closing(connect(path, create=True)) as connection:
        connection.execute("BEGIN")
        connection.executemany(insert, _rows(requests, sessions, large))
        connection.execute("INSERT INTO body SELECT row, ?, ?, '[]' FROM request", [body, body])
        rebuild(connection)
        connection.execute("COMMIT")
        connection.execute("ANALYZE")


def _rows(
    requests: int, sessions: int, large: int
) -> Iterator[tuple[str | int | float | None, ...]]:
    chance = random.Random(1)
    each = (requests - large) // sessions
    row = 0
    for number in range(sessions):
        began = BEGAN + number * MINUTE
        user = f"user-{number % 500}"
        properties = json.dumps(
            {
                "environment": chance.choice(["prod", "dev", "test"]),
                "tenant": f"tenant-{chance.randrange(100)}",
            }
        )
        for step in range(each + (large if number == sessions // 2 else 0)):
            row += 1
            failed = chance.random() < 0.02
            yield (
                *(row, 0, f"{row:032x}", f"session-{number:08x}"),
                *(f"/step {step % 7}/call {step % 13}", f"flow {number % 200}", user, properties),
                *("OPENAI", chance.choice(["gpt-4o", "gpt-4o-mini"]), "POST"),
                *("/v1/chat/completions", chance.choice([429, 500, -3]) if failed else 200),
                *(100, 50, 150, began + step * 200_000, chance.randrange(50, 3000)),
                *(None, 0, 0, 0, "", "llm", "{}", chance.random() / 1000, 0),
            )
