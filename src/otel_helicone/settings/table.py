"""The table of all settings, which the documents and ``otel-helicone doctor`` are made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from otel_helicone.settings.bridge import BridgeSettings
from otel_helicone.settings.exporter import ExporterSettings, ScoreExporterSettings
from otel_helicone.settings.local import ServeSettings
from otel_helicone.settings.processor import ProcessorSettings
from otel_helicone.settings.reading import Setting, rows_of

__all__ = ["COMPONENTS", "Owner", "TableRow", "known_variables", "settings_table", "table_rows"]

Owner: TypeAlias = Literal["processor", "exporter", "scores", "bridge", "local"]
"""What has a setting: the span processor, one of the exporters, the bridge, the local Helicone."""

COMPONENTS: Final[dict[Owner, type]] = {
    "processor": ProcessorSettings,
    "exporter": ExporterSettings,
    "scores": ScoreExporterSettings,
    "bridge": BridgeSettings,
    "local": ServeSettings,
}
_OF_THE_LIBRARY: Final[tuple[Owner, ...]] = ("processor", "exporter", "scores")
# Read where the commands look for their store, before there is a table.
_OTHER_VARIABLES: Final = frozenset({"OTEL_HELICONE_STORE"})


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One row of the table, with all that has it.

    Attributes:
        setting: the row, as its first owner has it.
        owners: what has it.
    """

    setting: Setting
    owners: tuple[Owner, ...]


def table_rows(owners: tuple[Owner, ...] = _OF_THE_LIBRARY) -> list[TableRow]:
    """Return the rows of some components, each variable once, in the order of the documents.

    Args:
        owners: the components; by default those of an application.
    """
    found: dict[tuple[str, str], tuple[Setting, tuple[Owner, ...]]] = {}
    for owner in owners:
        for row in rows_of(COMPONENTS[owner]):
            first, others = found.get((row.name, row.variable), (row, ()))
            found[row.name, row.variable] = (first, (*others, owner))
    return [TableRow(setting=row, owners=of) for row, of in found.values()]


def known_variables() -> frozenset[str]:
    """Return the names of all environment variables that anything here reads."""
    rows = (row for settings in COMPONENTS.values() for row in rows_of(settings))
    return frozenset(row.variable for row in rows if row.variable) | _OTHER_VARIABLES


def settings_table(*owners: Owner) -> str:
    """Write the table of settings in Markdown, as it stands in the documents.

    Args:
        owners: the components; by default those of an application.
    """
    lines = _lines_of_commands(owners[0]) if owners else _lines()
    return "".join(f"{line}\n" for line in lines)


def _lines() -> Iterator[str]:
    yield "| argument | environment variable | of | default | meaning |"
    yield "| --- | --- | --- | --- | --- |"
    for row in table_rows():
        one = row.setting
        default = f"`{one.default_text}`" if one.default_text else "none"
        yield (
            f"| `{one.name}` | `{one.variable}` | {', '.join(row.owners)} | {default}"
            f" | {one.meaning} |"
        )


def _lines_of_commands(owner: Owner) -> Iterator[str]:
    yield "| option | environment variable | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for one in rows_of(COMPONENTS[owner]):
        option = f"`{one.option}`" if one.option else "none"
        variable = f"`{one.variable}`" if one.variable else "none"
        yield f"| {option} | {variable} | {one.default_text or 'none'} | {one.meaning} |"
