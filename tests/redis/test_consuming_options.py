"""The options that say in which order queues are consumed, and when a message is settled."""

from __future__ import annotations

from typing import Any

import pytest

from kombu import Connection, Consumer, Queue
from kombu.utils.scheduling import sorted_cycle
from tests.redis.wire import delivered, ready


class backwards(sorted_cycle):  # noqa: N801
    def consume(self, n: int) -> list[Any]:
        return super().consume(n)[::-1]


def consume(connection: Connection, *queues: str, **options: Any) -> list[Any]:
    got: list[Any] = []
    consumer = Consumer(
        connection.channel(), [Queue(name) for name in queues], on_message=got.append, **options
    )
    consumer.consume()
    return got


def publish(connection: Connection, *queues: str) -> None:
    producer = connection.Producer()
    for number, name in enumerate(queues):
        producer.publish(f"{name}{number}", routing_key=name, declare=[Queue(name)], retry=False)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("round_robin", "b a c b a c b a c"),
        ("priority", "b b b a a a c c c"),
        ("sorted", "a a a b b b c c c"),
        (f"{__name__}.backwards", "c c c b b b a a a"),
    ],
)
def test_order_of_queues(redis_url: str, strategy: str, expected: str) -> None:
    with Connection(redis_url, transport_options={"queue_order_strategy": strategy}) as connection:
        # Given
        publish(connection, *"aaabbbccc")
        got = consume(connection, "b", "a", "c")
        # When
        for _ in range(9):
            connection.drain_events(timeout=5)
    # Then
    assert " ".join(message.payload[0] for message in got) == expected


def test_what_comes_to_a_queue_that_goes_first(redis_url: str) -> None:
    with Connection(redis_url, transport_options={"queue_order_strategy": "priority"}) as connection:
        # Given: only the last one has messages
        publish(connection, *"bbbbb")
        got = consume(connection, "a", "b")
        connection.drain_events(timeout=5)
        # When
        publish(connection, "a", "a")
        for _ in range(3):
            connection.drain_events(timeout=5)
    # Then
    assert [message.payload[0] for message in got] == ["b", "a", "a", "b"]


def test_an_order_that_nobody_knows(redis_url: str) -> None:
    with pytest.raises(ValueError, match="queue_order_strategy.*'round_robin'"):
        Connection(redis_url, transport_options={"queue_order_strategy": "fastest"}).connect()


@pytest.fixture
def careless(redis_url: str) -> Any:
    with Connection(redis_url, transport_options={"ack_emulation": False}) as connection:
        yield connection


def test_settled_when_taken(careless: Connection, redis_client: Any) -> None:
    # Given
    publish(careless, "q", "q")
    # When
    got = consume(careless, "q", prefetch_count=1)
    careless.drain_events(timeout=5)
    fetched = careless.default_channel.basic_get("q")
    # Then: no server knows of it, but the limit counts it
    assert delivered(redis_client) == ready(redis_client, "q") == []
    publish(careless, "q")
    with pytest.raises(TimeoutError):
        careless.drain_events(timeout=0.05)
    # When
    got[0].ack()
    fetched.ack()
    careless.drain_events(timeout=5)
    # Then
    assert len(got) == 2


def test_given_back_all_the_same(careless: Connection, redis_client: Any) -> None:
    # Given
    publish(careless, *"qqqq")
    got = consume(careless, "q")
    for _ in range(3):
        careless.drain_events(timeout=5)
    # When: one is given back, the others with the channel
    got[1].requeue()
    got[0].channel.close()
    # Then
    assert sorted(ready(redis_client, "q")) == ["q0", "q1", "q2", "q3"]
    assert ready(redis_client, "q")[0] == "q0"
    assert delivered(redis_client) == []


def test_dead_letters_all_the_same(careless: Connection, redis_client: Any) -> None:
    # Given
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    queue = Queue("q", queue_arguments=arguments)
    careless.Producer().publish("odd", routing_key="q", declare=[queue, Queue("dead")], retry=False)
    redis_client.lpush("other", "no JSON")
    # When
    careless.default_channel.basic_get("q").reject()
    careless.default_channel.basic_get("other").requeue()
    # Then
    assert ready(redis_client, "dead") == ["odd"]
    assert redis_client.lrange("other", 0, -1) == [b"no JSON"]
    assert delivered(redis_client) == []
