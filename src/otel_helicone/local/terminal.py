"""Sessions on a terminal, or in a pipe."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from textwrap import wrap
from typing import IO, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from otel_helicone.local.analysis.report import report
from otel_helicone.local.analysis.tree import Folder, TreeLine, segments_of, tree_lines
from otel_helicone.local.display import shown, shown_block
from otel_helicone.local.figures import shown_cost, shown_milliseconds, shown_status
from otel_helicone.local.session_ids import unique_starts
from otel_helicone.local.storage.records import RequestRecord, SessionRecord
from otel_helicone.local.terminal_report import print_report
from otel_helicone.local.terminal_table import fits, new_table, print_table

__all__ = ["make_console", "print_bodies", "print_session", "print_sessions"]

_WIDEST: Final = 160
_WIDTH_IN_A_PIPE: Final = 120
# A trace id has 32 characters, a UUID 36. Where there is no room, the start of one is enough to
# ask for the session.
_MAX_ID: Final = 40
_NARROW: Final = 110
_MIN_NAME: Final = 12
_MIN_PATH: Final = 20
_TREE_COLUMNS: Final = ("PATH", "MODEL", "STATUS", "LATENCY", "FIRST", "IN", "OUT", "COST")
# What is left out of a tree that does not fit, the first one first.
_LESS_IMPORTANT: Final = ("FIRST", "MODEL", "IN", "OUT", "COST")


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
    """Print a table of sessions, one a line; where it does not fit, a list of them.

    Args:
        console: where to.
        sessions: all that there are, so that what is shown of an id tells it from the others.
    """
    starts = unique_starts(session.session_id for session in sessions)
    table = new_table()
    table.add_column("SESSION", no_wrap=True)
    table.add_column("NAME", no_wrap=True, ratio=1, min_width=_MIN_NAME)
    has_costs = any(session.cost_usd for session in sessions)
    costs = ("COST",) if has_costs else ()
    for title in ("REQUESTS", "ERRORS", "TOKENS", *costs, "STARTED", "TOOK"):
        table.add_column(title, justify="right", no_wrap=True)
    for session in sessions:
        session_id = shown(session.session_id)
        if console.width < _NARROW or len(session_id) > _MAX_ID:
            session_id = starts[session.session_id]
        table.add_row(
            Text(session_id, style="bold"),
            Text(shown(session.session_name)),
            str(session.requests),
            Text(str(session.errors), style="red" if session.errors else ""),
            str(session.total_tokens),
            *((shown_cost(session.cost_usd),) if has_costs else ()),
            _local_time(session.started_at),
            _duration(session.duration),
        )
    if fits(console, table):
        print_table(console, table)
        return
    for session in sessions:
        _print_session_in_lines(console, session, starts[session.session_id])


def _print_session_in_lines(console: Console, session: SessionRecord, session_id: str) -> None:
    """Print what a line of the table says in several, with the id never cut further."""
    name = shown(session.session_name) or "(no name)"
    # What does not fit is cut by the terminal, at its edge, and can still be copied.
    console.print(Text(session_id, style="bold"), soft_wrap=True)
    console.print(Text(f"  {name}"), no_wrap=True, overflow="ellipsis")
    figures = [
        _many(session.requests, "request"),
        *([_many(session.errors, "error")] if session.errors else []),
        _many(session.total_tokens, "token"),
        *([shown_cost(session.cost_usd)] if session.cost_usd else []),
        _local_time(session.started_at),
        f"took {_duration(session.duration)}",
    ]
    for line in wrap(", ".join(figures), max(console.width - 2, 20)):
        console.print(Text(f"  {line}", style="dim"), soft_wrap=True)


def print_session(
    console: Console,
    session: SessionRecord,
    requests: Sequence[RequestRecord],
    others: Sequence[Sequence[RequestRecord]] = (),
    *,
    told: bool = True,
) -> None:
    """Print one session as a tree by its paths, and what it waited for.

    Where it does not fit, columns are left out, the path and the latency never.

    Args:
        console: where to.
        session: what to say above the tree.
        requests: the session's requests.
        others: the requests of other sessions of its name, to compare with.
        told: whether to print what it waited for.
    """
    name = shown(session.session_name) or "(no name)"
    session_id = shown(session.session_id)
    if len(f"{name}  {session_id}") <= console.width:
        console.print(Text(f"{name}  {session_id}", style="bold"))
    else:
        console.print(Text(name, style="bold"), no_wrap=True, overflow="ellipsis")
        console.print(Text(session_id, style="bold"), soft_wrap=True)
    counts = f"{_many(session.requests, 'request')}, {_many(session.errors, 'error')}"
    tokens = f"{session.prompt_tokens} tokens in, {session.completion_tokens} out"
    cost = f"; {shown_cost(session.cost_usd)}" if session.cost_usd else ""
    when = f"{_local_time(session.started_at)}, took {_duration(session.duration)}"
    console.print(Text(f"{counts}; {tokens}{cost}; {when}"))
    found = report(requests, others)
    critical = {id(step.request) for step in found.critical_path.steps}
    if len(requests) < 2:
        critical.clear()  # it goes without saying
    lines = [
        _cells(line, is_critical=id(line.call) in critical)
        for line in tree_lines(found.tree, ascii_only=console.options.ascii_only)
    ]
    left_out = set() if any(request.cost_usd for request in requests) else {"COST"}
    table = _tree_table(lines, left_out)
    for title in _LESS_IMPORTANT:
        if fits(console, table):
            break
        left_out.add(title)
        table = _tree_table(lines, left_out)
    print_table(console, table)
    if critical:
        console.print(Text("* on the critical path", style="dim"))
    if told:
        print_report(console, name, found)


def _tree_table(lines: Sequence[Sequence[Text]], left_out: Collection[str]) -> Table:
    table = new_table()
    kept = [place for place, title in enumerate(_TREE_COLUMNS) if title not in left_out]
    for place in kept:
        title = _TREE_COLUMNS[place]
        if title == "PATH":
            table.add_column(title, no_wrap=True, ratio=1, min_width=_MIN_PATH)
        elif title == "MODEL":
            table.add_column(title, no_wrap=True, max_width=28)
        else:
            table.add_column(title, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(*(line[place] for place in kept))
    return table


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
