"""Messages that expire: their own ``expiration``, the queue's ``x-message-ttl``, both in ms (RabbitMQ)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu.testing.claims import requires

if TYPE_CHECKING:
    from kombu.testing.rig import Rig

LONG = 60_000
SHORT = 60
#: Seconds after which a short one has expired for certain.
OVER = 0.15


@requires("message_ttl")
class TestMessageTtl:
    def test_of_the_message(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        # When
        rig.send(queue, "short", expiration=str(SHORT))
        rig.send(queue, "long", expiration=str(LONG))
        rig.send(queue, "for ever")
        rig.elapse(OVER)
        # Then
        assert rig.payloads(queue, 2) == ["long", "for ever"]

    def test_of_the_queue(self, rig: Rig) -> None:
        queue, other = rig.queue(message_ttl=SHORT), rig.queue(message_ttl=LONG)
        for name in (queue, other):
            rig.send(name, "a", "b")
        rig.elapse(OVER)
        assert rig.payloads(queue, 0) == []
        assert rig.payloads(other, 2) == ["a", "b"]

    def test_the_smaller_holds(self, rig: Rig) -> None:
        # Given
        short, long = rig.queue(message_ttl=SHORT), rig.queue(message_ttl=LONG)
        # When
        for queue in (short, long):
            for expiration in (SHORT, LONG):
                rig.send(queue, str(expiration), expiration=str(expiration))
        rig.elapse(OVER)
        # Then
        assert rig.payloads(short, 0) == []
        assert rig.payloads(long, 1) == [str(LONG)]

    def test_does_not_count_while_expired_messages_stand_first(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        rig.send(queue, "a", "b", expiration=str(SHORT))
        assert rig.count(queue) == 2
        # Then: it goes by itself, nobody has to ask for it
        rig.until(lambda: rig.count(queue) == 0, "the messages expire")

    def test_behind_a_longer_one_it_is_not_delivered(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        rig.send(queue, "stays")
        rig.send(queue, "goes", expiration=str(SHORT))
        rig.send(queue, "stays too")
        # When
        rig.elapse(OVER)
        inbox = rig.consume(queue)
        # Then
        rig.receive(2, inbox)
        rig.quiet()
        assert inbox.payloads == ["stays", "stays too"]

    def test_to_a_consumer_it_comes_in_time_or_not_at_all(self, rig: Rig) -> None:
        # Given: a consumer with one message in work
        queue = rig.queue()
        rig.channel.basic_qos(0, 1, False)
        inbox = rig.consume(queue)
        rig.send(queue, "in time", expiration=str(20 * SHORT))
        rig.send(queue, "goes", expiration=str(SHORT))
        rig.send(queue, "stays")
        rig.receive(1, inbox)
        # When
        rig.elapse(OVER)
        inbox.messages[0].ack()
        # Then
        rig.receive(2, inbox)
        rig.quiet()
        assert inbox.payloads == ["in time", "stays"]

    def test_zero_expires_unless_somebody_waits(self, rig: Rig) -> None:
        # Given
        queue = rig.queue(message_ttl=0)
        rig.send(queue, "nobody waits")
        rig.until(lambda: rig.count(queue) == 0, "it expires at once")
        inbox = rig.consume(queue)
        # When
        rig.send(queue, "somebody waits")
        rig.send(queue, "still", expiration="0")
        # Then
        rig.receive(2, inbox)
        assert inbox.payloads == ["somebody waits", "still"]

    def test_goes_on_when_requeued(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        rig.send(queue, "short", expiration=str(10 * SHORT))  # (a slow broker has to hand it out before)
        message = rig.get(queue, no_ack=False)
        # When: it is held beyond its time, which does not matter until it returns
        rig.elapse(OVER + 9 * SHORT / 1000)
        message.requeue()
        # Then
        rig.send(queue, "other")
        assert rig.payloads(queue, 1) == ["other"]

    def test_each_queue_has_its_own(self, rig: Rig) -> None:
        exchange = rig.exchange()
        short, long = rig.bound(exchange, "key", message_ttl=SHORT), rig.bound(exchange, "key")
        rig.publish("hello", exchange, "key")
        rig.elapse(OVER)
        assert rig.payloads(short, 0) == []
        assert rig.payloads(long, 1) == ["hello"]

    def test_one_copy_does_not_hasten_another(self, rig: Rig) -> None:
        # Given: the other order of queues, and a message with a time of its own
        exchange = rig.exchange()
        queues = [rig.bound(exchange, "key", message_ttl=ttl) for ttl in (LONG, SHORT, LONG)]
        # When
        rig.publish("hello", exchange, "key", expiration=str(LONG))
        rig.elapse(OVER)
        # Then
        assert [rig.payloads(queue, expected) for queue, expected in zip(queues, (1, 0, 1), strict=True)] == [
            ["hello"],
            [],
            ["hello"],
        ]

    def test_producer_gives_seconds(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        producer = rig.connection.Producer(rig.channel)
        # When
        producer.publish("short", routing_key=queue, expiration=SHORT / 1000)
        producer.publish("long", routing_key=queue, expiration=60)
        rig.elapse(OVER)
        # Then
        message = rig.get(queue)
        assert message.payload == "long"
        assert message.properties["expiration"] == "60000"
