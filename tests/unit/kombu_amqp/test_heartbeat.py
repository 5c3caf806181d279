"""Heartbeats in the background."""

from __future__ import annotations

from threading import Event

import pytest

from kombu import Connection
from kombu.exceptions import RecoverableConnectionError
from tests.support.proxy import Proxy
from tests.support.rabbit import RabbitMQ
from tests.support.stopwatch import Stopwatch

INTERVAL = 1

#: Seconds that a slow machine may add.
GRACE = 0.6


def busy(seconds: float) -> None:
    """A program that does something else: nothing of ours runs in this thread."""
    Event().wait(seconds)


def test_ten_intervals_without_a_sign_of_the_program(rabbitmq: RabbitMQ) -> None:
    # Given: a consumer, a producer, and a connection without the thread, which proves that RabbitMQ hangs up
    # when there are no heartbeats for two intervals
    confirm = {"confirm_publish": True}
    unattended = {"background_heartbeat": False}
    with (
        Connection(rabbitmq.url, heartbeat=INTERVAL) as connection,
        Connection(rabbitmq.url, heartbeat=INTERVAL, transport_options=confirm) as idle,
        Connection(rabbitmq.url, heartbeat=INTERVAL, transport_options=unattended) as lost,
    ):
        channel = connection.default_channel
        queue = channel.queue_declare("", exclusive=True).queue
        assert connection.get_heartbeat_interval() == INTERVAL
        idle.default_channel.queue_declare("idle", exclusive=True)
        producer = idle.Producer()
        first = idle.connection
        lost.connect()
        done = []

        def callback(message: object) -> None:
            # When
            busy(10 * INTERVAL)
            channel.basic_ack(channel.message_to_python(message).delivery_tag)
            done.append(message)

        channel.basic_consume(queue, callback=callback)
        channel.basic_publish(channel.prepare_message(b"x"), routing_key=queue)
        connection.drain_events(timeout=5)
        # Then: the callback can acknowledge
        assert done
        assert channel.queue_declare(queue, passive=True).message_count == 0
        connection.heartbeat_check()
        # and the idle producer publishes at the first try, on the connection it had
        producer.publish("x", routing_key="idle")
        assert idle.connection is first and idle.connected
        # and without the thread both would have failed
        with pytest.raises(lost.connection_errors):
            lost.default_channel.queue_declare("x", exclusive=True)
        lost.collect()


@pytest.mark.parametrize("fault", ["pause", "blackhole"])
def test_a_dead_peer_is_noticed_in_two_intervals(proxy: Proxy, fault: str) -> None:
    # Given
    with Connection(proxy.url, heartbeat=INTERVAL) as connection:
        connection.connect()
        # When
        proxy.fail(fault)
        # Then: a thread that waits without end is woken
        with Stopwatch() as watch, pytest.raises(RecoverableConnectionError, match="silent"):
            connection.drain_events()
        assert watch.seconds <= 2 * INTERVAL + GRACE
        assert not connection.connected
        connection.collect()


def test_noticed_while_busy(proxy: Proxy) -> None:
    with Connection(proxy.url, heartbeat=INTERVAL) as connection:
        connection.connect()
        proxy.fail("blackhole")
        busy(2 * INTERVAL + GRACE)
        assert not connection.connected
        connection.collect()


def test_unread_deliveries_are_a_sign_of_life(rabbitmq: RabbitMQ) -> None:
    # Given: more than the receive buffer takes, which nobody reads
    with Connection(rabbitmq.url, heartbeat=INTERVAL) as connection, Connection(rabbitmq.url) as other:
        channel = connection.default_channel
        queue = channel.queue_declare("", exclusive=True).queue
        received: list[object] = []
        channel.basic_consume(queue, callback=received.append, no_ack=True)
        other_channel = other.default_channel
        with pytest.raises(other.channel_errors):
            other_channel.queue_declare(queue, passive=True)  # (exclusive)
        other_channel = other.channel()
        for _ in range(50):
            other_channel.basic_publish(other_channel.prepare_message(b"x" * 100_000), routing_key=queue)
        # When
        busy(4 * INTERVAL)
        # Then
        while len(received) < 50:
            connection.drain_events(timeout=5)
        assert connection.connected
