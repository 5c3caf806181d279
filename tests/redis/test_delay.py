"""Delayed messages wait on the server: consumers need no memory for them, and nobody's end loses them.

``--delayed 100000`` runs it for many.
"""

from __future__ import annotations

import os
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest

from kombu import Connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fleet import Fleet
    from tests.support.redis_server import RedisServer

#: A message comes at most so many seconds after its time: half a one, and what a busy machine adds.
LATE = 3.0


@pytest.mark.timeout(1800)
def test_many_delayed_messages_cost_their_consumer_nothing(
    fleet: Fleet, redis_url: str, request: pytest.FixtureRequest
) -> None:
    # Given: they would take 20 MB and more
    count = request.config.getoption("--delayed")
    filler = os.urandom(2048).hex()
    consumer = fleet.start().consume("q", prefetch=10)
    with Connection(redis_url) as connection, connection.Producer() as producer:
        producer.publish("now", routing_key="q")
        consumer.wait_for("acked")
        before = consumer.memory()
        # When
        for _ in range(0, count, 500):
            with producer.batch(500):
                for _ in range(500):
                    producer.publish(filler, routing_key="q", delay=600)
        due = monotonic() + 1
        producer.publish("soon", routing_key="q", delay=1)
        sleep(0.5)
        assert connection.default_channel.queue_declare("q", passive=True).message_count == 0
    # Then: one that is due passes by all of them
    consumer.wait_for("acked", 2)
    assert due - 0.05 < consumer.all("at")[-1] < due + LATE
    assert consumer.memory() < before + 8_000_000


def test_delayed_messages_survive_their_consumer(fleet: Fleet) -> None:
    # Given
    publisher, first = fleet.start(), fleet.start().consume("q")
    events = publisher.ask("publish", bodies=["a", "b"], key="q", delay=1.5)
    # When
    first.kill()
    second = fleet.start().consume("q")
    # Then
    second.wait_for("acked", 2)
    times = [event["at"] for event in events if "published" in event]
    for at, published in zip(second.all("at"), times, strict=True):
        assert 1.5 - 0.05 < at - published < 1.5 + LATE
    assert first.all("got") == []


def test_delayed_messages_survive_the_servers_end(
    make_redis: Callable[..., RedisServer], make_fleet: Callable[..., Fleet]
) -> None:
    # Given
    server = make_redis(settings={"appendonly": "yes", "appendfsync": "always"})
    fleet = make_fleet(server.url, lease=1)
    consumer = fleet.start().consume({"name": "q", "exchange": "x", "key": "k"})
    bodies = list(range(20))
    events = fleet.start().ask("publish", bodies=bodies, exchange="x", key="k", delay=2)
    published = [event["at"] for event in events if "published" in event]
    # When
    server.kill()
    consumer.kill()
    server.start()
    heir = fleet.start().consume({"name": "q", "exchange": "x", "key": "k"})
    ready = monotonic()
    # Then
    assert sorted(heir.wait_for("acked", 20)) == bodies
    for at, then in zip(sorted(heir.all("at")), published, strict=True):
        assert then + 2 - 0.05 < at < max(then + 2, ready) + LATE


def test_each_comes_at_its_time(fleet: Fleet, redis_url: str) -> None:
    # Given: the longest delay first
    delays = [2.0, 1.5, 1.0, 0.5, 0.2]
    consumer = fleet.start().consume({"name": "q", "exchange": "x", "type": "topic", "key": "#"})
    due: dict[Any, float] = {}
    # When
    publisher = fleet.start()
    for delay in delays:
        (event, _) = publisher.ask("publish", bodies=[delay], exchange="x", type="topic", key="a", delay=delay)
        due[delay] = event["at"] + delay
    # Then
    # (the order is theirs, unless the publisher was held up between two)
    assert sorted(consumer.wait_for("acked", 5)) == sorted(delays)
    for event in consumer.events:
        if "got" in event:
            assert due[event["got"]] - 0.05 < event["at"] < due[event["got"]] + LATE
