"""Claims that are sent while a consumer still has messages: large ones, so that a limit of four is worth it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import sleep, time
from typing import Any

import pytest

from kombu import Connection, Consumer, Exchange, Message, Producer, Queue
from tests.redis.wire import ready

QUEUE = Queue("q", Exchange("x"), "k")
PREFETCH = 4
LEASE = 1
MESSAGES = range(1, 13)


@pytest.fixture
def connection(redis_url: str) -> Iterator[Connection]:
    with Connection(redis_url, transport_options={"lease": LEASE}) as connection:
        yield connection


def publish(connection: Connection) -> None:
    producer = Producer(connection.channel(), QUEUE.exchange, "k")
    QUEUE(producer.channel).declare()
    for number in MESSAGES:
        producer.publish({"number": number, "text": "x" * 30_000})


def consume(connection: Connection, work: Callable[[Message], Any] | None = None) -> tuple[Consumer, list[int]]:
    """A consumer that settles in its callback, and the numbers it has got."""
    got: list[int] = []

    def on_message(message: Message) -> None:
        got.append(message.payload["number"])
        if work is not None:
            work(message)
        message.ack()

    channel = connection.channel()
    return Consumer(channel, [QUEUE], on_message=on_message, prefetch_count=PREFETCH), got


def drain_until_ahead(connection: Connection) -> None:
    """Until a claim is on its way."""
    while not connection.transport.ahead.is_pending:
        connection.drain_events(timeout=5)


def test_each_message_comes_once_and_in_order(connection: Connection, redis_client: Any) -> None:
    # Given a consumer that looks how many messages are leased, and whether a claim is on its way
    publish(connection)
    seen: list[tuple[int, bool]] = []
    consumer, got = consume(
        connection,
        lambda _: seen.append((redis_client.zcard("unacked_index"), connection.transport.ahead.is_pending)),
    )
    # When it gets all there is
    with consumer:
        while len(got) < len(MESSAGES):
            connection.drain_events(timeout=5)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.1)
    # Then more was claimed while it worked, and never more than the limit was leased
    assert got == [*MESSAGES]
    assert {pending for _, pending in seen} == {True, False}
    assert max(leased for leased, _ in seen) == PREFETCH
    assert redis_client.llen("q") == redis_client.hlen("unacked") == 0


def test_who_cancels_gives_back_what_is_on_its_way(connection: Connection, redis_client: Any) -> None:
    # Given a claim on its way
    publish(connection)
    consumer, got = consume(connection)
    consumer.consume()
    drain_until_ahead(connection)
    # When the consumer is cancelled
    consumer.cancel()
    # Then everything that it did not settle is back in its place
    connection.transport.store.flush()
    assert [*got, *(payload["number"] for payload in ready(redis_client, "q"))] == [*MESSAGES]
    assert redis_client.zcard("unacked_index") == 0


def test_what_is_on_its_way_is_renewed(connection: Connection, redis_client: Any) -> None:
    # Given a claim on its way, and a callback that takes longer than a lease
    publish(connection)
    entries: list[float] = []

    def work(message: Message) -> None:
        if connection.transport.ahead.is_pending and not entries:
            sleep(1.6 * LEASE)
            entries.extend(score for _, score in redis_client.zrange("unacked_index", 0, -1, withscores=True))

    consumer, got = consume(connection, work)
    with consumer:
        while not entries:
            connection.drain_events(timeout=5)
    # Then no lease has ended (the score is when that is, less the visibility timeout)
    assert len(entries) == PREFETCH
    assert min(entries) + connection.transport.options.visibility_timeout > time()


def test_what_is_on_its_way_comes_back_when_the_connection_is_lost(
    connection: Connection, redis_url: str, redis_client: Any
) -> None:
    # Given a claim on its way
    publish(connection)
    consumer, got = consume(connection)
    consumer.consume()
    drain_until_ahead(connection)
    # When the server closes the connection
    redis_client.client_kill_filter(_type="normal", skipme=True)
    with pytest.raises(connection.connection_errors):
        while True:
            connection.drain_events(timeout=5)
    connection.close()
    # Then another consumer gets what that one has not got
    with Connection(redis_url, transport_options={"lease": LEASE}) as other:
        heir, more = consume(other)
        with heir:
            while {*got, *more} != {*MESSAGES}:
                other.drain_events(timeout=10)
    assert redis_client.llen("q") == 0
