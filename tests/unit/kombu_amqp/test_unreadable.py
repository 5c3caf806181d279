"""A message with malformed headers, which the broker delivers again and again until somebody settles it."""

from __future__ import annotations

from typing import Any

import pytest

from kombu import Connection, Consumer, Message, Queue
from kombu.exceptions import DecodeError
from kombu_amqp.codec import Encoder
from tests.support.rabbit import RabbitMQ


@pytest.fixture
def connection(rabbitmq: RabbitMQ) -> Any:
    with Connection(rabbitmq.url) as connection:
        yield connection


def publish_malformed(connection: Connection, queue: str, **options: Any) -> None:
    """A header that says to be a moment, and is far beyond any: RabbitMQ takes it."""
    channel, wire = connection.default_channel, connection.connection.wire
    properties = {"application_headers": {"when": 1 << 60}, "content_type": "application/json"}
    flags = options.get("mandatory", False), False
    frames = Encoder().publish(channel.channel_id, "", queue, *flags, properties, b"[1]", 131072)
    assert frames.count(b"\x04whenL") == 1
    wire.send(frames.replace(b"\x04whenL", b"\x04whenT"))


def queue_with(connection: Connection, name: str) -> Queue:
    queue = Queue(name, exclusive=True)(connection.default_channel)
    queue.declare()
    publish_malformed(connection, name)
    connection.Producer().publish([2], routing_key=name)
    return queue


def test_the_consumer_is_given_it_as_undecodable(connection: Connection) -> None:
    # Given
    queue = queue_with(connection, "unreadable")
    received: list[Any] = []
    refused: list[tuple[Message, Exception]] = []

    def on_decode_error(message: Message, exc: Exception) -> None:
        refused.append((message, exc))
        message.reject()

    # When
    consumer = Consumer(connection, [queue], on_decode_error=on_decode_error)
    consumer.register_callback(lambda body, message: (received.append(body), message.ack()))
    with consumer:
        while not received:
            connection.drain_events(timeout=5)
        assert queue.queue_declare(passive=True).message_count == 0
    # Then: it could be settled, and what follows is received, on the same connection
    (message, exc) = refused[0]
    assert len(refused) == 1 and received == [[2]]
    assert isinstance(exc, DecodeError) and "9999" in str(exc)
    assert (message.body, message.headers, message.content_type) == (b"[1]", {}, None)
    assert message.delivery_info["routing_key"] == "unreadable"


def test_without_a_handler_it_stays_and_the_connection_too(connection: Connection) -> None:
    queue = queue_with(connection, "unreadable-raised")
    first = connection.connection
    with Consumer(connection, [queue], callbacks=[lambda body, message: message.ack()]):
        with pytest.raises(DecodeError, match="malformed"):
            connection.drain_events(timeout=5)
        connection.drain_events(timeout=5)
    assert connection.connection is first and connection.connected


def test_got_and_returned(connection: Connection) -> None:
    # When it is asked for
    queue = queue_with(connection, "unreadable-got")
    message = queue.get()
    assert message is not None and message.body == b"[1]"
    with pytest.raises(DecodeError, match="malformed"):
        message.decode()
    message.reject()
    following = queue.get(no_ack=True)
    assert following is not None and following.payload == [2]
    # and when nobody takes it
    returned: list[Any] = []
    connection.default_channel.events["basic_return"].add(lambda *args: returned.append(args))
    publish_malformed(connection, "nobody-is-called-this", mandatory=True)
    queue.queue_declare(passive=True)  # (what comes before the answer is handled)
    assert returned[0][3].body == b"[1]"
    assert connection.connected
