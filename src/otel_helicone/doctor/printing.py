"""The report as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from otel_helicone.doctor.report import Report
from otel_helicone.doctor.set_ups_found import explained

__all__ = ["explanation", "text_of"]


def explanation() -> str:
    """Write for people what is logged of set-ups that can't work, and what mends each."""
    return "\n".join(
        f"{symptom}\n  {sentence}:\n    {remedy}\n" for symptom, sentence, remedy in explained()
    )


def text_of(report: Report) -> str:
    """Write a report for people."""
    return "".join(f"{line}\n" for line in _lines(report))


def _lines(report: Report) -> Iterator[str]:
    yield "Settings"
    yield from _table(
        ("ARGUMENT", "VARIABLE", "VALUE", "FROM"),
        [
            (
                setting.argument,
                setting.variable,
                f"{setting.value or 'none'}{'  (wrong)' if setting.problem else ''}",
                "default" if setting.source == "default" else "variable",
            )
            for setting in report.settings
        ],
    )
    yield ""
    yield "Clients, and whether their calls to Helicone get session headers"
    yield from _table(
        ("PACKAGE", "VERSION", "HEADERS", "REMARK"),
        [
            (client.name, client.version, "yes" if client.gets_headers else "no", client.remark)
            for client in report.installed.clients
        ],
    )
    yield ""
    yield "Frameworks, and what gives them a tree"
    yield from _table(
        ("FRAMEWORK", "VERSION", "SPANS FROM", "REMARK"),
        [
            (one.name, one.version, one.instrumentation or "nothing", one.remark)
            for one in report.installed.frameworks
        ],
    )
    yield ""
    yield "OpenTelemetry"
    yield from _table(("PACKAGE", "VERSION"), [*map(tuple, report.installed.opentelemetry.items())])
    if report.url is not None:
        yield ""
        yield f"A call to {report.url.url}"
        gets = "gets session headers" if report.url.gets_headers else "gets NO session headers"
        yield f"  {gets}: {report.url.why}"
    if report.key is not None:
        yield ""
        yield f"The key at {report.key.endpoint}"
        yield f"  {report.key.said}"
    if report.notes:
        yield ""
        yield "To note"
        yield from (f"  - {note}" for note in report.notes)
    yield ""
    if report.is_fine:
        yield "Nothing is wrong."
    else:
        yield "Wrong"
        yield from (f"  - {problem}" for problem in report.problems)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if not rows:
        yield "  none"
        return
    cells = [head, *rows]
    # The last column is not padded, and one very long value does not push the others away.
    widths = [min(max(len(row[at]) for row in cells), 48) for at in range(len(head) - 1)]
    for row in cells:
        line = "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=False))
        yield f"  {line}  {row[-1]}".rstrip()
