"""Reading what a form sends."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from otel_helicone.local.log_api.intake import read_body

__all__ = ["FormRefused", "read_form"]

_LONGEST_FORM: Final = 64 * 1024
_MOST_FIELDS: Final = 100


class FormRefused(Exception):
    """A form is too long, or is none."""


async def read_form(request: Request) -> dict[str, str]:
    """Read a form.

    Args:
        request: the one that brings it, urlencoded as browsers do it.

    Returns:
        The fields by their names; the last one where a name comes several times.

    Raises:
        FormRefused: where it is longer than 64 KiB, has over a hundred fields, or is no form.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        raise FormRefused("This is not a form.")
    body = await read_body(request, _LONGEST_FORM)
    if body is None:
        raise FormRefused(f"The form is longer than {_LONGEST_FORM} bytes.")
    try:
        pairs = parse_qsl(
            body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise FormRefused(f"The form has more than {_MOST_FIELDS} fields.") from None
    return dict(pairs)
