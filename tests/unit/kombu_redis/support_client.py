"""A client as the transport makes it, for the tests of the modules below it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kombu import Connection
from kombu_redis.address import Address
from kombu_redis.client import Client
from kombu_redis.options import Options

__all__ = ("client_to", "commands_run")


@contextmanager
def client_to(url: str, name: str | None = None, connection: Any = None, **options: Any) -> Iterator[Client]:
    """A client to ``url``, closed at the end; ``connection`` are further arguments of ``Connection``."""
    given = Connection(url, transport_options=options, **(connection or {}))
    client = Client(Address.from_client(given), Options.parse(given.transport_options, client=given), name)
    try:
        yield client
    finally:
        client.close()


def commands_run(look: Any, of: Callable[[], object]) -> int:
    """How many commands the server carries out while ``of`` runs; ``look`` is a redis-py client."""
    before = look.info("stats")["total_commands_processed"]
    of()
    return int(look.info("stats")["total_commands_processed"]) - before - 1
