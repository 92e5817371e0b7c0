"""Servers and clients that the tests of the local Helicone share."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import openai
import pytest

from otel_helicone.local.server import LocalHelicone

Script = Callable[[socket.socket], None]
RawAnswer = tuple[int, dict[str, str], bytes]
RawRequest = Callable[[LocalHelicone, bytes], RawAnswer]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def helicone(tmp_path: Path) -> Iterator[LocalHelicone]:
    with LocalHelicone(tmp_path / "requests.db", latency=0) as server:
        yield server


@pytest.fixture
def client(helicone: LocalHelicone) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=helicone.base_url, api_key="none", max_retries=0) as client:
        yield client


@contextmanager
def _scripted(script: Script) -> Iterator[str]:
    """Listen on a port, and let the script speak with everyone who connects."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    script(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture
def scripted_upstream() -> Iterator[Callable[[Script], str]]:
    """Give a function that starts a server, which speaks raw bytes, and gives its URL."""
    with ExitStack() as servers:
        yield lambda script: servers.enter_context(_scripted(script))


def read_request(connection: socket.socket) -> bytes:
    """Read one request with a Content-Length."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@pytest.fixture
def request_reader() -> Callable[[socket.socket], bytes]:
    return read_request


def _raw_request(helicone: LocalHelicone, request: bytes) -> RawAnswer:
    host, _, port = helicone.host.partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(request)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    return int(status_line.split()[1]), headers, body


@pytest.fixture
def raw_request() -> RawRequest:
    """Give a function that sends bytes as they are; they must ask for ``Connection: close``."""
    return _raw_request
