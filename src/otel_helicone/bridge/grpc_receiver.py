"""OTLP/gRPC as a server: what is answered to whom.

By the OTLP specification, 1.x: OK says that the spans are taken, with a ``partial_success`` where
some of them can't be used; INVALID_ARGUMENT says never to send that again; UNAVAILABLE says to try
again, after the time in ``RetryInfo``.

gRPC hands the bytes of messages over as they came, compressed or not. So what a request may become
is checked before it is built, by the same code as for HTTP.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from typing import Any, Final, NoReturn

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from otel_helicone.bridge.authorization import is_authorized
from otel_helicone.bridge.grpc_reading import Messages, NoMessage
from otel_helicone.bridge.ingestion import RETRY_AFTER, Ingestion, Outcome, Refusal, Refused
from otel_helicone.bridge.metrics import BridgeMetrics
from otel_helicone.bridge.otlp import PROTOBUF, answer
from otel_helicone.bridge.reading import Bodies, NoRoom
from otel_helicone.settings.bridge import BridgeSettings

__all__ = ["GRPCReceiver"]

_EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
# No message begins like this: it would be a field of a wire type that doesn't exist.
_GZIP: Final = b"\x1f\x8b\x08"
_IDENTITY_AND_GZIP: Final = 1 << 0 | 1 << 2
# The Collector sends ten requests at once, over one connection.
_MAX_STREAMS: Final = 128
_MAX_UNREAD_BYTES: Final = 64 * 1024
_MAX_METADATA_BYTES: Final = 16 * 1024


class GRPCReceiver:
    """The gRPC side of the bridge. To be made and used in one event loop."""

    def __init__(
        self, settings: BridgeSettings, metrics: BridgeMetrics, ingestion: Ingestion, bodies: Bodies
    ) -> None:
        """Describe a server.

        Args:
            settings: limits and token.
            metrics: what is counted.
            ingestion: stores the spans of requests.
            bodies: what of requests is in memory.
        """
        self._settings = settings
        self._metrics = metrics
        self._ingestion = ingestion
        self._bodies = bodies
        self._messages = Messages()
        # The loop alone would not keep them.
        self._taking: set[asyncio.Task[Outcome]] = set()
        self._server: grpc.aio.Server | None = None
        self.address = ""
        """Host and port where it listens, once it was started."""

    async def start(self, port: int, credentials: grpc.ServerCredentials | None) -> None:
        """Begin to listen.

        Args:
            port: where; 0 for a free one.
            credentials: those for TLS; None to do without.

        Raises:
            OSError: where the port can't be listened on.
        """
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        _check_port(self._settings.host, port)
        server = grpc.aio.server(
            options=[
                # Otherwise two bridges share a port, and each gets some of the spans.
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", self._settings.max_request_bytes),
                ("grpc.max_concurrent_streams", _MAX_STREAMS),
                ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
                # What of a message is taken in before somebody reads it: 4 MiB by default.
                ("grpc.http2.lookahead_bytes", _MAX_UNREAD_BYTES),
                ("grpc.http2.bdp_probe", 0),
                # gRPC would decompress a message before anybody is asked.
                ("grpc.per_message_decompression", 0),
                ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_AND_GZIP),
            ]
        )
        server.add_generic_rpc_handlers([_Handlers(self._export)])
        try:
            if credentials is None:
                port = server.add_insecure_port(f"{host}:{port}")
            else:
                port = server.add_secure_port(f"{host}:{port}", credentials)
        except RuntimeError as error:
            raise OSError(errno.EADDRNOTAVAIL, str(error)) from None
        await server.start()
        self._server = server
        self.address = f"{host}:{port}"

    async def stop(self, seconds: float) -> None:
        """Take no more requests, and answer those that are under way.

        Args:
            seconds: how long they may take.
        """
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(seconds)
            if self._taking:
                await asyncio.wait(self._taking, timeout=seconds)

    async def _export(
        self, messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> bytes:
        if not is_authorized(_authorization(context), self._settings.token):
            await self._refuse(
                context, grpc.StatusCode.UNAUTHENTICATED, "token", "a bearer token is needed"
            )
        try:
            body = await self._messages.read(messages)
        except NoMessage:
            # The other side has hung up; or the message is longer than gRPC was told to take, which
            # gRPC has answered by itself.
            code = grpc.StatusCode.INVALID_ARGUMENT
            await self._refuse(context, code, "aborted", "the request did not arrive whole")
        except TimeoutError:
            await self._later(context, "slow", "the request took too long to arrive")
        except NoRoom:
            await self._later(context, "busy", "too many requests at once")
        # A sender that hangs up ends this, and not what a thread does with the body: that is in
        # memory, and counts, until it is stored.
        taking = asyncio.create_task(self._take(body))
        self._taking.add(taking)
        taking.add_done_callback(self._taking.discard)
        outcome = await asyncio.shield(taking)
        if isinstance(outcome, Refused):
            if outcome.refusal is Refusal.LATER:
                await self._later(context, outcome.cause, outcome.message)
            # RESOURCE_EXHAUSTED would have some senders come again.
            code = grpc.StatusCode.INVALID_ARGUMENT
            await self._refuse(context, code, outcome.cause, outcome.message)
        self._metrics.answered(grpc.StatusCode.OK.name)
        return answer(outcome.rejected, outcome.reason, PROTOBUF)

    async def _take(self, body: bytes) -> Outcome:
        encoding = "gzip" if body.startswith(_GZIP) else ""
        try:
            with self._bodies.hold(len(body)):
                return await self._ingestion.take(body, encoding, PROTOBUF)
        except NoRoom:
            return Refused(Refusal.LATER, "busy", "too much at once")

    async def _later(self, context: _Context, reason: str, message: str) -> NoReturn:
        details = AnyMessage()
        details.Pack(RetryInfo(retry_delay=Duration(seconds=RETRY_AFTER)))
        code = grpc.StatusCode.UNAVAILABLE
        status = Status(code=code.value[0], message=message, details=[details])
        trailing = [("grpc-status-details-bin", status.SerializeToString())]
        await self._refuse(context, code, reason, message, trailing)

    async def _refuse(
        self,
        context: _Context,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        trailing: Sequence[tuple[str, bytes]] = (),
    ) -> NoReturn:
        self._metrics.answered(code.name)
        self._metrics.refused_request(reason)
        await context.abort(code, message, tuple(trailing))
        raise AssertionError  # abort has raised


_Context = grpc.aio.ServicerContext[Any, Any]


class _Handlers(grpc.GenericRpcHandler):
    """Serves the one method, without reading what it is given."""

    def __init__(self, export: Any) -> None:
        # As a stream of requests, so that the handler runs before the message has come. What a
        # caller of an unary method sends looks the same.
        self._handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_unary_rpc_method_handler(
            export
        )

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        return self._handler if handler_call_details.method == _EXPORT else None


def _authorization(context: _Context) -> str:
    for name, value in context.invocation_metadata() or ():
        if name == "authorization":
            return value if isinstance(value, str) else ""
    return ""


def _check_port(host: str, port: int) -> None:
    """Raise the error of the system's where a port is taken; gRPC's doesn't say what it is."""
    if not port:
        return
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in found:
        with closing(socket.socket(family, kind, protocol)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(address)
