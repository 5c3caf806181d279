"""Connections that consume from many queues: each message wakes one of them, at once."""

from __future__ import annotations

from statistics import median
from threading import Event, Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection, Queue
from kombu.asynchronous import Hub
from kombu_redis.enlisting import FEW
from tests.redis.wire import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.fleet import Fleet, Process
    from tests.support.redis_server import RedisServer

NAMES = [f"q{number}" for number in range(FEW + 6)]
#: Seconds in which nearly all messages come: far from the half a second of who is not woken.
SOON = 0.12


@pytest.fixture
def producer(redis_url: str) -> Iterator[Any]:
    with Connection(redis_url) as connection:
        yield connection.Producer()


def entries(client: Any, name: str) -> int:
    """How many connections are entered with a queue."""
    return int(client.llen(f"_kombu.enlisted.{name}"))


def asleep(client: Any) -> int:
    return len(client.keys("_kombu.idle.*"))


def one_by_one(producer: Any, consumer: Process, names: list[str]) -> float:
    """Seconds after which a message comes; the median."""
    took = []
    for name in names:
        known = len(consumer.all("acked"))
        began = monotonic()
        producer.publish(name, routing_key=name)
        consumer.wait_for("acked", known + 1)
        took.append(consumer.all("at")[-1] - began)
        sleep(0.003)
    return median(took)


def test_each_queue_wakes_at_once(fleet: Fleet, producer: Any, redis_client: Any) -> None:
    # Given
    consumer = fleet.start(lease=30).consume(*NAMES)
    until(lambda: entries(redis_client, NAMES[-1]) and asleep(redis_client), 10, "it is entered")
    # When, twice: it is entered again
    took = [one_by_one(producer, consumer, NAMES) for _ in range(2)]
    # Then
    assert consumer.all("got") == 2 * NAMES
    assert min(took) < SOON, took
    assert consumer.sockets() <= 2
    # And: all that is at the server goes by itself
    keys = [key for pattern in ("_kombu.enlisted.*", "_kombu.idle.*") for key in redis_client.keys(pattern)]
    assert len(keys) > FEW
    assert [key for key in keys if redis_client.pttl(key) == -1] == []


def test_one_message_wakes_one_of_many(redis_victim: RedisServer, make_fleet: Any) -> None:
    # Given: 30 connections, each with all the queues
    client = redis_victim.client()
    fleet = make_fleet(redis_victim.url, lease=30)
    crowd = fleet.start().tell("crowd", count=30, queues=[{"name": name} for name in NAMES])
    crowd.wait_for("consuming", 30)
    # (a machine that stands still lets some seem to be at work)
    until(lambda: entries(client, NAMES[0]) == 30 and asleep(client) > 15, 60, "they sleep")
    told = [client.info("commandstats").get("cmdstat_publish", {}).get("calls", 0)]
    # When
    with Connection(redis_victim.url) as connection:
        producer = connection.Producer()
        for number in range(20):
            producer.publish(number, routing_key=NAMES[number % 3])
            crowd.wait_for("acked", number + 1)
    # Then: somebody was told of each, and not everybody
    assert sorted(crowd.all("got")) == list(range(20))
    told.append(client.info("commandstats")["cmdstat_publish"]["calls"])
    assert told[1] - told[0] < 20 * 15


def test_who_is_busy_keeps_nothing_from_others(fleet: Fleet, redis_url: str, redis_client: Any) -> None:
    # Given: a consumer at work, entered with the queues, and one that waits
    started, done = Event(), Event()

    def work(message: Any) -> None:
        started.set()
        done.wait(60)
        message.ack()

    def drain() -> None:
        with Connection(redis_url) as connection:
            with connection.Consumer(map(Queue, NAMES), on_message=work, prefetch_count=1):
                connection.drain_events()

    with Connection(redis_url) as connection:
        producer = connection.Producer()
        thread = Thread(target=drain)
        thread.start()
        try:
            until(lambda: entries(redis_client, NAMES[-1]), 30, "it is entered")
            producer.publish("long", routing_key=NAMES[0])
            assert started.wait(30)
            other = fleet.start(lease=30).consume(*NAMES)
            until(lambda: entries(redis_client, NAMES[-1]) == 2 and asleep(redis_client) == 1, 30, "both are")
            # When, then
            assert one_by_one(producer, other, NAMES[1:20]) < SOON
            assert other.all("got") == NAMES[1:20]
        finally:
            done.set()
            thread.join()


def test_who_was_killed_keeps_nothing_from_others(fleet: Fleet, producer: Any, redis_client: Any) -> None:
    # Given
    victims = [fleet.start(lease=30).consume(*NAMES) for _ in range(2)]
    heir = fleet.start(lease=30).consume(*NAMES)
    until(lambda: entries(redis_client, NAMES[-1]) == asleep(redis_client) == 3, 30, "all sleep")
    # When
    for victim in victims:
        victim.kill()
    # Then
    assert one_by_one(producer, heir, NAMES[:20]) < SOON
    assert heir.all("got") == NAMES[:20]


def test_few_and_many_queues(fleet: Fleet, producer: Any, redis_client: Any) -> None:
    # Given: one that waits for one queue, and one that waits for all
    few = fleet.start(lease=30).consume(NAMES[0])
    many = fleet.start(lease=30).consume(*NAMES)
    until(lambda: entries(redis_client, NAMES[0]) and asleep(redis_client), 30, "it is entered")
    # When: messages come one after the other, and then all at once
    for number in range(300):
        producer.publish(number, routing_key=NAMES[number % 3 and number % len(NAMES)])
    fleet.wait(lambda: len(few.all("acked") + many.all("acked")) >= 300, "all come")
    # Then
    assert sorted(few.all("got") + many.all("got")) == list(range(300))
    # And: without the one the other has all, at once
    many.kill()
    assert one_by_one(producer, few, NAMES[:1] * 10) < SOON


def test_a_limited_user(redis_with_acl: RedisServer, make_fleet: Callable[..., Fleet]) -> None:
    # Given
    url = f"redis://limited:battery@127.0.0.1:{redis_with_acl.port}/0"
    client = redis_with_acl.client()
    consumer = make_fleet(url, lease=30, global_keyprefix="p:").start().consume(*NAMES)
    until(lambda: client.llen(f"p:_kombu.enlisted.{NAMES[-1]}") and client.keys("p:_kombu.idle.*"), 30, "it is entered")
    # When, then
    with Connection(url, transport_options={"global_keyprefix": "p:"}) as connection:
        assert one_by_one(connection.Producer(), consumer, NAMES[:15]) < SOON
    assert client.acl_log() == []


def test_a_server_that_lost_everything(redis_victim: RedisServer, make_fleet: Callable[..., Fleet]) -> None:
    # Given
    client = redis_victim.client()
    consumer = make_fleet(redis_victim.url, lease=30).start().consume(*NAMES)
    until(lambda: entries(client, NAMES[-1]) and asleep(client), 30, "it is entered")
    # When
    client.flushall()
    # Then: after the first of its messages a queue wakes at once again
    with Connection(redis_victim.url) as connection:
        assert one_by_one(connection.Producer(), consumer, NAMES[:1] * 15) < SOON


def test_draining_on_after_the_connection_was_lost(redis_victim: RedisServer) -> None:
    # Given: it waits
    client, got = redis_victim.client(), []
    with Connection(redis_victim.url) as connection, Connection(redis_victim.url) as other:
        producer = other.Producer()
        with connection.Consumer(map(Queue, NAMES), on_message=lambda message: got.append(message.ack())):
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=0.1)
            # When
            client.client_kill_filter(_type="pubsub")
            for name in NAMES[:15]:  # (somebody else gets what it is not told of)
                producer.publish(name, routing_key=name)
                client.delete(name)
            with pytest.raises(connection.connection_errors):
                connection.drain_events(timeout=5)
            # Then: the same connection is used on, and told
            took = []
            for name in NAMES[:15]:
                with pytest.raises(TimeoutError):
                    connection.drain_events(timeout=0.02)
                producer.publish(name, routing_key=name)
                began = monotonic()
                connection.drain_events(timeout=5)
                took.append(monotonic() - began)
            assert median(took) < SOON
        assert entries(client, NAMES[-1]) == 1
    # And: when it is closed nothing is left of it
    assert client.keys("_kombu.enlisted.*") == client.keys("_kombu.idle.*") == []


def test_in_an_event_loop(redis_url: str, producer: Any, redis_client: Any) -> None:
    # Given
    got: list[float] = []
    hub = Hub()
    with Connection(redis_url) as connection:

        def take(message: Any) -> None:
            got.append(monotonic())
            message.ack()

        with connection.Consumer(map(Queue, NAMES), on_message=take):
            connection.register_with_event_loop(hub)
            loop = hub.create_loop()
            until(lambda: next(loop) or asleep(redis_client), 10, "it sleeps")

            def took(publish: Callable[[str], object], name: str) -> float:
                known, began = len(got), monotonic()
                publish(name)
                while len(got) == known:
                    next(loop)
                return got[-1] - began

            # When, then: it is told
            each = [took(lambda name: producer.publish("x", routing_key=name), name) for name in NAMES[:15]]
            assert median(each) < SOON
            # And: it looks for what nobody tells of
            envelope = redis_message(producer, redis_client)
            assert took(lambda name: redis_client.lpush(name, envelope), NAMES[0]) < 5
            connection.transport.unregister_from_event_loop(connection, hub)
    hub.close()


def redis_message(producer: Any, client: Any) -> bytes:
    """A message as it lies in a queue."""
    producer.publish("x", routing_key="elsewhere", declare=[Queue("elsewhere")])
    return bytes(client.rpop("elsewhere"))


def test_queues_that_come_and_go(redis_url: str, producer: Any, redis_client: Any) -> None:
    # Given: a connection that consumes from one queue more and more
    got: list[Any] = []
    with Connection(redis_url) as connection:
        channel = connection.channel()

        def take(name: str) -> None:
            producer.publish(name, routing_key=name, declare=[Queue(name)])
            known = len(got)
            while len(got) == known:
                connection.drain_events(timeout=5)

        consumer = connection.Consumer([], channel=channel, on_message=lambda message: got.append(message.payload))
        for name in NAMES:
            consumer.add_queue(Queue(name))
            consumer.consume()
            take(name)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.02)
        assert asleep(redis_client) == 1
        assert {name: entries(redis_client, name) for name in NAMES} == dict.fromkeys(NAMES, 1)
        # When: it stops consuming from most of them
        for name in NAMES[3:]:
            consumer.cancel_by_queue(name)
        # Then: it has what is left, and what is for others stays
        producer.publish("others", routing_key=NAMES[-1])
        for name in NAMES[:3] * 3:
            take(name)
        assert got == NAMES + NAMES[:3] * 3
        assert redis_client.llen(NAMES[-1]) == 1
