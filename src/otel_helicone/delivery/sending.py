"""One call of ``Delivery.send`` and the posts that it has in flight."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from otel_helicone.delivery.post import Post

__all__ = ["Flight", "Outcome", "Sending"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the posts of one ``send``.

    Attributes:
        taken: how many Helicone has.
        refused: how many it will never take.
        expired: how many were not taken in time.
        exhausted: whether the posts were pulled to their end. Where not, those that were never
            pulled are counted as expired if their number is known (``len`` or
            ``__length_hint__``), and not counted otherwise.
    """

    taken: int
    refused: int
    expired: int
    exhausted: bool = True

    @property
    def is_complete(self) -> bool:
        """Whether every post was taken."""
        return self.exhausted and not self.refused and not self.expired


@dataclass(slots=True, eq=False)
class Sending:
    """One ``send`` in progress; its fields are changed under the delivery's lock."""

    deadline: float
    taken: int = 0
    refused: int = 0
    expired: int = 0
    flights: set[Flight] = field(default_factory=set)
    thread: int = field(default_factory=threading.get_ident)


@dataclass(slots=True, eq=False)
class Flight:
    """One post in flight, from when it was pulled until it is settled."""

    post: Post
    sending: Sending
    trouble: str = ""
