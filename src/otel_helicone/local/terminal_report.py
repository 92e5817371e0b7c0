"""What a session waited for, on a terminal: the sections below its tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from otel_helicone.local.analysis.comparison import Comparison
from otel_helicone.local.analysis.report import SessionReport
from otel_helicone.local.analysis.tree import segments_of
from otel_helicone.local.display import shortened, shown_segment
from otel_helicone.local.figures import shown_cost, shown_count, shown_milliseconds, shown_status
from otel_helicone.local.storage.records import RequestRecord
from otel_helicone.local.terminal_table import new_table, print_table

__all__ = ["print_report"]

_MAX_STEPS: Final = 12
_MAX_SEGMENTS: Final = 12
_MAX_PATHS: Final = 5
_MAX_PATH: Final = 70


def print_report(console: Console, name: str, report: SessionReport) -> None:
    """Print what is told of a session, as far as there is something to tell.

    Args:
        console: where to.
        name: the session's name, fit to be shown.
        report: from :func:`~otel_helicone.local.analysis.report.report`.
    """
    if sum(1 for _ in report.tree.calls()) < 2:
        return
    _print_critical_path(console, report)
    _print_segments(console, report)
    _print_extremes(console, report)
    _print_failures(console, report)
    if report.comparison is not None:
        _print_comparison(console, name, report.comparison)


def _print_critical_path(console: Console, report: SessionReport) -> None:
    found, whole = report.critical_path, report.timeline.duration_ms
    if not found.steps:
        return
    waiting = (
        f", {shown_milliseconds(found.waiting_ms)} between requests" if found.waiting_ms else ""
    )
    _heading(
        console, f"Critical path: {shown_milliseconds(found.requests_ms)} in requests{waiting}"
    )
    table = _table("STEP", "BEFORE", "TIME", "SHARE")
    for step in found.steps[:_MAX_STEPS]:
        table.add_row(
            Text(_place(step.request)),
            shown_milliseconds(step.waited_ms) if step.waited_ms else "",
            shown_milliseconds(step.on_path_ms),
            _percent(step.on_path_ms, whole),
        )
    _print(console, table, len(found.steps) - _MAX_STEPS, "step")


def _print_segments(console: Console, report: SessionReport) -> None:
    times = [time for time in report.segment_times if time.segments]
    if len(times) < 2:
        return
    _heading(console, "Time by segment")
    table = _table("PATH", "OWN", "TOTAL", "SHARE")
    longest = sorted(times, key=lambda time: -time.total_ms)
    for time in longest[:_MAX_SEGMENTS]:
        table.add_row(
            Text(_shown_path(time.segments)),
            shown_milliseconds(time.own_ms) if time.own_ms else "",
            shown_milliseconds(time.total_ms),
            _percent(time.total_ms, report.timeline.duration_ms),
        )
    _print(console, table, len(times) - _MAX_SEGMENTS, "path")


def _print_extremes(console: Console, report: SessionReport) -> None:
    def latency(request: RequestRecord) -> str:
        return shown_milliseconds(request.latency_ms)

    def cost(request: RequestRecord) -> str:
        return shown_cost(request.cost_usd)

    sections: tuple[tuple[str, Sequence[RequestRecord], Callable[[RequestRecord], str]], ...] = (
        ("Slowest", report.slowest, latency),
        ("Dearest", report.dearest, cost),
    )
    for title, requests, figure in sections:
        if len(requests) < 2:
            continue
        _heading(console, title)
        table = new_table(header=False)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column(justify="right", no_wrap=True)
        for request in requests:
            table.add_row(Text(_place(request)), figure(request))
        print_table(console, table)


def _print_failures(console: Console, report: SessionReport) -> None:
    if not report.errors:
        return
    _heading(console, "Errors and retries")
    for retry in report.retries[:_MAX_PATHS]:
        ended = "succeeded" if retry.succeeded else "failed"
        place = _place(retry.attempts[-1])
        console.print(Text(f"{place}: {len(retry.attempts)} attempts, the last one {ended}"))
    counted: dict[tuple[str, int], int] = {}
    for request in report.errors:
        key = (_place(request), request.status)
        counted[key] = counted.get(key, 0) + 1
    for (place, status), times in list(counted.items())[:_MAX_STEPS]:
        word = shown_status(status)
        many = f", {times} times" if times > 1 else ""
        console.print(Text.assemble(f"{place}: ", (word, "red"), many))
    if len(counted) > _MAX_STEPS:
        console.print(Text(f"and {len(counted) - _MAX_STEPS} more", style="dim"))


def _print_comparison(console: Console, name: str, comparison: Comparison) -> None:
    others = "session" if comparison.sessions == 1 else "sessions"
    _heading(console, f"Compared with {comparison.sessions} other {others} of {name}")
    table = _table("FIGURE", "HERE", "USUAL", "HIGHER THAN")
    for label, figure, shown in (
        ("duration", comparison.duration_ms, shown_milliseconds),
        ("cost", comparison.cost_usd, shown_cost),
        ("requests", comparison.requests, _whole),
        ("errors", comparison.errors, _whole),
        ("tokens", comparison.tokens, _whole),
    ):
        table.add_row(label, shown(figure.here), shown(figure.usual), _percent(figure.rank, 1))
    print_table(console, table)
    differing = [path for path in comparison.paths if path.difference_ms][:_MAX_PATHS]
    if not differing:
        return
    table = _table("PATH", "HERE", "USUAL", "DIFFERENCE")
    for path in differing:
        sign = "+" if path.difference_ms > 0 else "-"
        table.add_row(
            Text(_shown_path(segments_of(path.path))),
            "missing" if path.here_ms is None else shown_milliseconds(path.here_ms),
            "new" if path.usual_ms is None else shown_milliseconds(path.usual_ms),
            sign + shown_milliseconds(abs(path.difference_ms)),
        )
    print_table(console, table)


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, style="bold"))


def _table(first: str, *others: str) -> Table:
    table = new_table()
    table.add_column(first, no_wrap=True, overflow="ellipsis", ratio=1)
    for title in others:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _print(console: Console, table: Table, left_out: int, noun: str) -> None:
    print_table(console, table)
    if left_out > 0:
        many = noun if left_out == 1 else f"{noun}s"
        console.print(Text(f"and {left_out} more {many}", style="dim"))


def _place(request: RequestRecord) -> str:
    return _shown_path(segments_of(request.session_path))


def _shown_path(segments: Sequence[str]) -> str:
    return shortened("/" + "/".join(shown_segment(segment) for segment in segments), _MAX_PATH)


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole if whole else 0:.0f} %"


def _whole(number: float) -> str:
    return shown_count(round(number))
