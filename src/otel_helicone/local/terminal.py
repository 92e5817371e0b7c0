"""Sessions on a terminal, or in a pipe."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import IO, Final

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from otel_helicone.local.analysis.report import report
from otel_helicone.local.analysis.tree import Folder, TreeLine, segments_of, tree_lines
from otel_helicone.local.display import shortened, shown, shown_block
from otel_helicone.local.figures import shown_cost, shown_milliseconds, shown_status
from otel_helicone.local.storage.records import RequestRecord, SessionRecord
from otel_helicone.local.terminal_report import print_report

__all__ = ["make_console", "print_bodies", "print_session", "print_sessions"]

_WIDEST: Final = 160
_WIDTH_IN_A_PIPE: Final = 120
# A trace id has 32 characters, a UUID 36. Where there is no room, the start of one is enough to
# ask for the session.
_LONGEST_ID: Final = 40
_LONGEST_ID_WHEN_NARROW: Final = 9
_NARROW: Final = 110


def make_console(file: IO[str]) -> Console:
    """Make a console for a file.

    Args:
        file: a terminal, or anything else, which gets no colours and a fixed width unless the
            variable ``COLUMNS`` gives one.
    """
    console = Console(file=file, highlight=False, markup=False, emoji=False, soft_wrap=False)
    if not console.is_terminal and not os.environ.get("COLUMNS"):
        console.width = _WIDTH_IN_A_PIPE
    console.width = min(console.width, _WIDEST)
    return console


def print_sessions(console: Console, sessions: Sequence[SessionRecord]) -> None:
    """Print a table of sessions, one a line."""
    longest_id = _LONGEST_ID if console.width >= _NARROW else _LONGEST_ID_WHEN_NARROW
    table = _table()
    table.add_column("SESSION", no_wrap=True)
    table.add_column("NAME", no_wrap=True, ratio=1, min_width=12)
    has_costs = any(session.cost_usd for session in sessions)
    costs = ("COST",) if has_costs else ()
    for title in ("REQUESTS", "ERRORS", "TOKENS", *costs, "STARTED", "TOOK"):
        table.add_column(title, justify="right", no_wrap=True)
    for session in sessions:
        table.add_row(
            Text(shortened(shown(session.session_id), longest_id), style="bold"),
            Text(shown(session.session_name)),
            str(session.requests),
            Text(str(session.errors), style="red" if session.errors else ""),
            str(session.total_tokens),
            *((shown_cost(session.cost_usd),) if has_costs else ()),
            _local_time(session.started_at),
            _duration(session.duration),
        )
    _print_table(console, table)


def print_session(
    console: Console,
    session: SessionRecord,
    requests: Sequence[RequestRecord],
    others: Sequence[Sequence[RequestRecord]] = (),
) -> None:
    """Print one session as a tree by its paths, and what it waited for.

    Args:
        console: where to.
        session: what to say above the tree.
        requests: the session's requests.
        others: the requests of other sessions of its name, to compare with.
    """
    name = shown(session.session_name) or "(no name)"
    session_id = shortened(shown(session.session_id), _LONGEST_ID)
    console.print(Text(f"{name}  {session_id}", style="bold"), no_wrap=True, overflow="ellipsis")
    counts = f"{_many(session.requests, 'request')}, {_many(session.errors, 'error')}"
    tokens = f"{session.prompt_tokens} tokens in, {session.completion_tokens} out"
    cost = f"; {shown_cost(session.cost_usd)}" if session.cost_usd else ""
    when = f"{_local_time(session.started_at)}, took {_duration(session.duration)}"
    console.print(Text(f"{counts}; {tokens}{cost}; {when}"))
    table = _table()
    table.add_column("PATH", no_wrap=True, ratio=1, min_width=20)
    table.add_column("MODEL", no_wrap=True, max_width=28)
    has_costs = any(request.cost_usd for request in requests)
    costs = ("COST",) if has_costs else ()
    for title in ("STATUS", "LATENCY", "FIRST", "IN", "OUT", *costs):
        table.add_column(title, justify="right", no_wrap=True)
    told = report(requests, others)
    critical = {id(step.request) for step in told.critical_path.steps}
    if len(requests) < 2:
        critical.clear()  # it goes without saying
    for line in tree_lines(told.tree, ascii_only=console.options.ascii_only):
        cells = _cells(line, is_critical=id(line.call) in critical)
        table.add_row(*cells[: None if has_costs else -1])
    _print_table(console, table)
    if critical:
        console.print(Text("* on the critical path", style="dim"))
    print_report(console, name, told)


def print_bodies(console: Console, requests: Sequence[RequestRecord]) -> None:
    """Print the bodies of requests and answers, in the order of their start."""
    for request in requests:
        path = "/".join(("", *segments_of(request.session_path)))
        title = f"{shown(path) or '/'}  {request.request_id}"
        console.print()
        console.print(Text(title, style="bold"), no_wrap=True, overflow="ellipsis")
        for what, body in (("request", request.request_body), ("answer", request.response_body)):
            console.print(Text(f"{what}:", style="dim"))
            # Not cut into lines: what is copied from here has to stay JSON.
            console.print(Text(shown_block(_readable(body))), soft_wrap=True)


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")


def _print_table(console: Console, table: Table) -> None:
    # Where it does not fit, the column with a ratio gives way, and only that one.
    wide = Measurement.get(console, console.options.update(width=10_000), table).maximum
    table.expand = wide > console.width
    console.print(table)


def _cells(line: TreeLine, *, is_critical: bool) -> list[Text]:
    path = Text(line.guides, style="dim")
    path.append(line.label or "·", style="bold" if line.label else "")
    if is_critical:
        path.append(" *", style="yellow")
    if line.call is not None:
        return [path, *_call_cells(line.call)]
    if line.folder is None:
        return [path, *(Text() for _ in range(7))]
    return [path, *_folder_cells(line.folder)]


def _call_cells(call: RequestRecord) -> list[Text]:
    first = call.time_to_first_token_ms
    status = shown_status(call.status)
    return [
        Text(shown(call.model or "-")),
        Text(status, style="red" if call.is_error else "green"),
        Text(shown_milliseconds(call.latency_ms)),
        Text("" if first is None else shown_milliseconds(first)),
        Text(str(call.prompt_tokens)),
        Text(str(call.completion_tokens)),
        Text(shown_cost(call.cost_usd)),
    ]


def _folder_cells(folder: Folder) -> list[Text]:
    calls = list(folder.calls())
    texts = (
        "",
        "",
        shown_milliseconds(folder.latency_ms),
        "",
        str(sum(call.prompt_tokens for call in calls)),
        str(sum(call.completion_tokens for call in calls)),
        shown_cost(sum(call.cost_usd or 0.0 for call in calls) or None),
    )
    return [Text(text, style="dim") for text in texts]


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _local_time(time: datetime) -> str:
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _duration(duration: timedelta) -> str:
    return shown_milliseconds(round(duration.total_seconds() * 1000))


def _readable(body: str) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return body or "(empty)"
