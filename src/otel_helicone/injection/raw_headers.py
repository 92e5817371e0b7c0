"""Headers of a request or a response of ``httpx2`` or ``httpx``, as the bytes that are sent.

To set a header by its name settles the encoding of all of them, for which each is decoded: 20 µs
for a request of openai's client, and a later hook of the application that sets another text would
fail. So the list inside is read and added to. ``Headers._list`` is private: pairs of name and value
with the name in lower case between them, in every release of ``httpx`` from 0.25 and of ``httpx2``
from 2.0 on, which the tests hold on the oldest and the newest. In another form the public ways are
used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from otel_helicone.primitives.header_names import HeaderPair

if TYPE_CHECKING:
    from otel_helicone.injection.http_types import Headers, Request

__all__ = ["RawHeader", "add_raw", "keep_raw", "raw_headers"]

RawHeader = tuple[bytes, bytes, bytes]
"""A header's name as it is sent, in lower case, and its value."""


def raw_headers(headers: Headers) -> Sequence[RawHeader]:
    """Return the headers; what is returned must not be changed."""
    items = _list_of(headers)
    if items is not None:
        return items
    return [(name, name.lower(), value) for name, value in headers.raw]


def add_raw(
    headers: Headers, pairs: Iterable[HeaderPair], present: Iterable[bytes]
) -> list[RawHeader]:
    """Add headers whose names are not there yet.

    Args:
        headers: what is added to.
        pairs: names and values, in ASCII.
        present: the names that are there, in lower case.

    Returns:
        What was added.
    """
    added = []
    for name, value in pairs:
        raw = name.encode("ascii")
        lower = raw.lower()
        if lower not in present:
            added.append((raw, lower, value.encode("ascii")))
    items = _list_of(headers)
    if items is not None:
        items.extend(added)
    else:
        for raw, _, content in added:
            headers[raw.decode("ascii")] = content.decode("ascii")
    return added


def keep_raw(request: Request, kept: Iterable[RawHeader]) -> None:
    """Have a request keep these of its headers alone."""
    make: Any = type(request.headers)
    request.headers = make([(name, value) for name, _, value in kept])


def _list_of(headers: Headers) -> list[RawHeader] | None:
    items = getattr(headers, "_list", None)
    if type(items) is not list or (items and len(items[0]) != 3):
        return None
    return items
