"""Errors of a channel: which one, and what goes on after it (AMQP 0-9-1 section 1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu.exceptions import NotFound, PreconditionFailed

if TYPE_CHECKING:
    from kombu.testing.rig import Rig


class TestErrors:
    def test_get_from_a_missing_queue(self, rig: Rig) -> None:
        missing = rig.name()
        with rig.refuses(NotFound, match=missing) as channel:
            channel.basic_get(queue=missing, no_ack=True)

    def test_purge_a_missing_queue(self, rig: Rig) -> None:
        missing = rig.name()
        with rig.refuses(NotFound, match=missing) as channel:
            channel.queue_purge(queue=missing)

    def test_publish_to_a_missing_exchange(self, rig: Rig) -> None:
        missing = rig.name()
        with rig.refuses(NotFound, match=missing) as channel:
            rig.publish("hello", missing, "key", channel=channel)

    def test_a_deleted_exchange_is_missing(self, rig: Rig) -> None:
        # Given
        exchange = rig.exchange()
        rig.bound(exchange, "key")
        rig.channel.exchange_delete(exchange=exchange)
        # Then
        with rig.refuses(NotFound, match=exchange) as channel:
            rig.publish("hello", exchange, "key", channel=channel)

    def test_are_channel_errors(self, rig: Rig) -> None:
        # When
        with pytest.raises(rig.connection.channel_errors) as caught:
            rig.new_channel().queue_declare(queue=rig.name(), passive=True)
        # Then: with code, text and method
        error: Any = caught.value
        assert error.reply_code == 404
        assert "NOT_FOUND" in error.reply_text
        assert error.method_name == "Queue.declare"
        assert not isinstance(error, rig.connection.connection_errors)

    def test_leave_the_other_channels_alone(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        inbox = rig.consume(queue)
        # When
        with rig.refuses(NotFound) as channel:
            channel.queue_declare(queue=rig.name(), passive=True)
        # Then
        rig.send(queue, "hello")
        rig.receive(1, inbox)
        inbox.messages[0].ack()
        assert rig.connection.connected

    def test_give_back_what_the_channel_held(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        rig.send(queue, "held")
        # When
        with rig.refuses(PreconditionFailed) as channel:
            assert rig.get(queue, no_ack=False, channel=channel).payload == "held"
            channel.basic_ack(4711)
        # Then: it ended with its channel
        message = rig.get(queue)
        assert (message.payload, message.delivery_info["redelivered"]) == ("held", True)

    def test_end_the_consumers_of_the_channel(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        with rig.refuses(NotFound) as channel:
            inbox = rig.consume(queue, channel=channel)
            channel.queue_declare(queue=rig.name(), passive=True)
        # When
        rig.send(queue, "hello")
        # Then
        rig.quiet()
        assert len(inbox) == 0
        assert rig.payloads(queue, 1) == ["hello"]

    def test_the_next_channel_works(self, rig: Rig) -> None:
        for _ in range(3):
            with rig.refuses(NotFound) as channel:
                channel.queue_bind(queue=rig.name(), exchange="amq.direct", routing_key="key")
        queue, channel = rig.queue(), rig.new_channel()
        rig.send(queue, "hello", channel=channel)
        assert rig.get(queue, channel=channel).payload == "hello"
