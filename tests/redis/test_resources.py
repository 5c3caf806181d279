"""Sockets, descriptors, memory, processor time and keys stay where they are.

``--opens 10000`` runs what opens connections for long.
"""

from __future__ import annotations

import gc
from contextlib import suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Exchange, Queue
from kombu.pools import connections, producers
from kombu.pools import reset as reset_pools
from tests.redis.load import descriptors, memory
from tests.redis.wire import until
from tests.support.idle import IDLE, least_shares

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fleet import Fleet
    from tests.support.redis_server import RedisServer


@pytest.mark.timeout(1800)
def test_open_publish_close(redis_victim: RedisServer, request: pytest.FixtureRequest) -> None:
    # Given
    count = request.config.getoption("--opens")
    admin = redis_victim.client()
    queue = Queue("q", Exchange("x", "direct"), "k")
    marks = []
    for number in range(count):
        if number in (50, count - 1):
            marks.append((descriptors(), admin.info("clients")["connected_clients"], memory()))
        # When
        with Connection(redis_victim.url) as connection, connection.Producer() as producer:
            producer.publish("hello", exchange=queue.exchange, routing_key="k", declare=[queue])
    # Then
    (files, clients, resident), (files_after, clients_after, resident_after) = marks
    assert files_after <= files + 1
    assert clients_after <= clients + 1
    assert resident_after <= resident + 10_000_000  # (it stops growing after some thousand)
    assert admin.llen("q") == count


def test_consumers_come_and_go(redis_victim: RedisServer) -> None:
    """Threads, sockets and what the server knows of consumers end with each connection."""
    admin = redis_victim.client()
    news = Queue("news", Exchange("all", "fanout"))
    marks = []
    for number in range(60):
        with Connection(redis_victim.url) as connection:
            with connection.Consumer([Queue("q"), news], on_message=lambda message: message.ack()):
                connection.Producer().publish("hello", routing_key="q")
                connection.drain_events(timeout=5)
        if number in (5, 59):
            until(lambda: admin.info("clients")["connected_clients"] <= 2, 30, "its sockets are closed")
            marks.append((descriptors(), admin.dbsize()))
    assert marks[0] == marks[1]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_consumers_that_nobody_closes(redis_url: str) -> None:
    """Descriptors go with the objects."""

    def come_and_go(count: int) -> None:
        for _ in range(count):
            connection = Connection(redis_url)
            connection.Producer().publish("hello", routing_key="q")
            consumer = connection.Consumer([Queue("q")], on_message=lambda message: message.ack())
            consumer.consume()
            connection.drain_events(timeout=5)
            with suppress(TimeoutError):  # (waits)
                connection.drain_events(timeout=0.001)

    come_and_go(2)
    before = descriptors()
    come_and_go(20)
    until(lambda: gc.collect() >= 0 and descriptors() <= before + 1, 30, "they are closed")


def test_pools_share_connections(redis_victim: RedisServer) -> None:
    admin = redis_victim.client()
    connection = Connection(redis_victim.url)
    try:
        for number in range(100):
            with producers[connection].acquire(block=True) as producer:
                producer.publish(number, routing_key="q", declare=[Queue("q")])
            with connections[connection].acquire(block=True) as borrowed:
                borrowed.default_channel.queue_declare("q", passive=True)
        assert admin.info("clients")["connected_clients"] <= 4
    finally:
        reset_pools()
    assert admin.llen("q") == 100


def test_a_consumer_with_a_full_prefetch_whose_connections_are_closed(
    redis_victim: RedisServer, make_fleet: Callable[..., Fleet]
) -> None:
    # Given: it has all that it may take, of work; and it hears news
    fleet = make_fleet(redis_victim.url, lease=30)
    admin = redis_victim.client()
    fleet.start().ask("publish", bodies=list(range(10)), key="q")
    member = fleet.start().consume(
        "q", {"name": "n", "exchange": "all", "type": "fanout"}, then="hold", prefetch=2
    )
    member.wait_for("got", 2)
    before = admin.info("stats")["total_connections_received"]
    # When
    for kind in ("normal", "pubsub"):
        admin.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
    sleep(1)
    # Then: each socket is opened again once
    assert least_shares([member.pid], 3)[0] < IDLE
    assert admin.info("stats")["total_connections_received"] - before <= 3
    member.read()
    assert member.all("got") == [0, 1]


def test_a_server_that_closes_idle_connections(
    redis_victim: RedisServer, make_fleet: Callable[..., Fleet]
) -> None:
    # Given
    fleet = make_fleet(redis_victim.url, lease=30)
    admin = redis_victim.client()
    publisher = fleet.start()
    publisher.ask("publish", bodies=list(range(10)), key="q")
    member = fleet.start().consume("q", then="hold", prefetch=2)
    member.wait_for("got", 2)
    # When
    admin.config_set("timeout", 1)
    began, before = monotonic(), admin.info("stats")["total_connections_received"]
    sleep(2.5)
    # Then
    assert least_shares([member.pid], 3)[0] < IDLE
    assert admin.info("stats")["total_connections_received"] - before <= 1 + monotonic() - began
    publisher.ask("publish", bodies=["still there"], key="other")
    assert admin.llen("other") == 1


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fanout", ["pubsub", "stream"])
def test_killed_control_clients_leave_nothing(
    make_fleet: Callable[..., Fleet],
    redis_url: str,
    redis_client: Any,
    request: pytest.FixtureRequest,
    fanout: str,
) -> None:
    # Given: the application's own keys
    count = max(20, request.config.getoption("--opens") // (10 if fanout == "pubsub" else 50))
    fleet = make_fleet(redis_url, lease=1, fanout=fanout)
    node = fleet.start().tell("serve", name="node")
    node.wait_for("serving")
    fleet.start().ask("multi_call", method="ping")
    sleep(0.5)
    before = set(redis_client.keys()) | {b"_kombu.sweeper"}
    # When
    fleet.start().tell("control", count=count, expires=2).wait_for("killed", count, 600)
    # Then
    until(lambda: set(redis_client.keys()) <= before, 15, "what they left is gone")
