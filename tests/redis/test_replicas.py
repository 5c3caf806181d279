"""``wait_replicas``: what is confirmed is on so many replicas, or publishing says that it is not."""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Queue
from kombu.exceptions import BatchPublishError, RecoverableConnectionError
from tests.redis.wire import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu import Producer
    from tests.support.redis_server import RedisServer

QUEUE = Queue("work")
OPTIONS = {"wait_replicas": 1, "socket_timeout": 20}


def in_a_batch(producer: Producer) -> None:
    with producer.batch(10):
        for _ in range(3):
            producer.publish("x", routing_key="work")


WAYS: dict[str, Callable[[Any], None]] = {
    "one": lambda producer: producer.publish("x", routing_key="work", retry=False),
    "delayed": lambda producer: producer.publish("x", routing_key="work", delay=60, retry=False),
    "batch": in_a_batch,
}


def stored(server: RedisServer) -> int:
    client = server.client()
    return int(client.llen("work")) + int(client.zcard("_kombu.delayed.work"))


@pytest.mark.parametrize("how", WAYS)
def test_when_publishing_returns_the_replica_has_it(make_redis: Callable[..., RedisServer], how: str) -> None:
    # Given
    master, replica = make_redis(settings={"repl-diskless-sync-delay": 0}), make_redis()
    replica.client().replicaof("127.0.0.1", master.port)
    until(lambda: replica.client().info()["master_link_status"] == "up", 20, "it has all the data")
    with Connection(master.url, transport_options=OPTIONS) as connection:
        QUEUE(connection.default_channel).declare()
        producer = connection.Producer()
        for _ in range(5):
            # When
            WAYS[how](producer)
            # Then
            assert stored(replica) == stored(master)
    # And when the replica stands still, nobody says that it has
    with Connection(master.url, transport_options=OPTIONS | {"socket_timeout": 1}) as connection:
        producer = connection.Producer()
        replica.pause()
        with pytest.raises((RecoverableConnectionError, BatchPublishError), match="NOREPLICAS 0 of 1 replicas"):
            WAYS[how](producer)
        replica.resume()


def test_a_connection_that_is_lost_meanwhile(make_redis: Callable[..., RedisServer]) -> None:
    """The next one would wait for nothing, and be answered at once."""
    server = make_redis()
    admin = server.client()
    with Connection(server.url, transport_options=OPTIONS) as connection:
        QUEUE(connection.default_channel).declare()
        producer = connection.Producer()
        def kill() -> None:
            blocked: list[Any] = []
            while not blocked:
                blocked = [client for client in admin.client_list() if client["cmd"] == "wait"]
            admin.client_kill_filter(_id=blocked[0]["id"])

        killer = Thread(target=kill)
        killer.start()
        with pytest.raises(RecoverableConnectionError, match="lost|closed"):
            producer.publish("x", routing_key="work", retry=False)
        killer.join(60)
