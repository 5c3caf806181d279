"""A broker that is short of memory or disk blocks publishers (RabbitMQ's connection.blocked)."""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any

import pytest

from kombu import Connection
from kombu.exceptions import DeadlineExceeded, OperationalError
from kombu_amqp import ConnectionBlocked
from tests.support.rabbit import RabbitMQ
from tests.support.stopwatch import Stopwatch


@pytest.fixture
def alarmed(victim: RabbitMQ) -> Any:
    yield victim
    victim.alarm(False, "memory")
    victim.alarm(False, "disk")


def publish(connection: Connection, **options: Any) -> None:
    connection.Producer().publish("hello", routing_key="blocked-queue", **options)


@pytest.mark.parametrize(("resource", "confirm"), [("memory", False), ("memory", True), ("disk", True)])
def test_raises_after_blocked_timeout_and_recovers(
    alarmed: RabbitMQ, resource: str, confirm: bool, caplog: pytest.LogCaptureFixture
) -> None:
    # Given
    told: list[str] = []
    options = {
        "confirm_publish": confirm,
        "blocked_timeout": 1.0,
        "on_blocked": told.append,
        "on_unblocked": lambda: told.append("unblocked"),
    }
    with caplog.at_level(logging.WARNING), Connection(alarmed.url, transport_options=options) as connection:
        connection.default_channel.queue_declare("blocked-queue", durable=True, auto_delete=False)
        publish(connection)
        # When
        alarmed.alarm(True, resource)
        # Then: it raises, in time (RabbitMQ says so when it sees the first publish)
        began = monotonic()
        with pytest.raises(ConnectionBlocked, match=resource) as caught:
            while monotonic() < began + 60:
                with Stopwatch() as watch:
                    publish(connection)
        assert isinstance(caught.value, OperationalError)
        assert watch.elapsed >= 0.9 and watch.seconds <= 1.7
        # and the state can be read, and was logged
        assert resource in connection.connection.blocked
        assert connection.connected
        assert "takes no messages" in caplog.text
        # and a nearer deadline goes first
        with Stopwatch() as watch, pytest.raises(DeadlineExceeded):
            publish(connection, timeout=0.1)
        assert watch.seconds < 0.9
        # When
        alarmed.alarm(False, resource)
        # Then: on the same connection
        publish(connection)
        assert connection.connection.blocked is None
        assert told[-1] == "unblocked" and resource in told[0]
        assert "takes messages again" in caplog.text
