"""Which of the stored spans are looked at, and how often."""

from __future__ import annotations

from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_helicone.bridge.assembly import Assembler
from otel_helicone.bridge.spans import arrivals_of
from otel_helicone.bridge.spool import Spool
from otel_helicone.bridge.stored import Row
from otel_helicone.settings.bridge import make_bridge_settings
from tests.bridge.test_hostile_input import llm, request, span

MISSING = 2**50


class CountingSpool(Spool):
    """A spool that counts the waiting spans that are read from it."""

    read = 0

    def waiting(
        self, trace_id: bytes, after: int, most: int, most_bytes: int
    ) -> tuple[list[Row], bool]:
        rows, is_all = super().waiting(trace_id, after, most, most_bytes)
        self.read += len(rows)
        return rows, is_all


def test_spans_that_wait_for_a_missing_parent_are_not_read_for_each_transaction(
    tmp_path: Path,
) -> None:
    settings = make_bridge_settings(
        spool=str(tmp_path / "spool.db"), endpoint="http://127.0.0.1:1", wait=1000, environ={}
    )
    spool = CountingSpool(settings.spool, max_bytes=settings.max_spool_bytes)
    assembler = Assembler(spool, settings)
    blocked = [llm(number, MISSING) for number in range(10, 3010)]
    placed = [llm(number, 1) for number in range(10_000, 13_000)]
    for spans in (blocked, [span(1), *placed]):
        received = ExportTraceServiceRequest.FromString(request(spans))
        arrivals = arrivals_of(received, want_all=False)
        spool.add([arrival for arrival in arrivals if arrival is not None], 1.0, 1000)

    made = 0
    while made < len(placed):
        made += assembler.step(2.0) or 0
    assert spool.read == len(blocked) + len(placed)

    assert assembler.step(2.0, release_all=True) is not None  # what waits is not forgotten
    while assembler.step(2.0, release_all=True) is not None:
        pass
    assert spool.counts().posts == len(blocked) + len(placed)
    assembler.close()
    spool.close()
