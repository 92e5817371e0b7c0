"""What becomes of a request, whatever it came by: its spans are stored, or it is refused.

HTTP and gRPC share the limits, the threads and the counts; each writes the outcome in its own form.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from otel_helicone.bridge.decompression import BadCompression, TooLarge, decompress
from otel_helicone.bridge.metrics import BridgeMetrics
from otel_helicone.bridge.otlp import BadRequest
from otel_helicone.bridge.spool_file import SpoolError
from otel_helicone.bridge.stored import Added, SpoolFull
from otel_helicone.bridge.troubles import Troubles
from otel_helicone.bridge.weight import TooMuch, is_heavy
from otel_helicone.primitives.log_once import log_failure_once, warn_once

__all__ = ["RETRY_AFTER", "Accepted", "Ingestion", "Outcome", "Refusal", "Refused", "Store"]

RETRY_AFTER: Final = 5
"""Seconds after which a sender comes again; what frees room, sending, takes its time."""

# Requests that are being stored at the same time. The Collector sends ten at once.
_MAX_STORING: Final = 64

Store: TypeAlias = Callable[[bytes, str], tuple[Added, int]]
"""Takes a body and its content type apart and stores its spans; returns how many are no spans."""


class Refusal(Enum):
    """Whether the same request may be sent again."""

    UNREADABLE = "unreadable"
    """No: it is not what it should be."""
    TOO_LARGE = "too large"
    """No: it is more than is taken at once."""
    LATER = "later"
    """Yes, after a while."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The spans of a request are on the disk.

    Attributes:
        rejected: how many can't be used.
        reason: why; empty where all can.
    """

    rejected: int
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing of a request is stored.

    Attributes:
        refusal: whether it may be sent again.
        cause: one word, for the metrics.
        message: a sentence, for the sender.
    """

    refusal: Refusal
    cause: str
    message: str


Outcome: TypeAlias = Accepted | Refused


class Ingestion:
    """Stores the spans of requests, in threads of its own. Used in one event loop."""

    def __init__(
        self, max_request_bytes: int, metrics: BridgeMetrics, store: Store, troubles: Troubles
    ) -> None:
        """Start the threads.

        Args:
            max_request_bytes: how long a request may be, decompressed too.
            metrics: what is counted.
            store: stores the spans of a request; called in another thread.
            troubles: told why nothing is stored.
        """
        self._troubles = troubles
        self._most = max_request_bytes
        self._metrics = metrics
        self._store = store
        self._storing = 0
        # One at a time is stored anyway; the second takes the next request apart meanwhile.
        self._threads = ThreadPoolExecutor(2, "otel-helicone bridge receiver")
        # Requests that take seconds to read keep nobody waiting but each other.
        self._thread = ThreadPoolExecutor(1, "otel-helicone bridge large requests")

    def close(self) -> None:
        """End the threads; what they store is stored before."""
        self._threads.shutdown()
        self._thread.shutdown()

    async def take(self, body: bytes, encoding: str, content_type: str) -> Outcome:
        """Store the spans of a request.

        Args:
            body: the body as it arrived.
            encoding: how it is compressed; one of :data:`.ENCODINGS`.
            content_type: :data:`.PROTOBUF` or :data:`.JSON`.
        """
        if self._storing >= _MAX_STORING:
            return Refused(Refusal.LATER, "busy", "too many requests at once")
        self._storing += 1
        try:
            loop = asyncio.get_running_loop()
            arguments = body, encoding, content_type
            outcome = await loop.run_in_executor(self._threads, self._outcome, False, *arguments)
            if outcome is None:
                # It is decompressed again there, so that only one such is in memory at a time.
                outcome = await loop.run_in_executor(self._thread, self._outcome, True, *arguments)
            assert outcome is not None
            return outcome
        finally:
            self._storing -= 1

    def too_large(self) -> Refused:
        """Refuse a request that is longer than the limit."""
        warn_once(
            "bridge:too-large",
            "A request of more than %d bytes was refused, and its sender will not send it again."
            " Have the Collector send smaller batches (send_batch_max_size), or set"
            " HELICONE_BRIDGE_MAX_REQUEST_MIB.",
            self._most,
        )
        message = f"a request may have {self._most} bytes, decompressed too"
        return Refused(Refusal.TOO_LARGE, "too-large", message)

    def _outcome(
        self, may_be_heavy: bool, body: bytes, encoding: str, content_type: str
    ) -> Outcome | None:
        """Store the spans of a request; None for one that might hold others up."""
        try:
            plain = decompress(body, encoding, self._most)
            if not may_be_heavy and is_heavy(plain, content_type):
                return None
            added, rejected = self._store(plain, content_type)
        except TooLarge:
            return self.too_large()
        except TooMuch as error:
            warn_once(
                f"bridge:{error}",
                "A request was refused, and its sender will not send it again: %s. Have the"
                " Collector send smaller batches (send_batch_max_size).",
                error,
            )
            return Refused(Refusal.TOO_LARGE, "too-large", str(error))
        except (BadCompression, BadRequest) as error:
            return Refused(Refusal.UNREADABLE, "unreadable", str(error))
        except SpoolFull as error:
            self._troubles.begin(
                *("full", "Spans are taken again"),
                "Spans are not taken at present: %s. Senders are asked to come again, until logs"
                " that wait have gone to Helicone.",
                error,
            )
            return Refused(Refusal.LATER, "full", str(error))
        except SpoolError as error:
            self._troubles.begin(
                *("spool", "Spans are taken again"),
                "Spans are not taken at present: %s.",
                error,
            )
            return Refused(Refusal.LATER, "spool", "the spool can't be written")
        except Exception:
            log_failure_once("storing spans that came in")
            return Refused(Refusal.LATER, "failure", "something went wrong; the log has more")
        self._troubles.over("full", "spool")
        self._metrics.received(added.stored, added.repeated, added.stored - added.waiting)
        if rejected:
            self._metrics.refused("no-id", rejected)
        reason = "spans without a valid trace id and span id can't be used" if rejected else ""
        return Accepted(rejected, reason)
