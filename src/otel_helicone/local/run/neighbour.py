"""The local Helicone that a program's calls go to: one that runs already, or one of our own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2

from otel_helicone.local.app import SERVICE

__all__ = ["Neighbour", "find_neighbour"]

_SECONDS: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A local Helicone that answers at an address.

    Attributes:
        url: where, such as ``http://127.0.0.1:8787``.
        store: the file that it writes to; None where it does not tell, since it asks for a key.
        takes_any_key: whether logs are taken with every well-formed key.
    """

    url: str
    store: Path | None
    takes_any_key: bool


def find_neighbour(url: str) -> Neighbour | None:
    """Return the local Helicone at an address, None where none answers there.

    Args:
        url: the address, without a path.
    """
    try:
        with httpx2.Client(trust_env=False, timeout=_SECONDS) as client:
            answer = client.get(f"{url}/healthz")
        said = json.loads(answer.content)
    except (httpx2.HTTPError, ValueError):
        return None
    if not isinstance(said, dict) or said.get("service") != SERVICE:
        return None
    store = said.get("store")
    return Neighbour(
        url=url,
        store=Path(store) if isinstance(store, str) else None,
        takes_any_key=said.get("takes_any_key") is True,
    )
