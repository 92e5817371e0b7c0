"""Ports for programs that are told where to listen."""

from __future__ import annotations

import random
import socket

# Not the global one, which a test may seed.
_random = random.SystemRandom()


def free_port() -> int:
    """Return a loopback port that nothing listens on.

    It is below those that systems give out of their own accord: no test beside this one gets it
    meanwhile, nor while what listens there is started anew.
    """
    while True:
        port = _random.randrange(20_000, 32_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
