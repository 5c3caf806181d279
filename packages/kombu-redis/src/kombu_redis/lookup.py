"""Looking up a host's name within a time limit, which the operating system's call does not have."""

from __future__ import annotations

import socket
from threading import Thread
from time import monotonic
from typing import Any

__all__ = ("addresses",)


def addresses(host: str, port: int, until: float | None) -> list[Any]:
    """What :func:`socket.getaddrinfo` tells for a TCP connection to ``host``.

    A lookup that is given up goes on in a daemon thread until the resolver's own patience is over.

    Arguments:
        until: moment (of the monotonic clock) to give up at; None is never.

    Raises:
        TimeoutError: the resolver did not answer in time.
        OSError: the name is not known.
    """
    wanted = (port, socket.AF_UNSPEC, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if until is None:
        return socket.getaddrinfo(host, *wanted)
    try:
        return socket.getaddrinfo(host, *wanted, socket.AI_NUMERICHOST)  # an address: nobody is asked
    except socket.gaierror:
        pass
    found: list[Any] = []
    failed: list[Exception] = []

    def look_up() -> None:
        try:
            found.extend(socket.getaddrinfo(host, *wanted))
        except Exception as exc:
            failed.append(exc)

    started = monotonic()
    thread = Thread(target=look_up, name="kombu-redis-lookup", daemon=True)
    thread.start()
    thread.join(max(0.0, until - started))
    if failed:
        raise failed[0]
    if not found:
        waited = monotonic() - started
        raise TimeoutError(
            f"the address of {host!r} was not found within {waited:.1f} s (socket_connect_timeout)"
        )
    return found
