"""What all pages are made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from otel_helicone.local.forms.csrf import CsrfTokens
from otel_helicone.local.pages.rendering import Templates
from otel_helicone.local.pages.session_reports import SessionReports
from otel_helicone.local.storage.store import Store
from otel_helicone.local.storage.writer import StoreWriter

__all__ = ["Site"]


@dataclass(frozen=True, slots=True)
class Site:
    """One local Helicone's pages.

    Attributes:
        store: reads what is shown.
        writer: takes what is changed.
        csrf: the tokens that forms carry.
        trace_url: where a trace is found in an OpenTelemetry backend, with ``{trace_id}``,
            ``{span_id}`` or ``{session_id}`` in it; empty for no links.
        stopping: whether the server stops, so that answers without an end have to end.
        templates: the pages' templates.
        reports: what is told of sessions.
    """

    store: Store
    writer: StoreWriter
    csrf: CsrfTokens
    trace_url: str = ""
    stopping: Callable[[], bool] = lambda: False
    templates: Templates = field(default_factory=Templates)
    reports: SessionReports = field(init=False)

    def __post_init__(self) -> None:
        """Make what follows from the store."""
        object.__setattr__(self, "reports", SessionReports(self.store))
