"""What is delivered: one HTTP POST."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Post"]


@dataclass(frozen=True, slots=True)
class Post:
    """One HTTP POST, built once: every retry sends the same bytes.

    Helicone merges the rows of a repeated log only where id, times, model, user and status are the
    same, so a retry must not build its body anew.

    Attributes:
        path: the path at the endpoint, such as ``/oai/v1/log``.
        body: the JSON body.
        request_id: Helicone's request id, for messages and for the check of the answer.
    """

    path: str
    body: bytes = field(repr=False)
    request_id: str
