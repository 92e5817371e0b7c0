"""Calls that failed and were made again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from otel_helicone.local.storage.records import RequestRecord

__all__ = ["Retry", "retries"]


@dataclass(frozen=True, slots=True)
class Retry:
    """One call's attempts.

    Attributes:
        attempts: the requests in the order of time, two at least; all but the last one failed.
    """

    attempts: tuple[RequestRecord, ...]

    @property
    def succeeded(self) -> bool:
        """Whether the last attempt did."""
        return not self.attempts[-1].is_error


def retries(requests: Sequence[RequestRecord]) -> tuple[Retry, ...]:
    """Find calls that were made again.

    Attempts of one call have the same path, the same kind and, as far as it is known, the same
    model; each began when the one before it had failed.

    Args:
        requests: the requests of one session, in any order.
    """
    open_chains: dict[tuple[str | None, str], list[list[RequestRecord]]] = {}
    chains: list[list[RequestRecord]] = []
    for request in sorted(requests, key=lambda one: one.started_at):
        failed = open_chains.setdefault((request.session_path, request.kind), [])
        chain = next((one for one in failed if _may_follow(one[-1], request)), None)
        if chain is not None:
            chain.append(request)
            failed.remove(chain)
        elif request.is_error:
            chain = [request]
            chains.append(chain)
        if chain is not None and request.is_error:
            failed.append(chain)
    return tuple(Retry(tuple(chain)) for chain in chains if len(chain) > 1)


def _may_follow(failed: RequestRecord, request: RequestRecord) -> bool:
    # Answers of failures often don't tell the model.
    same_model = not failed.model or not request.model or failed.model == request.model
    return same_model and request.started_at >= failed.ended_at
