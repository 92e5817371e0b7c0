"""A backend that takes OTLP over HTTP or gRPC and keeps the spans, in the place of the bridge.

It reads what the Collector sends with opentelemetry-proto, and so shares no code with the bridge
that it stands for.
"""

from __future__ import annotations

import gzip
import http.server
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)


@dataclass(frozen=True)
class ReceivedSpan:
    """What tells one span from another, in the hex digits of OTLP."""

    trace_id: str
    span_id: str
    name: str


@dataclass(frozen=True)
class ReceivedRequest:
    """One request that was taken."""

    headers: dict[str, str]
    size: int
    spans: list[ReceivedSpan]


def received_spans(request: ExportTraceServiceRequest) -> list[ReceivedSpan]:
    return [
        ReceivedSpan(span.trace_id.hex(), span.span_id.hex(), span.name)
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


class GRPCSink(TraceServiceServicer):
    """The same over gRPC; while `is_refusing` is set, requests are answered with UNAVAILABLE."""

    def __init__(self) -> None:
        self.is_refusing = False
        self.refused = 0
        self._spans: list[ReceivedSpan] = []
        self._server = grpc.server(
            ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", 2**25)]
        )
        add_TraceServiceServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def Export(  # noqa: N802 - the method of OTLP
        self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        if self.is_refusing:
            self.refused += 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "refusing")
        self._spans += received_spans(request)
        return ExportTraceServiceResponse()

    def spans(self) -> list[ReceivedSpan]:
        """Give all spans so far, as often as they came."""
        return list(self._spans)

    def counts(self) -> Counter[tuple[str, str]]:
        """Give how often each span came, by its trace id and its span id."""
        return Counter((span.trace_id, span.span_id) for span in self.spans())

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.stop(None).wait()


class OTLPSink:
    """A server on a free loopback port; as a context manager it serves until the block ends.

    While `refusing` is set to a status, requests are answered with it instead of being taken,
    with `retry_after` as the header of that name.
    """

    def __init__(self, port: int = 0) -> None:
        self.refusing: int | None = None
        self.retry_after: str | None = None
        # When each request was refused, by time.monotonic().
        self.refused_at: list[float] = []
        self.requests: list[ReceivedRequest] = []
        self._changed = threading.Condition()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """Where the Collector sends to; its exporter adds the path."""
        return f"http://127.0.0.1:{self.port}"

    def spans(self) -> list[ReceivedSpan]:
        """Give all spans so far, as often as they came."""
        with self._changed:
            return [span for request in self.requests for span in request.spans]

    def counts(self) -> Counter[tuple[str, str]]:
        """Give how often each span came, by its trace id and its span id."""
        return Counter((span.trace_id, span.span_id) for span in self.spans())

    def wait_for_spans(self, number: int, timeout: float = 120) -> list[ReceivedSpan]:
        """Wait till so many different spans came; give all."""
        self._wait(
            lambda: len({s.span_id for r in self.requests for s in r.spans}) >= number, timeout
        )
        return self.spans()

    def wait_for_refused(self, number: int, timeout: float = 120) -> None:
        """Wait till so many requests were refused."""
        self._wait(lambda: len(self.refused_at) >= number, timeout)

    def _wait(self, there: Callable[[], bool], timeout: float) -> None:
        with self._changed:
            if not self._changed.wait_for(there, timeout):
                came = sum(len(request.spans) for request in self.requests)
                raise AssertionError(
                    f"waited {timeout} s; {came} spans came in {len(self.requests)} requests, and"
                    f" {len(self.refused_at)} requests were refused"
                )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _take(self, headers: dict[str, str], body: bytes) -> None:
        encoding = headers.get("content-encoding")
        assert encoding in ("gzip", None), encoding
        plain = gzip.decompress(body) if encoding == "gzip" else body
        spans = received_spans(ExportTraceServiceRequest.FromString(plain))
        with self._changed:
            self.requests.append(ReceivedRequest(headers, len(plain), spans))
            self._changed.notify_all()

    def _refuse(self) -> None:
        with self._changed:
            self.refused_at.append(time.monotonic())
            self._changed.notify_all()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(headers["content-length"]))
                status = sink.refusing
                if self.path != "/v1/traces":
                    self.send_response(404)
                elif status is not None:
                    sink._refuse()
                    self.send_response(status)
                    if sink.retry_after is not None:
                        self.send_header("Retry-After", sink.retry_after)
                else:
                    sink._take(headers, body)
                    self.send_response(200)
                    self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler
