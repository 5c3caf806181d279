"""Directories as transports make them: several connections that look at one topology."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from kombu.transport.virtual import BrokerState
from kombu_redis.directory import Directory
from kombu_redis.keys import Keys
from kombu_redis.options import Options
from tests.unit.kombu_redis.support_client import client_to

__all__ = ("SEP", "directories_at", "holds", "queues_of")

SEP = "\x06\x16"


@contextmanager
def directories_at(url: str) -> Iterator[Callable[..., Directory]]:
    """A function that makes one more connection's directory, with transport options."""
    with ExitStack() as stack:
        made: list[Directory] = []

        def make(**options: Any) -> Directory:
            client = stack.enter_context(client_to(url, **options))
            parsed = Options.parse(options)
            directory = Directory(client, Keys(parsed, 0), parsed, BrokerState(), f"connection-{len(made)}")
            made.append(directory)
            return directory

        yield make


def queues_of(directory: Directory, exchange: str, key: str, **headers: Any) -> list[str]:
    """The names of the queues a message goes to, as far as the directory knows."""
    return sorted(name for name, _ in directory.route(exchange, key, headers).queues)


def holds(directory: Directory, exchange: str, key: str) -> bool:
    """Whether the checks of a route hold at the server, as the publishing script looks at them."""
    for kind, where, field, expected in directory.route(exchange, key).checks:
        found = (
            directory.client.call("HGET", where, field)
            if kind == "h"
            else directory.client.call("SCARD", where)
        )
        if (
            found.decode() if isinstance(found, bytes) else str(found or "" if kind == "h" else found)
        ) != expected:
            return False
    return True
