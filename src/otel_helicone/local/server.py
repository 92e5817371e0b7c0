"""A local Helicone that runs in a thread: for tests, for demos, and for the command line."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final

import uvicorn

from otel_helicone.local.access.rules import is_loopback, make_access_rules
from otel_helicone.local.app import DEFAULT_MAX_BODY_BYTES, create_app
from otel_helicone.local.built_in.upstream import BuiltInUpstream
from otel_helicone.local.forms.csrf import CsrfTokens
from otel_helicone.local.gateway.forwarding import ForwardingUpstream
from otel_helicone.local.gateway.gateway import Gateway
from otel_helicone.local.gateway.upstream import Upstream
from otel_helicone.local.log_api.api_keys import ApiKeys, make_api_key
from otel_helicone.local.log_api.intake import LogIntake
from otel_helicone.local.pages.site import Site
from otel_helicone.local.storage.retention import Retention
from otel_helicone.local.storage.store import Store
from otel_helicone.local.storage.unwritten import UnwrittenRequests
from otel_helicone.local.storage.writer import StoreWriter
from otel_helicone.settings.local import DEFAULT_LATENCY_MS, checked_trace_url

__all__ = ["LocalHelicone", "PortTaken"]

# The HTTP parser's own limit. It answers 400; the gateway's, which is lower, answers 431.
_MAX_UNPARSED_BYTES: Final = 1024 * 1024
# How long requests in progress may go on once the server stops, in seconds.
_SECONDS_TO_STOP: Final = 1


class PortTaken(Exception):
    """The port cannot be listened on; the text names it, the reason and the remedy."""


class LocalHelicone:
    """A local Helicone: an OpenAI-compatible gateway and log API that stores each request.

    A context manager; requests are taken inside of it, and all of them are stored, or in
    :attr:`unwritten`, once it is left:

        with LocalHelicone(store=Path("requests.db")) as helicone:
            client = openai.OpenAI(base_url=helicone.base_url, api_key="none")

    Attributes:
        store: reads what was stored, while the server runs and afterwards. A request is there some
            milliseconds after its answer; :meth:`settle` waits for that.
        unwritten: what came in and could not be written to the store.
        answers_by_itself: whether the built-in upstream makes the answers up.
        made_up_key: the key that everything is asked for with, where a key is needed and none was
            given; else None.
    """

    def __init__(
        self,
        store: Path | str,
        port: int = 0,
        upstream: str | None = None,
        latency: float = DEFAULT_LATENCY_MS,
        *,
        listen_on: str = "127.0.0.1",
        max_body_bytes: int = DEFAULT_MAX_BODY_BYTES,
        api_keys: Iterable[str] | None = None,
        allowed_hosts: Iterable[str] = (),
        allowed_origins: Iterable[str] = (),
        login: bool | None = None,
        bodies: bool = True,
        retention: Retention | None = None,
        trace_url: str = "",
    ) -> None:
        """Describe a server; it starts when the context is entered.

        Args:
            store: the SQLite file, which is made where it is missing.
            port: the port to listen on; 0 takes a free one.
            upstream: the URL of the API that answers, such as ``https://api.openai.com``; None
                for the built-in upstream.
            latency: the longest that the built-in upstream takes, in milliseconds; 0 for none.
            listen_on: the address to listen on.
            max_body_bytes: how long a request's body may be.
            api_keys: the only Helicone keys that logs are taken with; None for every
                well-formed one, or where a key is needed for everything, for one that is made up.
            allowed_hosts: names that the server goes by, besides ``localhost``.
            allowed_origins: sites whose pages may send requests, such as
                ``http://localhost:3000``.
            login: whether pages, gateway and API are for those who have a key; None for only where
                the server listens beyond loopback.
            bodies: whether the bodies of requests and answers are stored.
            retention: how long and how much is kept; None for everything.
            trace_url: where a trace is found in an OpenTelemetry backend, such as
                ``http://localhost:16686/trace/{trace_id}``; empty for no links.

        Raises:
            ValueError: for an upstream or trace URL that is not an ``http`` or ``https`` URL, or a
                host or an origin that is not one.
        """
        self.store = Store(Path(store))
        self.unwritten = UnwrittenRequests(self.store.path)
        self._port = port
        self._listen_on = listen_on
        self._max_body_bytes = max_body_bytes
        self._bodies = bodies
        self._retention = retention
        self._trace_url = checked_trace_url(trace_url)
        self._stopping = threading.Event()
        if login is None:
            login = not is_loopback(listen_on.lower())
        self.made_up_key: str | None = None
        if login and api_keys is None:
            self.made_up_key = make_api_key()
            api_keys = [self.made_up_key]
        self._api_keys = ApiKeys(api_keys)
        self._rules = make_access_rules(
            listen_on,
            allowed_hosts=allowed_hosts,
            allowed_origins=allowed_origins,
            keys=self._api_keys,
            login=login,
        )
        self.answers_by_itself = upstream is None
        self._upstream: Upstream = (
            BuiltInUpstream(latency) if upstream is None else ForwardingUpstream(upstream)
        )

    @property
    def host(self) -> str:
        """Host and port, such as ``127.0.0.1:8787``."""
        # Listening on every address, the server is reached through loopback as well.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._listen_on, self._listen_on)
        return f"[{host}]:{self._port}" if ":" in host else f"{host}:{self._port}"

    @property
    def url(self) -> str:
        """What logs are sent to, such as ``http://127.0.0.1:8787``: no ``/v1`` at its end."""
        return f"http://{self.host}"

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as its ``base_url``, such as ``http://127.0.0.1:8787/v1``."""
        return f"{self.url}/v1"

    @property
    def is_running(self) -> bool:
        """Whether the server's thread is alive."""
        return self._thread.is_alive()

    def __enter__(self) -> LocalHelicone:
        """Start to listen.

        Raises:
            PortTaken: where the port cannot be listened on.
            StoreError: where the store cannot be made or used.
        """
        listener = _listen(self._listen_on, self._port)
        try:
            self._writer = StoreWriter(
                self.store.path,
                retention=self._retention,
                bodies=self._bodies,
                unwritten=self.unwritten.keep,
            )
        except BaseException:
            listener.close()
            raise
        self._port = listener.getsockname()[1]
        self._gateway = Gateway(
            self._upstream, self._writer.put, self._max_body_bytes, self.unwritten.lose
        )
        self._intake = LogIntake(self._writer.put, self._api_keys, self._is_losing)
        site = Site(
            store=self.store,
            writer=self._writer,
            csrf=CsrfTokens(),
            trace_url=self._trace_url,
            stopping=self._stopping.is_set,
        )
        config = uvicorn.Config(
            create_app(self._gateway, self._intake, site, self._rules),
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            h11_max_incomplete_event_size=_MAX_UNPARSED_BYTES,
            # Never reached, unless something hangs that is none of the gateway's requests.
            timeout_graceful_shutdown=_SECONDS_TO_STOP + 4,
            server_header=False,
            date_header=False,
            proxy_headers=False,
        )
        self._server = _Server(config, self._gateway, self._stopping)
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="otel-helicone local", daemon=True
        )
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.001)
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, with everything stored; requests in progress have a second to end."""
        self._server.should_exit = True
        self._thread.join()
        self._writer.close()

    def settle(self, timeout: float = 5.0) -> bool:
        """Wait until no request is in progress and all of them can be read from the store.

        Args:
            timeout: how long to wait, in seconds.

        Returns:
            Whether it came to that in time.
        """
        deadline = time.monotonic() + timeout
        while self._gateway.in_progress or self._intake.in_progress:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.002)
        return self._writer.flush(max(deadline - time.monotonic(), 0.01))

    def _is_losing(self) -> bool:
        return self._writer.is_failing and self.unwritten.is_losing


class _Server(uvicorn.Server):
    """Ends what is in progress when it stops; uvicorn alone would print a traceback for each."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway, stopping: threading.Event) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._stopping = stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping.set()  # for answers without an end, such as what pages watch
        loop = asyncio.get_running_loop()
        ending = loop.call_later(_SECONDS_TO_STOP, self._gateway.end_all)
        try:
            await super().shutdown(sockets)
        finally:
            ending.cancel()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PortTaken(_no_address(host, error)) from error
    try:
        # So that a server that was stopped can be started again at once.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise PortTaken(_no_address(host, error)) from error
        reason = error.strerror or str(error)
        raise PortTaken(
            f"port {port} on {host} cannot be used: {reason}. Choose another one with --port, or"
            " --port 0 for a free one."
        ) from error
    return listener


def _no_address(host: str, error: OSError) -> str:
    return (
        f"{host} cannot be listened on: {error.strerror or error}. Give an address of this machine"
        " with --host, such as 127.0.0.1."
    )
