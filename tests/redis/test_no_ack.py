"""Consumers that do not acknowledge: a message is forgotten as it is handed out, unless the client keeps it a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Queue

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAIN = Queue("q")
COUNTED = Queue("q", max_length_bytes=1000)


@pytest.fixture
def connection(redis_url: str) -> Iterator[Connection]:
    with Connection(redis_url) as made:
        yield made


def publish(connection: Connection, queue: Queue, *bodies: str, **properties: Any) -> None:
    for body in bodies:
        connection.Producer().publish(body, routing_key="q", declare=[queue], **properties)


def consume(connection: Connection, queue: Queue, count: int, redis: Any) -> list[tuple[str, int]]:
    """Bodies, and how many messages the server knows when each is delivered."""
    got: list[tuple[str, int]] = []

    def on_message(message: Any) -> None:
        got.append((message.payload, redis.hlen("unacked") + redis.llen("q")))

    with connection.Consumer([queue], on_message=on_message, no_ack=True):
        while len(got) < count:
            connection.drain_events(timeout=5)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.1)
    return got


@pytest.mark.parametrize("priority", [0, 9])
def test_the_only_message_is_forgotten_as_it_is_delivered(
    connection: Connection, redis_client: Any, priority: int
) -> None:
    # Given
    publish(connection, PLAIN, "one", priority=priority)
    # When
    got = consume(connection, PLAIN, 1, redis_client)
    # Then: a program that dies now leaves nothing that would be delivered again
    assert got == [("one", 0)]
    assert not connection.transport.held
    assert not redis_client.exists("unacked", "unacked_index")


def test_messages_that_wait_at_the_client_are_held_until_they_are_delivered(
    connection: Connection, redis_client: Any
) -> None:
    # Given
    publish(connection, PLAIN, "one", "two", "three")
    # When
    got = consume(connection, PLAIN, 3, redis_client)
    # Then
    assert [body for body, _ in got] == ["one", "two", "three"]
    assert [known for _, known in got] > [2, 0, 0]
    connection.close()
    assert not redis_client.exists("unacked", "unacked_index")


@pytest.mark.parametrize("queue", [PLAIN, COUNTED], ids=["plain", "counted"])
def test_one_at_a_time(connection: Connection, redis_client: Any, queue: Queue) -> None:
    # Given
    got: list[str] = []
    with connection.Consumer([queue], on_message=lambda message: got.append(message.payload), no_ack=True):
        # When
        for number in range(5):
            publish(connection, queue, f"number {number}")
            connection.drain_events(timeout=5)
    # Then
    assert got == [f"number {number}" for number in range(5)]
    assert not redis_client.llen("q")
    counts = redis_client.hgetall(connection.transport.keys.bytes("q"))
    assert counts == ({b"messages": b"0", b"bytes": b"0"} if queue is COUNTED else {})


def test_a_delayed_message_comes_beside_the_only_one(connection: Connection, redis_client: Any) -> None:
    # Given: one that is ready, and one that will be soon
    publish(connection, PLAIN, "later", delay=0.2)
    publish(connection, PLAIN, "now")
    # When / Then
    got: list[str] = []
    with connection.Consumer([PLAIN], on_message=lambda message: got.append(message.payload), no_ack=True):
        while len(got) < 2:
            connection.drain_events(timeout=5)
    assert got == ["now", "later"]


def test_what_was_claimed_for_a_consumer_that_is_gone_goes_back(
    connection: Connection, redis_client: Any
) -> None:
    # Given: a consumer that another thread cancels between a claim and its delivery
    publish(connection, PLAIN, "one")
    consumer = connection.Consumer([PLAIN], on_message=pytest.fail, no_ack=True)
    consumer.consume()
    assert connection.transport.fetch()
    assert not redis_client.llen("q")
    # When
    consumer.cancel()
    # Then
    assert PLAIN(connection.default_channel).get().payload == "one"


def test_one_that_acknowledges_beside_one_that_does_not(connection: Connection, redis_client: Any) -> None:
    # Given: they share the queue, so nobody knows who gets what is claimed
    got: list[Any] = []
    with (
        connection.Consumer([PLAIN], on_message=got.append, no_ack=True),
        connection.Consumer([PLAIN], on_message=got.append, channel=connection.channel()),
    ):
        for number in range(4):
            publish(connection, PLAIN, f"number {number}")
            connection.drain_events(timeout=5)
        # Then: what was not acknowledged is held
        assert len(connection.transport.held) == 2
        assert redis_client.hlen("unacked") >= 2
    assert [message.payload for message in got] == [f"number {number}" for number in range(4)]
