"""Dead letters: RabbitMQ's x-dead-letter-exchange, -routing-key and the header ``x-death``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.testing.claims import requires

if TYPE_CHECKING:
    from kombu.testing.rig import Rig


def death(message: Any, number: int = 0) -> dict[str, Any]:
    """An entry of ``x-death`` without its time."""
    entry = dict(message.headers["x-death"][number])
    assert "time" in entry
    del entry["time"]
    return entry


def graveyard(rig: Rig, **arguments: Any) -> tuple[str, str]:
    """A queue whose dead letters go, under the key ``dead``, to another: both names."""
    exchange = rig.exchange("direct")
    dead = rig.bound(exchange, "dead")
    queue = rig.queue(dead_letter_exchange=exchange, dead_letter_routing_key="dead", **arguments)
    return queue, dead


@requires("dead_letter")
class TestDeadLetter:
    def test_rejected(self, rig: Rig) -> None:
        # Given
        source = rig.exchange("direct")
        exchange = rig.exchange("direct")
        dead = rig.bound(exchange, "dead")
        queue = rig.bound(source, "key", dead_letter_exchange=exchange, dead_letter_routing_key="dead")
        rig.publish("hello", source, "key", headers={"mine": "kept"}, correlation_id="c1")
        # When
        rig.get(queue, no_ack=False).reject()
        # Then
        message = rig.get(dead)
        assert message.payload == "hello"
        assert message.headers["mine"] == "kept"
        assert message.properties["correlation_id"] == "c1"
        assert message.delivery_info["exchange"] == exchange
        assert message.delivery_info["routing_key"] == "dead"
        assert len(message.headers["x-death"]) == 1
        assert death(message) == {
            "reason": "rejected",
            "queue": queue,
            "count": 1,
            "exchange": source,
            "routing-keys": ["key"],
        }
        assert message.headers["x-first-death-reason"] == "rejected"
        assert message.headers["x-first-death-queue"] == queue
        assert message.headers["x-first-death-exchange"] == source
        assert rig.payloads(dead, 0) == []

    def test_requeued_is_not(self, rig: Rig) -> None:
        # Given
        queue, dead = graveyard(rig)
        rig.send(queue, "a", "b")
        # When
        rig.get(queue, no_ack=False).requeue()
        assert rig.get(queue).payload == "a"
        rig.get(queue, no_ack=False).reject()
        # Then
        assert rig.get(dead).payload == "b"
        assert rig.payloads(dead, 0) == []

    def test_acknowledged_purged_deleted_are_not(self, rig: Rig) -> None:
        # Given
        queue, dead = graveyard(rig)
        rig.send(queue, *"abcd")
        # When
        rig.get(queue, no_ack=False).ack()
        rig.get(queue, no_ack=False).reject()
        rig.channel.queue_purge(queue=queue)
        rig.send(queue, "e")
        rig.channel.queue_delete(queue=queue)
        # Then
        assert rig.get(dead).payload == "b"
        rig.quiet()
        assert rig.payloads(dead, 0) == []

    def test_keeps_the_key_when_none_is_given(self, rig: Rig) -> None:
        # Given
        source, exchange = rig.exchange("direct"), rig.exchange("direct")
        dead = rig.bound(exchange, "key")
        queue = rig.bound(source, "key", dead_letter_exchange=exchange)
        rig.publish("hello", source, "key")
        # When
        rig.get(queue, no_ack=False).reject()
        # Then
        assert rig.get(dead).delivery_info["routing_key"] == "key"

    def test_by_the_default_exchange(self, rig: Rig) -> None:
        dead = rig.queue()
        queue = rig.queue(dead_letter_exchange="", dead_letter_routing_key=dead)
        rig.send(queue, "hello")
        rig.get(queue, no_ack=False).reject()
        message = rig.get(dead)
        assert message.payload == "hello"
        assert death(message)["exchange"] == ""

    @requires("exchange_type:fanout")
    def test_by_a_fanout_exchange(self, rig: Rig) -> None:
        exchange = rig.exchange("fanout")
        graves = [rig.bound(exchange) for _ in range(2)]
        queue = rig.queue(dead_letter_exchange=exchange)
        rig.send(queue, "hello")
        rig.get(queue, no_ack=False).reject()
        assert [rig.get(dead).payload for dead in graves] == ["hello", "hello"]

    def test_counts_each_time(self, rig: Rig) -> None:
        # Given: rejected here, published again from there by the default exchange
        exchange = rig.exchange("direct")
        queue = rig.bound(exchange, "back", dead_letter_exchange=exchange, dead_letter_routing_key="dead")
        dead = rig.bound(exchange, "dead", dead_letter_exchange=exchange, dead_letter_routing_key="back")
        rig.send(queue, "hello")
        # When: it goes round twice
        for name in (queue, dead, queue, dead, queue):
            rig.get(name, no_ack=False).reject()
        # Then: the latest first
        message = rig.get(dead)
        counts = [(entry["queue"], entry["count"]) for entry in message.headers["x-death"]]
        assert counts == [(queue, 3), (dead, 2)]
        assert message.headers["x-first-death-queue"] == queue

    def test_a_missing_exchange_loses_it(self, rig: Rig) -> None:
        # Given
        missing, dead = rig.name(), rig.queue()
        queue = rig.queue(dead_letter_exchange=missing)
        rig.send(queue, "lost", "kept")
        # When: the first dies before the exchange is there
        rig.get(queue, no_ack=False).reject()
        rig.sync(rig.channel)
        rig.quiet()
        rig.exchange("direct", missing)
        rig.bind(dead, missing, queue)
        rig.get(queue, no_ack=False).reject()
        # Then
        assert rig.get(dead).payload == "kept"
        assert rig.payloads(dead, 0) == []

    @requires("max_length")
    def test_too_many(self, rig: Rig) -> None:
        # Given
        queue, dead = graveyard(rig, max_length=2)
        # When
        rig.send(queue, *"abc")
        # Then
        message = rig.get(dead)
        assert message.payload == "a"
        assert death(message)["reason"] == "maxlen"
        assert rig.payloads(queue, 2) == ["b", "c"]


@requires("dead_letter", "message_ttl")
class TestExpiredLetter:
    def test_expired(self, rig: Rig) -> None:
        # Given
        queue, dead = graveyard(rig)
        # When
        rig.send(queue, "hello", expiration="30")
        # Then: it can be read at leisure, its expiration is in the past
        message = rig.get(dead)
        assert message.payload == "hello"
        assert "expiration" not in message.properties
        assert death(message) == {
            "reason": "expired",
            "queue": queue,
            "count": 1,
            "exchange": "",
            "routing-keys": [queue],
            "original-expiration": "30",
        }

    def test_expired_by_the_queue(self, rig: Rig) -> None:
        # Given
        queue, dead = graveyard(rig, message_ttl=30)
        # When
        rig.send(queue, "a", "b")
        # Then
        messages = [rig.get(dead) for _ in range(2)]
        assert [message.payload for message in messages] == ["a", "b"]
        assert "original-expiration" not in death(messages[0])

    def test_several_causes_are_listed(self, rig: Rig) -> None:
        # Given: expires into a queue where it is rejected
        exchange = rig.exchange("direct")
        dead = rig.bound(exchange, "dead")
        middle = rig.bound(exchange, "middle", dead_letter_exchange=exchange, dead_letter_routing_key="dead")
        queue = rig.queue(dead_letter_exchange=exchange, dead_letter_routing_key="middle", message_ttl=30)
        rig.send(queue, "hello")
        # When
        rig.get(middle, no_ack=False).reject()
        # Then
        message = rig.get(dead)
        deaths = [(entry["reason"], entry["queue"]) for entry in message.headers["x-death"]]
        assert deaths == [("rejected", middle), ("expired", queue)]
        assert message.headers["x-first-death-reason"] == "expired"

    @requires("exchange_type:fanout")
    def test_a_circle_without_a_rejection_ends(self, rig: Rig) -> None:
        # Given: what expires goes back into the queue, and to a witness
        exchange = rig.exchange("fanout")
        queue = rig.bound(exchange, dead_letter_exchange=exchange, message_ttl=20)
        witness = rig.bound(exchange)
        # When
        rig.send(queue, "hello")
        # Then: RabbitMQ drops what would go round by itself
        assert rig.get(witness).payload == "hello"
        rig.quiet()
        assert rig.payloads(queue, 0) + rig.payloads(witness, 0) == []

    def test_retry_after_a_pause(self, rig: Rig) -> None:
        # Given: the usual arrangement, a queue and one where what failed waits
        work, wait = rig.name(), rig.name()
        rig.queue(work, dead_letter_exchange="", dead_letter_routing_key=wait)
        rig.queue(wait, dead_letter_exchange="", dead_letter_routing_key=work, message_ttl=30)
        rig.send(work, "hello")
        # When
        for _ in range(3):
            rig.get(work, no_ack=False).reject()
        # Then
        deaths = {entry["reason"]: entry["count"] for entry in rig.get(work).headers["x-death"]}
        assert deaths == {"expired": 3, "rejected": 3}


@requires("delivery_limit")
class TestDeliveryLimit:
    # RabbitMQ has it for quorum queues; other brokers may ignore the type.
    def test_drops_after_so_many_returns(self, rig: Rig) -> None:
        # Given
        queue = rig.queue(queue_type="quorum", delivery_limit=2)
        rig.send(queue, "poison")
        # When: it returns as often as it may, and once more
        for _ in range(3):
            rig.get(queue, no_ack=False).requeue()
        # Then
        rig.quiet()
        assert rig.payloads(queue, 0) == []

    @requires("dead_letter")
    def test_dead_letters(self, rig: Rig) -> None:
        # Given
        queue, dead = graveyard(rig, queue_type="quorum", delivery_limit=1)
        rig.send(queue, "poison")
        # When
        for _ in range(2):
            rig.get(queue, no_ack=False).requeue()
        # Then
        message = rig.get(dead)
        assert message.payload == "poison"
        assert death(message)["reason"] == "delivery_limit"
        assert rig.payloads(queue, 0) == []

    @requires("dead_letter")
    def test_counts_lost_channels_too(self, rig: Rig) -> None:
        # Given
        queue, dead = graveyard(rig, queue_type="quorum", delivery_limit=1)
        rig.send(queue, "kills workers")
        # When: who has it dies
        for _ in range(2):
            channel = rig.new_channel()
            rig.get(queue, no_ack=False, channel=channel)
            channel.close()
        # Then
        assert rig.get(dead).payload == "kills workers"
