"""What the HTTP client imports when it is first used, imported where no fork comes in between.

The client loads its parts lazily: some when a transport is made, some at the first connection. In
the child of a fork, the lock of a module that another thread was importing is held for good, and
whoever needs the module waits without an end. So all of it is loaded at once, by one exchange with
a server of our own on loopback, and a fork waits until that is done: some 50 ms, once in a process.
"""

from __future__ import annotations

import asyncio
import os
import threading

__all__ = ["import_all"]

# How long a fork waits for it, in seconds; then the fork goes ahead.
_MAX_WAIT = 5.0
_importing = threading.Lock()
_is_done = False


async def import_all() -> None:
    """Load what the HTTP client needs for a connection; does something once in a process.

    To be called where nothing else runs in the loop yet: a second call has to wait for the first.
    """
    global _is_done
    with _importing:
        if not _is_done:
            try:
                async with asyncio.timeout(_MAX_WAIT):
                    await _exchange()
            except Exception:
                pass  # without loopback: the parts are loaded when they are needed
            _is_done = True


async def _exchange() -> None:
    import httpx2

    "localhost".encode("idna")  # every look-up of a name does it, and loads three modules for it

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    transport = httpx2.AsyncHTTPTransport()
    try:
        host, port = server.sockets[0].getsockname()
        request = httpx2.Request("GET", f"http://{host}:{port}/")
        response = await transport.handle_async_request(request)
        await response.aread()
        await response.aclose()
    finally:
        await transport.aclose()
        server.close()


def _wait_for_imports() -> None:
    global _held
    _held = _importing.acquire(timeout=_MAX_WAIT)


def _go_on() -> None:
    if _held:
        _importing.release()


def _go_on_in_child() -> None:
    global _importing
    _importing = threading.Lock()


_held = False
if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(
        before=_wait_for_imports, after_in_parent=_go_on, after_in_child=_go_on_in_child
    )
