"""Fleets of processes on a private redis-server."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection
from tests.support.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def make_fleet() -> Iterator[Callable[..., Fleet]]:
    """A function that makes a :class:`Fleet`; its processes end with the test."""
    made: list[Fleet] = []

    def make(url: str, **options: Any) -> Fleet:
        made.append(Fleet(url, **options))
        return made[-1]

    yield make
    for fleet in made:
        fleet.close()


@pytest.fixture
def fleet(make_fleet: Callable[..., Fleet], redis_url: str) -> Fleet:
    """A fleet on a database of its own, with leases of a second."""
    return make_fleet(redis_url, lease=1)


@pytest.fixture
def connect(redis_url: str) -> Iterator[Callable[..., Connection]]:
    """A function that connects with ``fanout="stream"`` and other options."""
    with ExitStack() as stack:

        def connect(**options: Any) -> Connection:
            made = Connection(redis_url, transport_options={"fanout": "stream", **options})
            return stack.enter_context(made)

        yield connect
