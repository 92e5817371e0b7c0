"""Ten thousand spans through a server that does everything that a server should not."""

from __future__ import annotations

import random

import pytest

from benchmarks.chat_spans import chat_spans
from otel_helicone import HeliconeSpanExporter
from otel_helicone.logs.request_id import request_id_of
from tests.test_delivery_faults import OK, FaultServer

SPANS = 10_000
BATCH = 512
# How likely an attempt meets each of them; together one in thirteen.
FAULTS = {
    "status:429:x|Retry-After: 0": 0.015,
    "status:500:x": 0.015,
    "status:503:x": 0.015,
    "drop": 0.015,
    "reset in body": 0.015,
    "hang:5": 0.0003,
    "late:2": 0.0003,
}


@pytest.mark.integration
def test_no_row_is_lost_and_none_is_there_twice() -> None:
    dice = random.Random(11)

    def plan(_request_id: str, _attempt: int) -> str:
        (fault,) = dice.choices([*FAULTS, OK], [*FAULTS.values(), 1 - sum(FAULTS.values())])
        return fault

    spans = chat_spans(SPANS)
    with FaultServer(plan) as server:
        exporter = HeliconeSpanExporter(
            endpoint=server.url,
            api_key="sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd",
            timeout=240,
        )
        for start in range(0, SPANS, BATCH):
            result = exporter.export(spans[start : start + BATCH])
            assert result.name == "SUCCESS"
        exporter.shutdown()
    # What was sent for each: every attempt the same bytes, so that Helicone makes one row of them.
    expected = {request_id_of((s.context.trace_id, s.context.span_id)) for s in spans}
    assert server.bodies.keys() == expected
    assert {len(bodies) for bodies in server.bodies.values()} == {1}
