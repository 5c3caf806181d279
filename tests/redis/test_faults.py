"""Connections cut at random steps, servers that stop, load, refuse and forget: everything comes back, nothing is lost.

``--faults 200`` runs the first for long.
"""

from __future__ import annotations

import random
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Queue
from kombu.exceptions import ResourceLocked
from tests.redis.load import INBOX, NEWS, WORK, descriptors, memory, running
from tests.redis.wire import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.proxy import Proxy
    from tests.support.redis_server import RedisServer

#: The program's mailbox still has the consumer that a broken connection left, until its lease ends.
pytestmark = pytest.mark.filterwarnings("ignore:A node named")

#: Seconds in which a silent server counts as gone, and leases.
OPTIONS = {"socket_timeout": 1.5, "socket_connect_timeout": 1.5, "health_check_interval": 1, "lease": 2}

#: Seconds after which all is as before.
BACK = 8


@pytest.mark.timeout(3600)
def test_nothing_is_lost_by_broken_connections(
    redis_proxy: Proxy, redis_proxy_url: str, request: pytest.FixtureRequest
) -> None:
    # Given
    chance = random.Random(4711)
    faults = max(24, request.config.getoption("--faults"))
    marks = []
    with running(redis_proxy_url, redis_proxy_url, **OPTIONS) as load:
        for number in range(faults):
            if number in (faults // 4, faults - 1):
                marks.append((descriptors(), memory()))
            # When
            fault = ("rst", "fin", "pause", "blackhole")[number % 4]
            redis_proxy.failed.clear()
            redis_proxy.cut_after(chance.randint(1, 20_000), fault)
            assert redis_proxy.failed.wait(30), f"the load stands still at fault {number}"
            if fault in ("pause", "blackhole"):
                Event().wait(chance.choice((0.05, 0.5, 2.5)))
            redis_proxy.heal()
            # Then: work and news go on
            load.await_going(f"{fault} {number}: all goes on", BACK)
            if number % 8 == 7:
                load.await_answer()
        load.stop()
    assert len(load.publisher.confirmed) > faults
    (early_files, early_memory), (late_files, late_memory) = marks[0], marks[-1]
    # (a consumer that never had to wait has neither the socket for that nor the pipe, and the proxy two sockets less)
    assert late_files <= early_files + 8
    assert late_memory <= early_memory + 30_000_000


def test_connections_that_die_in_silence_are_replaced(redis_proxy: Proxy, redis_proxy_url: str) -> None:
    with running(redis_proxy_url, redis_proxy_url, **OPTIONS) as load:
        for _ in range(2):
            redis_proxy.fail("dead")
            load.await_going("work and news go on", BACK)
            load.await_answer()
        load.stop()


def test_a_server_that_restarts(make_redis: Callable[..., RedisServer]) -> None:
    # Given: it writes everything to its disk before it answers
    server = make_redis(settings={"appendonly": "yes", "appendfsync": "always"})
    with running(server.url, server.url, **OPTIONS) as load:
        for end in (server.kill, server.stop):
            # When
            end()
            Event().wait(0.5)
            server.start()
            # Then
            load.await_going("all goes on", BACK)
            load.await_answer()
        load.stop()


def test_a_server_that_stands_still(redis_victim: RedisServer) -> None:
    with running(redis_victim.url, redis_victim.url, **OPTIONS) as load:
        for seconds in (0.5, 3):
            redis_victim.pause()
            Event().wait(seconds)
            redis_victim.resume()
            load.await_going("all goes on", BACK)
            load.await_answer()
        load.stop()


def test_claims_whose_answers_are_lost(redis_victim: RedisServer) -> None:
    """What the server has given and nobody has got comes back when the lease ends."""
    # Given
    with Connection(redis_victim.url, transport_options={"socket_timeout": 0.3, "lease": 1}) as connection:
        channel = connection.default_channel
        queue = Queue("q")(channel)
        queue.declare()
        for number in range(6):
            connection.Producer(channel).publish(number, routing_key="q")
        found = {queue.get(no_ack=True).payload}
        # When: it carries claims out after the client has given up, and later ones take the next messages
        for _ in range(2):
            redis_victim.pause()
            with pytest.raises(connection.connection_errors):
                queue.get()
            redis_victim.resume()
        # Then

        def received() -> bool:
            message = queue.get()
            if message is not None:
                found.add(message.payload)
                message.ack()
            return len(found) == 6

        until(received, 3, f"all are received: {found}")


def test_a_server_that_loads_its_data(make_redis: Callable[..., RedisServer]) -> None:
    # Given: a dump that takes two seconds to load, during which each command is answered with LOADING
    server = make_redis(settings={"rdbcompression": "no"})
    with running(server.url, server.url, **OPTIONS) as load:
        server.client(9).mset({f"filler{number}": "x" * 10_000 for number in range(2000)})
        # When
        server.client().save()
        server.kill()
        server.settings["key-load-delay"] = 1000
        server.start(wait=False)
        seen = set()
        while (answer := server.answer()) not in (b"+PONG",):
            seen.add(answer)
            Event().wait(0.05)
        # Then
        assert b"-LOADING" in seen
        load.await_going("all goes on", BACK)
        load.await_answer()
    # (what came after the dump was written is gone, as the server was told to)


@pytest.mark.parametrize("stale", ["yes", "no"], ids=["READONLY", "MASTERDOWN"])
def test_a_server_that_becomes_a_replica(make_redis: Callable[..., RedisServer], stale: str) -> None:
    server = make_redis(settings={"replica-serve-stale-data": stale})
    admin = server.client()
    with running(server.url, server.url, **OPTIONS) as load:
        # When: writes are refused, until somebody makes it a master again
        admin.execute_command("REPLICAOF", "127.0.0.1", "1")
        Event().wait(1)
        before = len(load.publisher.confirmed)
        Event().wait(0.2)
        assert len(load.publisher.confirmed) == before
        admin.execute_command("REPLICAOF", "NO", "ONE")
        # Then
        load.await_going("all goes on", BACK)
        load.await_answer()
        load.stop()


def test_a_server_that_kills_all_connections(redis_victim: RedisServer) -> None:
    admin = redis_victim.client()
    with running(redis_victim.url, redis_victim.url, **OPTIONS) as load:
        for kind in ("normal", "pubsub", "normal"):
            admin.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
            load.await_going(f"{kind}: all goes on", BACK)
        load.stop()


def test_a_server_that_forgets_everything(redis_url: str, redis_client: Any) -> None:
    """FLUSHALL: bindings and queues are declared again by whoever declared them, so nothing more is lost."""
    with running(redis_url, redis_url, **OPTIONS) as load:
        for _ in range(3):
            # When
            redis_client.flushdb()
            load.publisher.received |= load.publisher.confirmed  # what waited is gone, as was asked for
            load.await_going("all goes on", BACK)
            load.await_answer()


def test_the_next_declared_publish_after_flushall_arrives(redis_url: str, redis_client: Any) -> None:
    # Given: both have declared what they use, and a consumer waits
    got: list[Any] = []
    with Connection(redis_url) as sender, Connection(redis_url) as receiver:
        with sender.Producer() as producer, receiver.Consumer([WORK], on_message=lambda m: got.append(m) or m.ack()):
            producer.publish("before", exchange=WORK.exchange, routing_key="work", declare=[WORK])
            receiver.drain_events(timeout=5)
            # When
            redis_client.flushdb()
            producer.publish("after", exchange=WORK.exchange, routing_key="work", declare=[WORK])
            # Then
            receiver.drain_events(timeout=5)
    assert [message.payload for message in got] == ["before", "after"]


def test_news_after_flushall(redis_url: str, redis_client: Any) -> None:
    got: list[Any] = []
    with Connection(redis_url) as sender, Connection(redis_url) as receiver:
        with sender.Producer(exchange=NEWS) as producer:
            with receiver.Consumer([INBOX], on_message=got.append, no_ack=True):
                producer.publish("before")
                receiver.drain_events(timeout=5)
                redis_client.flushdb()
                producer.publish("after")
                receiver.drain_events(timeout=5)
    assert [message.payload for message in got] == ["before", "after"]


def test_what_was_exclusive_is_free_again_after_the_lease(redis_proxy: Proxy, redis_proxy_url: str) -> None:
    """As with a broker that has to notice first that a connection is dead."""
    queue = Queue("mine", exclusive=True, auto_delete=True)
    with Connection(redis_proxy_url, transport_options=OPTIONS) as connection:
        # Given
        consumer = connection.Consumer([queue], on_message=lambda message: message.ack())
        consumer.consume()
        # When
        redis_proxy.fail("rst")
        connection.collect()

        # Then
        def mine() -> bool:
            try:
                consumer.revive(connection.channel())
                consumer.consume()
            except ResourceLocked:
                return False
            return True

        until(mine, OPTIONS["lease"] + 1, "the queue is free")
