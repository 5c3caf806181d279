"""A server that has reached its ``maxmemory``: it takes no messages, and everybody gets rid of those it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.exceptions import BatchPublishError
from kombu_redis.errors import OutOfMemory
from tests.redis.wire import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.redis_server import RedisServer

WORK = Queue("work", Exchange("work"), routing_key="work", queue_arguments={"x-dead-letter-exchange": "dead"})
DEAD = Queue("dead", Exchange("dead"), routing_key="work")
REPLIES = Queue("replies", WORK.exchange, routing_key="replies", auto_delete=True, expires=60)
OPTIONS = {"lease": 1, "fanout": "stream"}


@pytest.fixture
def server(make_redis: Callable[..., RedisServer]) -> RedisServer:
    return make_redis()


@pytest.fixture
def connect(server: RedisServer) -> Iterator[Callable[[], Connection]]:
    made: list[Connection] = []

    def connect() -> Connection:
        made.append(Connection(server.url, transport_options=OPTIONS))
        return made[-1]

    yield connect
    for connection in made:
        connection.release()


@pytest.fixture
def full(server: RedisServer, connect: Callable[[], Connection]) -> Iterator[Producer]:
    """A producer whose server is full, with messages that are ready, delayed, expiring, and broadcast."""
    producer = Producer(connect().channel(), exchange=WORK.exchange, routing_key="work")
    for queue in (WORK, DEAD, Queue("heard", Exchange("news", "fanout"))):
        queue(producer.channel).declare()
    for number in range(4):
        producer.publish(number)
    producer.publish("delayed", delay=0.1)
    producer.publish("expiring", routing_key="work", expiration=0.2)
    producer.publish("news", exchange="news")
    server.client().config_set("maxmemory", 1)
    yield producer
    server.client().config_set("maxmemory", 0)


def test_it_takes_nothing(server: RedisServer, full: Producer) -> None:
    found = server.client()
    before = sorted(found.keys()), found.llen("work")
    for options in ({}, {"delay": 1}, {"expiration": 1}, {"exchange": "news"}):
        with pytest.raises(OutOfMemory, match="maxmemory"):
            full.publish("more", **options)
    with pytest.raises(BatchPublishError, match="maxmemory"), full.batch():
        full.publish("more")
    assert (sorted(found.keys()), found.llen("work")) == before
    # And when there is room again, on the same channel
    found.config_set("maxmemory", 0)
    full.publish("more")
    assert found.llen("work") == before[1] + 1


def test_it_can_be_emptied(server: RedisServer, full: Producer, connect: Callable[[], Connection]) -> None:
    # Given somebody who comes when it is full already, with a queue of their own
    got: list[Any] = []

    def receive(body: Any, message: Any) -> None:
        got.append(body)
        if body == 1 and got.count(1) == 1:
            message.requeue()
        elif body == 2:
            message.reject()  # to the dead letters
        elif body != 3:
            message.ack()
        else:
            held.append(message)

    held: list[Any] = []
    connection = connect()
    queues = [WORK, DEAD, REPLIES, Queue("heard", Exchange("news", "fanout"))]
    with Consumer(connection.channel(), queues, callbacks=[receive]):
        # When they work, beyond the end of a lease
        until(lambda: drained(connection) and len(got) >= 9, 30, "all came")
        until(lambda: drained(connection) and server.client().zcard("unacked_index") == 1, 30, "all were settled")
        for _ in range(5):
            drained(connection)
        # Then
        assert sorted(got, key=str) == [0, 1, 1, 2, 2, 3, "delayed", "expiring", "news"]
        held[0].ack()
        until(lambda: not server.client().exists("unacked"), 30, "all were settled")


def drained(connection: Connection) -> bool:
    try:
        connection.drain_events(timeout=0.3)
    except TimeoutError:
        pass
    return True
