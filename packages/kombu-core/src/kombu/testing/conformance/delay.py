"""Delayed delivery: ``delay=`` seconds on publish."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from kombu.exceptions import PreconditionFailed
from kombu.testing.claims import requires

if TYPE_CHECKING:
    from kombu.testing.rig import Rig

DELAY = 0.25


@requires("delay")
class TestDelay:
    def test_not_before_its_time_and_then_soon(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        inbox = rig.consume(queue)
        # When
        started = monotonic()
        rig.send(queue, "later", delay=DELAY)
        # Then
        assert rig.count(queue) == 0, "it is not ready"
        rig.receive(1, inbox)
        assert DELAY * 0.95 <= monotonic() - started < DELAY + 1
        assert inbox.payloads == ["later"]

    def test_to_get_as_well(self, rig: Rig) -> None:
        queue = rig.queue()
        started = monotonic()
        rig.send(queue, "later", delay=DELAY)
        assert rig.get_now(queue) is None
        assert rig.get(queue).payload == "later"
        assert monotonic() - started >= DELAY * 0.95

    def test_in_the_order_of_their_times(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        inbox = rig.consume(queue)
        # When
        for body, delay in (("third", 0.3), ("second", 0.2), ("first", None)):
            rig.send(queue, body, delay=delay)
        # Then
        rig.receive(3, inbox)
        assert inbox.payloads == ["first", "second", "third"]

    def test_zero_is_none(self, rig: Rig) -> None:
        queue = rig.queue()
        rig.send(queue, "now", delay=0)
        rig.send(queue, "later", delay=DELAY)
        assert rig.payloads(queue, 1) == ["now"]
        assert rig.get(queue).payload == "later"

    def test_to_every_queue(self, rig: Rig) -> None:
        # Given
        exchange = rig.exchange("direct")
        queues = [rig.bound(exchange, "key") for _ in range(2)]
        # When
        rig.publish("later", exchange, "key", delay=DELAY, headers={"a": 1}, correlation_id="c")
        assert [rig.get_now(queue) for queue in queues] == [None, None]
        # Then
        for queue in queues:
            message = rig.get(queue)
            assert message.payload == "later"
            assert message.headers["a"] == 1
            assert message.properties["correlation_id"] == "c"
            assert message.delivery_info["exchange"] == exchange
            assert message.delivery_info["routing_key"] == "key"

    @requires("message_ttl")
    def test_comes_before_the_time_to_live(self, rig: Rig) -> None:
        # Given: the time in the queue counts from when it gets there
        queue = rig.queue(message_ttl=150)
        # When
        rig.send(queue, "later", delay=DELAY)
        rig.send(queue, "now")
        rig.elapse(DELAY * 0.8)
        # Then: the one at once is over when the other comes
        assert rig.payloads(queue, 1) == ["later"]

    def test_survives_its_publisher(self, rig: Rig) -> None:
        # Given
        queue, other = rig.queue(), rig.connect()
        rig.send(queue, "later", delay=DELAY, channel=other.channel())
        assert rig.get_now(queue) is None
        # When
        other.close()
        # Then
        assert rig.get(queue).payload == "later"

    def test_by_producer(self, rig: Rig) -> None:
        queue = rig.queue()
        rig.connection.Producer(rig.channel).publish({"a": 1}, routing_key=queue, delay=DELAY)
        assert rig.get_now(queue) is None
        assert rig.get(queue).payload == {"a": 1}

    def test_if_empty_spares_a_queue_with_delayed_messages(self, rig: Rig) -> None:
        queue = rig.queue()
        rig.send(queue, "later", delay=DELAY)
        with rig.refuses(PreconditionFailed) as channel:
            channel.queue_delete(queue=queue, if_empty=True)
        assert rig.get(queue).payload == "later"
        rig.channel.queue_delete(queue=queue, if_empty=True)
        assert not rig.exists(queue)

    def test_a_deleted_queue_takes_them_along(self, rig: Rig) -> None:
        # Given
        queue = rig.queue()
        rig.send(queue, "later", delay=DELAY)
        # When another takes its name
        rig.channel.queue_delete(queue=queue)
        rig.queue(queue)
        rig.send(queue, "after it", delay=DELAY * 1.2)
        # Then
        assert rig.payloads(queue, 1) == ["after it"]
