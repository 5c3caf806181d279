"""What carrot's programs use, on a broker in the process."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from kombu import Connection
from kombu.compat import Consumer, ConsumerSet, Publisher

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def connection() -> Iterator[Connection]:
    with Connection(f"memory://{uuid4().hex}/") as connection:
        yield connection


def test_publisher_and_consumer(connection: Connection) -> None:
    # Given
    consumer = Consumer(connection, "q", "e", "k", exchange_type="topic", durable=False)
    publisher = Publisher(connection, "e", "k", exchange_type="topic", durable=False)
    assert (consumer.queues[0].durable, publisher.exchange.type) == (False, "topic")
    assert publisher.backend is publisher.channel
    assert consumer.channel is not connection.default_channel
    # When
    for number in range(6):
        publisher.send({"number": number})
    # Then: one at a time,
    message = consumer.fetch()
    assert message.payload == {"number": 0}
    message.ack()
    got: list[Any] = []
    consumer.register_callback(lambda body, message: (got.append(body["number"]), message.ack()))
    consumer.fetch(enable_callbacks=True)
    assert got == [1]
    # by events,
    assert len(list(consumer.iterconsume(limit=2))) == 2
    consumer.wait(1)
    assert got == [1, 2, 3, 4]
    consumer.cancel()
    # and as a queue
    publisher.send({"number": 6})
    assert [found.payload["number"] for found in islice(consumer, 2)][:1] == [5]
    assert list(consumer.iterqueue(limit=5)) == []
    assert list(consumer.iterqueue(limit=2, infinite=True)) == [None, None]


def test_what_went_with_carrot(connection: Connection) -> None:
    with Consumer(connection, "q", "e", "k") as consumer:
        with pytest.raises(NotImplementedError, match="fetch"):
            consumer.process_next()
        with pytest.raises(NotImplementedError, match="filter"):
            consumer.discard_all(filterfunc=len)
        Publisher(connection, "e", "k").send("x")
        assert consumer.discard_all() == 1
        channel = consumer.channel
    assert channel.closed


def test_consumer_set(connection: Connection) -> None:
    # Given
    other = Consumer(connection, "b", "eb", "b")
    options = {"exchange": "ea", "exchange_type": "direct", "routing_key": "a"}
    got: list[Any] = []
    consumers = ConsumerSet(connection, from_dict={"a": options}, consumers=[other])
    assert consumers.add_consumer_from_dict("c", exchange="ec", routing_key="c").name == "c"
    consumers.add_consumer(Consumer(connection, "d", "eb", "d"))
    assert [queue.name for queue in consumers.queues] == ["b", "a", "c", "d"]
    consumers.register_callback(lambda body, message: (got.append(body), message.ack()))
    # When
    for exchange, key in (("ea", "a"), ("eb", "b"), ("ec", "c"), ("eb", "d")):
        Publisher(connection, exchange, key).send(key)
    for _ in consumers.iterconsume(limit=4):
        pass
    # Then
    assert sorted(got) == ["a", "b", "c", "d"]
    assert consumers.discard_all() == 0
    consumers.close()
    assert consumers.channel.closed


def test_a_set_leaves_the_channel_it_was_given(connection: Connection) -> None:
    channel = connection.channel()
    ConsumerSet(connection, channel=channel).close()
    assert not channel.closed
