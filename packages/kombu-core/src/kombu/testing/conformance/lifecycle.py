"""Closing and coming back: what is kept, what is given back, what no longer works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kombu.testing.rig import Rig


class TestCloseAndReconnect:
    def test_a_queue_outlives_every_connection(self, rig: Rig) -> None:
        # Given
        with rig.connect() as first:
            queue = rig.queue(channel=first.channel())
            rig.send(queue, "kept", channel=first.channel(), delivery_mode=2)
        # When
        second = rig.connect()
        # Then
        assert rig.get(queue, channel=second.channel()).payload == "kept"

    def test_a_connection_can_be_used_again(self, rig: Rig) -> None:
        # Given
        queue, connection = rig.queue(), rig.connect()
        rig.send(queue, "before", channel=connection.default_channel)
        # When
        connection.close()
        assert not connection.connected
        connection.ensure_connection(max_retries=1)
        # Then
        assert connection.connected
        rig.send(queue, "after", channel=connection.default_channel)
        assert rig.payloads(queue, 2) == ["before", "after"]

    def test_a_consumer_goes_on_after_reconnecting(self, rig: Rig) -> None:
        # Given: a message in work when the connection ends
        from kombu import Queue

        queue, connection, seen = rig.queue(), rig.connect(), list[Any]()
        rig.send(queue, "in work")

        def handle(body: Any, message: Any) -> None:
            seen.append((body, message.delivery_info["redelivered"]))

        consumer = connection.Consumer([Queue(queue)], callbacks=[handle])
        consumer.consume()
        connection.drain_events(timeout=rig.patience)
        # When
        connection.close()
        connection.ensure_connection(max_retries=1)
        consumer.revive(connection.channel())
        consumer.consume()
        connection.drain_events(timeout=rig.patience)
        # Then
        assert seen == [("in work", False), ("in work", True)]

    def test_publishing_goes_on_after_reconnecting(self, rig: Rig) -> None:
        # Given
        queue, connection = rig.queue(), rig.connect()
        producer = connection.Producer()
        producer.publish("first", routing_key=queue)
        # When: the connection goes without the producer being told
        connection.collect()
        producer.publish("second", routing_key=queue, retry=True, retry_policy={"max_retries": 3})
        # Then
        assert rig.payloads(queue, 2) == ["first", "second"]

    def test_a_closed_channel_consumes_no_more(self, rig: Rig) -> None:
        # Given
        queue, channel = rig.queue(), rig.new_channel()
        inbox = rig.consume(queue, channel=channel)
        # When
        channel.close()
        rig.send(queue, "hello")
        # Then
        rig.quiet()
        assert len(inbox) == 0
        assert rig.payloads(queue, 1) == ["hello"]

    def test_a_closed_connection_consumes_no_more(self, rig: Rig) -> None:
        queue, other = rig.queue(), rig.connect()
        received: list[Any] = []
        other.channel().basic_consume(
            queue=queue, no_ack=True, callback=received.append, consumer_tag=rig.name()
        )
        other.close()
        rig.send(queue, "hello")
        assert rig.payloads(queue, 1) == ["hello"]
        assert received == []

    def test_a_closed_channel_cannot_be_used(self, rig: Rig) -> None:
        # Given
        queue, channel = rig.queue(), rig.new_channel()
        rig.send(queue, "kept")
        # When
        channel.close()
        # Then
        with pytest.raises((*rig.connection.channel_errors, *rig.connection.connection_errors)):
            channel.basic_get(queue=queue, no_ack=True)
        assert rig.payloads(queue, 1) == ["kept"]

    def test_closing_a_channel_twice_is_no_error(self, rig: Rig) -> None:
        channel = rig.new_channel()
        channel.close()
        channel.close()
        rig.sync(rig.channel)

    def test_channels_can_be_opened_for_ever(self, rig: Rig) -> None:
        # More than fit into one connection at a time (AMQP: 65535, RabbitMQ's default: 2047)
        connection, queue = rig.connect(), rig.queue()
        for _ in range(2100):
            connection.channel().close()
        rig.send(queue, "hello", channel=connection.channel())
        assert rig.payloads(queue, 1) == ["hello"]

    def test_releasing_gives_back_what_is_held(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        rig.send(queue, *"abc")
        with rig.connect() as other:
            for channel in (other.channel(), other.default_channel):
                rig.get(queue, no_ack=False, channel=channel)
            assert rig.count(queue) == 1
        # Then
        rig.until(lambda: rig.count(queue) == 3, "the messages return")
        assert rig.payloads(queue, 3) == ["a", "b", "c"]
