"""HTTP servers for clients that have no transport to put in their place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["MakePlace", "Place", "serving_places"]


@dataclass
class Place:
    """An HTTP server that keeps the headers of the requests it got, in lower case."""

    url: str = ""
    host: str = ""
    seen: list[dict[str, str]] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    redirects: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    answer: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"

    def helicone(self, index: int = -1) -> dict[str, str]:
        return {name: text for name, text in self.seen[index].items() if "helicone" in name}

    def path(self, index: int = -1) -> str | None:
        return self.helicone(index).get("helicone-session-path")


MakePlace = Callable[[], Place]


class _Server(ThreadingHTTPServer):
    """A server that says nothing of clients that leave."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: Any) -> None:
        pass


@contextmanager
def serving_places() -> Iterator[MakePlace]:
    servers: list[ThreadingHTTPServer] = []

    def make() -> Place:
        place = Place()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                pairs = [(name.lower(), text) for name, text in self.headers.items()]
                assert len(dict(pairs)) == len(pairs), pairs
                place.targets.append(self.path)
                place.seen.append(dict(pairs))
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status = place.statuses.pop(0) if place.statuses else 200
                self.send_response(307 if place.redirects else status)
                if place.redirects:
                    self.send_header("Location", place.redirects.pop(0))
                for name, text in place.answer.items():
                    self.send_header(name, text)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(place.body)))
                self.end_headers()
                self.wfile.write(place.body)

            def do_GET(self) -> None:
                self.do_POST()

            def do_CONNECT(self) -> None:
                place.statuses.append(502)
                self.do_POST()

            def log_message(self, *_: Any) -> None:
                pass

        server = _Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        place.host = f"127.0.0.1:{server.server_address[1]}"
        place.url = f"http://{place.host}/v1"
        return place

    try:
        yield make
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
