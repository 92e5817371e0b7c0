"""The bearer token that requests must have."""

from __future__ import annotations

import hmac

__all__ = ["is_authorized"]


def is_authorized(given: str, token: str | None) -> bool:
    """Return whether a request may come in.

    Args:
        given: its ``Authorization``; empty for none.
        token: the token that is asked for; None for none.
    """
    if token is None:
        return True
    scheme, _, found = given.partition(" ")
    # In a time that tells nothing of the token.
    is_equal = hmac.compare_digest(found.encode("utf-8", "replace"), token.encode())
    return is_equal and scheme.lower() == "bearer"
