"""Acknowledging, rejecting, requeueing, recovering (AMQP 0-9-1 section 1.8.3, RabbitMQ on queue order)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kombu.exceptions import MessageStateError, PreconditionFailed
from kombu.testing.claims import requires

if TYPE_CHECKING:
    from kombu.testing.rig import Rig


class TestAck:
    def test_acknowledged_is_gone(self, rig: Rig) -> None:
        # Given
        queue, channel = rig.queue(), rig.new_channel()
        rig.send(queue, "a")
        message = rig.get(queue, no_ack=False, channel=channel)
        # When
        message.ack()
        channel.close()
        # Then
        assert message.acknowledged
        assert rig.payloads(queue, 0) == []

    def test_unacknowledged_returns_when_the_channel_closes(self, rig: Rig) -> None:
        # Given
        queue, channel = rig.queue(), rig.new_channel()
        rig.send(queue, "a", "b", "c")
        inbox = rig.consume(queue, channel=channel)
        rig.receive(3, inbox)
        inbox.messages[1].ack()
        # When
        channel.close()
        # Then: in order, marked
        messages = [rig.get(queue) for _ in range(2)]
        assert [message.payload for message in messages] == ["a", "c"]
        assert all(message.delivery_info["redelivered"] for message in messages)
        assert rig.payloads(queue, 0) == []

    def test_unacknowledged_returns_when_the_connection_closes(self, rig: Rig) -> None:
        # Given
        queue, other = rig.queue(), rig.connect()
        rig.send(queue, "a")
        rig.get(queue, no_ack=False, channel=other.channel())
        assert rig.count(queue) == 0
        # When
        other.close()
        # Then
        message = rig.get(queue)
        assert (message.payload, message.delivery_info["redelivered"]) == ("a", True)

    def test_multiple_covers_all_before(self, rig: Rig) -> None:
        # Given
        queue, channel = rig.queue(), rig.new_channel()
        rig.send(queue, *"abcde")
        inbox = rig.consume(queue, channel=channel)
        rig.receive(5, inbox)
        # When
        inbox.messages[2].ack(multiple=True)
        channel.close()
        # Then
        assert rig.payloads(queue, 2) == ["d", "e"]

    def test_multiple_covers_all_queues_of_the_channel(self, rig: Rig) -> None:
        # Given
        one, other, channel = rig.queue(), rig.queue(), rig.new_channel()
        rig.send(one, "a")
        rig.send(other, "b")
        messages = [rig.get(queue, no_ack=False, channel=channel) for queue in (one, other)]
        # When
        messages[1].ack(multiple=True)
        channel.close()
        # Then
        assert rig.payloads(one, 0) + rig.payloads(other, 0) == []

    def test_multiple_with_tag_zero_covers_everything(self, rig: Rig) -> None:
        queue, channel = rig.queue(), rig.new_channel()
        rig.send(queue, *"abc")
        inbox = rig.consume(queue, channel=channel)
        rig.receive(3, inbox)
        channel.basic_ack(0, multiple=True)
        channel.close()
        assert rig.payloads(queue, 0) == []

    def test_in_any_order(self, rig: Rig) -> None:
        queue, channel = rig.queue(), rig.new_channel()
        rig.send(queue, *"abcd")
        inbox = rig.consume(queue, channel=channel)
        rig.receive(4, inbox)
        for number in (2, 0, 3):
            inbox.messages[number].ack()
        channel.close()
        assert rig.payloads(queue, 1) == ["b"]

    def test_twice_is_an_error(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        rig.send(queue, "a")
        message = rig.get(queue, no_ack=False)
        message.ack()
        # Then: the message knows
        for again in (message.ack, message.reject, message.requeue):
            with pytest.raises(MessageStateError):
                again()

    def test_an_unknown_tag_is_refused(self, rig: Rig) -> None:
        with rig.refuses(PreconditionFailed, match="unknown delivery tag") as channel:
            channel.basic_ack(4711)

    def test_the_broker_knows_a_tag_once(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        rig.send(queue, "a")
        with rig.refuses(PreconditionFailed, match="unknown delivery tag") as channel:
            tag = rig.get(queue, no_ack=False, channel=channel).delivery_tag
            channel.basic_ack(tag)
            rig.sync(channel)
            # Then
            channel.basic_ack(tag)

    def test_a_tag_is_of_one_channel(self, rig: Rig) -> None:
        # Given
        queue, holder = rig.queue(), rig.new_channel()
        rig.send(queue, "a")
        message = rig.get(queue, no_ack=False, channel=holder)
        # Then
        with rig.refuses(PreconditionFailed, match="unknown delivery tag") as channel:
            channel.basic_ack(message.delivery_tag)
        # And the message is still out
        assert rig.count(queue) == 0
        holder.close()
        assert rig.payloads(queue, 1) == ["a"]


class TestReject:
    def test_drops_the_message(self, rig: Rig) -> None:
        # Given
        queue, channel = rig.queue(), rig.new_channel()
        rig.send(queue, "a", "b")
        # When
        rig.get(queue, no_ack=False, channel=channel).reject()
        channel.close()
        # Then
        assert rig.payloads(queue, 1) == ["b"]

    def test_an_unknown_tag_is_refused(self, rig: Rig) -> None:
        for requeue in (False, True):
            with rig.refuses(PreconditionFailed, match="unknown delivery tag") as channel:
                channel.basic_reject(4711, requeue)


class TestRequeue:
    def test_comes_again_marked(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        rig.send(queue, "a", headers={"h": "1"})
        first = rig.get(queue, no_ack=False)
        assert not first.delivery_info["redelivered"]
        # When
        first.requeue()
        # Then
        second = rig.get(queue)
        assert second.payload == "a"
        assert second.headers["h"] == "1"
        assert second.delivery_info["redelivered"] is True
        assert second.delivery_info["routing_key"] == queue

    def test_to_its_place_in_the_queue(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        rig.send(queue, *"abcd")
        a, b, c = (rig.get(queue, no_ack=False) for _ in range(3))
        # When
        b.requeue()
        c.requeue()
        a.requeue()
        # Then
        assert rig.payloads(queue, 4) == ["a", "b", "c", "d"]

    @requires("exchange_type:fanout")
    def test_into_the_source_queue_only(self, rig: Rig) -> None:
        # Given
        exchange = rig.exchange("fanout")
        source, sibling = rig.bound(exchange), rig.bound(exchange)
        rig.publish("a", exchange, "any key")
        message = rig.get(source, no_ack=False)
        # When
        message.requeue()
        # Then: not through the exchange
        again = rig.get(source)
        assert again.delivery_info["exchange"] == exchange
        assert rig.payloads(sibling, 1) == ["a"]

    def test_also_when_the_binding_or_the_exchange_is_gone(self, rig: Rig) -> None:
        # Given
        exchange, other = rig.exchange(), rig.exchange()
        queue = rig.bound(exchange, "key")
        rig.bind(queue, other, "key")
        rig.publish("a", exchange, "key")
        rig.publish("b", other, "key")
        messages = [rig.get(queue, no_ack=False) for _ in range(2)]
        # When
        rig.channel.queue_unbind(queue=queue, exchange=exchange, routing_key="key")
        rig.channel.exchange_delete(exchange=other)
        for message in messages:
            message.requeue()
        # Then
        assert rig.payloads(queue, 2) == ["a", "b"]

    def test_to_a_deleted_queue_it_is_gone(self, rig: Rig) -> None:
        # Given: three are out when their queue is deleted
        queue = rig.queue()
        rig.send(queue, *"abc")
        a, b, c = (rig.get(queue, no_ack=False) for _ in range(3))
        rig.channel.queue_delete(queue=queue)
        # When: settling them is no error
        a.ack()
        b.reject()
        c.requeue()
        rig.sync(rig.channel)
        # Then
        assert not rig.exists(queue)

    def test_goes_to_the_other_consumer_too(self, rig: Rig) -> None:
        # Given: the first sends back all that it gets
        queue = rig.queue()
        first, second = rig.consume(queue), rig.consume(queue)
        rig.send(queue, "a")
        # When
        for number in range(20):
            rig.receive(number + 1, first, second)
            if second.messages:
                break
            first.messages[-1].requeue()
        # Then
        assert second.payloads == ["a"]


class TestRecover:
    def test_everything_unacknowledged_comes_again(self, rig: Rig) -> None:
        # Given
        queue, channel = rig.queue(), rig.new_channel()
        rig.send(queue, *"abc")
        messages = [rig.get(queue, no_ack=False, channel=channel) for _ in range(3)]
        messages[1].ack()
        # When
        channel.basic_recover(requeue=True)
        # Then
        again = [rig.get(queue, channel=channel) for _ in range(2)]
        assert [message.payload for message in again] == ["a", "c"]
        assert all(message.delivery_info["redelivered"] for message in again)
        assert rig.payloads(queue, 0) == []

    def test_to_the_consumer(self, rig: Rig) -> None:
        queue = rig.queue()
        inbox = rig.consume(queue)
        rig.send(queue, "a")
        rig.receive(1, inbox)
        rig.channel.basic_recover(requeue=True)
        rig.receive(2, inbox)
        assert [message.delivery_info["redelivered"] for message in inbox.messages] == [False, True]


@requires("delivery_count")
class TestDeliveryCount:
    # RabbitMQ counts in quorum queues; other brokers may ignore the type.
    def test_counts_earlier_deliveries(self, rig: Rig) -> None:
        # Given
        queue = rig.queue(queue_type="quorum")
        rig.send(queue, "a")
        counts = []
        # When
        for _ in range(3):
            message = rig.get(queue, no_ack=False)
            counts.append(message.delivery_count)
            message.requeue()
        # Then
        assert counts == [0, 1, 2]

    def test_counts_those_lost_with_a_channel(self, rig: Rig) -> None:
        queue, channel = rig.queue(queue_type="quorum"), rig.new_channel()
        rig.send(queue, "a")
        assert rig.get(queue, no_ack=False, channel=channel).delivery_count == 0
        channel.close()
        assert rig.get(queue).delivery_count == 1
