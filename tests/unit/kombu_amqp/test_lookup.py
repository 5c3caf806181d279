"""Looking up the broker's name ends when the time is over."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from threading import Event
from time import monotonic
from typing import Any

import pytest

from kombu import Connection
from kombu.exceptions import DeadlineExceeded
from tests.support.rabbit import RabbitMQ

NAME = "broker.invalid"


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """The system's resolver does not answer for NAME until the event is set; then it knows nothing of it."""
    answer, ask = Event(), socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:
        if host == NAME and not flags & socket.AI_NUMERICHOST:
            answer.wait(10)
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ask(host, port, family, type, proto, flags)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield answer
    answer.set()


@pytest.mark.parametrize("scheme", ["amqp", "amqps"])
def test_a_resolver_that_says_nothing(resolver: Event, scheme: str) -> None:
    # When, Then: connect_timeout
    started = monotonic()
    with pytest.raises(TimeoutError, match=r"was not found within|did not answer within 0\.3 s"):
        Connection(f"{scheme}://{NAME}", connect_timeout=0.3).connect()
    assert monotonic() - started <= 5
    # and the caller's deadline
    started = monotonic()
    with pytest.raises(DeadlineExceeded):
        Connection(f"{scheme}://{NAME}").Producer().publish("x", routing_key="q", retry=True, timeout=0.3)
    assert monotonic() - started <= 5


def test_an_unknown_name_is_said_at_once(resolver: Event) -> None:
    resolver.set()
    with pytest.raises(socket.gaierror, match="not known"):
        Connection(f"amqp://{NAME}", connect_timeout=5).connect()


def test_a_name_and_addresses(rabbitmq: RabbitMQ) -> None:
    for host in ("localhost", "127.0.0.1"):
        with Connection(f"amqp://{host}:{rabbitmq.port}//", connect_timeout=5) as connection:
            connection.connect()
            assert connection.connected
