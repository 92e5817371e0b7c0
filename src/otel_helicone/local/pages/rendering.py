"""Templates and what they share: how figures, times and addresses are written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from otel_helicone.local.analysis.tree import segments_of
from otel_helicone.local.display import (
    is_invisible,
    revealed,
    shortened,
    shown,
    shown_block,
    shown_segment,
)
from otel_helicone.local.figures import (
    shown_cost,
    shown_count,
    shown_milliseconds,
    shown_status,
)
from otel_helicone.local.prices import price_list

__all__ = ["Templates", "address"]


class Templates:
    """The pages' templates, compiled once.

    Everything that they insert is escaped, and nothing of it is invisible: what hides or reorders
    text is written out.
    """

    def __init__(self, prices: Callable[[], object] = price_list) -> None:
        """Load them from the package.

        Args:
            prices: tells where the costs come from, and of which date.
        """
        self._environment = Environment(
            loader=PackageLoader("otel_helicone.local.pages"),
            autoescape=True,
            finalize=_finalized,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            cost=shown_cost,
            count=shown_count,
            milliseconds=shown_milliseconds,
            duration=_duration,
            shown=shown,
            block=shown_block,
            segment=shown_segment,
            path=_path,
            short=shortened,
            field=_field,
            time=_time,
            machine_time=_machine_time,
            status=shown_status,
            share=_share,
        )
        self._environment.globals.update(address=address, prices=prices, here="")

    def text(self, template: str, **values: Any) -> str:
        """Fill in a template.

        Args:
            template: its file's name in the folder ``templates``.
            values: what it refers to; a missing one raises.
        """
        return self._environment.get_template(template).render(**values)

    def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Fill in a template and answer with it.

        Args:
            template: its file's name in the folder ``templates``.
            status: the HTTP status.
            values: what it refers to; a missing one raises.
        """
        return HTMLResponse(self.text(template, **values), status_code=status)


def address(path: str, /, **query: str | int | float | None) -> str:
    """Return the address of a page.

    Args:
        path: what stands before the question mark.
        query: the query's fields; those that are None or empty are left out.
    """
    fields = {name: value for name, value in query.items() if value is not None and value != ""}
    return f"{path}?{urlencode(fields)}" if fields else path


def _finalized(value: Any) -> Any:
    # What is markup already was looked at when its parts were inserted.
    return revealed(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _field(value: str) -> Markup:
    """Write the value of a form's field, which is sent as it was: no character stands for others.

    Those that would hide or reorder the page's source are written as references.
    """
    # HTML has no references to the controls below these.
    return Markup(
        "".join(
            f"&#x{ord(character):x};"
            if is_invisible(character) and character >= "\xa0"
            else character
            for character in escape(value)
        )
    )


def _duration(duration: timedelta) -> str:
    return shown_milliseconds(round(duration.total_seconds() * 1000))


def _path(path: str | None) -> str:
    return "/" + "/".join(shown_segment(segment) for segment in segments_of(path))


def _time(time: datetime) -> str:
    """Write a time in UTC; the page's script puts the reader's own zone in its place."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _machine_time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _share(share: float) -> str:
    """Write a share of a whole, from 0 to 1; little is not shown as nothing."""
    percent = share * 100
    return f"{percent:.1f}%" if percent == 0 or percent >= 0.05 else "<0.1%"
