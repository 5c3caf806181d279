"""Ports for servers of the tests."""

from __future__ import annotations

import random
import socket
from itertools import count

__all__ = ("free_port",)

#: Above those that Linux gives to clients and to who asks for any port: nobody takes one before its server has started,
#: or while it is away.
FIRST, LAST = 61_000, 65_535

_numbers = count(random.randrange(LAST - FIRST))


def free_port() -> int:
    """A port of the loopback interface that nobody listens on, another one each time."""
    while True:
        port = FIRST + next(_numbers) % (LAST + 1 - FIRST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
