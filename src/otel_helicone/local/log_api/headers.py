"""The headers of a log: those in its ``meta`` and those of the HTTP request, in one list."""

from __future__ import annotations

import re
from typing import Final

from otel_helicone.local.gateway.upstream import RawHeaders
from otel_helicone.local.wire.javascript import as_string, without_lone_surrogates

__all__ = ["InvalidHeader", "merged_headers", "meta_headers"]

_NOT_IN_VALUES: Final = re.compile(r"[\r\n\0]")
_NOT_IN_NAMES: Final = re.compile(r"[\x00-\x20\x7f()<>@,;:\\\"/\[\]?={}]")


class InvalidHeader(Exception):
    """A name or a value in ``meta`` can be no header; the message is the worker's."""


def meta_headers(meta: object, *, latin_1_only: bool) -> dict[str, str]:
    """Read ``providerRequest.meta`` as headers.

    Args:
        meta: parsed JSON. Values that are no strings become the text that JavaScript gives them.
        latin_1_only: whether names must be ASCII and values Latin-1, as for the API server.

    Returns:
        Values by lower-case name, blanks and line ends taken off; names that differ only in case
        are joined with ``, ``.

    Raises:
        InvalidHeader: for what can be no header.
    """
    if meta is None or isinstance(meta, list):
        return {}
    if not isinstance(meta, dict):
        raise InvalidHeader("Failed to construct 'Headers'")
    headers: dict[str, str] = {}
    for name, given in meta.items():
        value = as_string(given).strip("\t\n\r ")
        if not name or _NOT_IN_NAMES.search(name) or (latin_1_only and not name.isascii()):
            raise InvalidHeader("Invalid header name.")
        if _NOT_IN_VALUES.search(value) or (latin_1_only and max(value, default="") > "\xff"):
            raise InvalidHeader("Invalid header value.")
        lower = name.lower()
        headers[lower] = f"{headers[lower]}, {value}" if lower in headers else value
    return headers


def merged_headers(meta: dict[str, str], http: RawHeaders) -> RawHeaders:
    """Put both in one list; a header of the HTTP request wins, even an empty one.

    Args:
        meta: from :func:`meta_headers`.
        http: the headers of the HTTP request.
    """
    sent = {name.lower() for name, _ in http}
    # The worker reads names byte for byte: one outside ASCII is stored damaged.
    pairs = [
        (name.encode("latin-1", "replace"), without_lone_surrogates(value).encode())
        for name, value in meta.items()
    ]
    return (*(pair for pair in pairs if pair[0] not in sent), *http)
